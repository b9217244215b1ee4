//! An image storage in a folder.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use cap_std::{ambient_authority, fs::Dir};
use imprint_data_path::FileSource;
use imprint_ports::{
    BlockSource, ClientUrlTerms, ErrorClass, Listing, LocalFile, Object, Origin, PortError, RESERVED_NAMES,
    ReadLocator, RemoteObject, SecretText, Space, StorageBackend, Upload, WriteRequest, WriteTarget,
};
use tokio_util::sync::CancellationToken;

/// How one commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tests) enum CommitFault {
    /// It can be repeated, and nothing is visible.
    Busy,
    /// The object is visible, and the answer is lost.
    LostAnswer,
    /// The object is visible, and the plugin traps.
    TrapAfterPublish,
    /// The object is visible, and the plugin describes another size.
    WrongSize,
}

/// A storage in a folder. Temporary names begin with a dot.
pub(in crate::tests) struct FakeStorage {
    folder: PathBuf,
    pub(in crate::tests) available: AtomicU64,
    pub(in crate::tests) full_at_commit: AtomicBool,
    /// Whether no upload can be resumed.
    pub(in crate::tests) forgets_uploads: AtomicBool,
    /// How the next commits fail.
    pub(in crate::tests) commit_faults: Arc<Mutex<VecDeque<CommitFault>>>,
    /// The number of commits that were asked for.
    pub(in crate::tests) commits: Arc<AtomicU64>,
    /// Whether clients read objects from the storage itself.
    pub(in crate::tests) direct: AtomicBool,
}

/// An object that clients read from the storage itself.
#[derive(Debug)]
struct DirectObject {
    dir: Arc<Dir>,
    key: String,
}

#[async_trait]
impl RemoteObject for DirectObject {
    async fn open(&self, _: CancellationToken) -> Result<Arc<dyn BlockSource>, PortError> {
        let source = FileSource::open(&self.dir, &self.key).expect("the file is there");
        Ok(Arc::new(source))
    }

    /// The address shows the terms.
    fn client_url(&self, terms: &ClientUrlTerms) -> Result<Option<SecretText>, PortError> {
        let ClientUrlTerms { head_only, valid_for, file_name } = terms;
        let url = format!(
            "http://storage.test/{}?name={file_name}&s={}&head={head_only}&sig=precious",
            self.key,
            valid_for.as_secs()
        );
        Ok(Some(SecretText::new(url)))
    }
}

impl FakeStorage {
    pub(in crate::tests) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            available: AtomicU64::new(1 << 40),
            full_at_commit: AtomicBool::new(false),
            forgets_uploads: AtomicBool::new(false),
            commit_faults: Arc::default(),
            commits: Arc::default(),
            direct: AtomicBool::new(false),
        }
    }

    fn upload(&self, key: &str) -> FakeUpload {
        let temporary = format!(".{key}");
        let target = WriteTarget::File(LocalFile { dir: self.dir(), path: temporary.clone() });
        FakeUpload {
            token: temporary.clone().into_bytes(),
            target,
            temporary: self.path(&temporary),
            key: key.to_owned(),
            path: self.path(key),
            full: self.full_at_commit.load(Ordering::SeqCst),
            faults: self.commit_faults.clone(),
            commits: self.commits.clone(),
        }
    }

    fn dir(&self) -> Arc<Dir> {
        Arc::new(Dir::open_ambient_dir(&self.folder, ambient_authority()).unwrap())
    }

    pub(in crate::tests) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every name in the folder, temporary ones too, but not the markers of the agent.
    pub(in crate::tests) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(RESERVED_NAMES))
            .collect();
        names.sort_unstable();
        names
    }

    pub(in crate::tests) fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }
}

#[async_trait]
impl StorageBackend for FakeStorage {
    async fn space(&self) -> Result<Option<Space>, PortError> {
        Ok(Some(Space { total: 1 << 40, available: self.available.load(Ordering::SeqCst) }))
    }

