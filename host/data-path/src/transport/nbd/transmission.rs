//! Requests on one connection. Several requests are in flight; replies come in any order and in
//! pieces, and each piece goes straight into the caller's buffer once it has been checked.

use imprint_ports::ByteRange;

use super::{
    NbdError,
    error::sanitize,
    handshake::Export,
    wire::{Deadline, Fields, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, Wire},
};
use crate::util::num::{from_u32, to_u64, to_usize};

const CMD_READ: u16 = 0;
const CMD_WRITE: u16 = 1;
const CMD_DISC: u16 = 2;
const CMD_FLUSH: u16 = 3;
const CMD_WRITE_ZEROES: u16 = 6;
const CMD_BLOCK_STATUS: u16 = 7;
const CHUNK_DONE: u16 = 1;
const CHUNK_NONE: u16 = 0;
const CHUNK_OFFSET_DATA: u16 = 1;
const CHUNK_OFFSET_HOLE: u16 = 2;
const CHUNK_BLOCK_STATUS: u16 = 5;
const CHUNK_FLAG_ERROR: u16 = 1 << 15;
const STATE_ZERO: u32 = 2;

/// The number of bytes of one read request: what servers copy at once.
const REQUEST: u32 = 256 << 10;
/// The number of requests in flight on one connection.
const IN_FLIGHT: usize = 16;
/// The longest error message in bytes, and the longest list of blocks, that is read.
const MAX_TEXT: u32 = 8 << 10;
const MAX_BLOCKS: u32 = 1 << 20;
/// The largest number of pieces in the answer to one read.
const MAX_PIECES: usize = 1024;

/// A connection in the transmission phase.
pub(super) struct Connection {
    wire: Wire,
    export: Export,
    next_handle: u64,
}

/// A read request in flight.
struct Request {
    handle: u64,
    /// The part of the caller's buffer that it fills.
    start: usize,
    length: usize,
    /// The disjoint parts of it that have arrived.
    arrived: Vec<(usize, usize)>,
}

/// The head of a reply.
struct Head {
    handle: u64,
    body: Body,
}

enum Body {
    Simple { error: u32 },
    Chunk { done: bool, kind: u16, length: u32 },
}

impl Connection {
    pub(super) fn new(wire: Wire, export: Export) -> Self {
        Self { wire, export, next_handle: 1 }
    }

    pub(super) fn export(&self) -> Export {
        self.export
    }

    /// Announces the end of the connection; there is no answer to wait for.
    pub(super) fn close(mut self, deadline: &Deadline) -> Result<(), NbdError> {
        self.send(CMD_DISC, 0, 0, deadline).map(|_| ())
    }

