//! An image of this machine: its format, and whether its content has that format.

use std::{path::Path, sync::Arc};

use imprint_data_path::{
    Disk, EngineError, GrantedFiles, InnerImage, OpenOptions, confirm_format, detect, refuse_foreign,
};
use imprint_ports::{BlockSource, DiskFormat, Props};

use super::{
    args::{Declared, ReadArgs},
    failure::Failure,
    source::{self, Location, Opened},
    watch::Watch,
};
use crate::plugin_ports::PluginPorts;

/// The name of the raw format; its content can be anything.
pub(super) const RAW: &str = "raw";

/// How the format of an image is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The format is declared, by an option or by the file's name, and the content must have it.
    Confirmed,
    /// The same, but without a declaration the content determines the format. Only to inspect.
    OrDetected,
}

/// What declared the format of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeclaredBy {
    /// An option of the command.
    Option,
    /// The name of the file.
    Name,
    /// Nothing: the content determined it.
    Content,
}

impl DeclaredBy {
    /// Returns the spelling in reports.
    pub(super) fn as_str(self) -> &'static str {
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
    /// The formats that a disk in a wrapper can have.
    formats: Vec<Arc<dyn DiskFormat>>,
    source: Arc<dyn BlockSource>,
    declared_by: DeclaredBy,
    file: Option<(u64, u64)>,
    allocated: Option<u64>,
    options: Props,
    granted: Arc<GrantedFiles>,
    granted_files: Vec<(u64, u64)>,
    ignore_manifest: bool,
}

impl Image {
    /// Opens an image. Symbolic links are followed, because the user names the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its content is not of the declared format.
    pub(super) async fn open(
        plugins: &PluginPorts,
        path: &Path,
        declared: Declared<'_>,
        read: &ReadArgs,
        trust: Trust,
        watch: &Watch,
    ) -> Result<Self, Failure> {
        let location = Location::of(path)?;
        let name = location.shown();
        let Opened { source, file, allocated } = source::open(&location, read, watch).await?;
        if source.size() == 0 && declared.format != Some(RAW) {
            let text = format!("{name} is empty: it has 0 bytes; get the file again");
            return Err(Failure::refused("corrupt.empty", text));
        }
        let formats = plugins.formats();
        // Without the query of an address, and without anything where the name declares nothing.
        let path = location.path().unwrap_or(Path::new(""));
        let named = of_name(path).map(|format| (format, DeclaredBy::Name));
        let by_option = declared.format.map(|format| (format, DeclaredBy::Option));
        let (format, declared_by) = match by_option.or(named) {
            Some((format, declared_by)) => (format.to_owned(), declared_by),
            None => {
                let undeclared = Undeclared { name: &name, path, option: declared.option };
                (undeclared.detect(&formats, &source, trust).await?, DeclaredBy::Content)
            }
        };
        let plugin = find(&formats, &format)?;
        let claim = Claim { name: &name, path, by: declared_by, option: declared.option };
        claim.confirm(plugin.as_ref(), read, &formats, &source).await?;
        let (granted, granted_files) = grant(&formats, read, watch).await?;
        let granted = Arc::new(granted);
        let options = read.options();
        let ignore_manifest = read.ignore_manifest;
        Ok(Self {
            plugin,
            formats,
            source,
            declared_by,
            file,
            allocated,
            name,
            options,
            granted,
            granted_files,
            ignore_manifest,
        })
    }

    /// Returns the path as it was given, printable.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the format.
    pub(super) fn format(&self) -> &str {
        self.plugin.name()
    }

    /// Returns the plugin of the format.
    pub(super) fn plugin(&self) -> &Arc<dyn DiskFormat> {
        &self.plugin
    }

    /// Returns the bytes of the image.
    pub(super) fn source(&self) -> &Arc<dyn BlockSource> {
        &self.source
    }

    /// Returns what declared the format.
    pub(super) fn declared_by(&self) -> DeclaredBy {
        self.declared_by
    }

    /// Returns the number of bytes that the file occupies, if it is a file.
    pub(super) fn allocated(&self) -> Option<u64> {
        self.allocated
    }

