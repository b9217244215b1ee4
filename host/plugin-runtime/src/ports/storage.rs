//! Image storages over components.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use cap_std::fs::Dir;
use imprint_ports::{
    Listing, LocalFile, Object, PortError, Props, ReadLocator, Secrets, SettingFinding, Space,
    StorageBackend, StorageMarker, Upload, WriteRequest, WriteTarget,
};
use wasmtime::Engine;

use super::{
    bounds::{bounded_list, bounded_text, to_usize},
    http_object::HttpLocator,
    objects::{MAX_KEY, object, same_key},
    parts::PartsUpload,
    storage_context::{Session, StorageContext},
    stream::{Stream, StreamTarget},
    upload::{ComponentUpload, OpenUpload, UploadSession},
};
use crate::{
    bindings::{host::imprint::types::locators, storage::exports::imprint::storage::backend},
    codes::Code,
    instance::call,
    manifest::Access,
    net::NetContext,
    paths::check_relative,
    plugin::{Plugin, PluginCode},
    state::{DirGrant, DirGrantMap},
    text::truncate,
};

/// The longest token, in bytes.
const MAX_TOKEN: usize = 4 << 10;

/// What an operator grants to a storage.
#[derive(Clone, Debug, Default)]
pub struct StorageGrants {
    /// The settings, with which the plugin opens the storage.
    pub settings: Props,
    /// The secrets by the names of the plugin's schema. The plugin never gets them: the host signs
    /// with them.
    pub secrets: Secrets,
    /// The directories by the ids of the plugin's manifest.
    pub dirs: BTreeMap<String, Arc<Dir>>,
    /// The marker by which the plugin recognises the storage; `None` where it needs none.
    pub marker: Option<StorageMarker>,
}

/// The keys of a plugin's configuration: the name of the marker, and whether it is required.
const MARKER: &str = "imprint.marker";
const MARKER_REQUIRED: &str = "imprint.marker-required";

/// Returns what a plugin finds in its configuration: the settings, and what the host adds.
fn config(settings: &Props, marker: Option<StorageMarker>) -> Props {
    let mut config = settings.clone();
    if let Some(StorageMarker { name, is_required }) = marker {
        config.insert(MARKER.to_owned(), name);
        config.insert(MARKER_REQUIRED.to_owned(), is_required.to_string());
    }
    config
}

/// A storage of a plugin.
pub(crate) struct ComponentStorage {
    context: Arc<StorageContext>,
}

impl ComponentStorage {
    pub(crate) fn new(
        plugin: &Arc<Plugin>,
        engine: &Engine,
        grants: StorageGrants,
    ) -> Result<Self, PortError> {
        let PluginCode::Storage(code) = &plugin.code else {
            let message = format!("plugin {} is not a storage", plugin.manifest.id);
            return Err(Code::Kind.error(message));
        };
        let mut dirs = DirGrantMap::new();
        for requested in plugin.manifest.dirs.iter().filter(|dir| dir.is_needed(&grants.settings)) {
            let Some(dir) = grants.dirs.get(&requested.id) else {
                let message = format!(
                    "plugin {} needs the directory {:?} ({}); name one in the storage's settings",
                    plugin.manifest.id, requested.id, requested.purpose
                );
                return Err(Code::GrantMissing.error(message));
            };
            dirs.insert(requested.id.clone(), DirGrant { dir: dir.clone(), access: requested.access });
        }
        let net = NetContext::new(&plugin.manifest, &grants.settings, &grants.secrets)
            .map_err(|error| error.for_host())?;
        let context = StorageContext {
            net: Arc::new(net),
            plugin: plugin.clone(),
            backend: code.backend.clone(),
            stream: code.stream.clone(),
            admin: code.admin.clone(),
            engine: engine.clone(),
            config: Arc::new(config(&grants.settings, grants.marker)),
            settings: Arc::new(grants.settings),
            dirs: Arc::new(dirs),
        };
        Ok(Self { context: Arc::new(context) })
    }

    /// Lets the plugin check its settings without opening the storage.
    pub(crate) async fn check_settings(&self) -> Result<Option<Vec<SettingFinding>>, PortError> {
        self.context.check_settings().await
    }

    /// Opens the storage once, to check its settings.
    pub(crate) async fn check(&self) -> Result<(), PortError> {
        self.context.open().await.map(drop)
    }

