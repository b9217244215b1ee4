//! A storage's code on the mock host, with the checks that the real host makes of every answer.

use std::{cell::RefCell, rc::Rc};

use super::Subject;
use crate::{
    error::{Error, Result},
    host::{Files, HttpStorageHost, StorageHost, StreamHost, TcpStorageHost},
    http::Request,
    mock::{MockHost, MockServer},
    storage::{
        Listing, Multipart, Object, Part, PartResult, Storage, StreamReader, StreamStorage, StreamWriter,
        Upload, WriteRequest, WriteTarget,
    },
    types::{Digest, FileRef, Props, ReadLocator},
};

/// The longest token and the longest key, in bytes.
const MAX_TOKEN: usize = 4096;
/// See [`MAX_TOKEN`].
const MAX_KEY: usize = 512;
/// The answers to parts that are passed in one call.
const PAGE: usize = 1000;
/// The most parts of a key.
const MAX_PARTS: usize = 32;

/// Reads a part of an object: its offset and its length.
type Read<S> = fn(&S, &MockHost, &str, u64, u32) -> Result<Vec<u8>>;
/// Opens the writer of an upload's token.
type OpenWriter<S> = fn(&S, &MockHost, &[u8]) -> Result<Box<dyn MockWriter>>;

/// A writer, whatever host it is written for.
trait MockWriter {
    fn write(&mut self, host: &MockHost, offset: u64, bytes: &[u8]) -> Result<()>;
    fn finish(&mut self, host: &MockHost, size: u64) -> Result<()>;
}

/// A writer with its side of the host.
struct SideWriter<W, H: ?Sized + 'static> {
    writer: W,
    side: fn(&MockHost) -> &H,
}

impl<H: ?Sized, W: StreamWriter<H>> MockWriter for SideWriter<W, H> {
    fn write(&mut self, host: &MockHost, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writer.write((self.side)(host), offset, bytes)
    }

    fn finish(&mut self, host: &MockHost, size: u64) -> Result<()> {
        self.writer.finish((self.side)(host), size)
    }
}

/// Reads a part of an object, as the host does: what lies beyond its end is not asked for.
fn read_part<H: ?Sized, R: StreamReader<H>>(
    mut reader: R,
    host: &H,
    offset: u64,
    length: u32,
) -> Result<Vec<u8>> {
    let inside = offset.checked_add(u64::from(length)).is_some_and(|end| end <= reader.size());
    if !inside {
        return Err(Error::corrupt("suite.end", "the object ends before"));
    }
    reader.read(host, offset, length)
}

/// Opens the readers and the writers of a storage that streams.
struct Streams<S> {
    read: Read<S>,
    writer: OpenWriter<S>,
}

/// A storage on the mock host.
pub struct MockSubject<S: Storage> {
    host: MockHost,
    /// The side of the host that the storage uses.
    side: fn(&MockHost) -> &S::Host,
    storage: S,
    settings: Props,
    grants: Vec<String>,
    streams: Option<Streams<S>>,
    /// The answers to the parts of each upload, which the host keeps by the upload's token.
    answers: Vec<(Vec<u8>, Vec<PartResult>)>,
}

/// An upload on the mock host.
pub struct MockUpload<S: Storage> {
    upload: S::Upload,
    token: Vec<u8>,
    target: WriteTarget,
    key: String,
    writer: Option<Box<dyn MockWriter>>,
    /// The bytes that are to be sent in parts.
    bytes: Vec<u8>,
}

impl<S: Storage<Host = dyn StorageHost>> MockSubject<S> {
    /// Opens a storage that answers files, with empty directories for the `grants` of its manifest.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    pub fn files(settings: &Props, grants: &[&str]) -> Result<Self> {
        Self::open(MockHost::new(), |host| host, settings, grants, None)
    }
}

impl<S: Storage<Host = dyn HttpStorageHost>> MockSubject<S> {
    /// Opens a storage of objects behind HTTP, with these secrets, on an empty server.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    pub fn http(settings: &Props, secrets: &[&str], server: Rc<RefCell<dyn MockServer>>) -> Result<Self> {
        let host = MockHost::new();
        secrets.iter().for_each(|name| host.set_secret(name));
        host.serve(server);
        Self::open(host, |host| host, settings, &[], None)
    }
}

