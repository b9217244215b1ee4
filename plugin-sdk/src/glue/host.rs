//! The real host behind the traits of [`crate::host`]. Several types, so that a component imports
//! only what its kind may.

use super::{
    numbers,
    shapes::{props_in, props_out},
};
use crate::{
    bindings::host::imprint::host as wit,
    error::{Error, Result},
    host::{
        Blob, Channel, Channels, Config, Connection, DirEntry, DirListing, Dirs, Endpoint, Files, Framing,
        Http, HttpStorageHost, InspectorHost, Journal, Mount, Note, Replace, Space, StorageHost, StreamHost,
        Task, Tcp, TcpStorageHost,
    },
    http::{Request, Response, Session},
    types::ByteRange,
};

pub(super) struct HostBlob {
    blob: wit::blobs::Blob,
    /// Asked for once: it does not change, every question is a crossing, and tables are compared
    /// with it entry by entry.
    size: u64,
}

impl HostBlob {
    pub(super) fn new(blob: wit::blobs::Blob) -> Self {
        Self { size: blob.size(), blob }
    }
}

impl Blob for HostBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(self.blob.read_at(offset, length)?)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        Ok(self.blob.read_many(&wit_ranges(ranges))?)
    }

    fn read_each(&self, offsets: &[u64], length: u32) -> Result<Vec<u8>> {
        let mut places = Vec::new();
        let mut before = 0_u64;
        for offset in offsets {
            let step = offset
                .checked_signed_diff(std::mem::replace(&mut before, *offset))
                .ok_or_else(|| Error::invalid_input("blob.read", format!("no file has a byte {offset}")))?;
            numbers::put_signed(&mut places, step);
        }
        Ok(self.blob.read_each(&places, length)?)
    }

    fn prefetch(&self, ranges: &[ByteRange]) {
        self.blob.prefetch(&wit_ranges(ranges));
    }
}

fn wit_ranges(ranges: &[ByteRange]) -> Vec<wit::blobs::ByteRange> {
    ranges.iter().copied().map(Into::into).collect()
}

pub(super) struct StorageSide;
pub(super) struct HttpSide;
pub(super) struct TcpSide;
pub(super) struct StreamSide;
pub(super) struct HypervisorSide;
pub(super) struct InspectorSide;

/// The hosts that a storage can be written for. A component imports what its host has, whether it
/// uses all of it or not: that is why there are several.
pub trait HostSide {
    /// Returns the real host.
    fn side() -> &'static Self;
}

impl HostSide for dyn StorageHost {
    fn side() -> &'static Self {
        &StorageSide
    }
}

impl HostSide for dyn HttpStorageHost {
    fn side() -> &'static Self {
        &HttpSide
    }
}

impl HostSide for dyn TcpStorageHost {
    fn side() -> &'static Self {
        &TcpSide
    }
}

impl HostSide for dyn InspectorHost {
    fn side() -> &'static Self {
        &InspectorSide
    }
}

impl HostSide for dyn StreamHost {
    fn side() -> &'static Self {
        &StreamSide
    }
}

macro_rules! common_side {
    ($side:ty) => {
        impl Config for $side {
            fn config(&self, key: &str) -> Option<String> {
                wit::config::get(key)
            }
        }

        impl Task for $side {
            fn cancelled(&self) -> bool {
                wit::task::cancelled()
            }

            fn remaining_ms(&self) -> Option<u64> {
                wit::task::remaining_ms()
            }

            fn monotonic_ms(&self) -> u64 {
                wit::task::monotonic_ms()
            }

            fn sleep_ms(&self, ms: u32) {
                wit::task::sleep_ms(ms);
            }

            fn progress(&self, done: u64, total: Option<u64>, note: &str) {
                wit::task::progress(done, total, note);
            }
        }
    };
}

common_side!(StorageSide);
common_side!(HttpSide);
common_side!(TcpSide);
common_side!(StreamSide);
common_side!(HypervisorSide);
common_side!(InspectorSide);

fn entry(entry: wit::dirs::Entry) -> DirEntry {
    DirEntry {
        name: entry.name,
        is_directory: entry.is_directory,
        size: entry.size,
        allocated: entry.allocated,
        modified_ms: entry.modified_ms,
    }
}

