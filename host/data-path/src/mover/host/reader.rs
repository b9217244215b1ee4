//! A disk that a mover reads and decodes, as a source of the host.

use std::{io, sync::Mutex};

use imprint_ports::BlockSource;

use super::{
    super::message::{Command, MAX_READ, Reply},
    bad_answer,
    session::Session,
    unexpected,
};
use crate::{
    disk::logical::to_io,
    error::EngineError,
    util::{lock::lock, num::from_u32},
};

/// A disk in a mover, which lives as long as this.
pub(super) struct MoverSource {
    session: Mutex<Session>,
    size: u64,
}

impl MoverSource {
    pub(super) fn new(session: Session, size: u64) -> Self {
        Self { session: Mutex::new(session), size }
    }

    fn read(&self, piece: &mut [u8], offset: u64) -> Result<(), EngineError> {
        let length = u32::try_from(piece.len()).unwrap_or(MAX_READ);
        match lock(&self.session).call_blocking(Command::Read { offset, length })? {
            Reply::Bytes(bytes) if bytes.len() == piece.len() => {
                piece.copy_from_slice(&bytes);
                Ok(())
            }
            Reply::Bytes(_) => Err(bad_answer("another number of bytes than were requested")),
            other @ (Reply::Done
            | Reply::Event(_)
            | Reply::Finished(_)
            | Reply::Digest(_)
            | Reply::Comparison(_)) => Err(unexpected(&other)),
        }
    }
}

impl BlockSource for MoverSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for piece in buf.chunks_mut(from_u32(MAX_READ)) {
            self.read(piece, at).map_err(|error| to_io(&error))?;
            at += crate::util::num::to_u64(piece.len());
        }
        Ok(())
    }
}
