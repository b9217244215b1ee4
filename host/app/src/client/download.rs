//! Downloading into a file, again and again until all of it is there.
//!
//! Beside the file, `FILE.part` holds what has come so far, and `FILE.part.etag` the version of the
//! object that it is of. Only a whole object gets the name of the file. What is all zeroes takes no
//! room.
//!
//! The bytes come through the server, or from the storage itself where the server redirects there.

mod storage_client;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use imprint_api::dto::download::{StorageDownload, StorageDownloadCreate};
use imprint_data_path::is_zero;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{
    Method, Response, StatusCode,
    header::{self, HeaderMap},
};

use self::storage_client::{StorageAnswer, StorageClient};
use super::{api::Api, failure::Failure, retry::retry};

/// The most attempts in a row that bring nothing new.
const MAX_IDLE: u32 = 5;

/// The blocks that take no room where they are all zeroes, in bytes.
const BLOCK: usize = 64 << 10;
const BLOCK_BYTES: u64 = 64 << 10;
/// The longest time that one answer may take.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// The progress bar.
const BAR: &str = "{spinner} downloading [{bar:32}] {percent:>3} %  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}";

/// The bytes that are there already, and the entity tag of the version that they are of.
type Found = (u64, String);

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
    fn found(&self) -> Option<Found> {
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
        OpenOptions::new().write(true).open(&self.path)
    }
}

/// Writes bytes at an offset, and leaves out blocks of zeroes.
fn write_sparse(file: &File, bytes: &[u8], offset: u64) -> io::Result<u64> {
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        // Up to the next border, so that blocks of zeroes are left out wherever pieces begin.
        let within = usize::try_from(at % BLOCK_BYTES).map_err(io::Error::other)?;
        let (block, after) = rest.split_at(rest.len().min(BLOCK - within));
        if !is_zero(block) {
            file.write_all_at(block, at)?;
        }
        at += u64::try_from(block.len()).map_err(io::Error::other)?;
        rest = after;
    }
    file.set_len(at)?;
    Ok(at)
}

/// Downloads a file, and returns its size in bytes.
///
/// # Errors
///
/// The server refuses it, or hands over nothing more after several attempts; the file cannot be
/// written. What has come stays for the next time.
pub(crate) async fn download(
    api: &Api,
    remote: Remote,
    file: &Path,
    ca_file: Option<&Path>,
) -> Result<u64, Failure> {
    let partial = Partial::of(file);
    let source = Source { api, remote, storage: StorageClient::new(ca_file)?, bar: bar() };
    let mut idle = 0;
    let bytes = loop {
        let before = partial.found().map_or(0, |(length, _)| length);
        match source.attempt(&partial).await {
            Ok(bytes) => break bytes,
            Err(failure) => {
                let progress = partial.found().map_or(0, |(length, _)| length) > before;
                idle = if progress { 0 } else { idle + 1 };
                let may_pass = matches!(failure, Failure::Unreachable { .. } | Failure::Storage { .. });
                if !may_pass || idle >= MAX_IDLE {
                    return Err(failure);
                }
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    };
    source.bar.finish_and_clear();
    let finished = File::open(&partial.path)
        .and_then(|written| written.sync_all())
        .and_then(|()| fs::rename(&partial.path, file))
        .and_then(|()| fs::remove_file(&partial.etag_path));
    finished.map_err(|error| unwritable(file, &error))?;
    Ok(bytes)
}

/// The progress bar. It draws nothing where standard error is not a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(BAR).expect("a test parses the template");
    bar.set_style(style.progress_chars("=> "));
    bar
}

/// What is downloaded.
pub(crate) enum Remote {
    /// An object of an image storage, by links that are made at this path.
    Object {
        /// The path.
        links: String,
        /// The request for a link.
        create: StorageDownloadCreate,
    },
    /// What the server answers with at this path.
    Content(String),
}

/// How the bytes are asked for.
struct Source<'a> {
    api: &'a Api,
    remote: Remote,
    storage: StorageClient,
    bar: ProgressBar,
}

/// An answer with bytes.
enum Answer {
    Server(Response),
    Storage(StorageAnswer),
}

