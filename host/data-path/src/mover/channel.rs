//! Reads and writes that the host does for a mover, for sources and sinks that are no files: one
//! request at a time on each channel, as many channels as threads may wait at once.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex},
};

use imprint_ports::{BlockSink, BlockSource};
use serde::{Deserialize, Serialize};

use super::{
    wire,
    wire_error::{KeptErrors, WireIo},
};
use crate::util::{
    lock::lock,
    num::{from_u32, to_u64},
};

/// The longest read or write of one request, in bytes; longer ones are split.
const MAX_REQUEST: usize = 1 << 20;

/// A request of a mover to the host. The bytes of a write follow the request; those of a read
/// follow the answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Request {
    /// `source` counts over the sources of all disks.
    Read {
        source: u32,
        offset: u64,
        length: u32,
    },
    Write {
        offset: u64,
        length: u32,
    },
    WriteZeroes {
        offset: u64,
        length: u64,
    },
    SetSize(u64),
    Sync,
    /// The answer is the size of what can be read back as [`READ_BACK`], 8 bytes little endian;
    /// [`u64::MAX`] where nothing can.
    ReadBack,
}

/// The number of the source that reads the sink back.
const READ_BACK: u32 = u32::MAX;

type Answer = Result<(), WireIo>;

/// The mover's end of the channels.
pub(super) struct Channels {
    free: Mutex<Vec<UnixStream>>,
    returned: Condvar,
}

impl Channels {
    pub(super) fn new(streams: Vec<UnixStream>) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(streams), returned: Condvar::new() })
    }

    fn ask(&self, request: Request, write: &[u8], read: &mut [u8]) -> io::Result<()> {
        let mut free = lock(&self.free);
        let mut stream = loop {
            match free.pop() {
                Some(stream) => break stream,
                None => free = self.returned.wait(free).expect("no holder of this lock panics"),
            }
        };
        drop(free);
        let answer = exchange(&mut stream, request, write, read);
        lock(&self.free).push(stream);
        self.returned.notify_one();
        answer
    }
}

fn exchange(stream: &mut UnixStream, request: Request, write: &[u8], read: &mut [u8]) -> io::Result<()> {
    wire::send(stream, &request)?;
    stream.write_all(write)?;
    let answer: Answer = wire::receive(stream)?.ok_or(io::ErrorKind::BrokenPipe)?;
    answer.map_err(WireIo::in_mover)?;
    stream.read_exact(read)
}

/// A source that the host reads.
pub(super) struct HostSource {
    pub(super) channels: Arc<Channels>,
    pub(super) source: u32,
    pub(super) size: u64,
    pub(super) preferred_read: u64,
}

impl BlockSource for HostSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        for (chunk, number) in buf.chunks_mut(MAX_REQUEST).zip(0u64..) {
            let offset = offset + number * to_u64(MAX_REQUEST);
            let length = u32::try_from(chunk.len()).expect("a chunk has at most 1 MiB");
            self.channels.ask(Request::Read { source: self.source, offset, length }, &[], chunk)?;
        }
        Ok(())
    }

    fn preferred_read(&self) -> u64 {
        self.preferred_read
    }
}

/// A sink that the host writes.
pub(super) struct HostSink {
    pub(super) channels: Arc<Channels>,
    pub(super) fresh: bool,
    pub(super) append_only: bool,
    pub(super) preferred_write: u64,
}

impl BlockSink for HostSink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        for (chunk, number) in buf.chunks(MAX_REQUEST).zip(0u64..) {
            let offset = offset + number * to_u64(MAX_REQUEST);
            let length = u32::try_from(chunk.len()).expect("a chunk has at most 1 MiB");
            self.channels.ask(Request::Write { offset, length }, chunk, &mut [])?;
        }
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.channels.ask(Request::SetSize(size), &[], &mut [])
    }

    fn preferred_write(&self) -> u64 {
        self.preferred_write
    }

    fn sync(&self) -> io::Result<()> {
        self.channels.ask(Request::Sync, &[], &mut [])
    }

    fn fresh(&self) -> bool {
        self.fresh
    }

    fn append_only(&self) -> bool {
        self.append_only
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        self.channels.ask(Request::WriteZeroes { offset, length }, &[], &mut [])
    }

    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        let mut size = [0; 8];
        self.channels.ask(Request::ReadBack, &[], &mut size)?;
        let channels = self.channels.clone();
        Ok(match u64::from_le_bytes(size) {
            u64::MAX => None,
            size => Some(Arc::new(HostSource { channels, source: READ_BACK, size, preferred_read: 0 })),
        })
    }
}

/// The host's end of the channels: what may be read and written over them in one operation.
#[derive(Default)]
pub(super) struct Served {
    /// The sources; `None` where the mover has the descriptor.
    pub(super) sources: Vec<Option<Arc<dyn BlockSource>>>,
    pub(super) sink: Option<Arc<dyn BlockSink>>,
    read_back: Mutex<Option<Arc<dyn BlockSource>>>,
    pub(super) errors: Arc<KeptErrors>,
}

impl Served {
    pub(super) fn new(errors: Arc<KeptErrors>) -> Self {
        Self { errors, ..Self::default() }
    }

