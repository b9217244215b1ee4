//! The storage's functions.

use std::{cell::RefCell, rc::Rc};

use imprint_path_storage::{self as path_storage, PathUpload, Tree};
use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{Space, TcpStorageHost},
    storage::{Features, Listing, Object, Storage, StreamStorage, WriteRequest, no_object},
    types::{FileRef, Props, ReadLocator},
};

use crate::{
    client::{Client, Node},
    marker,
    mounted::{self, GRANT},
    reader::NfsReader,
    settings::{Access, Settings},
    tree::{CODE, RemoteTree},
    upload::NfsUpload,
    writer::NfsWriter,
};

/// An export.
pub struct NfsVolume {
    /// `None` for a mounted export.
    client: Option<Rc<RefCell<Client>>>,
}

impl NfsVolume {
    fn with_tree<T>(&self, host: &dyn TcpStorageHost, act: impl FnOnce(&dyn Tree) -> Result<T>) -> Result<T> {
        match &self.client {
            Some(client) => act(&RemoteTree { client, host }),
            None => act(&mounted::tree(host)),
        }
    }

    fn upload(&self, path: PathUpload) -> NfsUpload {
        match &self.client {
            Some(client) => NfsUpload::direct(path, client.clone()),
            None => NfsUpload::mounted(path),
        }
    }

    /// Returns the connection, for a reader or a writer.
    fn connection(&self) -> Result<Rc<RefCell<Client>>> {
        self.client.clone().ok_or_else(|| {
            let text = "the bytes of a mounted export do not go through the plugin";
            Error::unsupported("nfs.mounted", text)
        })
    }
}

impl Storage for NfsVolume {
    type Host = dyn TcpStorageHost;
    type Upload = NfsUpload;

    fn open(host: &dyn TcpStorageHost, settings: &Props) -> Result<Self> {
        let settings = Settings::parse(settings)?;
        let client = match settings.access {
            Access::Direct => {
                let mut client = Client::open(host, settings)?;
                marker::check(&mut client, host)?;
                Some(Rc::new(RefCell::new(client)))
            }
            Access::Mount => {
                mounted::check(host, &settings)?;
                None
            }
        };
        Ok(Self { client })
    }

    fn features(&self, _host: &dyn TcpStorageHost) -> Result<Features> {
        Ok(path_storage::features())
    }

    fn space(&self, host: &dyn TcpStorageHost) -> Result<Option<Space>> {
        self.with_tree(host, |tree| tree.space().map(Some))
    }

    fn stat(&self, host: &dyn TcpStorageHost, key: &str) -> Result<Object> {
        self.with_tree(host, |tree| path_storage::stat(tree, key))
    }

    fn list(
        &self,
        host: &dyn TcpStorageHost,
        prefix: &str,
        resume: Option<&str>,
        max: u32,
    ) -> Result<Listing> {
        self.with_tree(host, |tree| path_storage::list(tree, prefix, resume, max))
    }

    fn open_read(&self, host: &Self::Host, key: &str) -> Result<ReadLocator> {
        self.stat(host, key)?;
        Ok(match &self.client {
            Some(_) => ReadLocator::GuestStream,
            None => ReadLocator::File(FileRef { grant: GRANT.to_owned(), path: key.to_owned() }),
        })
    }

    fn delete(&self, host: &dyn TcpStorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        self.with_tree(host, |tree| Ok(path_storage::delete(tree, keys)))
    }

    fn begin_upload(&self, host: &dyn TcpStorageHost, request: &WriteRequest) -> Result<NfsUpload> {
        match &self.client {
            Some(client) => NfsUpload::begin(client, host, request),
            None => PathUpload::begin(&mounted::tree(host), request).map(NfsUpload::mounted),
        }
    }

    fn resume_upload(&self, _host: &dyn TcpStorageHost, token: &[u8]) -> Result<NfsUpload> {
        Ok(self.upload(PathUpload::parse(CODE, token)?))
    }

    fn cleanup(&self, host: &dyn TcpStorageHost, token: &[u8]) -> Result<()> {
        self.upload(PathUpload::parse(CODE, token)?).discard(host)
    }
}

impl StreamStorage for NfsVolume {
    type StreamHost = dyn TcpStorageHost;
    type Reader = NfsReader;
    type Writer = NfsWriter;

    fn open_stream(host: &Self::StreamHost, settings: &Props) -> Result<Self> {
        Self::open(host, settings)
    }

    fn reader(&self, host: &dyn TcpStorageHost, key: &str) -> Result<NfsReader> {
        path_storage::check_key(key, "nfs.key")?;
        let client = self.connection()?;
        let found = client.borrow_mut().resolve(host, key)?;
        let node = found.filter(Node::is_file).ok_or_else(|| no_object(CODE, key))?;
        Ok(NfsReader::new(client, key, node))
    }

    fn writer(&self, host: &dyn TcpStorageHost, token: &[u8]) -> Result<NfsWriter> {
        let path = PathUpload::parse(CODE, token)?;
        NfsUpload::writer(&path, self.connection()?, host)
    }
}