impl Source<'_> {
    /// Asks for the bytes, by a new link where there are links: a link, and what it redirects to,
    /// are valid for a few minutes. With `found`, what is there already is left out if the object
    /// is still that version.
    async fn ask(&self, found: Option<&Found>) -> Result<Answer, Failure> {
        let api = self.api;
        let mut request = match &self.remote {
            Remote::Object { links, create } => {
                let request = async || api.once(api.request(Method::POST, links).json(create)).await;
                let link: StorageDownload = retry(request).await?;
                api.plain(&link.url)
            }
            Remote::Content(path) => api.request(Method::GET, path),
        };
        let fields: Vec<_> = match found {
            Some((length, etag)) => {
                vec![(header::RANGE, format!("bytes={length}-")), (header::IF_RANGE, etag.clone())]
            }
            None => Vec::new(),
        };
        request = request.timeout(ANSWER_TIMEOUT);
        for (name, value) in &fields {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| api.unreachable(error))?;
        if response.status() != StatusCode::TEMPORARY_REDIRECT {
            return Ok(Answer::Server(response));
        }
        let address = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        Ok(Answer::Storage(self.storage.get(address.unwrap_or_default(), &fields).await?))
    }

    /// Downloads what is missing, and returns the size of the object.
    async fn attempt(&self, partial: &Partial) -> Result<u64, Failure> {
        let mut found = partial.found();
        loop {
            let answer = self.ask(found.as_ref()).await?;
            let from = match (answer.status(), &found) {
                (StatusCode::OK, _) => 0,
                (StatusCode::PARTIAL_CONTENT, Some((length, etag))) if answer.is_of(etag) => *length,
                // Everything is there already: the last attempt ended before it gave the file its
                // name.
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(whole)) if self.is_whole(&answer, whole).await? => {
                    return Ok(whole.0);
                }
                // Not every storage heeds `If-Range`: what is there is of another version.
                (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                    found = None;
                    continue;
                }
                _ => return Err(answer.refusal(self.api).await),
            };
            return self.receive(answer, from, partial).await;
        }
    }

    /// Returns whether what is there is all of the object, of which no more can be had.
    async fn is_whole(&self, refused: &Answer, found: &Found) -> Result<bool, Failure> {
        let (length, etag) = found;
        if let Some(size) = complete(refused.headers()) {
            return Ok(size == *length);
        }
        // Not every storage says the size when it refuses. It does with the last byte.
        let last = self.ask(Some(&(length - 1, etag.clone()))).await?;
        let is_part = last.status() == StatusCode::PARTIAL_CONTENT && last.is_of(etag);
        Ok(is_part && complete(last.headers()) == Some(*length))
    }

    /// Writes the bytes of an answer behind the first `from` bytes, and returns how many there are.
    async fn receive(&self, mut answer: Answer, from: u64, partial: &Partial) -> Result<u64, Failure> {
        let length = field(answer.headers(), &header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let total: Option<u64> = complete(answer.headers()).or(length);
        let etag = field(answer.headers(), &header::ETAG).unwrap_or_default().to_owned();
        let file = partial.open(from, &etag).map_err(|error| unwritable(&partial.path, &error))?;
        let mut length = from;
        self.bar.set_length(total.unwrap_or(0));
        while let Some(piece) = answer.chunk(self.api).await? {
            length =
                write_sparse(&file, &piece, length).map_err(|error| unwritable(&partial.path, &error))?;
            self.bar.set_position(length);
        }
        match total {
            Some(total) if total != length => {
                Err(answer.cut_short(self.api, format!("{length} of {total} bytes came; try again")))
            }
            Some(_) | None => Ok(length),
        }
    }
}

impl Answer {
    fn status(&self) -> StatusCode {
        match self {
            Self::Server(response) => response.status(),
            Self::Storage(answer) => answer.status,
        }
    }

    fn headers(&self) -> &HeaderMap {
        match self {
            Self::Server(response) => response.headers(),
            Self::Storage(answer) => &answer.headers,
        }
    }

    /// Returns whether the answer is of that version of the object.
    fn is_of(&self, etag: &str) -> bool {
        field(self.headers(), &header::ETAG) == Some(etag)
    }

    async fn chunk(&mut self, api: &Api) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Server(response) => response.chunk().await.map_err(|error| api.unreachable(error)),
            Self::Storage(answer) => answer.chunk().await,
        }
    }

    async fn refusal(self, api: &Api) -> Failure {
        match self {
            Self::Server(response) => api.refusal(response).await,
            Self::Storage(answer) => answer.refusal(),
        }
    }

    fn cut_short(&self, api: &Api, detail: String) -> Failure {
        match self {
            Self::Server(_) => Failure::Answer { server: api.server().to_owned(), detail },
            Self::Storage(answer) => answer.failure(detail),
        }
    }
}

fn field<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the size of the whole object, as an answer to a range says it.
fn complete(headers: &HeaderMap) -> Option<u64> {
    field(headers, &header::CONTENT_RANGE)?.rsplit_once('/')?.1.parse().ok()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("{} cannot be written: {error}; choose another file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_continued_only_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let partial = Partial::of(&folder.path().join("disk.raw"));
        assert_eq!(partial.found(), None);
        let file = partial.open(0, "\"one\"").unwrap();
        assert_eq!(partial.found(), None, "nothing has come");
        assert_eq!(write_sparse(&file, b"abc", 0).unwrap(), 3);
        assert_eq!(partial.found(), Some((3, "\"one\"".to_owned())));
        write_sparse(&partial.open(3, "\"one\"").unwrap(), b"d", 3).unwrap();
        assert_eq!(fs::read(folder.path().join("disk.raw.part")).unwrap(), b"abcd");
        // Another version begins at the start.
        write_sparse(&partial.open(0, "\"two\"").unwrap(), b"x", 0).unwrap();
        assert_eq!(partial.found(), Some((1, "\"two\"".to_owned())));
    }

    #[test]
    fn zeroes_take_no_room() {
        use std::os::unix::fs::MetadataExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let file = File::create(&path).unwrap();
        let mut bytes = vec![0; 4 << 20];
        bytes[2 << 20] = 7;
        let mut at = 0;
        for piece in bytes.chunks(100_003) {
            at = write_sparse(&file, piece, at).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(file.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
