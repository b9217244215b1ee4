//! The operator's settings. The host has checked them against `config.schema.json`.

use imprint_plugin_sdk::{error::Result, settings::Reader, types::Props};

const MIB: u64 = 1 << 20;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// How the storage signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// Keystone v3, a user and a project.
    Password { user: String, user_domain: String, project: String, project_domain: String },
    /// Keystone v3, a credential that is made for one project.
    ApplicationCredential { id: String },
    /// Tempauth and other services of version 1.
    V1 { user: String },
}

/// The settings of a container.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) sign_in: SignIn,
    /// Without a slash at its end.
    pub(crate) auth_url: String,
    pub(crate) region: Option<String>,
    pub(crate) interface: String,
    /// Without a slash at its end.
    pub(crate) endpoint: Option<String>,
    pub(crate) container: String,
    /// Ends in a slash, or is empty.
    pub(crate) prefix: String,
    pub(crate) segments: String,
    pub(crate) checksums: bool,
    /// In bytes.
    pub(crate) segment_size: u64,
    pub(crate) parallel: u16,
    pub(crate) temp_url_digest: String,
    /// What uploads that are older have left is removed, in milliseconds.
    pub(crate) abort_after_ms: u64,
    /// Whether clients of downloads reach the object store themselves.
    pub(crate) direct_downloads: bool,
}

impl Settings {
    pub(crate) fn parse(props: &Props) -> Result<Self> {
        let settings = Reader::new(props, "swift.settings");
        let text = |name: &str, default: &str| settings.text(name).unwrap_or(default).to_owned();
        let url = |name: &str, value: &str| {
            let known = value.starts_with("http://") || value.starts_with("https://");
            let url = value.trim_end_matches('/');
            let server = url.split("://").nth(1).is_some_and(|rest| !rest.is_empty() && !rest.contains('@'));
            match known && server {
                true => Ok(url.to_owned()),
                false => Err(settings.wrong(name, "is https://SERVER[:PORT][/PATH], or the same with http")),
            }
        };
        let container = settings.needed("container")?.to_owned();
        let segments = text("segments-container", &format!("{container}_segments"));
        if [("container", &container), ("segments-container", &segments)].iter().any(|(_, n)| n.contains('/'))
        {
            return Err(settings.wrong("container", "is the name of a container, without a slash"));
        }
        if segments == container {
            let what = "has to be another container than that of the images";
            return Err(settings.wrong("segments-container", what));
        }
        let interface = text("interface", "public");
        if !matches!(interface.as_str(), "public" | "internal" | "admin") {
            return Err(settings.wrong("interface", "is `public`, `internal` or `admin`"));
        }
        let digest = text("temp-url-digest", "sha256");
        if !matches!(digest.as_str(), "sha1" | "sha256" | "sha512") {
            return Err(settings.wrong("temp-url-digest", "is `sha1`, `sha256` or `sha512`"));
        }
        let endpoint = settings.text("endpoint").map(|value| url("endpoint", value)).transpose()?;
        Ok(Self {
            sign_in: sign_in(&settings)?,
            auth_url: url("auth-url", settings.needed("auth-url")?)?,
            region: settings.text("region").map(str::to_owned),
            interface,
            endpoint,
            container,
            prefix: settings.prefix("prefix"),
            segments,
            checksums: settings.text("checksums") != Some("false"),
            segment_size: settings.number("segment-size", 32, 1..=64)? * MIB,
            parallel: u16::try_from(settings.number("parallel", 4, 1..=6)?).unwrap_or(1),
            temp_url_digest: digest,
            abort_after_ms: settings.number("abort-after", 7, 2..=365)? * DAY_MS,
            direct_downloads: settings.text("direct-downloads") == Some("true"),
        })
    }
}

fn sign_in(settings: &Reader<'_>) -> Result<SignIn> {
    let text = |name: &str, default: &str| settings.text(name).unwrap_or(default).to_owned();
    Ok(match settings.text("sign-in").unwrap_or("password") {
        "password" => SignIn::Password {
            user: settings.needed("user")?.to_owned(),
            user_domain: text("user-domain", "Default"),
            project: settings.needed("project")?.to_owned(),
            project_domain: text("project-domain", "Default"),
        },
        "application-credential" => {
            SignIn::ApplicationCredential { id: settings.needed("application-credential-id")?.to_owned() }
        }
        "v1" => SignIn::V1 { user: settings.needed("user")?.to_owned() },
        _ => {
            return Err(settings.wrong("sign-in", "is `password`, `application-credential` or `v1`"));
        }
    })
}
