//! Uploads: the plugin plans and commits, the host moves the bytes in between.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use imprint_ports::{Object, PortError, Upload, WriteTarget};
use wasmtime::component::ResourceAny;

use super::{
    objects::committed_object,
    storage_context::{Session, StorageContext},
};
use crate::{
    bindings::{host::imprint::types::types, storage::exports::imprint::storage::backend},
    instance::call,
    sync,
};

/// The answers to parts that are passed in one call.
const RESULTS: usize = 1000;

/// The answers to parts, by their numbers.
pub(super) type PartResults = BTreeMap<u32, backend::PartResult>;

/// An instance with an open upload.
pub(super) struct UploadSession {
    pub(super) session: Session,
    pub(super) handle: ResourceAny,
}

impl UploadSession {
    /// Continues an upload from its token, in a new instance.
    pub(super) async fn resume(context: &StorageContext, token: &[u8]) -> Result<Self, PortError> {
        let mut session = context.open().await?;
        let uploads = session.bindings.imprint_storage_backend().upload();
        let resumed =
            call!(session.instance, "resume", |store| uploads.call_resume(store, session.volume, token))?;
        Ok(Self { handle: resumed.map_err(|error| context.port_error(&error))?, session })
    }
}

/// An upload as its plugin knows it. What moves parts and what commits share it.
pub(super) struct OpenUpload {
    pub(super) context: Arc<StorageContext>,
    pub(super) key: String,
    pub(super) token: Vec<u8>,
    session: tokio::sync::Mutex<Option<UploadSession>>,
    pub(super) results: Mutex<PartResults>,
}

impl OpenUpload {
    pub(super) fn new(
        context: Arc<StorageContext>,
        key: String,
        token: Vec<u8>,
        session: Option<UploadSession>,
    ) -> Self {
        let session = tokio::sync::Mutex::new(session);
        Self { context, key, token, session, results: Mutex::default() }
    }

    /// Calls the plugin in an instance with the upload. After a trap the bytes are still there: a
    /// new instance continues from the token.
    pub(super) async fn with_session<T>(
        &self,
        operation: impl AsyncFnOnce(&mut UploadSession) -> Result<T, PortError>,
    ) -> Result<T, PortError> {
        let mut slot = self.session.lock().await;
        let mut open = match slot.take() {
            Some(open) if !open.session.instance.is_closed() => open,
            Some(_) | None => UploadSession::resume(&self.context, &self.token).await?,
        };
        let outcome = operation(&mut open).await;
        *slot = Some(open);
        outcome
    }

    /// Passes answers to parts to the plugin.
    pub(super) async fn completed(&self, results: &[backend::PartResult]) -> Result<(), PortError> {
        self.with_session(async |open| completed(&self.context, open, results).await).await
    }
}

async fn completed(
    context: &StorageContext,
    open: &mut UploadSession,
    results: &[backend::PartResult],
) -> Result<(), PortError> {
    let UploadSession { session, handle } = open;
    let uploads = session.bindings.imprint_storage_backend().upload();
    let answer =
        call!(session.instance, "completed", |store| uploads.call_completed(store, *handle, results))?;
    answer.map_err(|error| context.port_error(&error))
}

/// An upload of a plugin's storage.
pub(super) struct ComponentUpload {
    pub(super) open: Arc<OpenUpload>,
    pub(super) target: WriteTarget,
}

#[async_trait]
impl Upload for ComponentUpload {
    fn token(&self) -> &[u8] {
        &self.open.token
    }

    fn target(&self) -> &WriteTarget {
        &self.target
    }

    async fn commit(&mut self, total: u64, digests: &[(String, Vec<u8>)]) -> Result<Object, PortError> {
        let digests: Vec<types::Digest> = digests
            .iter()
            .map(|(algorithm, value)| types::Digest { algorithm: algorithm.clone(), value: value.clone() })
            .collect();
        let context = &self.open.context;
        let results: Vec<_> = sync::lock(&self.open.results).values().cloned().collect();
        let committed = self.open.with_session(async |open| {
            // In the instance that commits: after a trap, another one knows nothing of them.
            for page in results.chunks(RESULTS) {
                completed(context, open, page).await?;
            }
            let UploadSession { session, handle } = open;
            let uploads = session.bindings.imprint_storage_backend().upload();
            let answer = call!(session.instance, "commit", |store| uploads
                .call_commit(store, *handle, total, &digests))?;
            answer.map_err(|error| context.port_error(&error))
        });
        let committed = committed.await?;
        context.record(committed_object(committed, &self.open.key, total))
    }

    async fn abort(&mut self) -> Result<(), PortError> {
        let context = &self.open.context;
        let aborted = self.open.with_session(async |open| {
            let UploadSession { session, handle } = open;
            let uploads = session.bindings.imprint_storage_backend().upload();
            let answer = call!(session.instance, "abort", |store| uploads.call_abort(store, *handle))?;
            answer.map_err(|error| context.port_error(&error))
        });
        aborted.await
    }
}
