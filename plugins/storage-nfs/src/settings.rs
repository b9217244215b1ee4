//! The operator's settings. The host has checked them against `config.schema.json`.

use std::ops::RangeInclusive;

use imprint_path_storage::is_name;
use imprint_plugin_sdk::{
    error::{Error, Result},
    types::Props,
};

/// How the export is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The plugin speaks NFS itself.
    Direct,
    /// The hypervisor has mounted it.
    Mount,
}

/// The settings of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) access: Access,
    pub(crate) server: String,
    /// Without a slash at its end, unless it is `/`.
    pub(crate) export: String,
    /// `None`: the export itself.
    pub(crate) folder: Option<String>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nfs_port: u16,
    /// `None`: the port mapper is asked.
    pub(crate) mount_port: Option<u16>,
    /// How long one operation waits for an answer, in milliseconds.
    pub(crate) limit_ms: u64,
}

fn wrong(setting: &str, what: &str) -> Error {
    Error::invalid_input("nfs.settings", format!("the setting {setting:?} {what}")).about_setting(setting)
}

fn number<T: TryFrom<u64>>(props: &Props, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<T> {
    let text = props.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let value = text.map_or(Some(default), |text| text.parse().ok());
    let value = value.filter(|value| range.contains(value)).and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| wrong(name, &format!("is a number from {} to {}", range.start(), range.end())))
}

impl Settings {
    /// Returns the path of the storage's folder on the server.
    pub(crate) fn path(&self) -> String {
        match &self.folder {
            Some(folder) => format!("{}/{folder}", self.export.trim_end_matches('/')),
            None => self.export.clone(),
        }
    }

    pub(crate) fn parse(props: &Props) -> Result<Self> {
        let text = |name: &str| props.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let needed = |name: &str| text(name).ok_or_else(|| wrong(name, "is missing; set it"));
        let access = match text("access").unwrap_or("direct") {
            "direct" => Access::Direct,
            "mount" => Access::Mount,
            _ => return Err(wrong("access", "is `direct` or `mount`")),
        };
        let export = needed("export")?;
        if !export.starts_with('/') {
            return Err(wrong("export", "is the absolute path of the export on the server"));
        }
        let export = match export.trim_end_matches('/') {
            "" => "/",
            export => export,
        };
        let folder = text("folder").filter(|folder| *folder != ".");
        if folder.is_some_and(|folder| folder.contains('/') || !is_name(folder)) {
            return Err(wrong("folder", "is the name of one folder, or a dot for none"));
        }
        let mount_port: u16 = number(props, "mount-port", 0, 0..=65_535)?;
        Ok(Self {
            access,
            server: needed("server")?.to_owned(),
            export: export.to_owned(),
            folder: folder.map(str::to_owned),
            uid: number(props, "uid", 0, 0..=4_294_967_294)?,
            gid: number(props, "gid", 0, 0..=4_294_967_294)?,
            nfs_port: number(props, "nfs-port", 2049, 1..=65_535)?,
            mount_port: (mount_port != 0).then_some(mount_port),
            limit_ms: number::<u64>(props, "timeout", 30, 5..=120)? * 1000,
        })
    }
}