    /// Returns whether the mover has the descriptors of everything.
    pub(super) fn is_idle(&self) -> bool {
        self.sink.is_none() && self.sources.iter().all(Option::is_none)
    }

    /// Serves one channel until the mover is gone, or violates the protocol. Blocks.
    pub(super) fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        while let Some(request) = wire::receive::<Request>(&mut stream)? {
            let done = match request {
                Request::Read { source, offset, length } => {
                    bytes.resize(bounded(length)?, 0);
                    let source =
                        self.source(source).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                    let inside =
                        offset.checked_add(to_u64(bytes.len())).is_some_and(|end| end <= source.size());
                    if inside {
                        source.read_exact_at(&mut bytes, offset)
                    } else {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    }
                }
                Request::Write { offset, length } => {
                    bytes.resize(bounded(length)?, 0);
                    stream.read_exact(&mut bytes)?;
                    let done = self.sink()?.write_all_at(&bytes, offset);
                    bytes.clear();
                    done
                }
                Request::WriteZeroes { offset, length } => {
                    bytes.clear();
                    self.sink()?.write_zeroes(offset, length)
                }
                Request::SetSize(size) => {
                    bytes.clear();
                    self.sink()?.set_size(size)
                }
                Request::Sync => {
                    bytes.clear();
                    self.sink()?.sync()
                }
                Request::ReadBack => self.sink()?.read_back().map(|source| {
                    let size = source.as_ref().map_or(u64::MAX, |source| source.size());
                    bytes.clear();
                    bytes.extend(size.to_le_bytes());
                    *lock(&self.read_back) = source;
                }),
            };
            let answer: Answer = done.map_err(|error| self.errors.keep(error));
            wire::send(&mut stream, &answer)?;
            if answer.is_ok() {
                stream.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    fn source(&self, number: u32) -> Option<Arc<dyn BlockSource>> {
        match number {
            READ_BACK => lock(&self.read_back).clone(),
            number => self.sources.get(from_u32(number))?.clone(),
        }
    }

    fn sink(&self) -> io::Result<&dyn BlockSink> {
        self.sink.as_deref().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn bounded(length: u32) -> io::Result<usize> {
    match from_u32(length) {
        length if length <= MAX_REQUEST => Ok(length),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        testing::{MemorySink, Pattern},
        transport::file::MemorySource,
        util::num::to_usize,
    };

    #[expect(
        clippy::disallowed_methods,
        reason = "tests hold no clock of their own, and run what they test in the background"
    )]
    fn channel(served: Served) -> (Arc<Channels>, std::thread::JoinHandle<io::Result<()>>) {
        let (mover, host) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || served.serve(host));
        (Channels::new(vec![mover]), server)
    }

    #[test]
    fn bytes_are_written_and_read_in_pieces() {
        let pattern = Pattern { size: 3 << 20, seed: 5 };
        let sink = Arc::new(MemorySink::default());
        let served = Served {
            sources: vec![None, Some(Arc::new(MemorySource::new(pattern.bytes())))],
            sink: Some(sink.clone()),
            ..Served::default()
        };
        let (channels, server) = channel(served);
        let source = HostSource { channels: channels.clone(), source: 1, size: 3 << 20, preferred_read: 0 };
        let mut bytes = vec![0; to_usize(pattern.size) - 7];
        source.read_exact_at(&mut bytes, 7).unwrap();
        assert_eq!(bytes, pattern.bytes()[7..]);
        let past = source.read_exact_at(&mut bytes, 8).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
        let target =
            HostSink { channels: channels.clone(), fresh: true, append_only: false, preferred_write: 0 };
        target.write_all_at(&bytes, 3).unwrap();
        target.set_size(5 << 20).unwrap();
        target.sync().unwrap();
        assert_eq!(sink.bytes()[3..3 + bytes.len()], bytes);
        assert_eq!(sink.bytes().len(), 5 << 20);
        target.write_zeroes(3, 10).unwrap();
        assert_eq!(sink.bytes()[3..13], [0; 10]);
        let back = target.read_back().unwrap();
        if let Some(back) = &back {
            let mut byte = [0];
            back.read_exact_at(&mut byte, 13).unwrap();
            assert_eq!(byte[0], bytes[10]);
        }
        drop((source, target, back, channels));
        server.join().unwrap().unwrap();
    }

    #[test]
    fn a_mover_cannot_reach_what_it_was_not_given() {
        let whole: Arc<dyn BlockSource> = Arc::new(MemorySource::new(vec![1; 100]));
        let bad = [
            Request::Read { source: 0, offset: 0, length: 1 },
            Request::Read { source: 9, offset: 0, length: 1 },
            Request::Read { source: 1, offset: 0, length: u32::MAX },
            Request::Write { offset: 0, length: 0 },
            Request::SetSize(1 << 60),
            Request::Sync,
            Request::WriteZeroes { offset: 0, length: 1 },
            Request::ReadBack,
            Request::Read { source: READ_BACK, offset: 0, length: 1 },
        ];
        for request in bad {
            let served = Served { sources: vec![None, Some(whole.clone())], ..Served::default() };
            let (channels, server) = channel(served);
            channels.ask(request, &[], &mut []).unwrap_err();
            assert_eq!(server.join().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData, "{request:?}");
        }
    }
}
