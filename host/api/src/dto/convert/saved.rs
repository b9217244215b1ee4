//! Conversions of what accounts save for new instances.

use imprint_service as service;

use crate::dto::{ssh_key, user_script};

impl From<service::SshKeyView> for ssh_key::SshKey {
    fn from(view: service::SshKeyView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            kind: view.kind,
            fingerprint: view.fingerprint,
            public_key: view.public_key,
            created_at: view.created_at,
            version: view.version,
        }
    }
}

impl From<service::UserScriptView> for user_script::UserScript {
    fn from(view: service::UserScriptView) -> Self {
        Self {
            id: view.id,
            name: view.name.to_string(),
            size_bytes: view.size,
            created_at: view.created_at,
            changed_at: view.changed_at,
            version: view.version,
        }
    }
}
