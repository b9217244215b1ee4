//! What a plugin author depends on.
//!
//! A plugin does not touch bulk bytes (but for storages that nothing else can read): it answers
//! where bytes are, how a disk maps to them, or how to talk a hypervisor into holding still.
//! Implement one of the traits ([`format::Format`], [`storage::Storage`],
//! [`hypervisor::Hypervisor`]) and export it with the macro of the same kind. Everything that the
//! host offers comes in as a trait ([`host`]), so plugin logic is tested natively against
//! [`mock::MockHost`].
//!
//! The export macros only check the type unless the target is `wasm32`: components are built with
//! `cargo build --profile plugin --target wasm32-wasip2`.
//!
//! Not here: anything of the host beyond `wit/`.

#[doc(hidden)]
pub mod bindings;
pub mod error;
pub mod format;
#[doc(hidden)]
pub mod glue;
pub mod host;
pub mod hypervisor;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
pub mod mock;
pub mod storage;
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
