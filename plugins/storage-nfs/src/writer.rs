//! Writing an upload.
//!
//! Bytes are sent as unstable: a server may keep them in its memory, and loses them when it
//! restarts. Its verifier, which every answer has, is another one then. So a copy of what is not
//! committed is kept here, and what was sent under another verifier than that of the commit is sent
//! again.

use std::{cell::RefCell, rc::Rc};

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::TcpStorageHost,
    storage::{Order, StreamWriter},
};
use nfs3_types::{
    nfs3::{COMMIT3args, COMMIT3res, WRITE3args, WRITE3res, nfs_fh3, stable_how, writeverf3},
    xdr_codec::Opaque,
};

use crate::{client::Client, procedure, reader::pieces, rpc::Call};

/// The bytes that are kept before a commit is asked for. As many again are kept until it is
/// answered.
const WINDOW: usize = 32 << 20;
/// How often bytes are sent again because the server has restarted.
const ROUNDS: usize = 5;
/// The most calls on their way while bytes are sent again.
const IN_FLIGHT: usize = 4;

/// Bytes that the server may still lose.
struct Piece {
    offset: u64,
    bytes: Vec<u8>,
    /// The server's verifier when it took them; `None` when it may not have taken them.
    verifier: Option<writeverf3>,
}

/// An upload that is written.
pub struct NfsWriter {
    client: Rc<RefCell<Client>>,
    key: String,
    file: nfs_fh3,
    /// The mark of this writer; see [`crate::upload`].
    mark: String,
    uncommitted: Vec<Piece>,
    committing: Option<(Call, Vec<Piece>)>,
}

impl NfsWriter {
    pub(crate) fn new(client: Rc<RefCell<Client>>, key: &str, file: nfs_fh3, mark: String) -> Self {
        Self { client, key: key.to_owned(), file, mark, uncommitted: Vec::new(), committing: None }
    }

    fn what(&self) -> String {
        format!("write {:?}", self.key)
    }

    fn send(&mut self, host: &dyn TcpStorageHost, offset: u64, bytes: &[u8]) -> Result<Call> {
        let args = WRITE3args {
            file: self.file.clone(),
            offset,
            count: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            stable: stable_how::UNSTABLE,
            data: Opaque::borrowed(bytes),
        };
        self.client.borrow_mut().start(host, procedure::WRITE, &args)
    }

