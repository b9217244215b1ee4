//! The devices of an instance beside its primary disk, as its definition has them: further disks,
//! and what is in its drive.

use std::{
    io,
    path::{Path, PathBuf},
};

use imprint_agent_protocol::FurtherDisk;
use imprint_domain::{
    id::{DiskId, IsoId},
    task_error::TaskErrorCode,
};
use imprint_ports::{DiskSpec, MEDIUM_SERIAL};
use serde::{Deserialize, Serialize};

use crate::{durable, error::JobError};

/// How the names of the files of further disks, and of copies of ISOs, begin.
const FURTHER: &str = "further-";
const COPY: &str = "cd-";
/// The longest serial that virtio shows, in bytes.
const SERIAL_BYTES: usize = 20;

/// The devices of an instance beside its primary disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefinedDevices {
    pub(crate) disks: Vec<FurtherDisk>,
    pub(crate) medium: Option<DefinedMedium>,
}

/// What is in the drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefinedMedium {
    pub(crate) iso: IsoId,
    /// The file on its storage; `None` for the copy in the folder of the instance.
    pub(crate) path: Option<PathBuf>,
    /// Whether the machine boots from it first.
    pub(crate) boot: bool,
}

/// Returns the serial by which the guest and the driver know a disk.
pub(crate) fn serial(id: DiskId) -> String {
    let text = id.uuid().simple().to_string();
    text[text.len() - SERIAL_BYTES..].to_owned()
}

/// Returns the name of the file of a further disk.
pub(crate) fn further_file(disk: &FurtherDisk) -> String {
    format!("{FURTHER}{}.{}", serial(disk.id), disk.format)
}

/// Returns the name of the copy of an ISO.
pub(crate) fn copy_file(iso: IsoId) -> String {
    format!("{COPY}{}.iso", iso.uuid().simple())
}

/// Returns whether a file in an instance's folder is one of a device.
pub(crate) fn is_device_file(name: &str) -> bool {
    let of_disk =
        name.strip_prefix(FURTHER).and_then(|rest| rest.split_once('.')).is_some_and(|(serial, _)| {
            serial.len() == SERIAL_BYTES && serial.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
    let of_copy = name
        .strip_prefix(COPY)
        .and_then(|rest| rest.strip_suffix(".iso"))
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    of_disk || of_copy
}

impl DefinedMedium {
    /// Returns where its file is.
    pub(crate) fn file(&self, folder: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| folder.join(copy_file(self.iso)))
    }

    /// Returns it as the driver takes it.
    pub(crate) fn spec(&self, folder: &Path) -> DiskSpec {
        DiskSpec {
            path: self.file(folder),
            format: "raw".to_owned(),
            read_only: true,
            serial: MEDIUM_SERIAL.to_owned(),
        }
    }
}

/// Returns a further disk as the driver takes it.
pub(crate) fn disk_spec(folder: &Path, disk: &FurtherDisk) -> DiskSpec {
    DiskSpec {
        path: folder.join(further_file(disk)),
        format: disk.format.to_string(),
        read_only: false,
        serial: serial(disk.id),
    }
}

impl DefinedDevices {
    /// Refuses a medium whose file is not there any more. Blocks.
    pub(crate) fn require_medium(&self, folder: &Path) -> Result<(), JobError> {
        match &self.medium {
            Some(medium) if !medium.file(folder).exists() => Err(JobError::failed(
                TaskErrorCode::IsoNotAvailable,
                format!("the file {} of the ISO in the drive is not there", medium.file(folder).display()),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Removes the files of devices that are not among these. Blocks.
    pub(crate) fn remove_others(&self, folder: &Path) -> io::Result<()> {
        let mut kept: Vec<String> = self.disks.iter().map(further_file).collect();
        let copied = self.medium.as_ref().filter(|medium| medium.path.is_none());
        kept.extend(copied.map(|medium| copy_file(medium.iso)));
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| is_device_file(name)) else { continue };
            if !kept.iter().any(|file| file == name) {
                durable::remove_file(&folder.join(name))?;
            }
        }
        Ok(())
    }
}

/// Returns the path of a file below an open folder, after all symbolic links, if it is inside of
/// that folder. Blocks.
pub(crate) fn path_below(folder: &impl std::os::fd::AsRawFd, name: &str) -> io::Result<PathBuf> {
    let folder = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
    let path = folder.join(Path::new(name)).canonicalize()?;
    if path.starts_with(folder.canonicalize()?) {
        return Ok(path);
    }
    Err(io::Error::other("the file leads out of the folder of its storage"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn files_of_devices_are_known_by_their_names() {
        let disk = FurtherDisk {
            id: DiskId::new(Uuid::from_u128(0xfeed)),
            format: imprint_domain::image::ImageFormat::Qcow2,
            size: imprint_domain::size::ByteSize::MIB,
        };
        assert!(is_device_file(&further_file(&disk)));
        assert!(is_device_file(&copy_file(IsoId::new(Uuid::from_u128(7)))));
        for other in ["disk.qcow2", "seed.iso", "further-base.qcow2", "cd-rescue.iso", "further-"] {
            assert!(!is_device_file(other), "{other}");
        }
    }

    #[test]
    fn a_file_outside_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("storage");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.iso"), b"a").unwrap();
        std::fs::write(folder.path().join("b.iso"), b"b").unwrap();
        std::os::unix::fs::symlink("../b.iso", inside.join("link.iso")).unwrap();
        let open = std::fs::File::open(&inside).unwrap();
        let found = path_below(&open, "a.iso").unwrap();
        assert_eq!(found, inside.canonicalize().unwrap().join("a.iso"));
        assert!(path_below(&open, "link.iso").is_err());
        assert!(path_below(&open, "../b.iso").is_err());
        assert!(path_below(&open, "missing.iso").is_err());
    }
}
