//! `imprint image export` and `imprint image exports`.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use imprint_api::dto::export::{ExportAndTask, ExportCreate, ExportDestination, ExportOptions, ImageExport};
use imprint_domain::{id::ImageId, image::ImageFormat};
use reqwest::Method;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    api::Api,
    args::{ExportArgs, ExportCommand},
    confirm::confirm_deletion,
    download::{Remote, download},
    failure::Failure,
    find,
    output::{Output, size, text, time},
    owned_storage::OwnedStorage,
    table::Table,
    watch::watch,
};
use crate::terminal::note;

/// An export whose file is here.
#[derive(Serialize)]
struct Exported {
    export: ImageExport,
    file: PathBuf,
}

/// Exports an image, and downloads the file unless it goes to a storage of the account's own.
pub(crate) async fn run(api: &Api, output: Output, args: ExportArgs) -> Result<(), Failure> {
    let id = find::image(api, &args.image).await?;
    let destination = match &args.to {
        Some(url) => {
            let OwnedStorage { kind, settings, secrets, key } =
                OwnedStorage::of("--to", url, &args.settings, &args.secrets)?;
            Some(ExportDestination { kind, settings, secrets, key })
        }
        None => None,
    };
    let named = args.file.as_deref().or(args.to.as_deref().map(Path::new));
    let format = args.format.or_else(|| format_of(named?));
    let format = format.ok_or_else(|| {
        let detail = "the name of the file does not say the format; give it with --format";
        Failure::Usage(detail.to_owned())
    })?;
    let options = ExportOptions { variant: args.variant, compression: args.compression };
    let request = ExportCreate { format, options, destination };
    let made: ExportAndTask = api.create(&format!("/images/{id}/exports"), &request).await?;
    watch(api, made.task).await?;
    let path = path(id, &made.export);
    let export: ImageExport = api.get(&path, &[]).await?;
    let Some(file) = args.file else { return output.print(&export, || details(&export)) };
    download(api, Remote::Content(format!("{path}/content")), &file, args.ca_file.as_deref()).await?;
    verify(&file, export.sha256.as_deref())?;
    if !args.keep {
        api.send(api.request(Method::DELETE, &path)).await?;
    }
    let exported = Exported { export, file };
    output.print(&exported, || {
        let export = &exported.export;
        Table::details([
            ("file", exported.file.display().to_string()),
            ("format", export.format.to_string()),
            ("size", size(export.size_bytes)),
            ("SHA-256", text(export.sha256.as_ref())),
            ("logical digest", export.logical_digest.clone()),
        ])
    })
}

/// Lists or deletes the exports of an image.
pub(crate) async fn manage(api: &Api, output: Output, command: ExportCommand) -> Result<(), Failure> {
    match command {
        ExportCommand::List { image } => {
            let id = find::image(api, &image).await?;
            let exports = api.list::<ImageExport>(&format!("/images/{id}/exports"), &[]).await?;
            output.print(&exports, || {
                let rows = exports.items.iter().map(|export| {
                    [
                        export.format.to_string(),
                        options(export),
                        export.status.to_string(),
                        size(export.size_bytes),
                        text(export.destination_kind.as_ref()),
                        time(Some(export.expires_at)),
                        export.id.to_string(),
                    ]
                });
                let headings = ["FORMAT", "OPTIONS", "STATUS", "SIZE", "WRITTEN TO", "KEPT UNTIL", "ID"];
                Table::list(headings, rows, "no exports")
            })
        }
        ExportCommand::Delete { image, export, confirm } => {
            let id = find::image(api, &image).await?;
            confirm_deletion(confirm, "export", &export.to_string())?;
            api.send(api.request(Method::DELETE, &format!("/images/{id}/exports/{export}"))).await?;
            note("the export is deleted");
            Ok(())
        }
    }
}

fn path(id: ImageId, export: &ImageExport) -> String {
    format!("/images/{id}/exports/{}", export.id)
}

fn options(export: &ImageExport) -> String {
    let variant = export.variant.map(|variant| variant.to_string());
    text(variant.or_else(|| export.compression.map(|compression| compression.to_string())))
}

fn details(export: &ImageExport) -> Table {
    Table::details([
        ("id", export.id.to_string()),
        ("format", export.format.to_string()),
        ("options", options(export)),
        ("status", export.status.to_string()),
        ("written to", text(export.destination_kind.as_ref())),
        ("object", text(export.destination_key.as_ref())),
        ("size", size(export.size_bytes)),
        ("SHA-256", text(export.sha256.as_ref())),
        ("logical digest", export.logical_digest.clone()),
        ("kept until", time(Some(export.expires_at))),
    ])
}

/// Returns the format that the ending of a file's name stands for.
fn format_of(file: &Path) -> Option<ImageFormat> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "img" => Some(ImageFormat::Raw),
        "qcow" => Some(ImageFormat::Qcow2),
        ending => ending.parse().ok(),
    }
}

/// Compares a file with the SHA-256 that the server has computed when it wrote it.
fn verify(file: &Path, expected: Option<&str>) -> Result<(), Failure> {
    let found = sha256(file);
    let found = found.map_err(|error| Failure::local(format!("cannot read {}", file.display()), error))?;
    if expected == Some(found.as_str()) {
        return Ok(());
    }
    let shown = file.display();
    let why = format!("{shown} has the SHA-256 {found}, and not that of the export; delete it and try again");
    Err(Failure::local(why, io::ErrorKind::InvalidData.into()))
}

fn sha256(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(bytes);
        let count = bytes.len();
        reader.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_says_its_format() {
        for (name, format) in [
            ("a.vhd", Some(ImageFormat::Vhd)),
            ("a.VMDK", Some(ImageFormat::Vmdk)),
            ("a.b.img", Some(ImageFormat::Raw)),
            ("a.qcow2", Some(ImageFormat::Qcow2)),
            ("a.tar", None),
            ("a", None),
        ] {
            assert_eq!(format_of(Path::new(name)), format, "{name}");
        }
    }
}
