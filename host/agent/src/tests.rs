//! The agent with a fake control plane and fake plugins; a real NBD server serves live exports.

mod coalesce;
mod devices;
mod export;
mod fakes;
mod inside;
mod jobs;
mod lifecycle;
mod objects;
mod recovery;
mod reinstall;
mod scan;
mod stack;
mod storage_test;
mod storages;
mod uploads;