    /// Returns an upload that is open in an instance.
    async fn upload(
        &self,
        mut open: UploadSession,
        key: &str,
        token: Vec<u8>,
    ) -> Result<Box<dyn Upload>, PortError> {
        let UploadSession { session, handle } = &mut open;
        let uploads = session.bindings.imprint_storage_backend().upload();
        let target = call!(session.instance, "target", |store| uploads.call_target(store, *handle))?;
        // While other instances move the bytes, this one would occupy a permit needlessly.
        let streams = matches!(target, backend::WriteTarget::GuestStream);
        let open = (!streams).then_some(open);
        let open = Arc::new(OpenUpload::new(self.context.clone(), key.to_owned(), token, open));
        let target = self.context.record(self.context.target(target, &open))?;
        Ok(Box::new(ComponentUpload { open, target }))
    }
}

impl StorageContext {
    /// Returns a stream: bytes that only the plugin can move.
    fn stream(self: &Arc<Self>, target: StreamTarget) -> Result<Arc<Stream>, PortError> {
        match self.stream {
            Some(_) => Ok(Arc::new(Stream::new(self.clone(), target))),
            None => {
                let message = format!(
                    "plugin {} answers guest-stream and does not export imprint:storage/stream-io; install a \
                     version of it that does",
                    self.plugin.manifest.id
                );
                Err(Code::BadStream.error(message))
            }
        }
    }

    /// Resolves a file reference below the plugin's own grants: it can open nothing else.
    fn file(&self, file: locators::FileRef, access: Access) -> Result<LocalFile, PortError> {
        let Some(grant) = self.dirs.get(&file.grant) else {
            let message = format!(
                "plugin {} names directory {:?}, which it was not granted",
                self.plugin.manifest.id,
                truncate(&file.grant, 100)
            );
            return Err(Code::BadGrant.error(message));
        };
        if access == Access::ReadWrite && grant.access == Access::ReadOnly {
            let message = format!(
                "plugin {} wants to write to {}, which it may only read",
                self.plugin.manifest.id, file.grant
            );
            return Err(Code::BadGrant.error(message));
        }
        check_relative(&file.path).map_err(|error| {
            let message = format!(
                "plugin {} answered with a path outside of its grant: {error}",
                self.plugin.manifest.id
            );
            Code::BadPath.error(message)
        })?;
        Ok(LocalFile { dir: grant.dir.clone(), path: file.path })
    }

    /// Checks the locator of an object.
    fn read_locator(
        self: &Arc<Self>,
        locator: locators::ReadLocator,
        key: &str,
    ) -> Result<ReadLocator, PortError> {
        match locator {
            locators::ReadLocator::File(file) => Ok(ReadLocator::File(self.file(file, Access::ReadOnly)?)),
            locators::ReadLocator::GuestStream => {
                Ok(ReadLocator::Remote(self.stream(StreamTarget::Object { key: key.to_owned() })?))
            }
            locators::ReadLocator::Http(source) => {
                Ok(ReadLocator::Remote(Arc::new(HttpLocator::new(self.clone(), key, source)?)))
            }
            locators::ReadLocator::Nbd(_) | locators::ReadLocator::Other(_) => {
                Err(unsupported(&self.plugin, "read locators other than files, HTTP and streams"))
            }
        }
    }

    /// Checks the target of an upload.
    fn target(
        self: &Arc<Self>,
        target: backend::WriteTarget,
        upload: &Arc<OpenUpload>,
    ) -> Result<WriteTarget, PortError> {
        match target {
            backend::WriteTarget::File(file) => Ok(WriteTarget::File(self.file(file, Access::ReadWrite)?)),
            backend::WriteTarget::GuestStream => {
                let target = StreamTarget::Upload { key: upload.key.clone(), token: upload.token.clone() };
                Ok(WriteTarget::Remote(self.stream(target)?))
            }
            backend::WriteTarget::Multipart(parts) => {
                Ok(WriteTarget::Remote(Arc::new(PartsUpload::new(upload.clone(), &parts)?)))
            }
            backend::WriteTarget::Nbd(_) | backend::WriteTarget::Other(_) => {
                Err(unsupported(&self.plugin, "write targets other than files, parts and streams"))
            }
        }
    }
}

fn unsupported(plugin: &Plugin, what: &str) -> PortError {
    let message =
        format!("plugin {} answers with {what}, which this host does not support yet", plugin.manifest.id);
    Code::Unsupported.error(message)
}

