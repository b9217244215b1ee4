//! What an image takes over from what was found inside of its disk (X5).

use super::{
    Image, ImageKind,
    catalogue::{GuestSystem, OsType},
};
use crate::findings::DiskFindings;

impl Image {
    /// Takes over what was found inside of the disk, where nothing else is known: the operating
    /// system; and of an imported disk, whether its system takes what a deployment gives it. What
    /// an admin or an instance says stays.
    pub fn inspected(&mut self, found: &DiskFindings) {
        let known = self.0.guest;
        let os_type = match known.os_type {
            OsType::Other => found.os_type().unwrap_or(OsType::Other),
            OsType::Linux | OsType::Windows | OsType::Bsd => known.os_type,
        };
        let is_imported = self.0.kind == ImageKind::Custom && self.0.source.is_none();
        let answer = found.cloud_init.answer().filter(|_| is_imported);
        self.0.guest = GuestSystem { os_type, cloud_init: answer.unwrap_or(known.cloud_init) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::{OsFamily, Presence, tests::findings},
        image::tests::{creating, stock},
    };

    #[test]
    fn an_imported_disk_says_what_it_is() {
        let mut image = creating();
        assert_eq!(image.guest, GuestSystem::default());
        image.inspected(&findings(OsFamily::Windows));
        assert_eq!(image.guest, GuestSystem { os_type: OsType::Windows, cloud_init: false });
        let unknown = DiskFindings { cloud_init: Presence::Unknown, ..findings(OsFamily::Linux) };
        image.inspected(&unknown);
        assert_eq!(image.guest, GuestSystem { os_type: OsType::Windows, cloud_init: false }, "it stays");
    }

    #[test]
    fn what_an_admin_says_of_a_stock_image_stays() {
        let mut image = stock();
        image.inspected(&findings(OsFamily::Bsd));
        assert_eq!(image.guest, GuestSystem { os_type: OsType::Bsd, cloud_init: true });
    }
}
