//! Images of Windows instances (S33 to S35).
//!
//! A file system of Windows does not shrink its disk's file again, and the largest disk that is
//! captured is bounded: so what a disk held and how large it was at its largest is kept for each
//! instance, and is never lowered (S133).

use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error},
    size::ByteSize,
    string_enum::string_enum,
};

string_enum! {
    /// The operating system of an instance, as its owner declared it.
    pub enum DeclaredOs {
        /// Linux.
        Linux = "linux",
        /// Windows.
        Windows = "windows",
        /// Another one.
        Other = "other",
    }

    /// What one has to know about an image before it is created.
    pub enum CaptureNoticeCode {
        /// The disk will soon be too large for images.
        WindowsDiskNearLimit = "windows_disk_near_limit",
        /// The request does not say whether the instance is a domain controller.
        DomainControllerUnanswered = "domain_controller_unanswered",
    }
}

/// How large the primary disk of an instance was at its largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HighWater {
    /// The most bytes that the disk's file occupied.
    pub content: ByteSize,
    /// The largest size in bytes that the guest saw.
    pub size: ByteSize,
}

impl HighWater {
    /// Raises the marks to what was observed, where that is more. Returns whether it was.
    pub fn raise(&mut self, observed: Self) -> bool {
        let raised = Self { content: self.content.max(observed.content), size: self.size.max(observed.size) };
        let is_higher = raised != *self;
        *self = raised;
        is_higher
    }

    /// Returns the marks with what was observed besides.
    #[must_use]
    pub fn with(mut self, observed: Self) -> Self {
        self.raise(observed);
        self
    }
}

/// The bounds of Windows disks that images are created of (S33, S34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowsBounds {
    /// The largest disk, now and ever, in bytes.
    pub limit: ByteSize,
    /// The content in bytes from which on a notice recommends to create an image.
    pub warning: ByteSize,
}

impl Default for WindowsBounds {
    /// 160 GiB and 140 GiB.
    fn default() -> Self {
        let gib = |count: u64| ByteSize::new(count << 30).unwrap_or(ByteSize::GIB);
        Self { limit: gib(160), warning: gib(140) }
    }
}

/// A notice about an image that is to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureNotice {
    /// The stable code.
    pub code: CaptureNoticeCode,
    /// What one has to know, as a sentence.
    pub text: String,
}

/// What decides about an image of a Windows instance.
#[derive(Clone, Copy, Debug)]
pub struct WindowsFacts {
    /// What its owner says that it runs.
    pub os: Option<DeclaredOs>,
    /// How large its disk was at its largest.
    pub largest: HighWater,
    /// The bounds of its location.
    pub bounds: WindowsBounds,
    /// Whether the request says that it is a domain controller.
    pub domain_controller: Option<bool>,
}

impl WindowsFacts {
    /// Refuses an instance that no usable image can be created of.
    ///
    /// # Errors
    ///
    /// [`Code::DomainControllerNotSupported`] for a domain controller (S35);
    /// [`Code::WindowsDiskTooLarge`] when its disk is or was too large (S33).
    pub fn check(&self) -> Result<(), Error> {
        if self.domain_controller == Some(true) {
            return Err(Error::new(
                Code::DomainControllerNotSupported,
                "an image of a domain controller cannot be restored, because its local administrator is \
                 disabled; demote it first, then create the image",
            ));
        }
        let largest = self.largest.content.max(self.largest.size);
        if self.os != Some(DeclaredOs::Windows) || largest <= self.bounds.limit {
            return Ok(());
        }
        let detail = format!(
            "the disk is or was {largest} large, and a Windows disk of more than {} cannot be captured, as it \
             does not shrink; create a smaller instance and move the data there",
            self.bounds.limit
        );
        Err(Error::new(Code::WindowsDiskTooLarge, detail)
            .with("limit_bytes", self.bounds.limit.bytes())
            .with("largest_bytes", largest.bytes()))
    }

    /// Returns what one has to know before the image is created (S34, S35).
    pub fn notices(&self) -> Vec<CaptureNotice> {
        if self.os != Some(DeclaredOs::Windows) {
            return Vec::new();
        }
        let mut notices = Vec::new();
        if self.largest.content >= self.bounds.warning {
            let text = format!(
                "the disk holds or held {}; above {} no image can be created of a Windows instance, so create \
                 one before",
                self.largest.content, self.bounds.limit
            );
            notices.push(CaptureNotice { code: CaptureNoticeCode::WindowsDiskNearLimit, text });
        }
        if self.domain_controller.is_none() {
            let text =
                "an image of a domain controller cannot be restored: if the instance is one, demote it \
                        first"
                    .to_owned();
            notices.push(CaptureNotice { code: CaptureNoticeCode::DomainControllerUnanswered, text });
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gib(count: u64) -> ByteSize {
        ByteSize::new(count << 30).unwrap()
    }

    fn facts(os: DeclaredOs, content: u64, size: u64) -> WindowsFacts {
        WindowsFacts {
            os: Some(os),
            largest: HighWater { content: gib(content), size: gib(size) },
            bounds: WindowsBounds::default(),
            domain_controller: Some(false),
        }
    }

    #[test]
    fn what_was_larger_once_stays_larger() {
        let mut largest = HighWater::default();
        assert!(largest.raise(HighWater { content: gib(5), size: gib(100) }));
        assert!(largest.raise(HighWater { content: gib(9), size: gib(50) }));
        assert!(!largest.raise(HighWater { content: gib(1), size: gib(1) }));
        assert_eq!(largest, HighWater { content: gib(9), size: gib(100) });
    }

    #[test]
    fn a_windows_disk_that_is_or_was_above_160_gib_is_refused() {
        assert!(facts(DeclaredOs::Windows, 160, 160).check().is_ok(), "the limit itself is no excess");
        for (content, size) in [(161, 160), (10, 200)] {
            let refused = facts(DeclaredOs::Windows, content, size).check().unwrap_err();
            assert_eq!(refused.code, Code::WindowsDiskTooLarge);
            assert_eq!(refused.context["limit_bytes"], (160_u64 << 30).to_string());
        }
        assert!(facts(DeclaredOs::Linux, 500, 500).check().is_ok());
        assert!(WindowsFacts { os: None, ..facts(DeclaredOs::Other, 500, 500) }.check().is_ok());
    }

    #[test]
    fn what_comes_near_the_limit_is_recommended_to_be_captured() {
        let codes = |facts: WindowsFacts| -> Vec<_> {
            facts.notices().into_iter().map(|notice| notice.code).collect()
        };
        assert_eq!(codes(facts(DeclaredOs::Windows, 139, 150)), []);
        let near = [CaptureNoticeCode::WindowsDiskNearLimit];
        assert_eq!(codes(facts(DeclaredOs::Windows, 140, 150)), near);
        assert_eq!(codes(facts(DeclaredOs::Linux, 150, 150)), []);
    }

    #[test]
    fn a_domain_controller_is_asked_for_and_refused() {
        let asked =
            |domain_controller| WindowsFacts { domain_controller, ..facts(DeclaredOs::Windows, 1, 1) };
        let notices = asked(None).notices();
        assert_eq!(notices[0].code, CaptureNoticeCode::DomainControllerUnanswered);
        assert!(notices[0].text.contains("demote it first"));
        assert!(asked(None).check().is_ok());
        assert!(asked(Some(false)).notices().is_empty());
        let refused = asked(Some(true)).check().unwrap_err();
        assert_eq!(refused.code, Code::DomainControllerNotSupported);
        assert!(refused.detail.contains("demote it first"), "{}", refused.detail);
    }
}