    /// Returns device and inode of every file that is read: the image itself, if it is one, and
    /// those that were granted.
    pub(super) fn files(&self) -> Vec<(u64, u64)> {
        self.file.into_iter().chain(self.granted_files.iter().copied()).collect()
    }

    /// Returns the options for the format plugin.
    pub(super) fn options(&self) -> &Props {
        &self.options
    }

    /// Opens the disk in the image.
    ///
    /// # Errors
    ///
    /// The image is damaged, unsafe or not supported, or a file it refers to is not granted.
    pub(super) async fn disk(&self) -> Result<Arc<Disk>, EngineError> {
        let options = self.open_options();
        Ok(Arc::new(Disk::open(self.plugin.as_ref(), self.source.clone(), &options).await?))
    }

    /// Returns the image inside, where this one is a wrapper.
    ///
    /// # Errors
    ///
    /// As [`disk`](Self::disk).
    pub(super) async fn inner(&self) -> Result<Option<InnerImage>, EngineError> {
        InnerImage::find(self.plugin.as_ref(), self.source.clone(), &self.open_options()).await
    }

    fn open_options(&self) -> OpenOptions {
        OpenOptions {
            format_options: self.options.clone(),
            formats: self.formats.clone(),
            resolver: self.granted.clone(),
            identity: identity(self.file),
            ignore_declared_digest: self.ignore_manifest,
            ..OpenOptions::default()
        }
    }

    /// Converts an error of the engine that concerns this image.
    pub(super) fn failure(&self, error: EngineError) -> Failure {
        Failure::engine(&self.name, &error)
    }
}

/// Returns the identity of a file, the same under every name.
fn identity(file: Option<(u64, u64)>) -> String {
    file.map_or_else(String::new, |(device, inode)| format!("{device}:{inode}"))
}

/// Opens the files that the user lets the image refer to.
async fn grant(
    formats: &[Arc<dyn DiskFormat>],
    read: &ReadArgs,
    watch: &Watch,
) -> Result<(GrantedFiles, Vec<(u64, u64)>), Failure> {
    let (mut granted, mut files) = (GrantedFiles::new(), Vec::new());
    for file in &read.with {
        let known = |prefix: &str| formats.iter().find(|format| format.name() == prefix);
        let declared = file.split_once(':').and_then(|(prefix, rest)| Some((known(prefix)?.name(), rest)));
        let (format, path) = match declared {
            Some((format, path)) => (Some(format), Path::new(path)),
            None => (of_name(Path::new(file)), Path::new(file)),
        };
        let location = Location::of(path)?;
        if !matches!(location, Location::File(_)) {
            return Err(Failure::usage("invalid.source", "only files can be granted with --with"));
        }
        let shown = location.shown();
        let Some(format) = format else {
            let text = format!(
                "the name {shown} does not declare a format; put it before the name, such as raw:{shown}"
            );
            return Err(Failure::usage("invalid.format", text));
        };
        let failure = |error: EngineError| Failure::engine(&shown, &error);
        let opened = source::open(&location, read, watch).await?;
        files.extend(opened.file);
        let name = path.to_string_lossy();
        granted.grant(&name, identity(opened.file), opened.source, format, formats).await.map_err(failure)?;
    }
    Ok((granted, files))
}

/// Returns the format that the name of a file declares.
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

/// Returns whether a file has the bytes of a disk that another, small .vmdk file describes:
/// `NAME-flat.vmdk`, or `NAME-f001.vmdk` and so on.
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

/// Returns the plugin of a format.
///
/// # Errors
///
/// No plugin reads that format.
pub(super) fn find(formats: &[Arc<dyn DiskFormat>], name: &str) -> Result<Arc<dyn DiskFormat>, Failure> {
    formats.iter().find(|format| format.reads() && format.name() == name).cloned().ok_or_else(|| {
        let known = names(formats);
        Failure::usage("invalid.format", format!("there is no format '{name}'; known formats are {known}"))
    })
}

