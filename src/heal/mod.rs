//! From edges to actions.

pub mod action;
mod cooldown;
pub mod guard;
pub mod healer;
pub mod outcome;
