//! Objects that agents serve: who serves which, and the tokens for them.
//!
//! The key of an agent's tokens is derived from the current sealing key and the hypervisor's id, so
//! that nothing has to be stored. The row of the hypervisor says from which sealing key the agent
//! has got it; after a rotation the agent registers again and gets the new one.

use imprint_agent_protocol::{Fingerprint, ObjectGrant, ObjectKey, ObjectServer, ObjectSource, UploadGrant};
use imprint_domain::{
    Code, Error,
    id::{HypervisorId, ImageId, StorageId},
    secret::SecretText,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    hypervisor::{self, HypervisorRecord, ObjectServerRecord},
    image, storage,
};

use crate::{Service, db_result::DbResult};

/// The longest address of an agent, in bytes.
const MAX_ADDRESS: usize = 255;

impl Service {
    /// Returns the id of the sealing key that keys of agents are derived from now.
    pub(crate) fn object_key_id(&self) -> Option<String> {
        self.settings().secret_keys.current().map(|key| key.id.clone())
    }

    /// Returns the key of the tokens that an agent accepts, derived from that sealing key.
    pub(crate) fn object_key(&self, id: HypervisorId, sealing_key: &str) -> Option<ObjectKey> {
        let key = self.settings().secret_keys.get(sealing_key)?;
        Some(ObjectKey::derive(&key.bytes, &format!("imprint: objects of the hypervisor {id}")))
    }
}

/// Returns what is stored of the server that an agent announces.
pub(crate) fn stored(server: Option<ObjectServer>) -> Option<ObjectServerRecord> {
    let server = server.filter(|server| server.address.len() <= MAX_ADDRESS)?;
    let fingerprint = server.fingerprint.to_string();
    Some(ObjectServerRecord { address: server.address, fingerprint, internal: server.internal })
}

/// How an object can be read from another agent.
pub(crate) enum Serving {
    /// That agent serves it now.
    Online(Box<HypervisorRecord>),
    /// Agents serve it, and none of them is online.
    Offline,
    /// No agent serves it.
    NoAgent,
}

/// Who reads an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Another agent.
    Agent,
    /// The control plane, which also reaches the agent in its own process.
    ControlPlane,
}

/// Looks for an agent that serves the objects of a storage.
pub(crate) async fn serving(
    conn: &Conn<'_>,
    id: StorageId,
    reader: Reader,
    now: Timestamp,
) -> Result<Serving, Error> {
    let mut answer = Serving::NoAgent;
    for record in hypervisor::of_storage(conn, id).await.db()? {
        let reached = |server: &ObjectServerRecord| !server.internal || reader == Reader::ControlPlane;
        if !record.objects.as_ref().is_some_and(reached) || record.object_key_id.is_none() {
            continue;
        }
        if record.hypervisor.is_online(now) {
            return Ok(Serving::Online(Box::new(record)));
        }
        answer = Serving::Offline;
    }
    Ok(answer)
}

/// Returns where an agent serves an object, with a token for it.
///
/// # Errors
///
/// [`Code::Unavailable`] when the agent serves nothing, or the key of its tokens is not known any
/// more.
pub(crate) fn source(
    service: &Service,
    record: &HypervisorRecord,
    grant: &ObjectGrant,
) -> Result<ObjectSource, Error> {
    let (server, key) = server_and_key(service, record)?;
    Ok(ObjectSource { server, token: key.token(grant) })
}

/// Returns where an agent receives an upload, with a token for it.
///
/// # Errors
///
/// As [`source`].
pub(crate) fn upload_server(
    service: &Service,
    record: &HypervisorRecord,
    grant: &UploadGrant,
) -> Result<(ObjectServer, SecretText), Error> {
    let (server, key) = server_and_key(service, record)?;
    Ok((server, SecretText::new(key.upload_token(grant))))
}

