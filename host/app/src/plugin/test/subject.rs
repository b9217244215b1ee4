//! A storage in the real runtime, as the suite drives it. The bytes go the way that they go in a
//! capture: through the data path's files and streams.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use imprint_data_path::{EngineError, FileSink, FileSource};
use imprint_plugin_runtime::{HostOptions, PluginHost, PluginInfo, PluginSource, StorageGrants};
use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    mock::MockHost,
    storage::{Listing, Object, WriteRequest},
    testing::storage::Subject,
    types::{Digest, Props},
};
use imprint_ports::{self as ports, BlockSink, BlockSource, PortError, StorageBackend};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::super::refused;
use crate::client::failure::Failure;

/// Opens a storage for each case.
pub(super) struct Bench {
    host: PluginHost,
    info: PluginInfo,
    settings: Props,
    /// Holds a folder for each case.
    folder: TempDir,
    handle: Handle,
}

/// A storage of one case.
pub(super) struct RealSubject {
    host: PluginHost,
    kind: String,
    grants: StorageGrants,
    folder: PathBuf,
    backend: Arc<dyn StorageBackend>,
    handle: Handle,
}

/// An upload, and where its bytes go once the first one is written.
pub(super) struct RealUpload {
    upload: Box<dyn ports::Upload>,
    sink: Option<Arc<dyn BlockSink>>,
}

impl Bench {
    /// Loads the plugin.
    pub(super) async fn open(
        file: &Path,
        bytes: &[u8],
        settings: Props,
        dir: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let folder = match dir {
            Some(dir) => TempDir::new_in(&dir),
            None => TempDir::new(),
        };
        let folder = folder.map_err(|error| Failure::local("cannot make a folder for the cases", error))?;
        let load = async {
            let host = PluginHost::new(HostOptions::default())?;
            let info = host.load_component(bytes, PluginSource::File(file.to_owned())).await?;
            Ok((host, info))
        };
        let (host, info) = load.await.map_err(|error| refused(file, &error))?;
        Ok(Self { host, info, settings, folder, handle: Handle::current() })
    }

    /// Opens an empty storage for a case.
    pub(super) fn subject(&self, case: &str) -> Result<RealSubject> {
        let local = |error: std::io::Error| Error::internal("suite.folder", error.to_string());
        let folder = self.folder.path().join(case);
        std::fs::create_dir(&folder).map_err(local)?;
        let dir = Arc::new(Dir::open_ambient_dir(&folder, ambient_authority()).map_err(local)?);
        let needed = self.info.dirs.iter().filter(|dir| dir.is_needed(&self.settings));
        let dirs: BTreeMap<_, _> = needed.map(|needed| (needed.id.clone(), dir.clone())).collect();
        let grants = StorageGrants { settings: self.settings.clone(), dirs, ..StorageGrants::default() };
        let kind = self.info.provides.clone();
        let backend = self.handle.block_on(self.host.storage(&kind, grants.clone())).map_err(from_port)?;
        let (host, handle) = (self.host.clone(), self.handle.clone());
        Ok(RealSubject { host, kind, grants, folder, backend, handle })
    }
}

impl RealSubject {
    fn sink<'u>(&self, upload: &'u mut RealUpload) -> Result<&'u Arc<dyn BlockSink>> {
        if upload.sink.is_none() {
            let sink: Arc<dyn BlockSink> = match upload.upload.target() {
                ports::WriteTarget::File(file) => {
                    Arc::new(FileSink::create(&file.dir, &file.path).map_err(|error| from_engine(&error))?)
                }
                ports::WriteTarget::Remote(stream) => {
                    self.handle.block_on(stream.open(CancellationToken::new(), None)).map_err(from_port)?
                }
            };
            upload.sink = Some(sink);
        }
        upload.sink.as_ref().ok_or_else(|| Error::internal("suite.sink", "there is no sink"))
    }

    fn source(&self, key: &str) -> Result<Arc<dyn BlockSource>> {
        match self.handle.block_on(self.backend.open_read(key)).map_err(from_port)? {
            ports::ReadLocator::File(file) => {
                let source = FileSource::open(&file.dir, &file.path).map_err(|error| from_engine(&error))?;
                Ok(Arc::new(source))
            }
            ports::ReadLocator::Remote(stream) => {
                self.handle.block_on(stream.open(CancellationToken::new())).map_err(from_port)
            }
        }
    }
}

impl Subject for RealSubject {
    type Upload = RealUpload;

    fn begin(&mut self, request: &WriteRequest) -> Result<RealUpload> {
        let request = ports::WriteRequest {
            key: request.key.clone(),
            upper_bound: request.upper_bound,
            needs_random: request.needs_random,
            if_absent: request.if_absent,
        };
        let upload = self.handle.block_on(self.backend.begin_upload(&request)).map_err(from_port)?;
        Ok(RealUpload { upload, sink: None })
    }

