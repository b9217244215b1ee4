//! A storage over a granted directory that misbehaves for certain keys.

use imprint_plugin_sdk::{
    error::{Error, Result},
    export_storage,
    host::{Replace, Space, StorageHost},
    storage::{Features, Listing, Object, Storage, Upload, WriteRequest, WriteTarget},
    types::{Digest, FileRef, Props, ReadLocator},
};

const GRANT: &str = "pool";

struct HostileStorage;

struct HostileUpload {
    key: String,
    token: Vec<u8>,
}

fn file(grant: &str, path: &str) -> FileRef {
    FileRef { grant: grant.to_owned(), path: path.to_owned() }
}

fn object(key: &str, size: u64) -> Object {
    Object { key: key.to_owned(), size, stored: None, modified_ms: None, etag: None, extra: Props::new() }
}

impl Storage for HostileStorage {
    type Host = dyn StorageHost;
    type Upload = HostileUpload;

    fn open(_host: &dyn StorageHost, _settings: &Props) -> Result<Self> {
        Ok(Self)
    }

    fn features(&self, _host: &dyn StorageHost) -> Result<Features> {
        Ok(Features {
            random_read: true,
            random_write: true,
            append: true,
            server_side_copy: false,
            atomic_replace: true,
            max_object: None,
            extra: Props::new(),
        })
    }

    fn space(&self, host: &dyn StorageHost) -> Result<Option<Space>> {
        host.space(GRANT).map(Some)
    }

    fn stat(&self, host: &dyn StorageHost, key: &str) -> Result<Object> {
        match key {
            "host-escape" => host.stat(GRANT, "../../etc/passwd").map(|entry| object(key, entry.size)),
            "host-absolute" => host.stat(GRANT, "/etc/passwd").map(|entry| object(key, entry.size)),
            "host-grant" => host.stat("not-granted", "x").map(|entry| object(key, entry.size)),
            "other-key" => Ok(object("something-else", 1)),
            _ => host.stat(GRANT, key).map(|entry| object(key, entry.size)),
        }
    }

    fn list(
        &self,
        _host: &dyn StorageHost,
        _prefix: &str,
        _resume: Option<&str>,
        max: u32,
    ) -> Result<Listing> {
        let objects = (0..=max).map(|n| object(&format!("{n:08}"), 1)).collect();
        Ok(Listing { objects, prefixes: Vec::new(), resume: None })
    }

    fn open_read(&self, _host: &dyn StorageHost, key: &str) -> Result<ReadLocator> {
        Ok(ReadLocator::File(match key {
            "escape" => file(GRANT, "../../etc/passwd"),
            "absolute" => file(GRANT, "/etc/passwd"),
            "grant" => file("not-granted", "x"),
            "link" => file(GRANT, "link"),
            _ => file(GRANT, key),
        }))
    }

    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        Ok(keys.iter().filter_map(|key| Some((key.clone(), host.remove_file(GRANT, key).err()?))).collect())
    }

    fn begin_upload(&self, _host: &dyn StorageHost, request: &WriteRequest) -> Result<HostileUpload> {
        let token = if request.key == "big-token" { vec![0; 5000] } else { request.key.clone().into_bytes() };
        Ok(HostileUpload { key: request.key.clone(), token })
    }

    fn resume_upload(&self, _host: &dyn StorageHost, token: &[u8]) -> Result<HostileUpload> {
        let key = String::from_utf8_lossy(token).into_owned();
        Ok(HostileUpload { key, token: token.to_vec() })
    }

    fn cleanup(&self, host: &dyn StorageHost, token: &[u8]) -> Result<()> {
        host.remove_file(GRANT, &format!("{}.part", String::from_utf8_lossy(token)))
    }
}

impl Upload for HostileUpload {
    fn token(&self) -> Vec<u8> {
        self.token.clone()
    }

    fn target(&self) -> WriteTarget {
        WriteTarget::File(match self.key.as_str() {
            "escape" => file(GRANT, "../escaped"),
            key => file(GRANT, &format!("{key}.part")),
        })
    }

    fn commit(&mut self, host: &dyn StorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        host.publish(GRANT, &format!("{}.part", self.key), &self.key, Replace::Refused)?;
        Ok(object(&self.key, total))
    }

    fn abort(&mut self, host: &dyn StorageHost) -> Result<()> {
        host.remove_file(GRANT, &format!("{}.part", self.key))
    }
}

export_storage!(HostileStorage);
