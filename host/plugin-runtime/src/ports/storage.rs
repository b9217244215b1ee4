//! Image storages over components.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use cap_std::fs::Dir;
use imprint_ports::{
    ErrorClass, Listing, LocalFile, Object, PortError, Props, ReadLocator, Space, StorageBackend, Upload,
    WriteRequest, WriteTarget,
};
use wasmtime::{Engine, component::ResourceAny};

use super::{
    at_most, bounded, count, props_out,
    stream::{Opening, Stream},
};
use crate::{
    bindings::{
        host::imprint::types::{locators, types as shapes},
        storage::{StoragePlugin, StoragePluginPre, exports::imprint::storage::backend},
        stream::StreamingPre,
    },
    host::check_relative,
    manifest::Access,
    plugin::{Code, Plugin},
    state::{DirGrant, DirGrantMap, Grants, State},
    work::{Work, call, plugin_error},
};

const MAX_KEY: usize = 512;
const MAX_TOKEN: usize = 4 << 10;

/// What an operator gives to a storage.
#[derive(Clone, Debug, Default)]
pub struct StorageGrants {
    /// Handed to the plugin as they are.
    pub settings: Props,
    /// Directories by the ids of the plugin's manifest.
    pub dirs: BTreeMap<String, Arc<Dir>>,
}

/// A storage of a plugin.
pub(crate) struct ComponentStorage {
    shared: Arc<Shared>,
}

/// What every instance of a storage is made of.
pub(super) struct Shared {
    pub(super) plugin: Arc<Plugin>,
    pre: StoragePluginPre<State>,
    /// Where the plugin exports `stream-io`.
    pub(super) stream: Option<StreamingPre<State>>,
    engine: Engine,
    pub(super) settings: Arc<Props>,
    dirs: Arc<DirGrantMap>,
}

/// A fresh instance with the storage open.
struct Session {
    work: Work,
    bindings: StoragePlugin,
    volume: ResourceAny,
}

impl ComponentStorage {
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        engine: &Engine,
        grants: StorageGrants,
    ) -> Result<Self, PortError> {
        let Code::Storage(code) = &plugin.code else {
            let message = format!("plugin {} is no storage", plugin.manifest.id);
            return Err(PortError::host(ErrorClass::InvalidInput, "plugin.kind", message));
        };
        let mut dirs = DirGrantMap::new();
        for asked in &plugin.manifest.dirs {
            let Some(dir) = grants.dirs.get(&asked.id) else {
                let message = format!(
                    "plugin {} needs the directory {:?} ({}); name one in the storage's settings",
                    plugin.manifest.id, asked.id, asked.purpose
                );
                return Err(PortError::host(ErrorClass::InvalidInput, "plugin.grant-missing", message));
            };
            dirs.insert(asked.id.clone(), DirGrant { dir: dir.clone(), access: asked.access });
        }
        let shared = Shared {
            plugin: plugin.clone(),
            pre: code.backend.clone(),
            stream: code.stream.clone(),
            engine: engine.clone(),
            settings: Arc::new(grants.settings),
            dirs: Arc::new(dirs),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Opens the storage once.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        self.shared.session().await.map(drop)
    }
}

impl Shared {
    /// A fresh store with what the operator gave.
    pub(super) async fn work(&self) -> Result<Work, PortError> {
        let grants = Grants { settings: self.settings.clone(), dirs: self.dirs.clone(), ..Grants::default() };
        Work::start(&self.plugin, &self.engine, grants).await
    }

    async fn session(&self) -> Result<Session, PortError> {
        let mut work = self.work().await?;
        let bindings = call!(work, "start", |store| self.pre.instantiate_async(store))?;
        let settings = props_out(&self.settings);
        let backend = bindings.imprint_storage_backend().volume();
        let opened = call!(work, "open", |store| backend.call_open(store, &settings))?;
        let volume = opened.map_err(|error| self.said(error))?;
        Ok(Session { work, bindings, volume })
    }

    pub(super) fn said(&self, error: shapes::Error) -> PortError {
        plugin_error(&self.plugin, error)
    }

    /// What the plugin says of an object now.
    pub(super) async fn stat(&self, key: &str) -> Result<backend::Object, PortError> {
        let Session { mut work, bindings, volume } = self.session().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let answer = call!(work, "stat", |store| backend.call_stat(store, volume, key))?;
        answer.map_err(|error| self.said(error))
    }

    /// Bytes that only the plugin can move.
    fn stream(self: &Arc<Self>, opening: Opening) -> Result<Arc<Stream>, PortError> {
        match self.stream {
            Some(_) => Ok(Arc::new(Stream::new(self.clone(), opening))),
            None => {
                let message = format!(
                    "plugin {} says that the bytes go through it, and exports no imprint:storage/stream-io; install a \
                     version of it that does",
                    self.plugin.manifest.id
                );
                Err(PortError::bad_answer("plugin.bad-answer.stream", message))
            }
        }
    }

