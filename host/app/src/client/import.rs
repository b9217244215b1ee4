//! `imprint image import` and `imprint image upload`.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use imprint_api::dto::{
    image::{Image, ImageAndTask, ImageCreate},
    import::{ImageSource, ImprintSource, StorageObjectSource, Upload, UploadSource, UrlSource},
    location::Location,
};
use imprint_domain::{
    Code,
    id::{ImageId, LocationId, TaskId},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use sha2::{Digest as _, Sha256};

use super::{
    api::Api, args::ImageImportArgs, failure::Failure, find, image_details::details, output::Output,
    owned_storage::OwnedStorage, retry::retry, watch::watch,
};
use crate::terminal::note;

/// The parts that are sent at once.
const AT_ONCE: usize = 4;
/// How long one part may take.
const PART_TIMEOUT: Duration = Duration::from_secs(600);
/// The progress bar of an upload.
const BYTES: &str = "{spinner} upload [{bar:32}] {percent:>3} %  {binary_bytes} of {binary_total_bytes}  \
                     {binary_bytes_per_sec}, {eta} left";

/// Imports a file, an address, or an object of a storage.
pub(crate) async fn import(api: &Api, output: Output, args: ImageImportArgs) -> Result<(), Failure> {
    let location_id = location(api, args.location.as_deref()).await?;
    let source = source(&args)?;
    let request = ImageCreate {
        source,
        name: args.name,
        description: args.description,
        tags: args.tags,
        format: None,
        compression: None,
        consistency: None,
        domain_controller: None,
        storage_id: None,
        location_id: Some(location_id),
        stock: args.stock,
    };
    let mut made: ImageAndTask = api.create("/images", &request).await?;
    if let Some(path) = &args.file {
        let sent = send(api, made.image.id, path).await;
        sent_or_ended(api, Some(made.task.id), sent).await?;
    }
    if args.wait.wait {
        made.task = watch(api, made.task).await?;
    } else {
        note(&format!("watch its progress with `imprint task watch {}`", made.task.id));
    }
    made.image = api.get(&format!("/images/{}", made.image.id), &[]).await?;
    output.print(&made, || details(&made.image))
}

fn source(args: &ImageImportArgs) -> Result<ImageSource, Failure> {
    let (format, digest) = (args.format, args.digest.clone());
    if let Some(path) = &args.file {
        let file_name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let size_bytes = size_of(path)?;
        return Ok(ImageSource::Upload(UploadSource { size_bytes, file_name, format, digest }));
    }
    if let Some(url) = &args.url {
        let (url, headers) = (url.clone(), headers(args.header_file.as_deref())?);
        return Ok(ImageSource::Url(UrlSource { url, headers, format, size_bytes: None, digest }));
    }
    if let (Some(server), Some(image_id), Some(file)) = (&args.imprint, args.image, &args.token_file) {
        let token = token(file)?;
        return Ok(ImageSource::Imprint(ImprintSource { server: server.clone(), image_id, token }));
    }
    let Some(from) = &args.from else {
        let detail = "name a file with --file, an address with --url, an object with --from, or another \
                      Imprint with --imprint";
        return Err(Failure::Usage(detail.to_owned()));
    };
    let named = OwnedStorage::of("--from", from, &args.settings, &args.secrets)?;
    let OwnedStorage { kind, settings, secrets, key } = named;
    let key =
        key.ok_or_else(|| Failure::Usage("the address of --from ends with the object's key".to_owned()))?;
    let object = StorageObjectSource { kind, settings, secrets, key, format, size_bytes: None, digest };
    Ok(ImageSource::StorageObject(object))
}

/// Continues an upload that was interrupted.
pub(crate) async fn upload(api: &Api, output: Output, image: &str, path: &Path) -> Result<(), Failure> {
    let id = find::image(api, image).await?;
    let sent = send(api, id, path).await;
    let image: Image = api.get(&format!("/images/{id}"), &[]).await?;
    sent_or_ended(api, image.task_id, sent).await?;
    output.print(&image, || details(&image))
}

/// An import that has ended takes no more parts: its task says why.
async fn sent_or_ended(api: &Api, task: Option<TaskId>, sent: Result<(), Failure>) -> Result<(), Failure> {
    match (sent, task) {
        (Err(Failure::Problem(problem)), Some(task)) if problem.code == Code::InvalidTransition.as_str() => {
            watch(api, api.get(&format!("/tasks/{task}"), &[]).await?).await.map(drop)
        }
        (sent, _) => sent,
    }
}

/// The location that is named, or the only one.
async fn location(api: &Api, typed: Option<&str>) -> Result<LocationId, Failure> {
    if let Some(typed) = typed {
        return find::location(api, typed).await;
    }
    let locations = api.list::<Location>("/locations", &[]).await?;
    match locations.items.as_slice() {
        [one] => Ok(one.id),
        [] => Err(Failure::NotFound("there is no location to import to".to_owned())),
        [_, ..] => Err(Failure::Usage(
            "there are several locations; say with --location which one the image is for".to_owned(),
        )),
    }
}

fn local(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("cannot read {}: {error}", path.display()))
}

