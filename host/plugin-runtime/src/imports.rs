//! The interfaces of `imprint:host`, as plugins call them.

mod blobs;
mod channels;
mod dirs;
mod files;
mod http;
mod journal;
mod task;
mod tcp;

pub(crate) use self::journal::note_to_plugin;
use crate::{
    bindings::host::imprint::types::{block_map, http_types, locators, types},
    state::State,
};

impl types::Host for State {}
impl block_map::Host for State {}
impl locators::Host for State {}
impl http_types::Host for State {}
