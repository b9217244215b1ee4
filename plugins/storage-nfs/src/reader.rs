//! Reading an object.

use std::{cell::RefCell, rc::Rc};

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::TcpStorageHost,
    storage::StreamReader,
};
use nfs3_types::nfs3::{Nfs3Option, READ3args, READ3res, READ3resok};

use crate::{
    client::{Client, Node},
    files::changed,
    procedure,
    rpc::Call,
};

/// An object that is read.
pub struct NfsReader {
    client: Rc<RefCell<Client>>,
    key: String,
    node: Node,
}

impl NfsReader {
    pub(crate) fn new(client: Rc<RefCell<Client>>, key: &str, node: Node) -> Self {
        Self { client, key: key.to_owned(), node }
    }

    fn args(&self, offset: u64, count: u32) -> READ3args {
        READ3args { file: self.node.handle.clone(), offset, count }
    }

    /// Waits for one piece, and asks for the rest of a short one.
    fn piece(
        &self,
        client: &mut Client,
        host: &dyn TcpStorageHost,
        call: Call,
        (mut offset, mut left): (u64, u32),
        bytes: &mut Vec<u8>,
    ) -> Result<()> {
        let mut answer: READ3res<'static> = client.wait(host, call)?;
        loop {
            let read = match answer {
                READ3res::Ok(read) => read,
                READ3res::Err((status, _)) => {
                    return Err(client.failure(status, &format!("read {:?}", self.key)));
                }
            };
            self.check_version(&read)?;
            let count = u32::try_from(read.data.len()).unwrap_or(u32::MAX);
            if count == 0 || count > left {
                let text =
                    format!("{:?} ends at byte {offset}, before its size; it has lost its end", self.key);
                return Err(Error::corrupt("nfs.short", text));
            }
            bytes.extend_from_slice(&read.data);
            offset += u64::from(count);
            left -= count;
            if left == 0 {
                return Ok(());
            }
            answer = client.nfs(
                host,
                procedure::READ,
                &self.args(offset, left),
                &format!("read {:?}", self.key),
            )?;
        }
    }

    /// Refuses bytes of another version of the object.
    fn check_version(&self, read: &READ3resok<'_>) -> Result<()> {
        let known = &self.node.attributes;
        match &read.file_attributes {
            Nfs3Option::Some(now) if (now.size, now.mtime) != (known.size, known.mtime) => {
                Err(changed(&self.key))
            }
            Nfs3Option::Some(_) | Nfs3Option::None => Ok(()),
        }
    }
}

impl StreamReader<dyn TcpStorageHost> for NfsReader {
    fn size(&self) -> u64 {
        self.node.attributes.size
    }

    fn read(&mut self, host: &dyn TcpStorageHost, offset: u64, length: u32) -> Result<Vec<u8>> {
        let shared = self.client.clone();
        let mut client = shared.borrow_mut();
        let size = client.read_size;
        let mut calls = Vec::new();
        for (at, count) in pieces(offset, length, size) {
            calls.push((client.start(host, procedure::READ, &self.args(at, count))?, (at, count)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        let mut failed = None;
        for (call, place) in calls {
            if failed.is_some() {
                client.forget([call]);
            } else {
                failed = self.piece(&mut client, host, call, place, &mut bytes).err();
            }
        }
        failed.map_or(Ok(bytes), Err)
    }
}

/// Cuts a range into pieces of at most `size` bytes.
pub(crate) fn pieces(offset: u64, length: u32, size: u32) -> impl Iterator<Item = (u64, u32)> {
    let size = size.max(1);
    (0..length.div_ceil(size)).map(move |index| {
        let from = index * size;
        (offset + u64::from(from), size.min(length - from))
    })
}