impl<S: Storage> MockSubject<S> {
    fn open(
        host: MockHost,
        side: fn(&MockHost) -> &S::Host,
        settings: &Props,
        grants: &[&str],
        streams: Option<Streams<S>>,
    ) -> Result<Self> {
        for (key, value) in settings {
            host.set_config(key, value);
        }
        for grant in grants {
            host.grant_dir(grant);
        }
        let storage = S::open(side(&host), settings)?;
        let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
        Ok(Self { host, side, storage, settings: settings.clone(), grants, streams, answers: Vec::new() })
    }

    fn checked(&self, upload: S::Upload, key: &str) -> Result<MockUpload<S>> {
        let (token, target) = (upload.token(), upload.target());
        if token.len() > MAX_TOKEN {
            return Err(bad("list", format!("a token of {} bytes", token.len())));
        }
        if let WriteTarget::File(file) = &target
            && !self.grants.contains(&file.grant)
        {
            return Err(bad("grant", format!("a target in {}, which is not granted", file.grant)));
        }
        if target == WriteTarget::GuestStream && self.streams.is_none() {
            return Err(bad("stream", "a target `guest-stream` without an export of `stream-io`".to_owned()));
        }
        let key = key.to_owned();
        Ok(MockUpload { upload, token, target, key, writer: None, bytes: Vec::new() })
    }
}

impl<S> MockSubject<S>
where
    S: StreamStorage<Host = dyn StorageHost, StreamHost = dyn StreamHost>,
{
    /// Opens a storage that streams, with empty directories for the `grants` of its manifest.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    pub fn streaming(settings: &Props, grants: &[&str]) -> Result<Self> {
        let streams = Streams {
            read: |storage: &S, host, key, offset, length| {
                let host: &dyn StreamHost = host;
                read_part(storage.reader(host, key)?, host, offset, length)
            },
            writer: |storage: &S, host, token| {
                let writer = storage.writer(host, token)?;
                let side: fn(&MockHost) -> &(dyn StreamHost + 'static) = |host| host;
                Ok(Box::new(SideWriter { writer, side }))
            },
        };
        Self::open(MockHost::new(), |host| host, settings, grants, Some(streams))
    }
}

impl<S> MockSubject<S>
where
    S: StreamStorage<Host = dyn TcpStorageHost, StreamHost = dyn TcpStorageHost>,
{
    /// Opens a storage with a protocol of its own on a host that reaches its server
    /// ([`MockHost::serve_tcp`]), with empty directories for the `grants` of its manifest. The
    /// server's files fail on demand where the host knows them ([`MockHost::set_medium`]).
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    pub fn over_tcp(host: MockHost, settings: &Props, grants: &[&str]) -> Result<Self> {
        let streams = Streams {
            read: |storage: &S, host, key, offset, length| {
                let host: &dyn TcpStorageHost = host;
                read_part(storage.reader(host, key)?, host, offset, length)
            },
            writer: |storage: &S, host, token| {
                let writer = storage.writer(host, token)?;
                let side: fn(&MockHost) -> &(dyn TcpStorageHost + 'static) = |host| host;
                Ok(Box::new(SideWriter { writer, side }))
            },
        };
        Self::open(host, |host| host, settings, grants, Some(streams))
    }
}

fn bad(what: &str, problem: String) -> Error {
    Error::internal(&format!("plugin.bad-answer.{what}"), format!("the storage answers {problem}"))
}

/// Checks the form of a key, as the real host does for every object that a storage describes.
fn check_key(key: &str) -> Result<()> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if key.len() > MAX_KEY || key.split('/').count() > MAX_PARTS || !key.split('/').all(plain) {
        return Err(bad(
            "key",
            format!("key {key:?}, which is not relative or is longer than {MAX_KEY} bytes"),
        ));
    }
    Ok(())
}

fn check_object(object: Object, key: &str) -> Result<Object> {
    check_key(&object.key)?;
    if object.key != key {
        return Err(bad("key", format!("object {:?}, and {key:?} was asked for", object.key)));
    }
    Ok(object)
}

