//! Uploads, and how it is known that the server has lost nothing of one.
//!
//! The token of an upload has the server's verifier at its beginning. Every writer leaves a mark
//! beside the temporary file until all that it was given is durable. When the upload is committed
//! under another verifier, the server has restarted meanwhile. A mark that is left then is that of
//! a writer that is gone, and what it wrote may be lost: the upload has to begin again.

use std::{cell::RefCell, fmt::Write as _, rc::Rc};

use imprint_path_storage::{PathUpload, TEMPORARY, Tree};
use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::TcpStorageHost,
    storage::{Object, Upload, WriteRequest, WriteTarget},
    types::{Digest, FileRef},
};
use nfs3_types::nfs3::writeverf3;

use crate::{
    client::Client,
    files::exclusive_key,
    mounted::{self, GRANT},
    tree::RemoteTree,
    writer::NfsWriter,
};

/// The writers that one upload may have had.
const MAX_WRITERS: u32 = 1_000;
/// Names of one page of a listing.
const PAGE: u32 = 1_000;

/// An upload in progress.
pub struct NfsUpload {
    path: PathUpload,
    /// `None` for a mounted export: the host writes the file.
    client: Option<Rc<RefCell<Client>>>,
}

impl NfsUpload {
    pub(crate) fn mounted(path: PathUpload) -> Self {
        Self { path, client: None }
    }

    pub(crate) fn direct(path: PathUpload, client: Rc<RefCell<Client>>) -> Self {
        Self { path, client: Some(client) }
    }

    /// Makes the temporary file of a new upload.
    pub(crate) fn begin(
        client: &Rc<RefCell<Client>>,
        host: &dyn TcpStorageHost,
        request: &WriteRequest,
    ) -> Result<Self> {
        let tree = RemoteTree { client, host };
        let path = PathUpload::begin(&tree, request)?;
        let key = exclusive_key(host, path.temporary());
        let verifier = {
            let mut open = client.borrow_mut();
            let (folder, name) = open.parent(host, path.temporary())?;
            let folder = folder
                .ok_or_else(|| Error::transient("nfs.busy", "the folder of uploads is gone; try again"))?;
            let made = open.create(host, &folder, name, key);
            // Another machine may have begun an upload at the same moment.
            let file = made.map_err(|error| {
                let taken = error.class == ErrorClass::AlreadyExists;
                if taken { Error::transient("nfs.busy", error.message) } else { error }
            })?;
            open.commit(host, &file.handle, &format!("begin the upload of {:?}", path.key()))
        };
        match verifier {
            Ok(verifier) => Ok(Self::direct(path.with_note(hex(verifier)), client.clone())),
            Err(error) => {
                // The error that counts is the first one.
                let _ = path.discard(&tree);
                Err(error)
            }
        }
    }

    /// Opens a writer of an upload.
    pub(crate) fn writer(
        path: &PathUpload,
        shared: Rc<RefCell<Client>>,
        host: &dyn TcpStorageHost,
    ) -> Result<NfsWriter> {
        let mut client = shared.borrow_mut();
        let gone = || {
            let text = format!("the upload of {:?} is gone; begin it again", path.key());
            Error::not_found("nfs.upload-lost", text)
        };
        let found = client.resolve(host, path.temporary())?;
        let file = found.filter(crate::client::Node::is_file).ok_or_else(gone)?;
        let (folder, name) = client.parent(host, path.temporary())?;
        let folder = folder.ok_or_else(gone)?;
        for number in 0..MAX_WRITERS {
            let mark = format!("{name}-{number:x}");
            let key = exclusive_key(host, &mark);
            match client.create(host, &folder, &mark, key) {
                Ok(_) => {
                    let mark = format!("{TEMPORARY}/{mark}");
                    drop(client);
                    return Ok(NfsWriter::new(shared, path.key(), file.handle, mark));
                }
                Err(error) if error.class == ErrorClass::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::limit(
            "nfs.too-many-writers",
            format!("{:?} was continued too often; upload it again", path.key()),
        ))
    }

    /// Removes what is left of the upload.
    pub(crate) fn discard(&self, host: &dyn TcpStorageHost) -> Result<()> {
        let Some(client) = &self.client else { return self.path.discard(&mounted::tree(host)) };
        let tree = RemoteTree { client, host };
        self.path.discard(&tree)?;
        self.marks(&tree)?.iter().try_for_each(|mark| tree.remove_file(mark))
    }

    /// Returns the marks of writers that have not finished.
    fn marks(&self, tree: &RemoteTree<'_>) -> Result<Vec<String>> {
        let start = format!("{}-", self.path.temporary());
        let mut marks = Vec::new();
        let mut resume: Option<String> = None;
        loop {
            let page = match tree.list(TEMPORARY, resume.as_deref(), PAGE) {
                Err(error) if error.class == ErrorClass::NotFound => return Ok(marks),
                page => page?,
            };
            let paths = page.entries.into_iter().map(|entry| format!("{TEMPORARY}/{}", entry.name));
            marks.extend(paths.filter(|path| path.starts_with(&start)));
            resume = page.resume;
            if resume.is_none() {
                return Ok(marks);
            }
        }
    }

    /// Refuses an upload of which the server may have lost bytes.
    fn require_kept(&self, client: &RefCell<Client>, host: &dyn TcpStorageHost) -> Result<()> {
        let what = format!("commit {:?}", self.path.key());
        let verifier = {
            let mut open = client.borrow_mut();
            // An earlier commit has renamed it already.
            let Some(file) = open.resolve(host, self.path.temporary())? else { return Ok(()) };
            open.commit(host, &file.handle, &what)?
        };
        let tree = RemoteTree { client, host };
        let marks = self.marks(&tree)?;
        if self.path.note() != Some(hex(verifier).as_str()) && !marks.is_empty() {
            let text = format!(
                "the server was restarted while {:?} was written, and what it had not stored yet is lost; upload it again",
                self.path.key()
            );
            return Err(Error::conflict("nfs.restarted", text));
        }
        marks.iter().try_for_each(|mark| tree.remove_file(mark))
    }
}

impl Upload<dyn TcpStorageHost> for NfsUpload {
    fn token(&self) -> Vec<u8> {
        self.path.token()
    }

    fn target(&self) -> WriteTarget {
        match &self.client {
            Some(_) => WriteTarget::GuestStream,
            None => {
                WriteTarget::File(FileRef { grant: GRANT.to_owned(), path: self.path.temporary().to_owned() })
            }
        }
    }

    fn commit(&mut self, host: &dyn TcpStorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        match &self.client {
            None => self.path.commit(&mounted::tree(host), total),
            Some(client) => {
                self.require_kept(client, host)?;
                self.path.commit(&RemoteTree { client, host }, total)
            }
        }
    }

    fn abort(&mut self, host: &dyn TcpStorageHost) -> Result<()> {
        self.discard(host)
    }
}

fn hex(verifier: writeverf3) -> String {
    verifier.0.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
