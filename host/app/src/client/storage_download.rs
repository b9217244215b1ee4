//! Downloading an object of an image storage into a file, again and again until all of it is there.
//!
//! Beside the file, `FILE.part` holds what has come so far, and `FILE.part.etag` the version of the
//! object that it is of. Only a whole object gets the name of the file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use imprint_api::dto::download::{StorageDownload, StorageDownloadCreate};
use reqwest::{Response, StatusCode, header};
use serde::Serialize;

use super::{
    api::Api, args::StorageDownloadArgs, failure::Failure, find, output::Output, output::size, retry::retry,
    table::Table,
};

/// The most attempts in a row that bring nothing new.
const MAX_IDLE: u32 = 5;

/// What was downloaded.
#[derive(Serialize)]
struct Downloaded {
    key: String,
    file: PathBuf,
    size_bytes: u64,
}

/// The file of a download that is not complete.
struct Partial {
    path: PathBuf,
    etag_path: PathBuf,
}

impl Partial {
    fn of(file: &Path) -> Self {
        let with = |end: &str| {
            let mut name = OsString::from(file.as_os_str());
            name.push(end);
            PathBuf::from(name)
        };
        Self { path: with(".part"), etag_path: with(".part.etag") }
    }

    /// Returns how much is there, and of which version; `None` where nothing can be continued.
    fn found(&self) -> Option<(u64, String)> {
        let length = fs::metadata(&self.path).ok()?.len();
        let etag = fs::read_to_string(&self.etag_path).ok()?;
        (length > 0 && !etag.is_empty()).then_some((length, etag))
    }

    /// Opens the file behind what is there, or empties it, for an answer.
    fn open(&self, from: u64, etag: &str) -> io::Result<File> {
        if from == 0 {
            // Before the bytes: they are never taken for those of another version.
            drop(File::create(&self.path)?);
            fs::write(&self.etag_path, etag)?;
        }
        OpenOptions::new().append(true).open(&self.path)
    }
}

/// Downloads an object.
///
/// # Errors
///
/// The server refuses it, or hands over nothing more after several attempts; the file cannot be
/// written. What has come stays for the next time.
pub(crate) async fn download(api: &Api, output: Output, args: &StorageDownloadArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let partial = Partial::of(&args.to);
    let mut idle = 0;
    let bytes = loop {
        let before = partial.found().map_or(0, |(length, _)| length);
        match attempt(api, &format!("/admin/image-storages/{id}/downloads"), &args.key, &partial).await {
            Ok(bytes) => break bytes,
            Err(failure) => {
                let progress = partial.found().map_or(0, |(length, _)| length) > before;
                idle = if progress { 0 } else { idle + 1 };
                if !matches!(failure, Failure::Unreachable { .. }) || idle >= MAX_IDLE {
                    return Err(failure);
                }
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    };
    let finished = File::open(&partial.path)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&partial.path, &args.to))
        .and_then(|()| fs::remove_file(&partial.etag_path));
    finished.map_err(|error| unwritable(&args.to, &error))?;
    let downloaded = Downloaded { key: args.key.clone(), file: args.to.clone(), size_bytes: bytes };
    output.print(&downloaded, || {
        Table::details([
            ("object", downloaded.key.clone()),
            ("file", downloaded.file.display().to_string()),
            ("size", size(Some(bytes))),
        ])
    })
}

/// Downloads what is missing, and returns the size of the object.
async fn attempt(api: &Api, links: &str, key: &str, partial: &Partial) -> Result<u64, Failure> {
    let body = StorageDownloadCreate { key: key.to_owned() };
    let link: StorageDownload =
        retry(async || api.once(api.request(reqwest::Method::POST, links).json(&body)).await).await?;
    let found = partial.found();
    let mut request = api.plain(&link.url).timeout(std::time::Duration::from_secs(24 * 3600));
    if let Some((length, etag)) = &found {
        request = request.header(header::RANGE, format!("bytes={length}-")).header(header::IF_RANGE, etag);
    }
    let mut response = request.send().await.map_err(|error| api.unreachable(error))?;
    let from = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT => found.map_or(0, |(length, _)| length),
        // Everything is there already: the last attempt ended before it gave the file its name.
        StatusCode::RANGE_NOT_SATISFIABLE if complete(&response) == found.as_ref().map(|found| found.0) => {
            return Ok(found.map_or(0, |found| found.0));
        }
        _ => return Err(api.refusal(response).await),
    };
    let total = complete(&response).or_else(|| response.content_length());
    let etag = response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut file = partial.open(from, etag).map_err(|error| unwritable(&partial.path, &error))?;
    let mut length = from;
    while let Some(piece) = response.chunk().await.map_err(|error| api.unreachable(error))? {
        file.write_all(&piece).map_err(|error| unwritable(&partial.path, &error))?;
        length += u64::try_from(piece.len()).unwrap_or(0);
    }
    match total {
        Some(total) if total != length => Err(Failure::Answer {
            server: api.server().to_owned(),
            detail: format!("{length} of {total} bytes came; try again"),
        }),
        Some(_) | None => Ok(length),
    }
}

/// Returns the size of the whole object, as an answer to a range says it.
fn complete(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be written: {error}; choose another file with --to", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_continued_only_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial::of(&folder.path().join("disk.raw"));
        assert_eq!(partial.found(), None);
        let mut file = partial.open(0, "\"one\"").unwrap();
        assert_eq!(partial.found(), None, "nothing has come");
        file.write_all(b"abc").unwrap();
        assert_eq!(partial.found(), Some((3, "\"one\"".to_owned())));
        partial.open(3, "\"one\"").unwrap().write_all(b"d").unwrap();
        assert_eq!(fs::read(folder.path().join("disk.raw.part")).unwrap(), b"abcd");
        // Another version begins at the start.
        partial.open(0, "\"two\"").unwrap().write_all(b"x").unwrap();
        assert_eq!(partial.found(), Some((1, "\"two\"".to_owned())));
    }
}
