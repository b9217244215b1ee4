//! Downloads of objects by admins: a link for one object, for a few minutes, which any browser can
//! follow. Its bytes come from an agent that reaches the storage, or from the storage itself.

use chrono::TimeDelta;
use imprint_agent_protocol::{ObjectGrant, ObjectKey, ObjectSource, TokenError};
use imprint_domain::{
    Code, Error,
    id::{RequestId, StorageId},
    time::Timestamp,
};
use imprint_store::{Conn, hypervisor, storage};

use crate::{
    Op, Service,
    change::Change,
    db_result::DbResult,
    objects::{self, Reader, Serving},
};

/// The time in which a link can be followed, in seconds. A download that runs continues.
const LINK_S: i64 = 15 * 60;
/// The shortest time for which an address of the storage itself is valid, in seconds: it is longer
/// than the rest of a link that is about to end, so that the client can still follow it.
const DIRECT_S: i64 = 60;
/// The longest key in bytes.
const MAX_KEY: usize = 1024;

/// A link for an object.
#[derive(Clone, Debug)]
pub struct DownloadView {
    /// The token in the link.
    pub token: String,
    /// The time after which the link is refused.
    pub expires_at: Timestamp,
}

/// An object that a link leads to, and where its bytes are.
#[derive(Clone, Debug)]
pub struct DownloadSource {
    /// The storage of the object.
    pub storage_id: StorageId,
    /// The key of the object.
    pub key: String,
    /// The agent that serves it.
    pub source: ObjectSource,
    /// The id of the request that made the link.
    pub link: String,
}

/// Which way the bytes of a download may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadRoute {
    /// From the storage itself to the client, where the storage's settings say that clients reach
    /// it; else through the server.
    Any,
    /// Through the server.
    Server,
}

impl Service {
    /// Makes a link for an object of an image storage. Admins only; audited.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for an unknown storage;
    /// [`Code::InvalidRequest`] for a key that no object has; [`Code::HypervisorOffline`] and
    /// [`Code::ObjectsNotServed`] where no agent serves it; [`Code::Unavailable`] without a key to
    /// sign links with; an error of the database.
    pub async fn storage_download(
        &self,
        op: &Op,
        id: StorageId,
        key: &str,
        route: DownloadRoute,
    ) -> Result<DownloadView, Error> {
        op.require_admin()?;
        if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
            let detail = format!("the key of an object has 1 to {MAX_KEY} bytes, and no control characters");
            return Err(Error::new(Code::InvalidRequest, detail).at("/key"));
        }
        let change = Change::begin(self).await?;
        storage::get(&change.conn(), id).await.db()?.ok_or_else(|| Error::not_found("image storage"))?;
        server(&change.conn(), id, change.now).await?;
        let until = change.now + TimeDelta::seconds(LINK_S);
        // Audit rows of the link's uses name it by the request that made it.
        let purpose = op.request_id.to_string();
        let direct_s = match route {
            DownloadRoute::Any => u32::try_from(LINK_S).ok(),
            DownloadRoute::Server => None,
        };
        let grant =
            ObjectGrant { storage: id, key: key.to_owned(), purpose, until, direct_s, file_name: None };
        let token = self.link_keys().next().ok_or_else(no_key)?.token(&grant);
        change.audit(op, "storage.download", format!("{id}/{key}")).await?;
        change.commit().await?;
        Ok(DownloadView { token, expires_at: until })
    }

    /// Returns what a link leads to. Everybody who has the link may follow it.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] for a link that is not valid or has expired; [`Code::NotFound`] for a
    /// storage that is gone; [`Code::HypervisorOffline`] and [`Code::ObjectsNotServed`] where no
    /// agent serves it; an error of the database.
    pub async fn storage_download_source(&self, token: &str) -> Result<DownloadSource, Error> {
        let now = self.now();
        let mut refused = TokenError::Invalid;
        let grant = self.link_keys().find_map(|key| match key.open(token, now) {
            Ok(grant) => Some(grant),
            Err(error) => {
                if error == TokenError::Expired {
                    refused = error;
                }
                None
            }
        });
        let grant = grant.ok_or_else(|| {
            let why = match refused {
                TokenError::Invalid => "the link is not valid",
                TokenError::Expired => "the link has expired",
            };
            Error::new(Code::Forbidden, format!("{why}; make a new one"))
        })?;
        let conn = self.read();
        let record = storage::get(&conn, grant.storage).await.db()?;
        record.ok_or_else(|| Error::not_found("image storage"))?;
        let from = server(&conn, grant.storage, now).await?;
        let until = now + TimeDelta::seconds(LINK_S);
        let left = (grant.until - now).num_seconds().clamp(DIRECT_S, LINK_S);
        let direct_s = grant.direct_s.and_then(|_| u32::try_from(left).ok());
        let of_agent = ObjectGrant { until, direct_s, ..grant.clone() };
        let source = objects::source(self, &from, &of_agent)?;
        Ok(DownloadSource { storage_id: grant.storage, key: grant.key, source, link: grant.purpose })
    }

    /// Writes the audit row of a client that is sent to the storage itself: what it does with the
    /// address is not seen here. The row names the link by the request that made it, and never has
    /// the address.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn storage_download_redirected(
        &self,
        request_id: RequestId,
        source: &DownloadSource,
    ) -> Result<(), Error> {
        let change = Change::begin(self).await?;
        let resource = format!("{}/{}", source.storage_id, source.key);
        change.audit_link(request_id, &source.link, "storage.download.direct", resource).await?;
        change.commit().await
    }

    /// Returns where the bytes of an object are, for a reader of the API.
    ///
    /// # Errors
    ///
    /// [`Code::HypervisorOffline`] and [`Code::ObjectsNotServed`] where no agent serves it; an
    /// error of the database.
    pub(crate) async fn object_source(
        &self,
        storage_id: StorageId,
        key: &str,
        file_name: String,
        purpose: RequestId,
    ) -> Result<DownloadSource, Error> {
        let now = self.now();
        let from = server(&self.read(), storage_id, now).await?;
        let grant = ObjectGrant {
            storage: storage_id,
            key: key.to_owned(),
            purpose: purpose.to_string(),
            until: now + TimeDelta::seconds(LINK_S),
            direct_s: u32::try_from(LINK_S).ok(),
            file_name: Some(file_name),
        };
        let source = objects::source(self, &from, &grant)?;
        Ok(DownloadSource { storage_id, key: grant.key, source, link: grant.purpose })
    }

    /// Returns the keys that links are signed with, the current one first.
    fn link_keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.settings()
            .secret_keys
            .all()
            .iter()
            .map(|key| ObjectKey::derive(&key.bytes, "imprint: downloads"))
    }
}

fn no_key() -> Error {
    let detail =
        "the server has no key to sign links with; set `key_file` in `[secrets]` of its configuration";
    Error::new(Code::Unavailable, detail)
}

/// Returns an agent that serves the objects of a storage.
async fn server(
    conn: &Conn<'_>,
    id: StorageId,
    now: Timestamp,
) -> Result<Box<hypervisor::HypervisorRecord>, Error> {
    match objects::serving(conn, id, Reader::ControlPlane, now).await? {
        Serving::Online(record) => Ok(record),
        Serving::Offline => Err(Error::new(
            Code::HypervisorOffline,
            "the agents that serve this storage's objects are offline; start one of them",
        )),
        Serving::NoAgent => Err(Error::new(
            Code::ObjectsNotServed,
            "start the agent of a hypervisor that the storage is bound to with --object-listen",
        )),
    }
}