/// Checks a page of a listing: its keys have the prefix and ascend after `resume`.
fn listing(
    found: backend::Listing,
    prefix: &str,
    resume: Option<&str>,
    max: u32,
) -> Result<Listing, PortError> {
    let objects = bounded_list("the listing", found.objects, to_usize(max))?;
    let objects = objects.into_iter().map(object).collect::<Result<Vec<_>, _>>()?;
    let mut last = resume;
    for object in &objects {
        if !object.key.starts_with(prefix) || last.is_some_and(|last| object.key.as_str() <= last) {
            let message = format!("key {:?} is not in order or lacks the prefix {prefix:?}", object.key);
            return Err(Code::BadListing.error(message));
        }
        last = Some(&object.key);
    }
    let next = found.resume.map(|text| bounded_text("a resume key", text, MAX_KEY)).transpose()?;
    if next.as_deref().is_some_and(|next| resume.is_some_and(|resume| next <= resume)) {
        return Err(Code::BadListing.error("the listing makes no progress"));
    }
    Ok(Listing { objects, resume: next })
}

#[async_trait]
impl StorageBackend for ComponentStorage {
    async fn space(&self) -> Result<Option<Space>, PortError> {
        let Session { mut instance, bindings, volume } = self.context.open().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let answer = call!(instance, "space", |store| backend.call_space(store, volume))?;
        let space = answer.map_err(|error| self.context.port_error(&error))?;
        Ok(space.map(|space| Space { total: space.total, available: space.available.min(space.total) }))
    }

    async fn stat(&self, key: &str) -> Result<Object, PortError> {
        let found = self.context.stat(key).await?;
        self.context.record(object(found).and_then(|object| same_key(object, key)))
    }

    async fn list(&self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing, PortError> {
        let Session { mut instance, bindings, volume } = self.context.open().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let answer = call!(instance, "list", |store| backend.call_list(store, volume, prefix, resume, max))?;
        let found = answer.map_err(|error| self.context.port_error(&error))?;
        self.context.record(listing(found, prefix, resume, max))
    }

    async fn open_read(&self, key: &str) -> Result<ReadLocator, PortError> {
        let locator = self.context.locate(key).await?;
        self.context.record(self.context.read_locator(locator, key))
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        let Session { mut instance, bindings, volume } = self.context.open().await?;
        let backend = bindings.imprint_storage_backend().volume();
        let keys = [key.to_owned()];
        let answer = call!(instance, "delete", |store| backend.call_delete(store, volume, &keys))?;
        let failed = bounded_list(
            "the list of failures",
            answer.map_err(|error| self.context.port_error(&error))?,
            1,
        )?;
        match failed.into_iter().next() {
            Some((_, error)) => Err(self.context.port_error(&error)),
            None => Ok(()),
        }
    }

    async fn begin_upload(&self, request: &WriteRequest) -> Result<Box<dyn Upload>, PortError> {
        let mut session = self.context.open().await?;
        let to_plugin = backend::WriteRequest {
            key: request.key.clone(),
            size: None,
            upper_bound: request.upper_bound,
            needs_random: request.needs_random,
            if_absent: request.if_absent,
            extra: Vec::new(),
        };
        let uploads = session.bindings.imprint_storage_backend().upload();
        let started =
            call!(session.instance, "begin", |store| uploads.call_begin(store, session.volume, &to_plugin))?;
        let handle = started.map_err(|error| self.context.port_error(&error))?;
        let token = call!(session.instance, "token", |store| uploads.call_token(store, handle))?;
        let token = self.context.record(bounded_list("an upload's token", token, MAX_TOKEN))?;
        self.upload(UploadSession { session, handle }, &request.key, token).await
    }

    async fn resume_upload(&self, key: &str, token: &[u8]) -> Result<Box<dyn Upload>, PortError> {
        let resumed = UploadSession::resume(&self.context, token).await?;
        self.upload(resumed, key, token.to_vec()).await
    }

    async fn cleanup(&self, token: &[u8]) -> Result<(), PortError> {
        let Session { mut instance, bindings, volume } = self.context.open().await?;
        let backend = bindings.imprint_storage_backend();
        let answer = call!(instance, "cleanup", |store| backend.call_cleanup(store, volume, token))?;
        answer.map_err(|error| self.context.port_error(&error))
    }
}