macro_rules! dirs_side {
    ($side:ty) => {
        impl Dirs for $side {
            fn stat(&self, grant: &str, path: &str) -> Result<DirEntry> {
                Ok(entry(wit::dirs::stat(grant, path)?))
            }

            fn list(&self, grant: &str, path: &str, resume: Option<&str>, max: u32) -> Result<DirListing> {
                let listing = wit::dirs::list(grant, path, resume, max)?;
                Ok(DirListing {
                    entries: listing.entries.into_iter().map(entry).collect(),
                    resume: listing.resume,
                })
            }

            fn create_directory(&self, grant: &str, path: &str) -> Result<()> {
                Ok(wit::dirs::create_directory(grant, path)?)
            }

            fn remove_file(&self, grant: &str, path: &str) -> Result<()> {
                Ok(wit::dirs::remove_file(grant, path)?)
            }

            fn remove_directory(&self, grant: &str, path: &str) -> Result<()> {
                Ok(wit::dirs::remove_directory(grant, path)?)
            }

            fn publish(
                &self,
                grant: &str,
                temporary: &str,
                final_path: &str,
                replace: Replace,
            ) -> Result<()> {
                Ok(wit::dirs::publish(grant, temporary, final_path, replace == Replace::Allowed)?)
            }

            fn space(&self, grant: &str) -> Result<Space> {
                let space = wit::dirs::space(grant)?;
                Ok(Space { total: space.total, available: space.available })
            }

            fn mount(&self, grant: &str) -> Result<Mount> {
                let wit::dirs::Mounted { file_system, source, root, inside, options } =
                    wit::dirs::mount(grant)?;
                Ok(Mount { file_system, source, root, inside, options })
            }
        }
    };
}

dirs_side!(StorageSide);
dirs_side!(TcpSide);
dirs_side!(StreamSide);

impl Http for HttpSide {
    fn send(&self, request: &Request) -> Result<Response> {
        Ok(wit::http::send(&request.clone().into())?.into())
    }

    fn sign_in(&self, session: &Session, request: &Request) -> Result<Response> {
        let Session { name, header, valid_for_s } = session.clone();
        let session = wit::http::Session { name, header, valid_for_s };
        Ok(wit::http::sign_in(&session, &request.clone().into())?.into())
    }

    fn has_secret(&self, name: &str) -> bool {
        wit::http::has_secret(name)
    }
}

struct HostConnection(wit::tcp::Connection);

impl Connection for HostConnection {
    fn send(&self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.send(bytes)?)
    }

    fn receive(&self, max: u32, timeout_ms: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.0.receive(max, timeout_ms)?)
    }
}

impl Tcp for TcpSide {
    fn connect(&self, grant: &str, host: &str, port: u16) -> Result<Box<dyn Connection>> {
        Ok(Box::new(HostConnection(wit::tcp::Connection::open(grant, host, port)?)))
    }
}

impl Files for StreamSide {
    fn read_at(&self, grant: &str, path: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        Ok(wit::files::read_at(grant, path, offset, length)?)
    }

    fn write_at(&self, grant: &str, path: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(wit::files::write_at(grant, path, offset, bytes)?)
    }

    fn set_size(&self, grant: &str, path: &str, size: u64) -> Result<()> {
        Ok(wit::files::set_size(grant, path, size)?)
    }

    fn sync(&self, grant: &str, path: &str) -> Result<()> {
        Ok(wit::files::sync(grant, path)?)
    }
}

impl Journal for HypervisorSide {
    fn record(&self, note: &Note) -> Result<()> {
        let note = wit::journal::Note { step: note.step.clone(), data: props_out(note.data.clone()) };
        Ok(wit::journal::record_step(&note)?)
    }

    fn notes(&self) -> Vec<Note> {
        wit::journal::notes().into_iter().map(|n| Note { step: n.step, data: props_in(n.data) }).collect()
    }
}

struct HostChannel(wit::channels::Channel);

impl Channel for HostChannel {
    fn send(&self, message: &[u8]) -> Result<()> {
        Ok(self.0.send(message)?)
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.0.receive(timeout_ms)?)
    }
}

impl Channels for HypervisorSide {
    fn open(&self, grant: &str, params: &[(&str, &str)], framing: Framing) -> Result<Box<dyn Channel>> {
        let params: Vec<(String, String)> =
            params.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let framing = match framing {
            Framing::Bytes => wit::channels::Framing::Bytes,
            Framing::Lines => wit::channels::Framing::Lines,
        };
        Ok(Box::new(HostChannel(wit::channels::Channel::open(grant, &params, framing)?)))
    }

    fn reserve_endpoint(&self, grant: &str, hint: &str) -> Result<Endpoint> {
        let endpoint = wit::channels::reserve_endpoint(grant, hint)?;
        Ok(Endpoint { id: endpoint.id, peer_path: endpoint.peer_path })
    }
}
