//! From edges to actions.

mod cooldown;
pub mod guard;
pub mod healer;
pub mod outcome;
