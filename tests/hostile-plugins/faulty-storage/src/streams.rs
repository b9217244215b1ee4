//! Reading and writing the files.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::StreamHost,
    storage::{Storage, StreamReader, StreamStorage, StreamWriter},
    types::Props,
};

use crate::{FaultyStorage, FaultyUpload, GRANT, fault::Fault, object_path};

/// Reads one object.
pub struct FaultyReader {
    path: String,
    size: u64,
    fault: Option<Fault>,
}

/// Writes one upload.
pub struct FaultyWriter {
    path: String,
    fault: Option<Fault>,
}

impl StreamStorage for FaultyStorage {
    type StreamHost = dyn StreamHost;
    type Reader = FaultyReader;
    type Writer = FaultyWriter;

    fn open_stream(host: &Self::StreamHost, settings: &Props) -> Result<Self> {
        Self::open(host, settings)
    }

    fn reader(&self, host: &Self::StreamHost, key: &str) -> Result<FaultyReader> {
        let object = self.find(host, key)?;
        Ok(FaultyReader { path: object_path(self.fault, key)?, size: object.size, fault: self.fault })
    }

    fn writer(&self, _host: &Self::StreamHost, token: &[u8]) -> Result<FaultyWriter> {
        Ok(FaultyWriter { path: FaultyUpload::parse(self.fault, token)?.temporary, fault: self.fault })
    }
}

impl StreamReader for FaultyReader {
    fn size(&self) -> u64 {
        // As when the object was opened before its file was cut.
        if self.fault == Some(Fault::Pads) { self.size.max(600_000) } else { self.size }
    }

    fn read(&mut self, host: &dyn StreamHost, offset: u64, length: u32) -> Result<Vec<u8>> {
        let from = if self.fault == Some(Fault::Shifted) { offset & !511 } else { offset };
        let mut bytes = host.read_at(GRANT, &self.path, from, length)?;
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes.len() < wanted && self.fault == Some(Fault::Pads) {
            bytes.resize(wanted, 0);
        }
        if bytes.len() < wanted {
            return Err(Error::corrupt("faulty.short", "the file ends before the object does"));
        }
        Ok(bytes)
    }
}

impl FaultyWriter {
    fn reported(&self, error: Error) -> Error {
        if error.class == ErrorClass::LimitExceeded && self.fault == Some(Fault::Vague) {
            return Error::transient("faulty.failed", "writing failed");
        }
        error
    }
}

impl StreamWriter for FaultyWriter {
    fn write(&mut self, host: &dyn StreamHost, offset: u64, bytes: &[u8]) -> Result<()> {
        host.write_at(GRANT, &self.path, offset, bytes).map_err(|error| self.reported(error))
    }

    fn finish(&mut self, host: &dyn StreamHost, size: u64) -> Result<()> {
        host.set_size(GRANT, &self.path, size).map_err(|error| self.reported(error))?;
        host.sync(GRANT, &self.path)
    }
}
