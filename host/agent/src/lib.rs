//! The agent: the work next to the disks.
//!
//! It claims work from a control plane, in the same process or over HTTP, and does it with plugins
//! that the application hands in: captures disks of running and stopped instances, deploys
//! instances from images, starts, stops and removes them. It never decides who may do what: that is
//! the control plane's.
//!
//! **Ground rules.**
//! - Every piece of work has a journal, and a note in it before every risky step. One function
//!   undoes work from its journal, whether it failed, was cancelled, or the whole agent was killed.
//! - A result is on disk before it is sent, and is sent until it is answered. Losing the control
//!   plane stops no copy.
//! - Everything that runs for long can be stopped: cancelled, lease lost, deadline passed, agent
//!   stopping.
//! - Instances are detached processes: they outlive the agent, and the next agent process finds
//!   them again.
//!
//! **Terms.** A *lease* is the right to work on a task, its *fence* the number of that right. To
//! *settle* is to put away what a piece of work has on the machine, in the hypervisor and on the
//! storage.
//!
//! **Map.** [`Agent`] lives in `agent`; `runner` takes work and knows how it ended; `heartbeat`
//! keeps leases; `outbox` holds results; `job` settles; `recovery` settles for an earlier process;
//! `capture`, `coalesce`, `deploy`, `power` and `image` do the work; `copy` is the one place that
//! calls the data path; `step` lists the journal's steps and the fault hook of the crash tests.
//!
//! Not here: the sandbox (`plugin-runtime`), the engine that moves bytes (`data-path`), tasks and
//! accounts (`service`).

mod agent;
mod capture;
mod coalesce;
mod control;
mod copy;
mod deploy;
mod durable;
mod error;
mod heartbeat;
mod http;
mod image;
mod instance;
mod job;
mod journal;
mod layers;
mod lock_probe;
mod machine;
mod outbox;
mod ports;
mod power;
mod process;
mod recovery;
mod runner;
mod seed;
mod settings;
mod step;

pub use agent::{Agent, AgentError};
pub use http::{HttpControlPlane, HttpError};
pub use ports::{DriverGrants, Ports};
pub use settings::{FolderError, Program, Settings};
pub use step::{FaultError, fault_steps};

#[cfg(test)]
mod tests;
