//! From edges to actions.

pub mod guard;
pub mod outcome;
