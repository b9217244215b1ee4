//! What a plugin author depends on.
//!
//! A plugin does not touch bulk bytes (except those of storages that nothing else can read): it
//! answers where bytes are, how a disk maps to them, or which conversation makes a hypervisor stop
//! a guest. Implement one of the traits ([`format::Format`], [`storage::Storage`],
//! [`hypervisor::Hypervisor`], [`inspector::Inspector`]) and export it with the macro of the same
//! kind. Everything that the
//! host offers comes in as a trait ([`host`]), so plugin logic is tested natively against
//! [`mock::MockHost`].
//!
//! A format that reads files of which every byte is the disk's:
//!
//! ```
//! use imprint_plugin_sdk::{
//!     error::Result, export_format,
//!     format::{Format, Guess, Image, Info, MapBuilder, Page, ReadOnly},
//!     host::Blob,
//!     mock::MemBlob,
//!     types::{ByteRange, Props},
//! };
//!
//! struct Flat;
//!
//! struct FlatImage {
//!     file: Box<dyn Blob>,
//! }
//!
//! impl Format for Flat {
//!     type Image = FlatImage;
//!     type Layout = ReadOnly;
//!
//!     fn probe(_head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
//!         None
//!     }
//!
//!     fn open(file: Box<dyn Blob>, _options: &Props) -> Result<FlatImage> {
//!         Ok(FlatImage { file })
//!     }
//! }
//!
//! impl Image for FlatImage {
//!     fn info(&mut self) -> Result<Info> {
//!         let virtual_size = self.file.size();
//!         Ok(Info { format: "flat".into(), subformat: None, virtual_size, unit: 1, facts: Props::new() })
//!     }
//!
//!     fn metadata_ranges(&mut self, _start: u64, _max: u32) -> Result<Vec<ByteRange>> {
//!         Ok(Vec::new())
//!     }
//!
//!     fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
//!         let mut map = MapBuilder::new(start, end, max)?;
//!         let _one_extent_is_all = map.data(end - start, 0, start)?;
//!         Ok(map.finish())
//!     }
//! }
//!
//! export_format!(Flat);
//!
//! let mut image = Flat::open(Box::new(MemBlob::new([7; 512])), &Props::new())?;
//! let page = image.extents(0, 512, 100)?;
//! assert_eq!((page.extents.len(), page.done), (1, true));
//! # Ok::<(), imprint_plugin_sdk::error::Error>(())
//! ```
//!
//! The export macros only check the type unless the target is `wasm32`: components are built with
//! `cargo build --release --target wasm32-wasip2`, and `imprint plugin pack` adds the manifest.
//!
//! Not here: anything of the host beyond `wit/`.

pub mod admin;
#[doc(hidden)]
pub mod bindings;
pub mod error;
pub mod format;
#[doc(hidden)]
pub mod glue;
pub mod host;
pub mod http;
pub mod hypervisor;
pub mod inspector;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
pub mod mock;
pub mod prelude;
mod props;
pub mod settings;
pub mod storage;
#[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
pub mod testing;
pub mod types;

/// Exports a [`format::Format`] (reader, checker and writer): `export_format!(MyFormat);`
#[macro_export]
macro_rules! export_format {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::format::Exported<$plugin>;
    $crate::bindings::format::export!(Export with_types_in $crate::bindings::format);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::format_is_exported::<$plugin>();
    };
}

/// Exports a [`storage::Storage`]: `export_storage!(MyStorage);`
#[macro_export]
macro_rules! export_storage {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::storage::Backend<$plugin>;
    $crate::bindings::storage::export!(Export with_types_in $crate::bindings::storage);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::storage_is_exported::<$plugin>();
    };
}

/// Exports a [`storage::StreamStorage`]: `export_streaming_storage!(MyStorage);`
#[macro_export]
macro_rules! export_streaming_storage {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::stream::StreamIo<$plugin>;
    $crate::bindings::stream::export!(Export with_types_in $crate::bindings::stream);
        };
        $crate::export_storage!($plugin);
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::streaming_is_exported::<$plugin>();
    };
}

/// Exports a [`hypervisor::Hypervisor`]: `export_hypervisor!(MyDriver);`
#[macro_export]
macro_rules! export_hypervisor {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::hypervisor::Driver<$plugin>;
    $crate::bindings::hypervisor::export!(Export with_types_in $crate::bindings::hypervisor);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::hypervisor_is_exported::<$plugin>();
    };
}

/// Exports an [`inspector::Inspector`]: `export_inspector!(MyInspector);`
#[macro_export]
macro_rules! export_inspector {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::inspector::Exported<$plugin>;
    $crate::bindings::inspector::export!(Export with_types_in $crate::bindings::inspector);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::inspector_is_exported::<$plugin>();
    };
}

/// Exports a [`hypervisor::Devices`]: `export_hypervisor_with_devices!(MyDriver);`
#[macro_export]
macro_rules! export_hypervisor_with_devices {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::devices::DeviceChanges<$plugin>;
    $crate::bindings::devices::export!(Export with_types_in $crate::bindings::devices);
        };
        $crate::export_hypervisor!($plugin);
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::devices_are_exported::<$plugin>();
    };
}

/// Exports a [`hypervisor::Reclaim`] besides what the driver is: `export_reclaim!(MyDriver);`
#[macro_export]
macro_rules! export_reclaim {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::reclaim::SpaceReclaim<$plugin>;
    $crate::bindings::reclaim::export!(Export with_types_in $crate::bindings::reclaim);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::reclaim_is_exported::<$plugin>();
    };
}

/// Exports an [`admin::Administered`] besides what the plugin is: `export_admin!(MyStorage);`
#[macro_export]
macro_rules! export_admin {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Export = $crate::glue::admin::Admin<$plugin>;
    $crate::bindings::admin::export!(Export with_types_in $crate::bindings::admin);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = $crate::glue::admin_is_exported::<$plugin>();
    };
}
