//! The process of the agent: its state, its connection to the control plane, and the loops that
//! start, report and recover jobs.

pub(crate) mod agent;
mod heartbeat;
pub(crate) mod http;
pub(crate) mod outbox;
mod progress;
pub(crate) mod recovery;
mod registration;
mod runner;
mod state;
