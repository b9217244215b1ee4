//! The agent against a fake control plane and fake plugins; live exports come from a real NBD server.

mod fakes;
mod life;
mod recovery;
mod work;
