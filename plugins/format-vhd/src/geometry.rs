//! Cylinders, heads and sectors: how the specification derives them, and which of the two stated
//! sizes a disk has.

use imprint_plugin_sdk::format::{FormatError, wire::be16};

/// Bytes of a sector: the unit of every place in a VHD file.
pub const SECTOR: u64 = 512;

/// The largest disk: 2040 GiB, the most that 32-bit sector numbers of the file can hold with its
/// tables.
pub const MAX_DISK: u64 = 0xff00_0000 * SECTOR;

/// A geometry as a footer states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads: tracks of a cylinder.
    pub heads: u8,
    /// Sectors of a track.
    pub sectors: u8,
}

impl Geometry {
    /// The largest that can be stated. It says nothing about the size: every disk that is larger
    /// states it, too.
    pub const MAXIMAL: Self = Self { cylinders: 65535, heads: 16, sectors: 255 };

    /// From the four bytes of a footer.
    pub(crate) fn parse(footer: &[u8], at: usize) -> Self {
        let byte = |at| footer.get(at).copied().unwrap_or(0);
        Self { cylinders: be16(footer, at).unwrap_or(0), heads: byte(at + 2), sectors: byte(at + 3) }
    }

    /// As the footer has it.
    pub(crate) fn bytes(self) -> [u8; 4] {
        let [high, low] = self.cylinders.to_be_bytes();
        [high, low, self.heads, self.sectors]
    }

    /// Bytes of a disk of this geometry.
    pub fn size(self) -> u64 {
        u64::from(self.cylinders) * self.cylinder()
    }

    /// Bytes of a cylinder.
    pub fn cylinder(self) -> u64 {
        u64::from(self.heads) * u64::from(self.sectors) * SECTOR
    }

    /// For a disk of so many sectors: the appendix "CHS Calculation" of the specification. Rounds
    /// down.
    pub fn of_sectors(sectors: u64) -> Self {
        let total = sectors.min(Self::MAXIMAL.size() / SECTOR);
        let (per_track, heads, tracks) = if total >= 65535 * 16 * 63 {
            (255, 16, total / 255)
        } else {
            let tracks = total / 17;
            let heads = tracks.div_ceil(1024).max(4);
            if tracks < heads * 1024 && heads <= 16 {
                (17, heads, tracks)
            } else if total / 31 < 16 * 1024 {
                (31, 16, total / 31)
            } else {
                (63, 16, total / 63)
            }
        };
        Self {
            cylinders: u16::try_from(tracks / heads).unwrap_or(u16::MAX),
            heads: u8::try_from(heads).expect("at most 16"),
            sectors: per_track,
        }
    }

    /// The smallest geometry of the specification that holds so many bytes, as QEMU rounds: at most
    /// a cylinder more.
    pub fn holding(size: u64) -> Self {
        let wanted = size.div_ceil(SECTOR).min(Self::MAXIMAL.size() / SECTOR);
        let mut asked = wanted;
        loop {
            let geometry = Self::of_sectors(asked);
            let missing = wanted.saturating_sub(geometry.size() / SECTOR);
            if missing == 0 {
                return geometry;
            }
            asked += 1;
        }
    }
}

/// Which of the two sizes counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRule {
    /// The size field, as all programs do except those of `Geometry`.
    Current,
    /// The geometry, as Virtual PC does, and QEMU by default.
    Geometry,
}

/// What a program is known to do about the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creator {
    /// Hyper-V `win `, QEMU with exact sizes `qem2`, disk2vhd `d2v `, XenConverter `CTXS`,
    /// XenServer `tap`, Azure `wa`: all readers take the size field.
    KnownExact,
    /// Virtual PC `vpc ` and QEMU `qemu`.
    KnownGeometry,
    /// Others: most readers take the size field, QEMU takes the geometry.
    Unknown,
}

impl Creator {
    fn of(creator: [u8; 4]) -> Self {
        match &creator {
            b"vpc " | b"qemu" => Self::KnownGeometry,
            b"win " | b"qem2" | b"d2v " | b"CTXS" | [b't', b'a', b'p', _] | [b'w', b'a', _, _] => {
                Self::KnownExact
            }
            _ => Self::Unknown,
        }
    }
}

/// The size of a disk, and the size that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSize {
    /// In bytes.
    pub bytes: u64,
    /// The other stated size, where it differs, in bytes.
    pub conflict: Option<u64>,
}

impl DiskSize {
    /// Decides between the size field and the geometry. `rule` is what the caller insists on.
    ///
    /// A geometry is coarser than a size: up to a cylinder's difference is normal. What is more is
    /// a conflict, and refused when programs would not agree about it.
    pub fn decide(
        creator: [u8; 4],
        current: u64,
        geometry: Geometry,
        rule: Option<SizeRule>,
    ) -> Result<Self, FormatError> {
        let stated = geometry.size();
        if geometry == Geometry::MAXIMAL || stated == current {
            return Ok(Self { bytes: current, conflict: None });
        }
        let apart = stated.abs_diff(current) > geometry.cylinder();
        let rule = match (rule, Creator::of(creator)) {
            (Some(rule), _) => rule,
            (None, Creator::KnownExact) => SizeRule::Current,
            // No geometry at all is no statement.
            (None, Creator::Unknown) if stated == 0 => SizeRule::Current,
            (None, Creator::Unknown | Creator::KnownGeometry) if apart => {
                return Err(FormatError::SizeConflict(format!(
                    "the footer states a disk of {current} bytes, and a geometry of {stated} bytes, and programs differ in which they believe; open it with the size `current` or `geometry` (`--vhd-size`), whichever the program that made it used"
                )));
            }
            (None, Creator::Unknown) => SizeRule::Current,
            (None, Creator::KnownGeometry) => SizeRule::Geometry,
        };
        let (bytes, other) = match rule {
            SizeRule::Current => (current, stated),
            SizeRule::Geometry => (stated, current),
        };
        Ok(Self { bytes, conflict: (other != 0).then_some(other) })
    }
}

#[cfg(test)]
mod tests;