    fn token(&self, upload: &RealUpload) -> Vec<u8> {
        upload.upload.token().to_vec()
    }

    fn write(&mut self, upload: &mut RealUpload, offset: u64, bytes: &[u8]) -> Result<()> {
        self.sink(upload)?.write_all_at(bytes, offset).map_err(|error| from_io(&error))
    }

    fn finish(&mut self, upload: &mut RealUpload, size: u64) -> Result<()> {
        let sink = self.sink(upload)?;
        sink.set_size(size).and_then(|()| sink.sync()).map_err(|error| from_io(&error))?;
        upload.sink = None;
        Ok(())
    }

    fn commit(&mut self, upload: &mut RealUpload, total: u64, digests: &[Digest]) -> Result<Object> {
        let digests: Vec<_> =
            digests.iter().map(|digest| (digest.algorithm.clone(), digest.value.clone())).collect();
        self.handle.block_on(upload.upload.commit(total, &digests)).map(object).map_err(from_port)
    }

    fn abort(&mut self, upload: &mut RealUpload) -> Result<()> {
        upload.sink = None;
        self.handle.block_on(upload.upload.abort()).map_err(from_port)
    }

    fn resume(&mut self, _key: &str, _token: &[u8]) -> Option<Result<RealUpload>> {
        // The agent never continues an upload of another process: it cleans up and begins again.
        None
    }

    fn cleanup(&mut self, token: &[u8]) -> Result<()> {
        self.handle.block_on(self.backend.cleanup(token)).map_err(from_port)
    }

    fn stat(&mut self, key: &str) -> Result<Object> {
        self.handle.block_on(self.backend.stat(key)).map(object).map_err(from_port)
    }

    fn list(&mut self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
        let page = self.handle.block_on(self.backend.list(prefix, resume, max)).map_err(from_port)?;
        let objects = page.objects.into_iter().map(object).collect();
        Ok(Listing { objects, prefixes: Vec::new(), resume: page.resume })
    }

    fn read(&mut self, key: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let source = self.source(key)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        source.read_exact_at(&mut bytes, offset).map_err(|error| from_io(&error))?;
        Ok(bytes)
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        self.handle.block_on(self.backend.delete(key)).map_err(from_port)
    }

    fn restart(&mut self) -> Result<()> {
        let opened = self.handle.block_on(self.host.storage(&self.kind, self.grants.clone()));
        self.backend = opened.map_err(from_port)?;
        Ok(())
    }

    fn stored(&mut self) -> Option<Vec<String>> {
        if self.grants.dirs.is_empty() {
            return None;
        }
        let mut names = Vec::new();
        let mut open = vec![self.folder.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).ok()?.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    names.push(path.to_string_lossy().into_owned());
                }
            }
        }
        Some(names)
    }

    fn faults(&self) -> Option<&MockHost> {
        None
    }
}

fn object(object: ports::Object) -> Object {
    Object {
        key: object.key,
        size: object.size,
        stored: object.stored,
        modified_ms: object.modified_ms,
        etag: None,
        extra: Props::new(),
    }
}

fn from_port(error: PortError) -> Error {
    let class = match error.class {
        ports::ErrorClass::InvalidInput => ErrorClass::InvalidInput,
        ports::ErrorClass::Unsupported => ErrorClass::Unsupported,
        ports::ErrorClass::NotFound => ErrorClass::NotFound,
        ports::ErrorClass::AlreadyExists => ErrorClass::AlreadyExists,
        ports::ErrorClass::Denied => ErrorClass::Denied,
        ports::ErrorClass::Conflict => ErrorClass::Conflict,
        ports::ErrorClass::Corrupt => ErrorClass::Corrupt,
        ports::ErrorClass::LimitExceeded => ErrorClass::LimitExceeded,
        ports::ErrorClass::Transient => ErrorClass::Transient,
        ports::ErrorClass::Cancelled => ErrorClass::Cancelled,
        ports::ErrorClass::Internal => ErrorClass::Internal,
    };
    Error { class, code: error.code, message: error.message, retry_after_ms: error.retry_after_ms }
}

fn from_io(error: &std::io::Error) -> Error {
    match PortError::of(error) {
        Some(port) => from_port(port.clone()),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::corrupt("suite.short", "the bytes end before the object does")
        }
        None => Error::transient("suite.io", error.to_string()),
    }
}

fn from_engine(error: &EngineError) -> Error {
    if let EngineError::Port(port) = error {
        return from_port(port.clone());
    }
    Error::transient(error.code(), error.report())
}
