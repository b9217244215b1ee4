//! What one has to know about an image, by what was found inside of its disk.

use serde::{Deserialize, Serialize};

use super::{DiskFindings, DiskFirmware, OsFamily, Presence};
use crate::{image::catalogue::GuestSystem, string_enum::string_enum};

/// The architecture of the machines that instances run on.
const ARCHITECTURE: &str = "x86_64";

string_enum! {
    /// What one has to know about an image before an instance is made of it.
    pub enum ImageNoticeCode {
        /// It starts by UEFI only.
        UefiOnly = "uefi_only",
        /// It is a domain controller (S35).
        DomainController = "domain_controller",
        /// Its programs are for another processor.
        OtherArchitecture = "other_architecture",
        /// cloud-init is missing.
        NoCloudInit = "no_cloud_init",
        /// The guest agent is missing.
        NoGuestAgent = "no_guest_agent",
        /// There is no operating system.
        NoSystem = "no_system",
        /// Some of it is encrypted.
        Encrypted = "encrypted",
        /// Not all of it could be read.
        PartlyUnread = "partly_unread",
    }
}

/// A notice about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ImageNotice {
    /// The stable code.
    pub code: ImageNoticeCode,
    /// What one has to know, and what helps, as sentences.
    pub text: String,
}

impl DiskFindings {
    /// Returns what one has to know about an image of this disk, the most serious first. What
    /// nothing tells is no notice, and what is said of its system counts more: there are others
    /// than cloud-init that understand the same.
    pub fn notices(&self, said: GuestSystem) -> Vec<ImageNotice> {
        let mut codes = Vec::new();
        if self.domain_controller == Presence::Present {
            codes.push(ImageNoticeCode::DomainController);
        }
        if self.firmware == DiskFirmware::Uefi {
            codes.push(ImageNoticeCode::UefiOnly);
        }
        if self.system.architecture.as_deref().is_some_and(|name| name != ARCHITECTURE) {
            codes.push(ImageNoticeCode::OtherArchitecture);
        }
        if self.file_systems.iter().any(|found| found.encrypted) {
            codes.push(ImageNoticeCode::Encrypted);
        } else if !self.is_complete() {
            codes.push(ImageNoticeCode::PartlyUnread);
        } else if self.system.family == OsFamily::Unknown {
            codes.push(ImageNoticeCode::NoSystem);
        }
        if self.cloud_init == Presence::Absent && !said.cloud_init {
            codes.push(ImageNoticeCode::NoCloudInit);
        }
        if self.guest_agent == Presence::Absent {
            codes.push(ImageNoticeCode::NoGuestAgent);
        }
        codes.into_iter().map(|code| ImageNotice { code, text: self.text_of(code) }).collect()
    }

    fn text_of(&self, code: ImageNoticeCode) -> String {
        match code {
            ImageNoticeCode::UefiOnly => {
                "The disk starts by UEFI only, and instances start by BIOS: an instance of this image will not \
                 start. Add a boot loader for BIOS, and import it again."
            }
            ImageNoticeCode::DomainController => {
                "The system is a domain controller. An instance of this image cannot be signed in to, because its \
                 local administrator is disabled: demote it first, then create the image."
            }
            ImageNoticeCode::OtherArchitecture => {
                let found = self.system.architecture.as_deref().unwrap_or_default();
                return format!(
                    "The programs of the system are for the architecture {found}, and instances are {ARCHITECTURE}: an \
                     instance of this image will not start."
                );
            }
            ImageNoticeCode::NoCloudInit => {
                "cloud-init is not installed: SSH keys, user scripts and the host name of an instance are not set. \
                 Sign in with a user of the image."
            }
            ImageNoticeCode::NoGuestAgent => {
                "The QEMU guest agent is not installed: images of a running instance are as after a power cut. \
                 Install it for consistent images."
            }
            ImageNoticeCode::NoSystem => {
                "No operating system was found on the disk: an instance of this image may not start."
            }
            ImageNoticeCode::Encrypted => {
                "A file system is encrypted: it cannot be looked into, and an instance of this image may ask for a \
                 passphrase when it starts."
            }
            ImageNoticeCode::PartlyUnread => {
                "Not all of the disk could be looked into, so what is said of it may be incomplete."
            }
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::{FileSystemFinding, UnreadFinding, tests::findings},
        image::catalogue::OsType,
    };

    const WITHOUT: GuestSystem = GuestSystem { os_type: OsType::Linux, cloud_init: false };

    fn codes(found: &DiskFindings) -> Vec<ImageNoticeCode> {
        found.notices(WITHOUT).into_iter().map(|notice| notice.code).collect()
    }

    /// Returns a disk that nothing has to be said of.
    fn usual() -> DiskFindings {
        DiskFindings {
            firmware: DiskFirmware::Both,
            cloud_init: Presence::Present,
            guest_agent: Presence::Present,
            ..findings(OsFamily::Linux)
        }
    }

    #[test]
    fn a_usual_disk_has_no_notice() {
        assert_eq!(codes(&usual()), []);
        let unknown = DiskFindings {
            firmware: DiskFirmware::Unknown,
            cloud_init: Presence::Unknown,
            guest_agent: Presence::Unknown,
            ..usual()
        };
        assert_eq!(codes(&unknown), [], "what nothing tells is no notice");
    }

    #[test]
    fn what_keeps_an_instance_from_starting_comes_first() {
        let mut found = DiskFindings {
            firmware: DiskFirmware::Uefi,
            domain_controller: Presence::Present,
            cloud_init: Presence::Absent,
            guest_agent: Presence::Absent,
            ..usual()
        };
        found.system.architecture = Some("aarch64".to_owned());
        let expected = [
            ImageNoticeCode::DomainController,
            ImageNoticeCode::UefiOnly,
            ImageNoticeCode::OtherArchitecture,
            ImageNoticeCode::NoCloudInit,
            ImageNoticeCode::NoGuestAgent,
        ];
        assert_eq!(codes(&found), expected);
        assert!(found.notices(WITHOUT)[2].text.contains("aarch64"));
        let notices = found.notices(GuestSystem { cloud_init: true, ..WITHOUT });
        let codes: Vec<_> = notices.iter().map(|notice| notice.code).collect();
        assert!(!codes.contains(&ImageNoticeCode::NoCloudInit), "it is said to understand the same");
    }

    #[test]
    fn an_encrypted_disk_is_not_said_to_have_no_system() {
        let empty = DiskFindings { cloud_init: Presence::Unknown, ..findings(OsFamily::Unknown) };
        let mut found = DiskFindings { firmware: DiskFirmware::Bios, ..empty };
        assert_eq!(codes(&found), [ImageNoticeCode::NoSystem]);
        found.unread.push(UnreadFinding {
            offset: 0,
            what: "luks".to_owned(),
            code: "inspect.encrypted".to_owned(),
            reason: "it is encrypted".to_owned(),
        });
        assert_eq!(codes(&found), [ImageNoticeCode::PartlyUnread]);
        found.file_systems.push(FileSystemFinding {
            offset: 0,
            partition: None,
            kind: "luks".to_owned(),
            label: None,
            uuid: None,
            size: None,
            used: None,
            used_until: None,
            encrypted: true,
        });
        assert_eq!(codes(&found), [ImageNoticeCode::Encrypted]);
    }
}
