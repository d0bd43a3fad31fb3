//! From edges to actions: the [`healer`] decides, the [`worker`] carries it out, the [`guard`] permits, the [`executor`] runs.

pub mod healer;
mod budget;
pub mod silence;
pub mod track;
pub mod worker;
pub mod command;
pub mod by_hand;
pub(crate) mod job;
pub(crate) mod last_job;
mod failed_unit;
mod adopt;
mod witness;
pub mod outcome;

pub mod guard;
pub mod action;
pub mod executor;
pub mod evidence;
pub mod confine;
mod output;
pub mod transient;
mod cgroup;
mod places;
pub mod tree;
