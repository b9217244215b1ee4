//! Images over files and over bytes.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use imprint_plugin_sdk::{
    error::{Error, Result},
    format::Format,
    host::Blob,
    mock::MemBlob,
    types::{ByteRange, Props},
};

/// A file, read within the bounds that the host sets.
struct FileBlob(File);

impl Blob for FileBlob {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        assert!(length <= 1 << 20, "a read of {length} bytes");
        let length = u64::from(length).min(self.size().saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact_at(&mut bytes, offset).unwrap();
        Ok(bytes)
    }

    fn read_many(&self, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>> {
        assert!(ranges.len() <= 1024, "{} ranges", ranges.len());
        assert!(ranges.iter().map(|range| range.length).sum::<u64>() <= 1 << 20, "more than 1 MiB");
        ranges.iter().map(|range| self.read_at(range.offset, u32::try_from(range.length).unwrap())).collect()
    }

    fn prefetch(&self, _ranges: &[ByteRange]) {}
}

/// A file, as the host hands it to a plugin.
pub fn blob(path: &Path) -> Box<dyn Blob> {
    Box::new(FileBlob(File::open(path).unwrap()))
}

/// Opens the image in a file. The error is the plugin's.
pub fn open_file<F: Format>(path: &Path) -> Result<F::Image> {
    F::open(blob(path), &Props::new())
}

/// Opens an image in memory. The error is the plugin's.
pub fn open_bytes<F: Format>(bytes: &[u8]) -> Result<F::Image> {
    open_with::<F>(bytes, &Props::new())
}

/// Opens an image in memory, with options. The error is the plugin's.
pub fn open_with<F: Format>(bytes: &[u8], options: &Props) -> Result<F::Image> {
    F::open(Box::new(MemBlob::new(bytes)), options)
}

/// The code of a refusal, or `accepted`.
pub fn code<T>(result: std::result::Result<T, Error>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.code,
    }
}
