//! `imprint storage download`.

use std::path::PathBuf;

use imprint_api::dto::download::StorageDownloadCreate;
use serde::Serialize;

use super::{
    api::Api,
    args::StorageDownloadArgs,
    download::{Remote, download},
    failure::Failure,
    find,
    output::{Output, size},
    table::Table,
};

/// What was downloaded.
#[derive(Serialize)]
struct Downloaded {
    key: String,
    file: PathBuf,
    size_bytes: u64,
}

/// Downloads an object of an image storage.
///
/// # Errors
///
/// As [`download`].
pub(crate) async fn run(api: &Api, output: Output, args: &StorageDownloadArgs) -> Result<(), Failure> {
    let id = find::storage(api, &args.storage).await?;
    let remote = Remote::Object {
        links: format!("/admin/image-storages/{id}/downloads"),
        create: StorageDownloadCreate { key: args.key.clone(), through_server: args.through_server },
    };
    let bytes = download(api, remote, &args.to, args.ca_file.as_deref()).await?;
    let downloaded = Downloaded { key: args.key.clone(), file: args.to.clone(), size_bytes: bytes };
    output.print(&downloaded, || {
        Table::details([
            ("object", downloaded.key.clone()),
            ("file", downloaded.file.display().to_string()),
            ("size", size(Some(bytes))),
        ])
    })
}
