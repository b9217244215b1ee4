//! The formats that captures are stored in (S20).

use crate::{
    error::{Code, Error},
    image::{Compression, ImageFormat},
    size::ByteSize,
    string_enum::string_enum,
};

string_enum! {
    /// The format of the file of a captured image.
    pub enum CaptureFormat {
        /// QEMU copy-on-write: what is not there takes no space, and the rest can be compressed.
        Qcow2 = "qcow2",
        /// The bytes of the disk and nothing else, as large as the disk.
        Raw = "raw",
        /// Virtual PC virtual hard disk, which grows in blocks of 2 MiB.
        Vhd = "vhd",
    }
}

impl CaptureFormat {
    /// The format of locations that have none of their own.
    pub const DEFAULT: Self = Self::Qcow2;

    /// Returns the capture format that is stored as that format of files, if it is one.
    pub const fn of(format: ImageFormat) -> Option<Self> {
        match format {
            ImageFormat::Qcow2 => Some(Self::Qcow2),
            ImageFormat::Raw => Some(Self::Raw),
            ImageFormat::Vhd => Some(Self::Vhd),
            ImageFormat::Vhdx | ImageFormat::Vmdk | ImageFormat::Vdi | ImageFormat::Ova => None,
        }
    }

    /// Returns the format of the file.
    pub const fn file(self) -> ImageFormat {
        match self {
            Self::Qcow2 => ImageFormat::Qcow2,
            Self::Raw => ImageFormat::Raw,
            Self::Vhd => ImageFormat::Vhd,
        }
    }

    /// Returns the compression of the file: what was asked for, or else the best that the format
    /// has.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] when the format cannot be compressed, and that was asked for.
    pub fn compression(self, asked: Option<Compression>) -> Result<Compression, Error> {
        match (self, asked) {
            (Self::Qcow2, asked) => Ok(asked.unwrap_or(Compression::Zstd)),
            (Self::Raw | Self::Vhd, None | Some(Compression::None)) => Ok(Compression::None),
            (Self::Raw | Self::Vhd, Some(Compression::Zlib | Compression::Zstd)) => {
                let detail = format!("{self} files are not compressed; ask for qcow2, or for no compression");
                Err(Error::new(Code::InvalidRequest, detail).at("/compression"))
            }
        }
    }

    /// Returns the most bytes that the file may hold of a disk with that content and that size: a
    /// qcow2 file what the disk's file occupies, the others as much as the guest sees.
    pub const fn largest(self, content: ByteSize, size: ByteSize) -> ByteSize {
        match self {
            Self::Qcow2 => content,
            Self::Raw | Self::Vhd => size,
        }
    }

    /// Returns the size of the file where it follows from that of the disk: a raw file is the disk.
    pub const fn exact(self, size: ByteSize) -> Option<ByteSize> {
        match self {
            Self::Raw => Some(size),
            Self::Qcow2 | Self::Vhd => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_qcow2_files_are_compressed() {
        for &format in CaptureFormat::ALL {
            assert_eq!(CaptureFormat::of(format.file()), Some(format));
            assert_eq!(format.file().as_str(), format.as_str());
            assert_eq!(format.compression(Some(Compression::None)).unwrap(), Compression::None);
        }
        assert_eq!(CaptureFormat::Qcow2.compression(None).unwrap(), Compression::Zstd);
        assert_eq!(CaptureFormat::Vhd.compression(None).unwrap(), Compression::None);
        let refused = CaptureFormat::Raw.compression(Some(Compression::Zstd)).unwrap_err();
        assert_eq!((refused.code, refused.pointer.as_deref()), (Code::InvalidRequest, Some("/compression")));
        assert_eq!(CaptureFormat::of(ImageFormat::Vmdk), None);
    }

    #[test]
    fn a_file_holds_at_most_what_its_format_stores() {
        let size = |bytes| ByteSize::new(bytes).unwrap();
        let largest = CaptureFormat::ALL.iter().map(|format| format.largest(size(30), size(100)).bytes());
        assert_eq!(largest.collect::<Vec<_>>(), [30, 100, 100]);
        assert_eq!(CaptureFormat::Raw.exact(size(100)), Some(size(100)));
        assert_eq!(CaptureFormat::Vhd.exact(size(100)), None);
    }
}
