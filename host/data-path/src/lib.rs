//! The native engine that moves disk images, and the ports through which it talks to plugins.
//!
//! A plugin describes (where bytes are, how a disk maps to them, how to lay out a new file); this crate validates every
//! description, and then opens, reads, decodes, hashes, encodes and writes, on all cores and with bounded memory.
//!
//! - [`io`]: sources and sinks.
//! - [`ports`]: the three traits that `plugin-runtime` implements over components, and their shapes.
//!
//! Not here: components and sandboxes (`plugin-runtime`), tasks and limits (`service`).

pub mod io;
pub mod ports;
