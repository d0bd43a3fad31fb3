//! From edges to actions: the [`healer`] decides, the [`worker`] carries it out, the [`guard`] permits, the [`executor`] runs.

pub mod healer;
mod budget;
mod cooldown;
pub mod worker;
mod job;
pub mod outcome;

pub mod guard;
pub mod action;
pub mod executor;
pub mod evidence;
pub mod confine;
mod output;
pub mod tree;
