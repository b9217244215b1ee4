//! The agent: it captures, deploys and controls the instances of one hypervisor.
//!
//! It claims assignments from a control plane, in the same process or over HTTP, and executes them
//! with plugins that the application provides: it captures disks of running and stopped instances,
//! deploys instances from images, starts, stops and removes them. Who may do what is decided by the
//! control plane alone.
//!
//! **Ground rules.**
//! - Every job has a journal, with a note before every step that must be undone after a crash. One
//!   function, `jobs::cleanup::clean_up`, undoes a job from its journal, whether it failed, was
//!   cancelled, or the whole agent was killed.
//! - The outcome of a job is on disk before it is reported, and is reported until it is answered.
//!   Jobs continue while the control plane cannot be reached.
//! - Everything that takes long can be stopped: by a cancellation, a lost lease, a deadline, or the
//!   end of the agent.
//! - Instances are detached processes: they continue without the agent, and the next agent process
//!   finds them.
//! - A failure has a code of the catalogue of task errors, or the one that a plugin or the data
//!   path reported. Its detail is for operators only.
//! - Poisoned locks are used as they are (module `sync`): a job that panics must not end the
//!   others.
//!
//! **Terms.** An *assignment* is what the control plane sends; a *job* is its execution. A *lease*
//! is the right to work on a task, its *fence* the number of that right. The *clean-up* of a job
//! removes what it left on the machine, in the hypervisor and on the storage.
//!
//! **Map.** `runtime` is the process: [`Agent`], its state, registration, heartbeats, the runner,
//! the outbox and recovery. `jobs` has a module for each kind of job, its context (`job`,
//! `control`) and its clean-up; `jobs::copy` is the one place that calls the data path. `machine`
//! has the instances and their processes, `journal` the journal, its steps and the fault hook of
//! the crash tests. `objects` serves the objects of the machine's storages to other agents and to
//! the control plane.
//!
//! Not here: the sandbox (`plugin-runtime`), the transfer of bytes (`data-path`), tasks and
//! accounts (`service`).

mod backoff;
mod durable;
mod error;
mod jobs;
mod journal;
mod machine;
mod objects;
mod ports;
mod received;
mod runtime;
mod settings;
mod sync;
mod uploads;

pub use journal::fault::{FaultError, fault_steps};
pub use objects::ObjectServerError;
pub use ports::{DriverGrants, FolderPlace, Ports};
pub use runtime::{
    agent::{Agent, AgentError},
    http::{HttpControlPlane, HttpError},
};
pub use settings::{FolderError, ObjectSettings, Program, Settings};

#[cfg(test)]
mod tests;
