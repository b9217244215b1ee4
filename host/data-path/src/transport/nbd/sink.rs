//! An export as a sink: a device that may have held something before.

use std::{io, sync::Arc};

use imprint_ports::{BlockSink, BlockSource, ByteRange};

use super::{NbdClient, NbdError, NbdOptions, ZERO_RANGE};
use crate::{
    error::TooSmall,
    util::num::{align_down, align_up, to_u64, to_usize},
};

/// An NBD export as a sink. Its size is fixed: a longer image does not fit, and the rest behind a
/// shorter one is made zero.
///
/// Parts of the server's smallest block are read, changed and written back; two threads never share
/// such a block, because the writes of the data path are at least that aligned or touch the ends of
/// the disk only.
pub struct NbdSink {
    client: Arc<NbdClient>,
}

impl NbdSink {
    /// Connects and negotiates. Blocks.
    ///
    /// # Errors
    ///
    /// [`NbdError::ReadOnly`] where the export cannot be written, and any other [`NbdError`].
    pub fn connect(options: &NbdOptions) -> Result<Self, NbdError> {
        let client = NbdClient::connect(options)?;
        if client.export.abilities.read_only {
            Err(NbdError::ReadOnly)
        } else {
            Ok(Self { client: Arc::new(client) })
        }
    }

    /// Returns the size of the export in bytes.
    pub fn size(&self) -> u64 {
        self.client.export.size
    }

    /// Returns the whole blocks that contain a range.
    fn blocks(&self, range: ByteRange) -> io::Result<ByteRange> {
        let size = self.size();
        let end = range.offset.checked_add(range.length).filter(|end| *end <= size);
        let Some(end) = end else {
            let needed = range.offset.saturating_add(range.length);
            return Err(TooSmall { capacity: size, needed }.into());
        };
        let block = u64::from(self.client.export.min_block);
        let start = align_down(range.offset, block);
        let stop = align_up(end, block).unwrap_or(end).min(size);
        Ok(ByteRange { offset: start, length: stop - start })
    }

    fn write(&self, buf: &[u8], offset: u64) -> Result<(), NbdError> {
        let deadline = self.client.deadline();
        self.client.with_connection(&deadline, |connection| connection.write(buf, offset, &deadline))
    }
}

impl BlockSink for NbdSink {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let blocks = self.blocks(ByteRange { offset, length: to_u64(buf.len()) })?;
        if (blocks.offset, blocks.length) == (offset, to_u64(buf.len())) {
            return Ok(self.write(buf, offset)?);
        }
        let mut wide = vec![0; to_usize(blocks.length)];
        self.client.read_exact_at(&mut wide, blocks.offset)?;
        let skip = to_usize(offset - blocks.offset);
        wide[skip..skip + buf.len()].copy_from_slice(buf);
        Ok(self.write(&wide, blocks.offset)?)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let rest = self.size().checked_sub(size);
        let rest = rest.ok_or(TooSmall { capacity: self.size(), needed: size })?;
        self.write_zeroes(size, rest)
    }

    fn sync(&self) -> io::Result<()> {
        if !self.client.export.abilities.flush {
            // A server without flush writes through.
            return Ok(());
        }
        let deadline = self.client.deadline();
        Ok(self.client.with_connection(&deadline, |connection| connection.flush(&deadline))?)
    }

    fn fresh(&self) -> bool {
        false
    }

    fn write_zeroes(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.checked_add(length).ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = offset;
        while at < end {
            let block = u64::from(self.client.export.min_block);
            let whole = ByteRange { offset: at, length: (end - at).min(ZERO_RANGE) };
            let aligned =
                at.is_multiple_of(block) && (whole.length.is_multiple_of(block) || end == self.size());
            if !(aligned && self.client.export.abilities.write_zeroes) {
                let length = whole.length.min(1 << 20);
                self.write_all_at(&vec![0; to_usize(length)], at)?;
                at += length;
                continue;
            }
            let deadline = self.client.deadline();
            self.client.with_connection(&deadline, |connection| connection.write_zeroes(whole, &deadline))?;
            at += whole.length;
        }
        Ok(())
    }

    fn read_back(&self) -> io::Result<Option<Arc<dyn BlockSource>>> {
        Ok(Some(self.client.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Command, time::Duration};

    use super::*;

    /// A real server over a file; it is stopped when this is dropped.
    struct Server(std::process::Child);

    impl Server {
        fn start(file: &Path, socket: &Path, more: &[&str]) -> Self {
            let child = Command::new("qemu-nbd")
                .args(["--format", "raw", "--discard", "unmap", "--persistent", "--shared", "8", "--socket"])
                .arg(socket)
                .args(more)
                .arg(file)
                .spawn()
                .unwrap();
            Self(child)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn connect(socket: &Path) -> Result<NbdSink, NbdError> {
        let started = std::time::Instant::now();
        loop {
            match NbdSink::connect(&NbdOptions::new(socket, "")) {
                // The server has not started yet.
                Err(NbdError::Connect { .. }) if started.elapsed() < Duration::from_secs(20) => {
                    std::thread::yield_now();
                }
                connected => return connected,
            }
        }
    }

    #[test]
    fn a_device_holds_what_was_written_and_zeroes_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("disk"), folder.path().join("s"));
        std::fs::write(&file, vec![0xee; 3 << 20]).unwrap();
        let _server = Server::start(&file, &socket, &[]);
        let sink = connect(&socket).unwrap();
        assert!(!sink.fresh());
        assert_eq!(sink.size(), 3 << 20);
        let bytes: Vec<u8> = (0..1_200_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        sink.write_all_at(&bytes, 4096).unwrap();
        sink.write_all_at(b"odd", 777).unwrap();
        sink.write_zeroes(2 << 20, 4097).unwrap();
        sink.set_size((2 << 20) + 65536).unwrap();
        sink.sync().unwrap();
        let back = sink.read_back().unwrap().unwrap();
        let mut read = vec![0; 3 << 20];
        back.read_exact_at(&mut read, 0).unwrap();
        let mut expected = vec![0xee; 3 << 20];
        expected[4096..4096 + bytes.len()].copy_from_slice(&bytes);
        expected[777..780].copy_from_slice(b"odd");
        expected[2 << 20..(2 << 20) + 4097].fill(0);
        expected[(2 << 20) + 65536..].fill(0);
        assert!(read == expected);
        assert!(std::fs::read(&file).unwrap() == expected);
        let error = sink.set_size((3 << 20) + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(sink.write_all_at(b"x", 3 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_read_only_export_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("disk"), folder.path().join("s"));
        std::fs::write(&file, vec![0; 1 << 20]).unwrap();
        let _server = Server::start(&file, &socket, &["--read-only"]);
        assert_eq!(connect(&socket).map(|_| ()).unwrap_err().code(), "nbd.read-only");
    }
}