fn size_of(path: &Path) -> Result<u64, Failure> {
    let found = std::fs::metadata(path).map_err(|error| local(path, &error))?;
    match (found.is_file(), found.len()) {
        (true, 0) => Err(Failure::Usage(format!("{} is empty", path.display()))),
        (true, size) => Ok(size),
        (false, _) => Err(Failure::Usage(format!("{} is no file", path.display()))),
    }
}

/// Reads head fields from a file, as secrets do not belong on a command line.
fn headers(path: Option<&Path>) -> Result<BTreeMap<String, String>, Failure> {
    let Some(path) = path else { return Ok(BTreeMap::new()) };
    let text = std::fs::read_to_string(path).map_err(|error| local(path, &error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let field = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            let (name, value) = field.ok_or_else(|| {
                Failure::Usage(format!("write the lines of {} as `Name: value`", path.display()))
            })?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Reads a token from a file, as secrets do not belong on a command line.
fn token(path: &Path) -> Result<String, Failure> {
    let read =
        if path == Path::new("-") { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(path) };
    Ok(read.map_err(|error| local(path, &error))?.trim().to_owned())
}

/// Sends the parts of a file that have not arrived, several at once.
async fn send(api: &Api, id: ImageId, path: &Path) -> Result<(), Failure> {
    let size = size_of(path)?;
    let state: Upload = api.get(&format!("/images/{id}/upload"), &[]).await?;
    if state.size_bytes != size {
        return Err(Failure::Usage(format!(
            "the upload is of a file with {} bytes, and {} has {size}: name the same file",
            state.size_bytes,
            path.display()
        )));
    }
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(BYTES).expect("a test parses it").progress_chars("=> "));
    bar.set_position(state.received_bytes);
    let stopped = tokio::select! {
        sent = send_parts(api, &state, path, &bar) => { sent?; false }
        interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
    };
    bar.finish_and_clear();
    if stopped {
        return Err(Failure::Usage(format!(
            "the upload was interrupted; continue it with `imprint image upload {id} {}`",
            path.display()
        )));
    }
    Ok(())
}

/// The parts that are still to be sent, which the senders share.
struct Queue(Mutex<Vec<u32>>);

impl Queue {
    fn next(&self) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

async fn send_parts(api: &Api, state: &Upload, path: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    let mut upload = state.clone();
    // A state names a bounded number of missing parts.
    while !upload.complete {
        let mut missing = upload.missing_parts.clone();
        missing.reverse();
        let queue = Arc::new(Queue(Mutex::new(missing)));
        let senders = (0..AT_ONCE).map(|_| send_queued(api, &upload, path, queue.clone(), bar));
        futures::future::try_join_all(senders).await?;
        upload = api.get(&format!("/images/{}/upload", upload.image_id), &[]).await?;
    }
    Ok(())
}

async fn send_queued(
    api: &Api,
    upload: &Upload,
    path: &Path,
    queue: Arc<Queue>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    while let Some(number) = queue.next() {
        let (of, at) = (path.to_owned(), (u64::from(number) - 1) * upload.part_size);
        let length = upload.part_size.min(upload.size_bytes - at);
        let reading = tokio::task::spawn_blocking(move || read_part(&of, at, length));
        let part = reading.await.map_err(|error| Failure::Usage(error.to_string()))??;
        let digest = format!("sha-256=:{}:", BASE64.encode(Sha256::digest(&part)));
        let part = bytes::Bytes::from(part);
        retry(async || {
            let target = format!("/images/{}/upload/parts/{number}", upload.image_id);
            let request = api
                .request(Method::PUT, &target)
                .timeout(PART_TIMEOUT)
                .header("Content-Digest", &digest)
                .header("Content-Type", "application/octet-stream")
                .body(part.clone());
            api.once::<Upload>(request).await
        })
        .await?;
        bar.inc(length);
    }
    Ok(())
}

fn read_part(path: &PathBuf, at: u64, length: u64) -> Result<Vec<u8>, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        File::open(path)?.read_exact_at(&mut part, at)?;
        Ok(part)
    };
    read().map_err(|error| local(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(ProgressStyle::with_template(BYTES).is_ok());
    }

    #[test]
    fn head_fields_are_lines_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fields");
        std::fs::write(&path, "Authorization: Bearer a:b\n\n X-Key :  y \n").unwrap();
        let fields = headers(Some(&path)).unwrap();
        assert_eq!(fields["Authorization"], "Bearer a:b");
        assert_eq!(fields["X-Key"], "y");
        std::fs::write(&path, "no field").unwrap();
        assert!(headers(Some(&path)).is_err());
        assert!(headers(None).unwrap().is_empty());
    }
}
