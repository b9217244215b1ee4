//! Imports of images.

use std::collections::BTreeMap;

use imprint_domain::{
    id::{ImageId, InstanceId, TaskId},
    image::ImageFormat,
    import::{ImportKind, Packing},
    secret::Secrets,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The source of a new image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ImageSource {
    /// An instance; its primary disk is captured.
    Instance {
        /// The instance.
        id: InstanceId,
    },
    /// A file that this client uploads, as `upload_url` of the answer says.
    Upload(UploadSource),
    /// A file on a server.
    Url(UrlSource),
    /// An object in a storage of your own.
    StorageObject(StorageObjectSource),
    /// An image at another Imprint.
    Imprint(ImprintSource),
}

/// A file that a client uploads.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadSource {
    /// The size of the file in bytes.
    #[schema(minimum = 1)]
    pub size_bytes: u64,
    /// The name of the file, which is shown with the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255, example = "web.qcow2")]
    pub file_name: Option<String>,
    /// The format of the file; without it, what its content shows. A raw disk without partitions
    /// shows nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// The digest that the file has to have: `sha256:`, `sha512:` or `md5:` and its hexadecimal
    /// digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub digest: Option<String>,
}

/// A file on a server. Its address and the head fields are secrets: they are never shown again.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlSource {
    /// The address of the file, of `https` or `http`.
    #[schema(max_length = 8192, example = "https://images.example.com/debian-12.qcow2")]
    pub url: String,
    /// Head fields of the requests to that server, such as `Authorization`. Redirects to other
    /// servers do not get them. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub headers: BTreeMap<String, String>,
    /// The format of the file; without it, what its content shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// The size that the file has to have, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub size_bytes: Option<u64>,
    /// The digest that the file has to have: `sha256:`, `sha512:` or `md5:` and its hexadecimal
    /// digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl std::fmt::Debug for UrlSource {
    /// Leaves out the address and the head fields.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UrlSource")
            .field("format", &self.format)
            .field("size_bytes", &self.size_bytes)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// An object in a storage of your own. Large objects of Swift (DLO, SLO) are one file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageObjectSource {
    /// The kind of the storage: `s3` or `swift`.
    #[schema(example = "s3", min_length = 1, max_length = 64)]
    pub kind: String,
    /// The settings, such as `endpoint` and `bucket`: those of an image storage of that kind.
    #[serde(default)]
    #[schema(required = false)]
    pub settings: BTreeMap<String, String>,
    /// The secrets, which are stored sealed, and removed when the task ends.
    #[serde(default, with = "imprint_domain::secret::exposed", skip_serializing_if = "Secrets::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>, write_only)]
    pub secrets: Secrets,
    /// The key of the object.
    #[schema(min_length = 1, max_length = 512, example = "backups/web.qcow2")]
    pub key: String,
    /// The format of the file; without it, what its content shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// The size that the file has to have, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub size_bytes: Option<u64>,
    /// The digest that the file has to have: `sha256:`, `sha512:` or `md5:` and its hexadecimal
    /// digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// An image at another Imprint, which exports it for this one. The import is of the same disk: the
/// logical digests have to agree.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImprintSource {
    /// The address of the other Imprint, as a browser shows it.
    #[schema(max_length = 8192, example = "https://cloud.example.com")]
    pub server: String,
    /// The image there.
    pub image_id: ImageId,
    /// A token of an account there that may export the image, with the scope `write`. It is stored
    /// sealed, and removed when the task ends.
    #[schema(max_length = 8192, write_only)]
    pub token: String,
}

impl std::fmt::Debug for ImprintSource {
    /// Leaves out the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImprintSource")
            .field("server", &self.server)
            .field("image_id", &self.image_id)
            .finish_non_exhaustive()
    }
}

/// The import of an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageImport {
    /// How the file came.
    pub source: ImportKind,
    /// Where the file came from: its name, its address without user, query and fragment, or kind,
    /// bucket and key of the object.
    pub origin: String,
    /// The size of the file in bytes, as it was announced; `null` where it was not.
    #[schema(required)]
    pub announced_bytes: Option<u64>,
    /// The size of the file in bytes, once it was read.
    #[schema(required)]
    pub file_bytes: Option<u64>,
    /// The format of the file, once it was read.
    #[schema(required)]
    pub format: Option<String>,
    /// What the file was packed as; `null` for a plain file, and until it was read.
    #[schema(required)]
    pub packing: Option<Packing>,
}

/// The state of an upload.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// The image that is made of the file.
    pub image_id: ImageId,
    /// The task that receives it.
    pub task_id: TaskId,
    /// The size of the file in bytes.
    pub size_bytes: u64,
    /// The bytes that have arrived from the beginning on, without a gap.
    pub offset: u64,
    /// The bytes that have arrived in all.
    pub received_bytes: u64,
    /// The bytes of a part that can be sent on its own; the last one may be shorter.
    pub part_size: u64,
    /// The numbers of the parts that have not arrived yet, from 1; at most 1000 of them.
    pub missing_parts: Vec<u32>,
    /// Whether every byte has arrived.
    pub complete: bool,
}