fn server_and_key(service: &Service, record: &HypervisorRecord) -> Result<(ObjectServer, ObjectKey), Error> {
    let unavailable = || Error::new(Code::Unavailable, "the agent has to register again; try again soon");
    let server = record.objects.as_ref().ok_or_else(unavailable)?;
    let key_id = record.object_key_id.as_deref().ok_or_else(unavailable)?;
    let key = service.object_key(record.hypervisor.id, key_id).ok_or_else(unavailable)?;
    let fingerprint: Fingerprint = server.fingerprint.parse().map_err(Error::internal)?;
    let server = ObjectServer { address: server.address.clone(), fingerprint, internal: server.internal };
    Ok((server, key))
}

/// What a task reads of an image.
pub(crate) struct Wanted<'a> {
    pub(crate) image_id: ImageId,
    pub(crate) by: HypervisorId,
    /// The purpose of the token: the task's id.
    pub(crate) purpose: &'a str,
    /// The end of the token: the task's deadline.
    pub(crate) until: Timestamp,
}

/// Returns from which agent a hypervisor reads an image; `None` where the image's storage is bound
/// to it.
///
/// # Errors
///
/// [`Code::ImageNotReachable`] when no agent serves it; [`Code::HypervisorOffline`] when those that
/// do are offline.
pub(crate) async fn source_of_image(
    service: &Service,
    conn: &Conn<'_>,
    wanted: &Wanted<'_>,
    now: Timestamp,
) -> Result<Option<ObjectSource>, Error> {
    let record = image::get(conn, wanted.image_id).await.db()?.ok_or_else(|| Error::not_found("image"))?;
    let object = WantedObject {
        storage_id: record.image.storage_id,
        key: &record.image.storage_key,
        by: wanted.by,
        purpose: wanted.purpose,
        until: wanted.until,
    };
    source_of_object(service, conn, &object, now).await
}

/// An object that a task reads.
pub(crate) struct WantedObject<'a> {
    pub(crate) storage_id: StorageId,
    pub(crate) key: &'a str,
    pub(crate) by: HypervisorId,
    /// The purpose of the token: the task's id.
    pub(crate) purpose: &'a str,
    /// The end of the token: the task's deadline.
    pub(crate) until: Timestamp,
}

/// Returns from which agent a hypervisor reads an object, as [`source_of_image`] does.
pub(crate) async fn source_of_object(
    service: &Service,
    conn: &Conn<'_>,
    wanted: &WantedObject<'_>,
    now: Timestamp,
) -> Result<Option<ObjectSource>, Error> {
    let storage_id = wanted.storage_id;
    if storage::bound_hypervisors(conn, storage_id).await.db()?.contains(&wanted.by) {
        return Ok(None);
    }
    match serving(conn, storage_id, Reader::Agent, now).await? {
        Serving::Online(from) => {
            let grant = ObjectGrant {
                storage: storage_id,
                key: wanted.key.to_owned(),
                purpose: wanted.purpose.to_owned(),
                until: wanted.until,
                direct_s: None,
                file_name: None,
            };
            let served = source(service, &from, &grant).map(Some);
            served.map_err(|error| Error::new(Code::HypervisorOffline, error.detail))
        }
        Serving::Offline => Err(Error::new(
            Code::HypervisorOffline,
            "the agents that serve the image to this hypervisor are offline; start one of them",
        )),
        Serving::NoAgent => Err(not_reachable(NO_AGENT)),
    }
}

/// What to do where an image can be neither read nor copied.
pub(crate) const NO_AGENT: &str = "bind a storage to both this hypervisor and one that has the image, or start the agent of one \
     that has it with --object-listen; or choose another hypervisor";

/// Returns the refusal of a hypervisor that does not reach an image.
pub(crate) fn not_reachable(advice: &str) -> Error {
    Error::new(
        Code::ImageNotReachable,
        format!("the hypervisor is not bound to the image's storage: {advice}"),
    )
}
