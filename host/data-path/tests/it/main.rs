//! What can only be seen from outside the crate: memory, and real files as images.

mod memory;
