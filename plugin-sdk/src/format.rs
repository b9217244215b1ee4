//! Disk formats: how a virtual disk maps to stored bytes, and how to lay out a new file.

pub mod blob;
mod blocks;
mod error;
mod map;
pub mod marks;
mod parts;
mod shapes;
mod traits;
pub mod wire;
mod work;

pub use blocks::BlockPlaces;
pub use error::FormatError;
pub use map::MapBuilder;
pub use parts::page_of_parts;
pub use shapes::{
    CreateRequest, Extent, ExtentKind, Finding, Findings, FrameField, Guess, Info, MetadataPage, Page,
    Placed, Rules, Segment, Severity, Source,
};
pub use traits::{Format, Image, Layout, ReadOnly};
pub use work::Budget;
