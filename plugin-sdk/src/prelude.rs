//! What most plugins import: `use imprint_plugin_sdk::prelude::*;`.
//!
//! Every trait of the host is in it, so that `host.stat(...)` and `host.sleep_ms(...)` are found on
//! whatever host a plugin has, the mock as well.

pub use crate::{
    error::{Error, ErrorClass, Result},
    host::{
        Blob, Channel, Channels, Config, Connection, Dirs, Files, Framing, Http, HttpStorageHost,
        HypervisorHost, InspectorHost, Journal, Replace, StorageHost, StreamHost, Task, Tcp, TcpStorageHost,
    },
    types::{ByteRange, FileRef, Props, ReadLocator, props},
};
