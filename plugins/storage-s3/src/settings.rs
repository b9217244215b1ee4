//! The operator's settings. The host has checked them against `config.schema.json`.

use imprint_plugin_sdk::{error::Result, http::objects::encode, settings::Reader, types::Props};

const MIB: u64 = 1 << 20;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// The checksum by which the service checks a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksums {
    Crc32c,
    Sha256,
    Off,
}

/// The settings of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The URL of the bucket, without a slash at its end.
    pub(crate) bucket_url: String,
    pub(crate) region: String,
    pub(crate) access_key: String,
    /// Ends in a slash, or is empty.
    pub(crate) prefix: String,
    pub(crate) checksums: Checksums,
    /// In bytes.
    pub(crate) part_size: u64,
    pub(crate) parallel: u16,
    /// Uploads that are older are aborted, in milliseconds.
    pub(crate) abort_after_ms: u64,
    /// Whether clients of downloads reach the endpoint themselves.
    pub(crate) direct_downloads: bool,
}

impl Checksums {
    /// Returns the algorithm as S3 spells it.
    pub(crate) fn algorithm(self) -> Option<&'static str> {
        match self {
            Self::Crc32c => Some("CRC32C"),
            Self::Sha256 => Some("SHA256"),
            Self::Off => None,
        }
    }

    /// Returns the header and what the host computes for it.
    pub(crate) fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Crc32c => Some(("x-amz-checksum-crc32c", "crc32c-b64")),
            Self::Sha256 => Some(("x-amz-checksum-sha256", "sha256-b64")),
            Self::Off => None,
        }
    }
}

impl Settings {
    pub(crate) fn parse(props: &Props) -> Result<Self> {
        let settings = Reader::new(props, "s3.settings");
        let region = settings.text("region").unwrap_or("us-east-1");
        let bucket = settings.needed("bucket")?;
        let endpoint = match settings.text("endpoint") {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let (scheme, server) = endpoint
            .split_once("://")
            .filter(|(scheme, server)| matches!(*scheme, "http" | "https") && !server.contains('/'))
            .ok_or_else(|| {
                settings
                    .wrong("endpoint", "is https://SERVER or http://SERVER, with a port where it needs one")
            })?;
        let bucket_url = match settings.text("addressing").unwrap_or("path") {
            "path" => format!("{scheme}://{server}/{}", encode(bucket, false)),
            "virtual-host" => format!("{scheme}://{bucket}.{server}"),
            _ => return Err(settings.wrong("addressing", "is `path` or `virtual-host`")),
        };
        let checksums = match settings.text("checksums").unwrap_or("crc32c") {
            "crc32c" => Checksums::Crc32c,
            "sha256" => Checksums::Sha256,
            "off" => Checksums::Off,
            _ => return Err(settings.wrong("checksums", "is `crc32c`, `sha256` or `off`")),
        };
        Ok(Self {
            bucket_url,
            region: region.to_owned(),
            access_key: settings.needed("access-key")?.to_owned(),
            prefix: settings.prefix("prefix"),
            checksums,
            part_size: settings.number("part-size", 16, 5..=64)? * MIB,
            parallel: u16::try_from(settings.number("parallel", 4, 1..=6)?).unwrap_or(1),
            abort_after_ms: settings.number("abort-after", 7, 2..=365)? * DAY_MS,
            direct_downloads: settings.text("direct-downloads") == Some("true"),
        })
    }
}