/// Returns the names of the formats, for messages.
pub(super) fn names(formats: &[Arc<dyn DiskFormat>]) -> String {
    let readable = formats.iter().filter(|format| format.reads());
    let mut names: Vec<_> = readable.map(|format| format.name()).collect();
    names.sort_unstable();
    names.join(", ")
}

/// An image whose format neither an option nor its name declares.
struct Undeclared<'a> {
    name: &'a str,
    path: &'a Path,
    /// The option that would declare it.
    option: &'static str,
}

impl Undeclared<'_> {
    /// Returns the format of the content if that is enough, else an error that names it.
    async fn detect(
        &self,
        formats: &[Arc<dyn DiskFormat>],
        source: &Arc<dyn BlockSource>,
        trust: Trust,
    ) -> Result<String, Failure> {
        let name = self.name;
        let failure = |error: EngineError| Failure::engine(name, &error);
        refuse_foreign(formats, source).await.map_err(failure)?;
        let guesses = detect(formats, source).await.map_err(failure)?;
        let known = names(formats);
        let content = match (trust, guesses.first()) {
            (Trust::OrDetected, Some(best)) => return Ok(best.format.clone()),
            // Everything can be a raw disk, except files with the signature of a container.
            (Trust::Confirmed, Some(best)) if best.format == RAW => {
                "its content looks like no container format".to_owned()
            }
            (Trust::Confirmed, Some(best)) => format!("its content looks like {}", best.format),
            (Trust::Confirmed | Trust::OrDetected, None) => {
                let text = format!(
                    "{name} has a container format that no plugin reads (known formats are {known}); convert it first, for example with `qemu-img convert`"
                );
                return Err(Failure::refused("unsupported.format", text));
            }
        };
        let extension = extension(self.path)
            .map_or_else(|| "no extension".to_owned(), |extension| format!("the extension .{extension}"));
        let option = self.option;
        let text = format!(
            "{name} has {extension}, which does not declare a format, and {content}; declare it with {option} (known formats are {known})"
        );
        Err(Failure::usage("invalid.format", text))
    }
}

/// An image whose format is declared.
struct Claim<'a> {
    name: &'a str,
    path: &'a Path,
    by: DeclaredBy,
    /// The option that declares it.
    option: &'static str,
}

impl Claim<'_> {
    /// Checks that the content has the declared format.
    async fn confirm(
        &self,
        declared: &dyn DiskFormat,
        read: &ReadArgs,
        formats: &[Arc<dyn DiskFormat>],
        source: &Arc<dyn BlockSource>,
    ) -> Result<(), Failure> {
        let accepted: &[&str] = if read.allow_luks { &["luks"] } else { &[] };
        match confirm_format(declared.name(), accepted, formats, source).await {
            // The raw format detects container formats itself, with better messages, when it opens
            // the file.
            Err(EngineError::AmbiguousContent { .. })
                if declared.name() == RAW
                    && detect(formats, source).await.is_ok_and(|guesses| guesses.is_empty()) =>
            {
                Ok(())
            }
            Err(EngineError::AmbiguousContent { found, .. })
                if formats.iter().any(|format| format.reads() && format.name() == found) =>
            {
                Err(self.contradicted(declared.name(), &found))
            }
            confirmed => confirmed.map_err(|error| Failure::engine(self.name, &error)),
        }
    }

    /// Says what declared one format, where the content looks like another that can be read.
    fn contradicted(&self, declared: &str, found: &str) -> Failure {
        let (name, option) = (self.name, self.option);
        let by = match (self.by, extension(self.path)) {
            (DeclaredBy::Name, Some(extension)) => format!("its ending .{extension} declares {declared}"),
            (DeclaredBy::Name, None) => format!("its name declares {declared}"),
            (DeclaredBy::Option | DeclaredBy::Content, _) => format!("{option} declares {declared}"),
        };
        let caution = if declared == RAW {
            "; leave it if this is the disk of a guest, which can write such a beginning itself"
        } else {
            ""
        };
        let text = format!(
            "{name}: {by}, and the content looks like {found}; if that is what it is, run the command again with \
             `{option} {found}`{caution}"
        );
        Failure::refused("denied.ambiguous-content", text)
    }
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