    async fn stat(&self, key: &str) -> Result<Object, PortError> {
        let size = fs::metadata(self.path(key)).map_err(not_found)?.len();
        Ok(Object { key: key.to_owned(), size, stored: None, modified_ms: None })
    }

    async fn list(&self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing, PortError> {
        let mut objects = Vec::new();
        for name in self.names() {
            let is_next = resume.is_none_or(|last| name.as_str() > last);
            if is_next && name.starts_with(prefix) && !name.starts_with('.') {
                objects.push(self.stat(&name).await?);
            }
        }
        let max = usize::try_from(max).unwrap();
        let resume = (objects.len() > max).then(|| objects[max - 1].key.clone());
        objects.truncate(max);
        Ok(Listing { objects, resume })
    }

    async fn open_read(&self, key: &str) -> Result<ReadLocator, PortError> {
        if self.direct.load(Ordering::SeqCst) {
            let object = DirectObject { dir: self.dir(), key: key.to_owned() };
            return Ok(ReadLocator::Remote(Arc::new(object)));
        }
        Ok(ReadLocator::File(LocalFile { dir: self.dir(), path: key.to_owned() }))
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        fs::remove_file(self.path(key)).ok();
        Ok(())
    }

    async fn begin_upload(&self, request: &WriteRequest) -> Result<Box<dyn Upload>, PortError> {
        Ok(Box::new(self.upload(&request.key)))
    }

    async fn resume_upload(&self, key: &str, token: &[u8]) -> Result<Box<dyn Upload>, PortError> {
        if self.forgets_uploads.load(Ordering::SeqCst) {
            return Err(PortError::host(ErrorClass::NotFound, "storage.upload-lost", "no such upload"));
        }
        let upload = self.upload(key);
        assert_eq!(upload.token, token);
        Ok(Box::new(upload))
    }

    async fn cleanup(&self, token: &[u8]) -> Result<(), PortError> {
        fs::remove_file(self.path(std::str::from_utf8(token).unwrap())).ok();
        Ok(())
    }
}

fn not_found(error: std::io::Error) -> PortError {
    PortError::host(ErrorClass::NotFound, "storage.not-found", error)
}

struct FakeUpload {
    token: Vec<u8>,
    target: WriteTarget,
    temporary: PathBuf,
    key: String,
    path: PathBuf,
    full: bool,
    faults: Arc<Mutex<VecDeque<CommitFault>>>,
    commits: Arc<AtomicU64>,
}

/// The error of a commit that failed in that way.
fn commit_error(fault: CommitFault) -> PortError {
    let host = |origin, class, code: &str| PortError {
        origin,
        ..PortError::host(class, code, format!("{fault:?}"))
    };
    match fault {
        CommitFault::Busy => host(Origin::Plugin, ErrorClass::Transient, "storage.busy"),
        CommitFault::LostAnswer => host(Origin::Timeout, ErrorClass::Transient, "plugin.timeout"),
        CommitFault::TrapAfterPublish => host(Origin::Trap, ErrorClass::Internal, "plugin.trap"),
        CommitFault::WrongSize => PortError::bad_answer("plugin.bad-answer.size", "another size"),
    }
}

#[async_trait]
impl Upload for FakeUpload {
    fn token(&self) -> &[u8] {
        &self.token
    }

    fn target(&self) -> &WriteTarget {
        &self.target
    }

    async fn commit(&mut self, total: u64, _digests: &[(String, Vec<u8>)]) -> Result<Object, PortError> {
        if self.full {
            return Err(PortError::host(ErrorClass::LimitExceeded, "storage.no-space", "no space"));
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front();
        if fault == Some(CommitFault::Busy) {
            return Err(commit_error(CommitFault::Busy));
        }
        fs::rename(&self.temporary, &self.path).map_err(not_found)?;
        if let Some(fault) = fault {
            return Err(commit_error(fault));
        }
        Ok(Object { key: self.key.clone(), size: total, stored: None, modified_ms: None })
    }

    async fn abort(&mut self) -> Result<(), PortError> {
        fs::remove_file(&self.temporary).ok();
        Ok(())
    }
}
