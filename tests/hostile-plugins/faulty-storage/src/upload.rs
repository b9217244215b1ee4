//! Uploads: a temporary file, and a rename.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Replace, StorageHost},
    storage::{Object, Upload, WriteRequest, WriteTarget},
    types::Digest,
};

use crate::{FaultyStorage, GRANT, UPLOADS, fault::Fault, name_of, object_path};

/// An upload in progress. Its token is its lines.
pub struct FaultyUpload {
    pub(crate) temporary: String,
    pub(crate) key: String,
    if_absent: bool,
    fault: Option<Fault>,
}

impl FaultyUpload {
    pub(crate) fn begin(
        storage: &FaultyStorage,
        host: &dyn StorageHost,
        request: &WriteRequest,
    ) -> Result<Self> {
        let fault = storage.fault;
        let object = object_path(fault, &request.key)?;
        if request.if_absent && fault != Some(Fault::Replaces) && host.stat(GRANT, &object).is_ok() {
            return Err(taken(&request.key));
        }
        let upload = |temporary: String| Self {
            temporary,
            key: request.key.clone(),
            if_absent: request.if_absent && fault != Some(Fault::Replaces),
            fault,
        };
        if fault == Some(Fault::Early) {
            return Ok(upload(object));
        }
        let (name, clock) = (name_of(fault, &request.key), host.monotonic_ms());
        if fault == Some(Fault::Shared) {
            return Ok(upload(format!("{UPLOADS}/shared")));
        }
        let short = &name[..name.len().min(64)];
        for attempt in 0..100 {
            let temporary = format!("{UPLOADS}/{short}-{clock:x}-{attempt}");
            match host.stat(GRANT, &temporary) {
                // A name that is reserved at once: the writer may begin much later.
                Err(error) if error.class == ErrorClass::NotFound => return Ok(upload(temporary)),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Err(Error::transient("faulty.busy", "too many uploads of one key"))
    }

    pub(crate) fn parse(fault: Option<Fault>, token: &[u8]) -> Result<Self> {
        let invalid = || Error::invalid_input("faulty.token", "this is no upload of this storage");
        let text = std::str::from_utf8(token).map_err(|_| invalid())?;
        let mut lines = text.split('\0');
        let (Some("faulty"), Some(temporary), Some(key), Some(absent), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(invalid());
        };
        object_path(fault, key)?;
        Ok(Self { temporary: temporary.to_owned(), key: key.to_owned(), if_absent: absent == "1", fault })
    }

    fn object(&self, size: u64) -> Object {
        Object {
            key: self.key.clone(),
            size,
            stored: None,
            modified_ms: None,
            etag: None,
            extra: imprint_plugin_sdk::types::Props::new(),
        }
    }

    fn publish(&self, host: &dyn StorageHost, total: u64) -> Result<Object> {
        let object = object_path(self.fault, &self.key)?;
        if self.fault == Some(Fault::Early) {
            return host.stat(GRANT, &object).map(|entry| self.object(entry.size));
        }
        let written = match host.stat(GRANT, &self.temporary) {
            Ok(written) => written,
            Err(error) if error.class == ErrorClass::NotFound && self.fault != Some(Fault::Forgets) => {
                // An earlier commit, of which the answer was lost.
                let entry = host.stat(GRANT, &object)?;
                return if entry.size == total {
                    Ok(self.object(total))
                } else {
                    Err(Error::conflict("faulty.lost", "the bytes of the upload are gone"))
                };
            }
            Err(error) => return Err(error),
        };
        if written.size != total && self.fault != Some(Fault::Trusting) {
            return Err(Error::corrupt("faulty.incomplete", "bytes are missing"));
        }
        if total == 0 && self.fault == Some(Fault::NoZero) {
            return Err(Error::unsupported("faulty.empty", "there are no empty objects"));
        }
        let replace = if self.if_absent { Replace::Refused } else { Replace::Allowed };
        host.publish(GRANT, &self.temporary, &object, replace).map_err(|error| {
            if error.class == ErrorClass::AlreadyExists { taken(&self.key) } else { error }
        })?;
        Ok(self.object(total))
    }
}

fn taken(key: &str) -> Error {
    Error::already_exists("faulty.exists", format!("there is an object {key:?} already"))
}

impl Upload for FaultyUpload {
    fn token(&self) -> Vec<u8> {
        let absent = if self.if_absent { "1" } else { "0" };
        ["faulty", &self.temporary, &self.key, absent].join("\0").into_bytes()
    }

    fn target(&self) -> WriteTarget {
        WriteTarget::GuestStream
    }

    fn commit(&mut self, host: &dyn StorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        self.publish(host, total)
    }

    fn abort(&mut self, host: &dyn StorageHost) -> Result<()> {
        if self.fault == Some(Fault::Keeps) {
            return Ok(());
        }
        host.remove_file(GRANT, &self.temporary)
    }
}
