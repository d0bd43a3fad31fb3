//! Who asks the agent, and what it answers: the control socket, its server and its client.

pub mod board;
pub mod clerk;
pub mod client;
pub mod control;
pub mod listener;
pub mod peer;
pub mod protocol;
pub mod recorded;
pub mod status;
pub(crate) mod wire;
