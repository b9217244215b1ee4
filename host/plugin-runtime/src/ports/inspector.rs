//! Inspectors of disks over components.
//!
//! A forged file system may make a plugin trap or run into a limit. That costs what is in this file
//! system, and not the whole look: the plugin says which one it reads, and a new instance leaves
//! that one out. All instances of one look share its processor time.

mod convert;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use imprint_ports::{
    BlockSource, DiskInspector, Origin, PortError,
    findings::{DiskFindings, UnreadFinding},
};
use wasmtime::Engine;

use crate::{
    blob_cache::{BlobHandle, CachedSource},
    codes::Code,
    instance::{PluginInstance, call},
    plugin::{InspectorCode, Plugin, PluginCode},
    state::Grants,
};

/// The memory of an instance in bytes, whatever the manifest requests: disks may be hostile.
const MEMORY: u64 = 64 << 20;
/// The instances of one look: every one but the last may trap in one file system.
const ATTEMPTS: usize = 4;
/// An attempt may use this part of the processor time that is left, so that something is left for
/// the next one.
const SHARE: u32 = 2;
/// The reason of what was left out, in front of the failure's own text.
const LEFT_OUT: &str = "the plugin failed in it";

/// An inspector of a plugin.
pub(crate) struct ComponentInspector {
    plugin: Arc<Plugin>,
    code: InspectorCode,
    engine: Engine,
}

/// How an attempt failed, and where.
struct Failed {
    error: PortError,
    /// The offset of the file system that it was in.
    at: Option<u64>,
}

impl ComponentInspector {
    /// Returns the inspector of a plugin; `None` when it is of another kind.
    pub(crate) fn new(plugin: &Arc<Plugin>, engine: &Engine) -> Option<Self> {
        let PluginCode::Inspector(code) = &plugin.code else { return None };
        Some(Self { plugin: plugin.clone(), code: code.clone(), engine: engine.clone() })
    }

    fn version(&self) -> String {
        format!("{} {}", self.plugin.manifest.id, self.plugin.manifest.version)
    }

    /// Looks once, in a new instance, and takes what it used from `left`.
    async fn attempt(
        &self,
        disk: &Arc<CachedSource>,
        skip: &[u64],
        limit: Duration,
        left: &mut Duration,
    ) -> Result<DiskFindings, Failed> {
        let whole = |error| Failed { error, at: None };
        let code = self.code.get().await.map_err(whole)?;
        let mut instance =
            PluginInstance::start(&self.plugin, &self.engine, Grants::default()).await.map_err(whole)?;
        instance.store.data_mut().memory.lower_limit(MEMORY);
        instance.lower_cpu(limit);
        let bindings = call!(instance, "start", |store| code.instantiate_async(store)).map_err(whole)?;
        let blob = instance.store.data_mut().table.push(BlobHandle(disk.clone()));
        let blob = blob.map_err(|error| whole(Code::Handles.error(error)))?;
        let inspector = bindings.imprint_inspector_inspector();
        let answer = call!(instance, "inspect", |store| inspector.call_inspect(store, blob, skip));
        *left = left.saturating_sub(limit.saturating_sub(instance.cpu_left()));
        let found = answer.map_err(|error| Failed { error, at: instance.progress() })?;
        let found = found.map_err(|error| whole(instance.port_error(&error)))?;
        instance.count_from_plugin(convert::bytes_of(&found));
        let checked = convert::findings(found, self.version(), disk.size());
        instance.record(checked).map_err(whole)
    }
}

#[async_trait]
impl DiskInspector for ComponentInspector {
    fn name(&self) -> &str {
        &self.plugin.manifest.provides
    }

    async fn inspect(&self, disk: Arc<dyn BlockSource>) -> Result<DiskFindings, PortError> {
        let disk = Arc::new(CachedSource::new(disk));
        let mut left = self.plugin.context.limits.cpu_per_call;
        let mut left_out: Vec<UnreadFinding> = Vec::new();
        loop {
            let skip: Vec<u64> = left_out.iter().map(|unread| unread.offset).collect();
            let limit = left / SHARE;
            let Failed { error, at } = match self.attempt(&disk, &skip, limit, &mut left).await {
                Ok(mut findings) => {
                    name_left_out(&mut left_out, &findings);
                    findings.unread.append(&mut left_out);
                    return Ok(findings);
                }
                Err(failed) => failed,
            };
            let ended = matches!(error.origin, Origin::Trap | Origin::Timeout);
            match at {
                Some(offset) if ended && left_out.len() + 1 < ATTEMPTS && !skip.contains(&offset) => {
                    let reason = format!("{LEFT_OUT}: {}", error.message);
                    let what = "file-system".to_owned();
                    left_out.push(UnreadFinding { offset, what, code: error.code, reason });
                }
                Some(_) | None => return Err(error),
            }
        }
    }
}

/// Names what was left out by its kind, where the last look saw it.
fn name_left_out(left_out: &mut [UnreadFinding], findings: &DiskFindings) {
    for unread in left_out {
        if let Some(found) = findings.file_systems.iter().find(|found| found.offset == unread.offset) {
            unread.what.clone_from(&found.kind);
        }
    }
}
