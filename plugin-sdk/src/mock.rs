//! The host for native tests: bytes in memory, directories in memory, scripted peers, a clock that
//! the test owns, and faults where the test wants them.

mod blob;
mod channel;
mod dirs;
mod granted;
mod host;
mod net;
mod servers;
mod trace;

pub use blob::MemBlob;
pub use channel::{Peer, PeerAction, Script};
pub use host::MockHost;
pub use servers::{Medium, MockServer};
pub use trace::Event;

#[cfg(test)]
mod tests;
