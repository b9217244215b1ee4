//! What every instance of a storage is started with.

use std::sync::Arc;

use imprint_ports::{PortError, Props, SettingFinding};
use wasmtime::{Engine, component::ResourceAny};

use super::bounds::{bounded_list, props_to_plugin};
use crate::{
    bindings::{
        admin::AdministeredPre,
        host::imprint::types::{locators, types},
        storage::{StoragePlugin, StoragePluginPre, exports::imprint::storage::backend},
        stream::StreamingPre,
    },
    instance::{PluginInstance, call, log_bad_answer, port_error},
    net::NetContext,
    plugin::Plugin,
    state::{DirGrantMap, Grants, State},
    text::truncate,
};

/// The most findings of a check, and the longest name and message of one, in bytes.
const MAX_FINDINGS: usize = 64;
const MAX_KEY: usize = 64;
const MAX_MESSAGE: usize = 2000;

/// A storage's plugin with what the operator granted.
pub(super) struct StorageContext {
    pub(super) plugin: Arc<Plugin>,
    pub(super) backend: StoragePluginPre<State>,
    /// The streaming interface, where the plugin exports it.
    pub(super) stream: Option<StreamingPre<State>>,
    /// The check of its settings, where the plugin exports it.
    pub(super) admin: Option<AdministeredPre<State>>,
    pub(super) engine: Engine,
    pub(super) settings: Arc<Props>,
    /// What an instance finds in its configuration: the settings, and what the host adds.
    pub(super) config: Arc<Props>,
    pub(super) dirs: Arc<DirGrantMap>,
    pub(super) net: Arc<NetContext>,
}

/// A new instance with the storage open.
pub(super) struct Session {
    pub(super) instance: PluginInstance,
    pub(super) bindings: StoragePlugin,
    pub(super) volume: ResourceAny,
}

impl StorageContext {
    /// Starts an instance.
    pub(super) async fn start(&self) -> Result<PluginInstance, PortError> {
        let grants = Grants {
            settings: self.config.clone(),
            dirs: self.dirs.clone(),
            net: Some(self.net.clone()),
            ..Grants::default()
        };
        PluginInstance::start(&self.plugin, &self.engine, grants).await
    }

    /// Starts an instance and opens the storage in it.
    pub(super) async fn open(&self) -> Result<Session, PortError> {
        let mut instance = self.start().await?;
        let bindings = call!(instance, "start", |store| self.backend.instantiate_async(store))?;
        let settings = props_to_plugin(&self.settings);
        let volumes = bindings.imprint_storage_backend().volume();
        let opened = call!(instance, "open", |store| volumes.call_open(store, &settings))?;
        let volume = opened.map_err(|error| self.port_error(&error))?;
        Ok(Session { instance, bindings, volume })
    }

    /// Lets the plugin check its settings and itself, where it can; the storage is not opened.
    pub(super) async fn check_settings(&self) -> Result<Option<Vec<SettingFinding>>, PortError> {
        let Some(admin) = &self.admin else { return Ok(None) };
        let mut instance = self.start().await?;
        let bindings = call!(instance, "start", |store| admin.instantiate_async(store))?;
        let settings = props_to_plugin(&self.settings);
        let admin = bindings.imprint_plugin_admin();
        let found = call!(instance, "validate-config", |store| admin.call_validate_config(store, &settings))?;
        let found = self.record(bounded_list("the findings", found, MAX_FINDINGS))?;
        let findings = found.into_iter().map(|finding| SettingFinding {
            is_error: finding.severity != "warning",
            setting: truncate(&finding.key, MAX_KEY).to_owned(),
            message: truncate(&finding.message, MAX_MESSAGE).to_owned(),
        });
        let findings: Vec<_> = findings.collect();
        if !findings.iter().any(|finding| finding.is_error) {
            let tested = call!(instance, "self-test", |store| admin.call_self_test(store))?;
            tested.map_err(|error| self.port_error(&error))?;
        }
        Ok(Some(findings))
    }

    /// Returns the plugin's description of an object.
    pub(super) async fn stat(&self, key: &str) -> Result<backend::Object, PortError> {
        let Session { mut instance, bindings, volume } = self.open().await?;
        let volumes = bindings.imprint_storage_backend().volume();
        let answer = call!(instance, "stat", |store| volumes.call_stat(store, volume, key))?;
        answer.map_err(|error| self.port_error(&error))
    }

    /// Returns where the plugin says that an object is.
    pub(super) async fn locate(&self, key: &str) -> Result<locators::ReadLocator, PortError> {
        let Session { mut instance, bindings, volume } = self.open().await?;
        let volumes = bindings.imprint_storage_backend().volume();
        let answer = call!(instance, "open-read", |store| volumes.call_open_read(store, volume, key))?;
        answer.map_err(|error| self.port_error(&error))
    }

    /// Returns a plugin's own error for the caller.
    pub(super) fn port_error(&self, error: &types::Error) -> PortError {
        port_error(&self.plugin.context, error)
    }

    /// Passes on a checked answer, and logs one that breaks the contract.
    pub(super) fn record<T>(&self, checked: Result<T, PortError>) -> Result<T, PortError> {
        checked.inspect_err(|error| log_bad_answer(&self.plugin.context, error))
    }
}