fn check_listing(listing: Listing, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
    if u32::try_from(listing.objects.len()).unwrap_or(u32::MAX) > max {
        return Err(bad(
            "list",
            format!("{} objects, and at most {max} were asked for", listing.objects.len()),
        ));
    }
    let mut last = resume;
    for object in &listing.objects {
        let key = object.key.as_str();
        check_key(key)?;
        if !key.starts_with(prefix) || last.is_some_and(|last| key <= last) {
            return Err(bad(
                "listing",
                format!("key {key:?}, which is not in order or lacks the prefix {prefix:?}"),
            ));
        }
        last = Some(key);
    }
    if listing.resume.as_deref().is_some_and(|next| resume.is_some_and(|resume| next <= resume)) {
        return Err(bad("listing", "a page without progress".to_owned()));
    }
    Ok(listing)
}

impl<S: Storage> Subject for MockSubject<S> {
    type Upload = MockUpload<S>;

    fn begin(&mut self, request: &WriteRequest) -> Result<MockUpload<S>> {
        let upload = self.storage.begin_upload(self.side(), request)?;
        self.checked(upload, &request.key)
    }

    fn token(&self, upload: &MockUpload<S>) -> Vec<u8> {
        upload.token.clone()
    }

    fn write(&mut self, upload: &mut MockUpload<S>, offset: u64, bytes: &[u8]) -> Result<()> {
        match &upload.target {
            WriteTarget::File(FileRef { grant, path }) => self.host.write_at(grant, path, offset, bytes),
            WriteTarget::GuestStream => self.writer(upload)?.write(&self.host, offset, bytes),
            WriteTarget::Multipart(_) => {
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                if at != upload.bytes.len() {
                    return Err(Error::internal("suite.order", "the suite writes in ascending order"));
                }
                upload.bytes.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn finish(&mut self, upload: &mut MockUpload<S>, size: u64) -> Result<()> {
        match &upload.target {
            WriteTarget::File(FileRef { grant, path }) => {
                self.host.set_size(grant, path, size)?;
                self.host.sync(grant, path)
            }
            WriteTarget::GuestStream => {
                self.writer(upload)?.finish(&self.host, size)?;
                upload.writer = None;
                // The host commits in another instance than it wrote in.
                upload.upload = self.storage.resume_upload(self.side(), &upload.token)?;
                Ok(())
            }
            WriteTarget::Multipart(parts) => {
                let parts = *parts;
                self.send_parts(upload, &parts, size)
            }
        }
    }

    fn commit(&mut self, upload: &mut MockUpload<S>, total: u64, digests: &[Digest]) -> Result<Object> {
        if let Some((_, answers)) = self.answers.iter().find(|(token, _)| *token == upload.token) {
            for page in answers.chunks(PAGE) {
                upload.upload.completed(self.side(), page)?;
            }
        }
        let object = check_object(upload.upload.commit(self.side(), total, digests)?, &upload.key)?;
        if object.size != total {
            return Err(bad("size", format!("{} bytes, and {total} were written", object.size)));
        }
        Ok(object)
    }

    fn abort(&mut self, upload: &mut MockUpload<S>) -> Result<()> {
        upload.writer = None;
        upload.upload.abort(self.side())
    }

    fn resume(&mut self, key: &str, token: &[u8]) -> Option<Result<MockUpload<S>>> {
        let resumed = self.storage.resume_upload(self.side(), token);
        let resumed = resumed.and_then(|upload| self.checked(upload, key));
        // The host loses the parts that it has not sent, and begins such an upload again.
        let parts = resumed.as_ref().is_ok_and(|upload| matches!(upload.target, WriteTarget::Multipart(_)));
        (!parts).then_some(resumed)
    }

    fn cleanup(&mut self, token: &[u8]) -> Result<()> {
        self.storage.cleanup(self.side(), token)
    }

    fn stat(&mut self, key: &str) -> Result<Object> {
        check_object(self.storage.stat(self.side(), key)?, key)
    }

    fn list(&mut self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing> {
        check_listing(self.storage.list(self.side(), prefix, resume, max)?, prefix, resume, max)
    }

    fn read(&mut self, key: &str, offset: u64, length: u32) -> Result<Vec<u8>> {
        let bytes = match self.storage.open_read(self.side(), key)? {
            ReadLocator::File(FileRef { grant, path }) => self.host.read_at(&grant, &path, offset, length)?,
            ReadLocator::GuestStream => {
                let Some(streams) = &self.streams else {
                    return Err(bad("stream", "`guest-stream` without an export of `stream-io`".to_owned()));
                };
                (streams.read)(&self.storage, &self.host, key, offset, length)?
            }
            ReadLocator::Http(source) => self.host.read_range(&source, offset, length)?,
            other @ ReadLocator::Nbd(_) => {
                return Err(Error::unsupported("plugin.unsupported", format!("{other:?}")));
            }
        };
        if u32::try_from(bytes.len()) != Ok(length) {
            return Err(Error::corrupt("suite.short", format!("{} of {length} bytes", bytes.len())));
        }
        Ok(bytes)
    }

    fn delete(&mut self, key: &str) -> Result<()> {
        match self.storage.delete(self.side(), &[key.to_owned()])?.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    fn restart(&mut self) -> Result<()> {
        self.storage = S::open(self.side(), &self.settings)?;
        Ok(())
    }

    fn stored(&mut self) -> Option<Vec<String>> {
        let files = self.grants.iter().flat_map(|grant| self.host.files(grant));
        Some(files.chain(self.host.served()).chain(self.host.medium_files()).collect())
    }

    fn faults(&self) -> Option<&MockHost> {
        Some(&self.host)
    }
}

impl<S: Storage> MockSubject<S> {
    fn side(&self) -> &S::Host {
        (self.side)(&self.host)
    }

    /// Sends the bytes of an upload in parts, as the real host does, and keeps the answers.
    fn send_parts(&mut self, upload: &mut MockUpload<S>, parts: &Multipart, size: u64) -> Result<()> {
        let length = usize::try_from(parts.part_size).unwrap_or(usize::MAX);
        if u64::try_from(upload.bytes.len()) != Ok(size) {
            return Err(Error::internal("suite.size", "the suite writes every byte"));
        }
        let cut: Vec<&[u8]> = match upload.bytes.as_slice() {
            [] => vec![&[]],
            bytes => bytes.chunks(length).collect(),
        };
        let mut answers = Vec::new();
        for (number, bytes) in (1_u32..).zip(cut) {
            let part = Part { number, length: parts.part_size };
            let describe = |upload: &mut S::Upload| -> Result<Request> {
                let described = upload.describe_parts((self.side)(&self.host), &[part])?;
                described
                    .into_iter()
                    .next()
                    .ok_or_else(|| bad("parts", "no description of a part".to_owned()))
            };
            let mut request = describe(&mut upload.upload)?;
            let mut response = self.host.send_part(&request, bytes)?;
            if response.status == 401 {
                request = describe(&mut upload.upload)?;
                response = self.host.send_part(&request, bytes)?;
            }
            let expected = request.expects(response.status);
            let result = PartResult { number, response, digests: Vec::new() };
            if !expected {
                upload.upload.completed((self.side)(&self.host), &[result])?;
                return Err(Error::transient("upload.status", "the server refused a part"));
            }
            answers.push(result);
        }
        self.answers.retain(|(token, _)| *token != upload.token);
        self.answers.push((upload.token.clone(), answers));
        Ok(())
    }

    /// Returns the writer of an upload, which is opened at its first use.
    fn writer<'u>(&self, upload: &'u mut MockUpload<S>) -> Result<&'u mut Box<dyn MockWriter>> {
        let Some(streams) = &self.streams else {
            return Err(bad("stream", "`guest-stream` without an export of `stream-io`".to_owned()));
        };
        if upload.writer.is_none() {
            upload.writer = Some((streams.writer)(&self.storage, &self.host, &upload.token)?);
        }
        upload.writer.as_mut().ok_or_else(|| Error::internal("suite.writer", "there is no writer"))
    }
}
