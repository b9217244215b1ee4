//! The agent against a fake control plane and fake plugins; live exports come from a real NBD
//! server.

mod coalesce;
mod fakes;
mod life;
mod recovery;
mod stack;
mod work;
