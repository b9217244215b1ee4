//! An image on this machine: which format it has, and whether its content agrees.

use std::{path::Path, sync::Arc};

use imprint_data_path::{
    Disk, EngineError, GrantedFiles, OpenOptions, confirm_format, detect, refuse_foreign,
};
use imprint_ports::{BlockSource, DiskFormat, Props};

use super::{
    ReadArgs,
    failure::{Failure, printable},
    source::{self, Location, Opened},
    watch::Watch,
};
use crate::plugin_ports::PluginPorts;

/// What raw disks are called; they alone can look like anything.
pub(super) const RAW: &str = "raw";

/// What is made of content that is not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The format is declared, by an option or by the file's name, and the content has to agree.
    Confirmed,
    /// The same, but a file whose name says nothing is what it looks like. For asking only.
    OrDetected,
}

/// Who said which format it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Option,
    Name,
    Content,
}

impl Said {
    /// The word in reports.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Option => "option",
            Self::Name => "name",
            Self::Content => "content",
        }
    }
}

/// An open image file.
pub(super) struct Image {
    name: String,
    plugin: Arc<dyn DiskFormat>,
    /// What may be inside of a wrapper.
    formats: Vec<Arc<dyn DiskFormat>>,
    source: Arc<dyn BlockSource>,
    said: Said,
    file: Option<(u64, u64)>,
    allocated: Option<u64>,
    options: Props,
    granted: Arc<GrantedFiles>,
    ignore_manifest: bool,
}

impl Image {
    /// Opens a file as an image. Symlinks are followed, because it is the user who names it.
    pub(super) async fn open(
        plugins: &PluginPorts,
        path: &Path,
        declared: Option<&str>,
        read: &ReadArgs,
        trust: Trust,
        watch: &Watch,
    ) -> Result<Self, Failure> {
        let location = Location::of(path);
        let name = location.shown();
        let failure = |error: EngineError| Failure::engine(&name, &error);
        let Opened { source, file, allocated } =
            source::open(&location, read, watch).await.map_err(failure)?;
        let formats = plugins.formats();
        let named = location.path().and_then(of_name).map(|format| (format, Said::Name));
        let (format, said) = match declared.map(|format| (format, Said::Option)).or(named) {
            Some((format, said)) => (format.to_owned(), said),
            None => (undeclared(&name, path, &formats, &source, trust).await?, Said::Content),
        };
        let plugin = find(&formats, &format)?;
        confirm(&name, plugin.as_ref(), read, &formats, &source).await?;
        let granted = Arc::new(grant(&formats, read, watch).await?);
        let options = read.options();
        let ignore_manifest = read.ignore_manifest;
        Ok(Self { plugin, formats, source, said, file, allocated, name, options, granted, ignore_manifest })
    }

    /// The path as it was given, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The format's name.
    pub(super) fn format(&self) -> &str {
        self.plugin.name()
    }

    pub(super) fn plugin(&self) -> &Arc<dyn DiskFormat> {
        &self.plugin
    }

    pub(super) fn source(&self) -> &Arc<dyn BlockSource> {
        &self.source
    }

    /// Who said which format it is.
    pub(super) fn said(&self) -> Said {
        self.said
    }

    /// Bytes that the file occupies, if it is a file.
    pub(super) fn allocated(&self) -> Option<u64> {
        self.allocated
    }

    /// Device and inode, if it is a file.
    pub(super) fn file(&self) -> Option<(u64, u64)> {
        self.file
    }

    /// For the format plugin.
    pub(super) fn options(&self) -> &Props {
        &self.options
    }

    /// The disk in it.
    pub(super) async fn disk(&self) -> Result<Arc<Disk>, EngineError> {
        let options = OpenOptions {
            format_options: self.options.clone(),
            formats: self.formats.clone(),
            resolver: self.granted.clone(),
            identity: identity(self.file),
            ignore_declared_digest: self.ignore_manifest,
            ..OpenOptions::default()
        };
        Ok(Arc::new(Disk::open(self.plugin.as_ref(), self.source.clone(), &options).await?))
    }

    /// An error of the engine about this image.
    pub(super) fn failure(&self, error: EngineError) -> Failure {
        Failure::engine(&self.name, &error)
    }
}

/// What finds a file again under another name.
fn identity(file: Option<(u64, u64)>) -> String {
    file.map_or_else(String::new, |(device, inode)| format!("{device}:{inode}"))
}

/// The files that the user lets the image refer to.
async fn grant(
    formats: &[Arc<dyn DiskFormat>],
    read: &ReadArgs,
    watch: &Watch,
) -> Result<GrantedFiles, Failure> {
    let mut granted = GrantedFiles::new();
    for file in &read.with {
        let known = |prefix: &str| formats.iter().find(|format| format.name() == prefix);
        let declared = file.split_once(':').and_then(|(prefix, rest)| Some((known(prefix)?.name(), rest)));
        let (format, path) = match declared {
            Some((format, path)) => (Some(format), Path::new(path)),
            None => (of_name(Path::new(file)), Path::new(file)),
        };
        let shown = printable(&path.to_string_lossy());
        let Some(format) = format else {
            let text = format!(
                "the name {shown} does not tell its format; say it before the name, such as raw:{shown}"
            );
            return Err(Failure::usage("invalid.format", text));
        };
        let failure = |error: EngineError| Failure::engine(&shown, &error);
        let location = Location::File(path.to_owned());
        let opened = source::open(&location, read, watch).await.map_err(failure)?;
        let name = path.to_string_lossy();
        granted.grant(&name, identity(opened.file), opened.source, format, formats).await.map_err(failure)?;
    }
    Ok(granted)
}