    /// A file reference, resolved below the plugin's own grants: it opens nothing else.
    fn file(&self, file: locators::FileRef, access: Access) -> Result<LocalFile, PortError> {
        let Some(grant) = self.dirs.get(&file.grant) else {
            let message = format!(
                "plugin {} names directory {:?}, which it was not granted",
                self.plugin.manifest.id,
                crate::log::clip(&file.grant, 100)
            );
            return Err(PortError::bad_answer("plugin.bad-answer.grant", message));
        };
        if access == Access::ReadWrite && grant.access == Access::ReadOnly {
            let message = format!(
                "plugin {} wants to write to {}, which it may only read",
                self.plugin.manifest.id, file.grant
            );
            return Err(PortError::bad_answer("plugin.bad-answer.grant", message));
        }
        check_relative(&file.path).map_err(|why| {
            let message = format!(
                "plugin {} answered with a path outside of its grant: {why}",
                self.plugin.manifest.id
            );
            PortError::bad_answer("plugin.bad-answer.path", message)
        })?;
        Ok(LocalFile { dir: grant.dir.clone(), path: file.path })
    }

    fn target(
        self: &Arc<Self>,
        target: backend::WriteTarget,
        key: &str,
        token: &[u8],
    ) -> Result<WriteTarget, PortError> {
        match target {
            backend::WriteTarget::File(file) => Ok(WriteTarget::File(self.file(file, Access::ReadWrite)?)),
            backend::WriteTarget::GuestStream => {
                let opening = Opening::Upload { key: key.to_owned(), token: token.to_owned() };
                Ok(WriteTarget::Guest(self.stream(opening)?))
            }
            backend::WriteTarget::Multipart(_)
            | backend::WriteTarget::Nbd(_)
            | backend::WriteTarget::Other(_) => {
                Err(unsupported(&self.plugin, "write targets other than files and streams"))
            }
        }
    }
}

fn unsupported(plugin: &Plugin, what: &str) -> PortError {
    let message =
        format!("plugin {} answers with {what}, which this host does not know yet", plugin.manifest.id);
    PortError::host(ErrorClass::Unsupported, "plugin.unsupported", message)
}

fn object(object: backend::Object) -> Result<Object, PortError> {
    check_key(&object.key)?;
    Ok(Object { key: object.key, size: object.size, stored: object.stored, modified_ms: object.modified_ms })
}

fn check_key(key: &str) -> Result<(), PortError> {
    if key.len() > MAX_KEY || check_relative(key).is_err() {
        let message = format!("key {:?} is not relative or over {MAX_KEY} bytes", crate::log::clip(key, 100));
        return Err(PortError::bad_answer("plugin.bad-answer.key", message));
    }
    Ok(())
}

/// The object that was asked for, and no other.
fn same_key(found: Object, key: &str) -> Result<Object, PortError> {
    if found.key != key {
        let message = format!("asked for object {key:?}, it answered with {:?}", found.key);
        return Err(PortError::bad_answer("plugin.bad-answer.key", message));
    }
    Ok(found)
}

/// A page of keys: with the prefix, ascending, after `resume`.
fn listing(
    found: backend::Listing,
    prefix: &str,
    resume: Option<&str>,
    max: u32,
) -> Result<Listing, PortError> {
    let objects = at_most("the listing", found.objects, count(max))?;
    let objects = objects.into_iter().map(object).collect::<Result<Vec<_>, _>>()?;
    let mut last = resume;
    for object in &objects {
        if !object.key.starts_with(prefix) || last.is_some_and(|last| object.key.as_str() <= last) {
            let message = format!("key {:?} is not in order or lacks the prefix {prefix:?}", object.key);
            return Err(PortError::bad_answer("plugin.bad-answer.listing", message));
        }
        last = Some(&object.key);
    }
    let next = found.resume.map(|text| bounded("a resume key", text, MAX_KEY)).transpose()?;
    if next.as_deref().is_some_and(|next| resume.is_some_and(|resume| next <= resume)) {
        return Err(PortError::bad_answer("plugin.bad-answer.listing", "the listing does not get further"));
    }
    Ok(Listing { objects, resume: next })
}

#[async_trait]
impl StorageBackend for ComponentStorage {
    async fn space(&self) -> Result<Option<Space>, PortError> {
        let Session { mut work, bindings, volume } = self.shared.session().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let answer = call!(work, "space", |store| backend.call_space(store, volume))?;
        let space = answer.map_err(|error| self.shared.said(error))?;
        Ok(space.map(|space| Space { total: space.total, available: space.available.min(space.total) }))
    }

    async fn stat(&self, key: &str) -> Result<Object, PortError> {
        same_key(object(self.shared.stat(key).await?)?, key)
    }

