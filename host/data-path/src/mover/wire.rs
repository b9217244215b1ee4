//! Frames between the host and a mover: a length, then one message.
//!
//! Both ends bound what they accept. The host does not trust a mover, which may be controlled by
//! the image that it decodes.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Serialize, de::DeserializeOwned};

/// The longest message in bytes.
pub(super) const MAX_FRAME: usize = 4 << 20;
/// The largest number of descriptors of an operation: the sources and the sink of two disks, and
/// the channels.
pub(super) const MAX_DESCRIPTORS: usize = 200;
/// The number of descriptors in one message, below the kernel's bound of 253.
const BATCH: usize = 50;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Sends one message.
pub(super) fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length =
        u32::try_from(bytes.len() - 4).ok().filter(|length| crate::util::num::from_u32(*length) <= MAX_FRAME);
    let length = length.ok_or_else(|| invalid("a message is too long"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    stream.write_all(&bytes)
}

/// Receives one message; `None` when the other end is gone.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    let some = loop {
        match stream.read(&mut length) {
            Ok(0) => return Ok(None),
            Ok(some) => break some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    stream.read_exact(&mut length[some..])?;
    let length = crate::util::num::from_u32(u32::from_le_bytes(length));
    if length > MAX_FRAME {
        return Err(invalid("a message is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    match postcard::take_from_bytes(&bytes) {
        Ok((message, [])) => Ok(Some(message)),
        Ok(_) | Err(_) => Err(invalid("a message cannot be understood")),
    }
}

/// Sends descriptors, each batch with one byte to carry it.
pub(super) fn send_descriptors(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in descriptors.chunks(BATCH) {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(batch)) {
            return Err(invalid("too many descriptors in one message"));
        }
        let byte = [io::IoSlice::new(&[0])];
        rustix::net::sendmsg(stream, &byte, &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives `count` descriptors. Nothing else may be in the socket in front of them.
pub(super) fn receive_descriptors(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    while received.len() < count {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut into = [io::IoSliceMut::new(&mut byte)];
        let message =
            rustix::net::recvmsg(stream.as_fd(), &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let before = received.len();
        for item in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = item {
                received.extend(descriptors);
            }
        }
        if message.bytes == 0 || received.len() == before {
            return Err(invalid("descriptors are missing"));
        }
    }
    if received.len() == count {
        Ok(received)
    } else {
        Err(invalid("there are more descriptors than announced"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn descriptors_arrive_in_their_order() {
        let (a, b) = UnixStream::pair().unwrap();
        let files: Vec<_> = (0..120).map(|_| tempfile::tempfile().unwrap()).collect();
        for (number, file) in files.iter().enumerate() {
            file.set_len(crate::util::num::to_u64(number)).unwrap();
        }
        let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        send_descriptors(&a, &descriptors).unwrap();
        let received = receive_descriptors(&b, 120).unwrap();
        let sizes: Vec<_> = received.iter().map(|fd| rustix::fs::fstat(fd).unwrap().st_size).collect();
        assert_eq!(sizes, (0..120).collect::<Vec<_>>());
        drop(a);
        assert!(receive_descriptors(&b, 1).is_err(), "the other end is gone");
    }

    #[test]
    fn a_long_message_is_refused_before_it_is_read() {
        let mut bytes = u32::MAX.to_le_bytes().to_vec();
        bytes.extend([0; 100]);
        assert_eq!(receive::<Vec<u8>>(&mut bytes.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(send(&mut Vec::new(), &vec![1u8; MAX_FRAME]).is_err());
    }

    proptest! {
        #[test]
        fn a_message_comes_back_and_garbage_does_not_panic(
            message in prop::collection::vec((any::<u64>(), ".{0,20}"), 0..50),
            garbage in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = Vec::new();
            send(&mut bytes, &message).unwrap();
            let back: Option<Vec<(u64, String)>> = receive(&mut bytes.as_slice()).unwrap();
            prop_assert_eq!(back, Some(message));
            // Cut anywhere, it is an error or the end, and never another message.
            let cut = garbage.len().min(bytes.len() - 1);
            let partial = receive::<Vec<(u64, String)>>(&mut &bytes[..cut]);
            prop_assert!(matches!(partial, Ok(None) | Err(_)));
            // Whatever a mover sends is a message or an error.
            let _ = receive::<super::super::message::FromMover>(&mut garbage.as_slice());
        }
    }
}