/// The format that a file's name declares.
pub(super) fn of_name(path: &Path) -> Option<&'static str> {
    match extension(path)?.as_str() {
        "raw" | "img" => Some(RAW),
        "qcow2" | "qcow" => Some("qcow2"),
        "vdi" => Some("vdi"),
        "vhdx" => Some("vhdx"),
        "vhd" | "vpc" => Some("vhd"),
        "vmdk" if is_flat_extent(path) => Some(RAW),
        "vmdk" => Some("vmdk"),
        "ova" => Some("ova"),
        _ => None,
    }
}

/// The bytes of a disk that a small .vmdk file beside it describes: `NAME-flat.vmdk`, or
/// `NAME-f001.vmdk` and on.
fn is_flat_extent(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    match stem.rsplit_once('-') {
        Some((_, "flat")) => true,
        Some((_, part)) => part
            .strip_prefix('f')
            .is_some_and(|number| number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit())),
        None => false,
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// The plugin of that name.
pub(super) fn find(formats: &[Arc<dyn DiskFormat>], name: &str) -> Result<Arc<dyn DiskFormat>, Failure> {
    formats.iter().find(|format| format.reads() && format.name() == name).cloned().ok_or_else(|| {
        let known = names(formats);
        Failure::usage("invalid.format", format!("there is no format '{name}'; known formats are {known}"))
    })
}

/// The formats' names, for messages.
pub(super) fn names(formats: &[Arc<dyn DiskFormat>]) -> String {
    let readable = formats.iter().filter(|format| format.reads());
    let mut names: Vec<_> = readable.map(|format| format.name()).collect();
    names.sort_unstable();
    names.join(", ")
}

/// Nobody said which format it is: it is refused with what it looks like, or taken for that.
async fn undeclared(
    name: &str,
    path: &Path,
    formats: &[Arc<dyn DiskFormat>],
    source: &Arc<dyn BlockSource>,
    trust: Trust,
) -> Result<String, Failure> {
    let failure = |error: EngineError| Failure::engine(name, &error);
    refuse_foreign(formats, source).await.map_err(failure)?;
    let guesses = detect(formats, source).await.map_err(failure)?;
    let looks = match (trust, guesses.first()) {
        (Trust::OrDetected, Some(best)) => return Ok(best.format.clone()),
        // Everything may be a raw disk, but for what carries the mark of a container.
        (Trust::Confirmed, Some(best)) if best.format == RAW => {
            "its content looks like no container".to_owned()
        }
        (Trust::Confirmed, Some(best)) => format!("its content looks like {}", best.format),
        (Trust::Confirmed | Trust::OrDetected, None) => {
            return Err(Failure::refused(
                "unsupported.format",
                format!(
                    "{name} is a container that no plugin reads (known formats are {}); convert it first, for example with `qemu-img convert`",
                    names(formats)
                ),
            ));
        }
    };
    let ending =
        extension(path).map_or_else(|| "no ending".to_owned(), |ending| format!("the ending .{ending}"));
    Err(Failure::usage(
        "invalid.format",
        format!(
            "{name} has {ending}, which does not tell its format, and {looks}; declare it with --from or --format (known formats are {})",
            names(formats)
        ),
    ))
}

/// The content has to agree with what was declared.
async fn confirm(
    name: &str,
    declared: &dyn DiskFormat,
    read: &ReadArgs,
    formats: &[Arc<dyn DiskFormat>],
    source: &Arc<dyn BlockSource>,
) -> Result<(), Failure> {
    let accepted: &[&str] = if read.allow_luks { &["luks"] } else { &[] };
    let confirmed = match confirm_format(declared.name(), accepted, formats, source).await {
        // The raw format knows the marks of containers, and says more about them when it opens the
        // file.
        Err(EngineError::AmbiguousContent { .. })
            if declared.name() == RAW
                && detect(formats, source).await.is_ok_and(|guesses| guesses.is_empty()) =>
        {
            Ok(())
        }
        confirmed => confirmed,
    };
    confirmed.map_err(|error| Failure::engine(name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_declare_formats() {
        assert_eq!(of_name(Path::new("a/b.RAW")), Some("raw"));
        assert_eq!(of_name(Path::new("b.img")), Some("raw"));
        assert_eq!(of_name(Path::new("b.qcow2")), Some("qcow2"));
        assert_eq!(of_name(Path::new("qcow2")), None);
        assert_eq!(of_name(Path::new("b.vmdk")), Some("vmdk"));
        for flat in ["b-flat.vmdk", "b-f001.vmdk"] {
            assert_eq!(of_name(Path::new(flat)), Some("raw"), "{flat}");
        }
        for other in ["b-s001.vmdk", "flat.vmdk", "b-f1.vmdk"] {
            assert_eq!(of_name(Path::new(other)), Some("vmdk"), "{other}");
        }
        assert_eq!(of_name(Path::new("b.txt")), None);
    }
}