    /// Fills `buf` from `offset`; both are multiples of the export's block size, or reach its end.
    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64, deadline: &Deadline) -> Result<(), NbdError> {
        let step =
            from_u32(REQUEST.min(self.export.max_request) / self.export.min_block * self.export.min_block);
        let mut in_flight: Vec<Request> = Vec::with_capacity(IN_FLIGHT);
        let mut sent = 0;
        while sent < buf.len() || !in_flight.is_empty() {
            while sent < buf.len() && in_flight.len() < IN_FLIGHT {
                let length = step.min(buf.len() - sent);
                let handle = self.send(CMD_READ, offset + to_u64(sent), to_u64(length), deadline)?;
                in_flight.push(Request { handle, start: sent, length, arrived: Vec::new() });
                sent += length;
            }
            let head = self.head(deadline)?;
            let known = in_flight.iter().position(|request| request.handle == head.handle);
            let index = known.ok_or(NbdError::Protocol { what: "a reply to a request that was not made" })?;
            if self.read_piece(&mut in_flight[index], &head.body, buf, offset, deadline)? {
                in_flight.swap_remove(index);
            }
        }
        Ok(())
    }

    /// Writes `buf` at `offset`; both are multiples of the export's block size, or reach its end.
    pub(super) fn write(&mut self, buf: &[u8], offset: u64, deadline: &Deadline) -> Result<(), NbdError> {
        let step =
            from_u32(REQUEST.min(self.export.max_request) / self.export.min_block * self.export.min_block);
        let mut in_flight = Vec::with_capacity(IN_FLIGHT);
        let mut pieces = buf.chunks(step).zip((offset..).step_by(step));
        let mut next = pieces.next();
        while next.is_some() || !in_flight.is_empty() {
            while let Some((piece, at)) = next.filter(|_| in_flight.len() < IN_FLIGHT) {
                in_flight.push(self.send(CMD_WRITE, at, to_u64(piece.len()), deadline)?);
                self.wire.write(piece, deadline)?;
                next = pieces.next();
            }
            self.acknowledged(&mut in_flight, deadline)?;
        }
        Ok(())
    }

    /// Makes a range read as zeroes, without sending them; deallocates where the server can.
    pub(super) fn write_zeroes(&mut self, range: ByteRange, deadline: &Deadline) -> Result<(), NbdError> {
        let handle = self.send(CMD_WRITE_ZEROES, range.offset, range.length, deadline)?;
        self.acknowledged(&mut vec![handle], deadline)
    }

    /// Makes everything that was acknowledged durable.
    pub(super) fn flush(&mut self, deadline: &Deadline) -> Result<(), NbdError> {
        let handle = self.send(CMD_FLUSH, 0, 0, deadline)?;
        self.acknowledged(&mut vec![handle], deadline)
    }

    /// Waits for the answer to one of these requests, which has no content.
    fn acknowledged(&mut self, in_flight: &mut Vec<u64>, deadline: &Deadline) -> Result<(), NbdError> {
        let head = self.head(deadline)?;
        let known = in_flight.iter().position(|handle| *handle == head.handle);
        let index = known.ok_or(NbdError::Protocol { what: "a reply to a request that was not made" })?;
        match head.body {
            Body::Simple { error: 0 } => {}
            Body::Simple { error } => return Err(NbdError::Server { errno: error, message: String::new() }),
            Body::Chunk { done: true, kind: CHUNK_NONE, length: 0 } => {}
            Body::Chunk { kind, length, .. } => return Err(self.unexpected(kind, length, deadline)?),
        }
        in_flight.swap_remove(index);
        Ok(())
    }

    /// Returns what the export knows to be zero in a range, which is a multiple of its block size:
    /// consecutive lengths, which may end before or behind the range.
    pub(super) fn block_status(
        &mut self,
        range: ByteRange,
        context: u32,
        deadline: &Deadline,
    ) -> Result<Vec<(u64, bool)>, NbdError> {
        let handle = self.send(CMD_BLOCK_STATUS, range.offset, range.length, deadline)?;
        let mut blocks = Vec::new();
        loop {
            let head = self.head(deadline)?;
            if head.handle != handle {
                return Err(NbdError::Protocol { what: "a reply to a request that was not made" });
            }
            let (done, kind, length) = match head.body {
                Body::Simple { error } => {
                    return Err(NbdError::Server { errno: error, message: String::new() });
                }
                Body::Chunk { done, kind, length } => (done, kind, length),
            };
            match kind {
                CHUNK_BLOCK_STATUS if blocks.is_empty() => blocks = self.blocks(length, context, deadline)?,
                CHUNK_NONE if done && length == 0 => {}
                _ => return Err(self.unexpected(kind, length, deadline)?),
            }
            if done {
                return if blocks.is_empty() {
                    Err(NbdError::Protocol { what: "a block status without blocks" })
                } else {
                    Ok(blocks)
                };
            }
        }
    }

    fn blocks(
        &mut self,
        length: u32,
        context: u32,
        deadline: &Deadline,
    ) -> Result<Vec<(u64, bool)>, NbdError> {
        let malformed = NbdError::Protocol { what: "a malformed block status" };
        if !(12..=MAX_BLOCKS).contains(&length) || !(length - 4).is_multiple_of(8) {
            return Err(malformed);
        }
        let mut body = vec![0; from_u32(length)];
        self.wire.read(&mut body, deadline)?;
        let mut fields = Fields(&body);
        if fields.u32() != Some(context) {
            return Err(malformed);
        }
        let mut blocks = Vec::with_capacity(body.len() / 8);
        while let Some((length, state)) = fields.u32().zip(fields.u32()) {
            if length == 0 {
                return Err(malformed);
            }
            blocks.push((u64::from(length), state & STATE_ZERO != 0));
        }
        Ok(blocks)
    }

    fn send(&mut self, command: u16, offset: u64, length: u64, deadline: &Deadline) -> Result<u64, NbdError> {
        let handle = self.next_handle;
        self.next_handle += 1;
        let length =
            u32::try_from(length).map_err(|_| NbdError::Protocol { what: "a request that is too long" })?;
        let mut message = [0; 28];
        message[0..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        message[6..8].copy_from_slice(&command.to_be_bytes());
        message[8..16].copy_from_slice(&handle.to_be_bytes());
        message[16..24].copy_from_slice(&offset.to_be_bytes());
        message[24..28].copy_from_slice(&length.to_be_bytes());
        self.wire.write(&message, deadline)?;
        Ok(handle)
    }

    fn head(&mut self, deadline: &Deadline) -> Result<Head, NbdError> {
        let start: [u8; 16] = self.wire.array(deadline)?;
        let mut fields = Fields(&start);
        let (Some(magic), Some(second), Some(handle)) = (fields.u32(), fields.u32(), fields.u64()) else {
            return Err(NbdError::Protocol { what: "a reply that is cut off" });
        };
        let body = match magic {
            SIMPLE_REPLY_MAGIC => Body::Simple { error: second },
            STRUCTURED_REPLY_MAGIC if self.export.structured => {
                let [a, b, c, d] = second.to_be_bytes();
                let (flags, kind) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                Body::Chunk { done: flags & CHUNK_DONE != 0, kind, length: self.wire.u32(deadline)? }
            }
            _ => return Err(NbdError::Protocol { what: "a reply without its magic number" }),
        };
        Ok(Head { handle, body })
    }

    /// Takes one piece of a read; returns whether it was the last.
    fn read_piece(
        &mut self,
        request: &mut Request,
        body: &Body,
        buf: &mut [u8],
        offset: u64,
        deadline: &Deadline,
    ) -> Result<bool, NbdError> {
        let whole = request.start..request.start + request.length;
        let (done, kind, length) = match *body {
            Body::Simple { error: 0 } if !self.export.structured => {
                self.wire.read(&mut buf[whole], deadline)?;
                return Ok(true);
            }
            Body::Simple { error: 0 } => {
                return Err(NbdError::Protocol {
                    what: "a simple reply where a structured one was agreed upon",
                });
            }
            Body::Simple { error } => return Err(NbdError::Server { errno: error, message: String::new() }),
            Body::Chunk { done, kind, length } => (done, kind, length),
        };
        match kind {
            CHUNK_OFFSET_DATA if length > 8 => {
                let at = self.wire.u64(deadline)?;
                let piece = claim(request, at, offset, from_u32(length - 8))?;
                self.wire.read(&mut buf[piece], deadline)?;
            }
            CHUNK_OFFSET_HOLE if length == 12 => {
                let (at, hole) = (self.wire.u64(deadline)?, self.wire.u32(deadline)?);
                buf[claim(request, at, offset, from_u32(hole))?].fill(0);
            }
            CHUNK_NONE if done && length == 0 => {}
            _ => return Err(self.unexpected(kind, length, deadline)?),
        }
        let arrived: usize = request.arrived.iter().map(|(start, end)| end - start).sum();
        if done && arrived != request.length {
            Err(NbdError::Protocol { what: "a reply that leaves bytes out" })
        } else {
            Ok(done)
        }
    }

    /// Returns the server's error for an error chunk; anything else is a violation of the protocol.
    fn unexpected(&mut self, kind: u16, length: u32, deadline: &Deadline) -> Result<NbdError, NbdError> {
        if kind & CHUNK_FLAG_ERROR == 0 || !(6..=MAX_TEXT).contains(&length) {
            return Ok(NbdError::Protocol { what: "a reply of an unexpected kind or length" });
        }
        let errno = self.wire.u32(deadline)?;
        let text = from_u32(u32::from(self.wire.u16(deadline)?));
        let mut rest = vec![0; from_u32(length - 6)];
        self.wire.read(&mut rest, deadline)?;
        Ok(NbdError::Server { errno, message: sanitize(rest.get(..text).unwrap_or(&[])) })
    }
}

/// Records that a piece of the request arrives at export offset `at`, and returns its place in the
/// caller's buffer, which starts at export offset `offset`.
fn claim(
    request: &mut Request,
    at: u64,
    offset: u64,
    length: usize,
) -> Result<std::ops::Range<usize>, NbdError> {
    let outside = NbdError::Protocol { what: "data outside of what was asked for" };
    let first = offset + to_u64(request.start);
    let Some(within) = at.checked_sub(first).filter(|within| *within < to_u64(request.length)).map(to_usize)
    else {
        return Err(outside);
    };
    let end = within + length;
    if length == 0 || end > request.length {
        return Err(outside);
    }
    if request.arrived.len() >= MAX_PIECES
        || request.arrived.iter().any(|(start, stop)| *start < end && within < *stop)
    {
        return Err(NbdError::Protocol { what: "the same data twice, or in too many pieces" });
    }
    request.arrived.push((within, end));
    Ok(request.start + within..request.start + end)
}