    async fn list(&self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing, PortError> {
        let Session { mut work, bindings, volume } = self.shared.session().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let answer = call!(work, "list", |store| backend.call_list(store, volume, prefix, resume, max))?;
        listing(answer.map_err(|error| self.shared.said(error))?, prefix, resume, max)
    }

    async fn open_read(&self, key: &str) -> Result<ReadLocator, PortError> {
        let Session { mut work, bindings, volume } = self.shared.session().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let answer = call!(work, "open-read", |store| backend.call_open_read(store, volume, key))?;
        match answer.map_err(|error| self.shared.said(error))? {
            locators::ReadLocator::File(file) => {
                Ok(ReadLocator::File(self.shared.file(file, Access::ReadOnly)?))
            }
            locators::ReadLocator::GuestStream => {
                Ok(ReadLocator::Guest(self.shared.stream(Opening::Object { key: key.to_owned() })?))
            }
            locators::ReadLocator::Http(_)
            | locators::ReadLocator::Nbd(_)
            | locators::ReadLocator::Other(_) => {
                Err(unsupported(&self.shared.plugin, "read locators other than files and streams"))
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        let Session { mut work, bindings, volume } = self.shared.session().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let keys = [key.to_owned()];
        let answer = call!(work, "delete", |store| backend.call_delete(store, volume, &keys))?;
        let failed = at_most("the list of failures", answer.map_err(|error| self.shared.said(error))?, 1)?;
        match failed.into_iter().next() {
            Some((_, error)) => Err(self.shared.said(error)),
            None => Ok(()),
        }
    }

    async fn begin_upload(&self, request: &WriteRequest) -> Result<Box<dyn Upload>, PortError> {
        let mut session = self.shared.session().await?;
        let request_out = backend::WriteRequest {
            key: request.key.clone(),
            size: None,
            upper_bound: request.upper_bound,
            needs_random: request.needs_random,
            if_absent: request.if_absent,
            extra: Vec::new(),
        };
        let uploads = session.bindings.imprint_storage_backend().upload();
        let begun =
            call!(session.work, "begin", |store| uploads.call_begin(store, session.volume, &request_out))?;
        let handle = begun.map_err(|error| self.shared.said(error))?;
        let token = call!(session.work, "token", |store| uploads.call_token(store, handle))?;
        let token = at_most("an upload's token", token, MAX_TOKEN)?;
        let target = call!(session.work, "target", |store| uploads.call_target(store, handle))?;
        let target = self.shared.target(target, &request.key, &token)?;
        let key = request.key.clone();
        // While the bytes go through other instances, this one would keep its place for nothing.
        let held = match target {
            WriteTarget::File(_) => Some(Held { session, handle }),
            WriteTarget::Guest(_) => None,
        };
        Ok(Box::new(ComponentUpload { shared: self.shared.clone(), held, key, token, target }))
    }

    async fn cleanup(&self, token: &[u8]) -> Result<(), PortError> {
        let Session { mut work, bindings, volume } = self.shared.session().await?;
        let backend = bindings.imprint_storage_backend();
        let answer = call!(work, "cleanup", |store| backend.call_cleanup(store, volume, token))?;
        answer.map_err(|error| self.shared.said(error))
    }
}

struct ComponentUpload {
    shared: Arc<Shared>,
    held: Option<Held>,
    key: String,
    token: Vec<u8>,
    target: WriteTarget,
}

/// An instance with an upload.
struct Held {
    session: Session,
    handle: ResourceAny,
}

impl ComponentUpload {
    /// An instance that has the upload. A trap took the last one, not the bytes: a fresh one goes
    /// on from the token.
    async fn held(&mut self) -> Result<&mut Held, PortError> {
        let held = match self.held.take() {
            Some(held) if !held.session.work.is_over() => held,
            Some(_) | None => {
                let mut session = self.shared.session().await?;
                let uploads = session.bindings.imprint_storage_backend().upload();
                let token = &self.token;
                let resumed =
                    call!(session.work, "resume", |store| uploads.call_resume(store, session.volume, token))?;
                Held { handle: resumed.map_err(|error| self.shared.said(error))?, session }
            }
        };
        Ok(self.held.insert(held))
    }
}

#[async_trait]
impl Upload for ComponentUpload {
    fn token(&self) -> &[u8] {
        &self.token
    }

    fn target(&self) -> &WriteTarget {
        &self.target
    }

    async fn commit(&mut self, total: u64, digests: &[(String, Vec<u8>)]) -> Result<Object, PortError> {
        let Held { session, handle } = self.held().await?;
        let digests: Vec<shapes::Digest> = digests
            .iter()
            .map(|(algorithm, value)| shapes::Digest { algorithm: algorithm.clone(), value: value.clone() })
            .collect();
        let uploads = session.bindings.imprint_storage_backend().upload();
        let answer =
            call!(session.work, "commit", |store| uploads.call_commit(store, *handle, total, &digests))?;
        let committed = same_key(object(answer.map_err(|error| self.shared.said(error))?)?, &self.key)?;
        if committed.size != total {
            let message = format!("{total} bytes were written, the storage has {}", committed.size);
            return Err(PortError::bad_answer("plugin.bad-answer.size", message));
        }
        Ok(committed)
    }

    async fn abort(&mut self) -> Result<(), PortError> {
        let Held { session, handle } = self.held().await?;
        let uploads = session.bindings.imprint_storage_backend().upload();
        let answer = call!(session.work, "abort", |store| uploads.call_abort(store, *handle))?;
        answer.map_err(|error| self.shared.said(error))
    }
}