    /// Waits until the server has taken a piece, and sends what it has left over. Returns the
    /// verifier; `None` when the bytes are on its disk already.
    fn taken(
        &mut self,
        host: &dyn TcpStorageHost,
        mut call: Call,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Option<writeverf3>> {
        let mut done = 0;
        let mut verifier = None;
        loop {
            let answer: WRITE3res = self.client.borrow_mut().wait(host, call)?;
            let written = match answer {
                WRITE3res::Ok(written) => written,
                WRITE3res::Err((status, _)) => {
                    return Err(self.client.borrow().failure(status, &self.what()));
                }
            };
            let count = usize::try_from(written.count).unwrap_or(usize::MAX);
            if count == 0 || count > bytes.len() - done {
                let text =
                    format!("cannot {}: the server took {count} bytes of {}", self.what(), bytes.len());
                return Err(Error::transient("nfs.server", text));
            }
            done += count;
            if written.committed == stable_how::UNSTABLE {
                // Of several verifiers the first one: another one shows that it has restarted.
                verifier.get_or_insert(written.verf);
            }
            if done == bytes.len() {
                return Ok(verifier);
            }
            let at = offset + u64::try_from(done).unwrap_or(u64::MAX);
            call = self.send(host, at, &bytes[done..])?;
        }
    }

    fn keep(&mut self, offset: u64, bytes: Vec<u8>, verifier: Option<writeverf3>) {
        if verifier.is_some() {
            self.uncommitted.push(Piece { offset, bytes, verifier });
        }
    }

    /// Asks for a commit of everything that is not committed, without waiting for it.
    fn begin_commit(&mut self, host: &dyn TcpStorageHost) -> Result<()> {
        self.end_commit(host)?;
        let args = COMMIT3args { file: self.file.clone(), offset: 0, count: 0 };
        let call = self.client.borrow_mut().start(host, procedure::COMMIT, &args)?;
        self.committing = Some((call, std::mem::take(&mut self.uncommitted)));
        Ok(())
    }

    /// Waits for the commit that was asked for. What the server has lost is sent again, and is not
    /// committed.
    fn end_commit(&mut self, host: &dyn TcpStorageHost) -> Result<()> {
        let Some((call, pieces)) = self.committing.take() else { return Ok(()) };
        let answer: Result<COMMIT3res> = self.client.borrow_mut().wait(host, call);
        let verifier = match answer {
            Ok(COMMIT3res::Ok(done)) => Ok(done.verf),
            Ok(COMMIT3res::Err((status, _))) => Err(self.client.borrow().failure(status, &self.what())),
            Err(error) => Err(error),
        };
        match verifier {
            Ok(verifier) => {
                let lost: Vec<_> =
                    pieces.into_iter().filter(|piece| piece.verifier != Some(verifier)).collect();
                if !lost.is_empty() {
                    imprint_plugin_sdk::info!(
                        "the server has restarted: {} pieces of {:?} are sent again",
                        lost.len(),
                        self.key
                    );
                }
                self.send_again(host, lost)
            }
            Err(error) => {
                self.uncommitted.extend(pieces);
                Err(error)
            }
        }
    }

    fn send_again(&mut self, host: &dyn TcpStorageHost, lost: Vec<Piece>) -> Result<()> {
        let mut failed = None;
        let mut lost = lost.into_iter().map(|piece| Piece { verifier: None, ..piece }).peekable();
        while lost.peek().is_some() {
            let group: Vec<Piece> = lost.by_ref().take(IN_FLIGHT).collect();
            if failed.is_none() {
                failed = self.send_group(host, group).err();
            } else {
                self.uncommitted.extend(group);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn send_group(&mut self, host: &dyn TcpStorageHost, group: Vec<Piece>) -> Result<()> {
        let sent: Vec<_> = group.iter().map(|piece| self.send(host, piece.offset, &piece.bytes)).collect();
        let mut failed = None;
        for (piece, call) in group.into_iter().zip(sent) {
            let taken = match (call, &failed) {
                (Ok(call), None) => self.taken(host, call, piece.offset, &piece.bytes),
                (Ok(call), Some(_)) => {
                    self.client.borrow_mut().forget([call]);
                    Ok(None)
                }
                (Err(error), _) => Err(error),
            };
            match taken {
                Ok(verifier) if failed.is_none() => self.keep(piece.offset, piece.bytes, verifier),
                Ok(_) => self.uncommitted.push(piece),
                Err(error) => {
                    self.uncommitted.push(piece);
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn kept(&self) -> usize {
        self.uncommitted.iter().map(|piece| piece.bytes.len()).sum()
    }
}

impl StreamWriter<dyn TcpStorageHost> for NfsWriter {
    fn order(&self) -> Order {
        Order::Any
    }

    fn write(&mut self, host: &dyn TcpStorageHost, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.kept() >= WINDOW {
            self.begin_commit(host)?;
        }
        let write_size = self.client.borrow().write_size;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut rest = bytes;
        let mut calls = Vec::new();
        for (at, count) in pieces(offset, length, write_size) {
            let (piece, after) = rest.split_at(usize::try_from(count).unwrap_or(0).min(rest.len()));
            rest = after;
            calls.push((self.send(host, at, piece)?, at, piece));
        }
        let mut failed = None;
        for (call, at, piece) in calls {
            if failed.is_some() {
                self.client.borrow_mut().forget([call]);
                continue;
            }
            match self.taken(host, call, at, piece) {
                Ok(verifier) => self.keep(at, piece.to_vec(), verifier),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn finish(&mut self, host: &dyn TcpStorageHost, size: u64) -> Result<()> {
        for _ in 0..ROUNDS {
            self.end_commit(host)?;
            if self.uncommitted.is_empty() {
                let what = self.what();
                let mut client = self.client.borrow_mut();
                if client.attributes(host, &self.file, &what)?.size != size {
                    client.set_size(host, &self.file, size, &what)?;
                }
                return client.remove(host, &self.mark);
            }
            self.begin_commit(host)?;
        }
        let text = format!("cannot {}: the server restarts again and again; check its log", self.what());
        Err(Error::transient("nfs.server", text))
    }
}
