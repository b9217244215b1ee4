//! A storage of files whose names are the keys in hexadecimal digits, which streams its bytes. It
//! is sound, but for the fault that its setting `fault` names.

mod fault;
mod streams;
mod upload;

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    export_streaming_storage,
    host::{DirEntry, Space, StorageHost},
    storage::{Features, Listing, Object, Storage, WriteRequest},
    types::{Props, ReadLocator},
};

pub use crate::{fault::Fault, streams::FaultyReader, streams::FaultyWriter, upload::FaultyUpload};

pub(crate) const GRANT: &str = "pool";
/// The folder of the objects.
const OBJECTS: &str = "objects";
/// The folder of the uploads.
pub(crate) const UPLOADS: &str = "uploads";
/// The longest key: its name has to fit into 255 bytes.
const MAX_KEY: usize = 127;

/// The storage.
pub struct FaultyStorage {
    pub(crate) fault: Option<Fault>,
}

/// Returns the file of an object.
pub(crate) fn object_path(fault: Option<Fault>, key: &str) -> Result<String> {
    // Keys are relative: the host refuses a listing with others.
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if key.len() > MAX_KEY || !key.split('/').all(plain) {
        return Err(Error::invalid_input(
            "faulty.key",
            format!("use relative keys of at most {MAX_KEY} bytes"),
        ));
    }
    Ok(format!("{OBJECTS}/{}", name_of(fault, key)))
}

pub(crate) fn name_of(fault: Option<Fault>, key: &str) -> String {
    if fault == Some(Fault::Flat) {
        return key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    }
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn key_of(name: &str) -> Option<String> {
    let byte = |at| u8::from_str_radix(name.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..name.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

fn object(key: &str, entry: &DirEntry) -> Object {
    Object {
        key: key.to_owned(),
        size: entry.size,
        stored: Some(entry.allocated),
        modified_ms: Some(entry.modified_ms),
        etag: None,
        extra: Props::new(),
    }
}

impl FaultyStorage {
    pub(crate) fn find(&self, host: &dyn StorageHost, key: &str) -> Result<Object> {
        match host.stat(GRANT, &object_path(self.fault, key)?) {
            Ok(entry) => Ok(object(key, &entry)),
            Err(error) if error.class == ErrorClass::NotFound || self.fault == Some(Fault::Hides) => {
                Err(Error::not_found("faulty.not-found", format!("there is no object {key:?}")))
            }
            Err(error) => Err(error),
        }
    }
}

impl Storage for FaultyStorage {
    type Host = dyn StorageHost;
    type Upload = FaultyUpload;

    fn open(host: &dyn StorageHost, settings: &Props) -> Result<Self> {
        for folder in [OBJECTS, UPLOADS] {
            host.create_directory(GRANT, folder)?;
        }
        let fault = settings.get("fault").map(|name| {
            Fault::named(name)
                .ok_or_else(|| Error::invalid_input("faulty.fault", format!("no fault {name:?}")))
        });
        Ok(Self { fault: fault.transpose()? })
    }

    fn features(&self, _host: &dyn StorageHost) -> Result<Features> {
        Ok(Features {
            random_read: true,
            random_write: false,
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
        self.find(host, key)
    }

    fn list(&self, host: &dyn StorageHost, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
        let limit = usize::try_from(max).unwrap_or(usize::MAX);
        let mut after = resume.map(|key| name_of(self.fault, key));
        let mut objects = Vec::new();
        let mut skip = usize::from(resume.is_some() && self.fault == Some(Fault::Gap));
        loop {
            let page = host.list(GRANT, OBJECTS, after.as_deref(), 1000)?;
            for entry in &page.entries {
                let Some(key) = key_of(&entry.name).filter(|key| key.starts_with(prefix)) else { continue };
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                objects.push(object(&key, entry));
                if objects.len() == limit {
                    return Ok(Listing { objects, prefixes: Vec::new(), resume: Some(key) });
                }
            }
            after = page.resume;
            if after.is_none() {
                return Ok(Listing { objects, prefixes: Vec::new(), resume: None });
            }
        }
    }

    fn open_read(&self, host: &dyn StorageHost, key: &str) -> Result<ReadLocator> {
        self.find(host, key).map(|_| ReadLocator::GuestStream)
    }

    fn delete(&self, host: &dyn StorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        let delete = |key: &String| {
            if self.fault == Some(Fault::Once) {
                self.find(host, key)?;
            }
            host.remove_file(GRANT, &object_path(self.fault, key)?)
        };
        Ok(keys.iter().filter_map(|key| Some((key.clone(), delete(key).err()?))).collect())
    }

    fn begin_upload(&self, host: &dyn StorageHost, request: &WriteRequest) -> Result<FaultyUpload> {
        FaultyUpload::begin(self, host, request)
    }

    fn resume_upload(&self, _host: &dyn StorageHost, token: &[u8]) -> Result<FaultyUpload> {
        FaultyUpload::parse(self.fault, token)
    }

    fn cleanup(&self, host: &dyn StorageHost, token: &[u8]) -> Result<()> {
        let upload = FaultyUpload::parse(self.fault, token)?;
        if self.fault == Some(Fault::DeletesCommitted) {
            host.remove_file(GRANT, &object_path(self.fault, &upload.key)?)?;
        }
        host.remove_file(GRANT, &upload.temporary)
    }
}

export_streaming_storage!(FaultyStorage);

#[cfg(test)]
mod tests;
