//! The bindings that `bindgen!` generates from `wit/`. They are private to this crate.
//!
//! One expansion has the host's interfaces and the shared types; the worlds of the plugin kinds
//! refer to it.

pub(crate) mod host {
    wasmtime::component::bindgen!({
        inline: "
            package imprint:runtime-host@0.1.0;
            world host {
                import imprint:types/types@0.1.0;
                import imprint:types/block-map@0.1.0;
                import imprint:types/http-types@0.1.0;
                import imprint:types/locators@0.1.0;
                import imprint:host/log@0.1.1;
                import imprint:host/config@0.1.1;
                import imprint:host/task@0.1.1;
                import imprint:host/blobs@0.1.1;
                import imprint:host/dirs@0.1.1;
                import imprint:host/files@0.1.1;
                import imprint:host/http@0.1.1;
                import imprint:host/tcp@0.1.1;
                import imprint:host/journal@0.1.1;
                import imprint:host/channels@0.1.1;
            }
        ",
        path: ["../../wit/types", "../../wit/host"],
        world: "imprint:runtime-host/host",
        imports: { default: async | trappable },
        with: {
            "imprint:host/blobs.blob": crate::blob_cache::BlobHandle,
            "imprint:host/channels.channel": crate::channel::ChannelHandle,
            "imprint:host/tcp.connection": crate::connection::ConnectionHandle,
        },
        require_store_data_send: true,
    });
}

pub(crate) mod format {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/format"],
        world: "imprint:format/format-full",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
            "imprint:host": crate::bindings::host::imprint::host,
        },
        require_store_data_send: true,
    });
}

pub(crate) mod storage {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/storage"],
        world: "imprint:storage/storage-plugin",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
            "imprint:host": crate::bindings::host::imprint::host,
        },
        require_store_data_send: true,
    });
}

/// The interface that the world `storage-streaming` exports in addition to `storage-plugin`.
pub(crate) mod stream {
    wasmtime::component::bindgen!({
        inline: "
            package imprint:runtime-stream@0.1.0;
            world streaming {
                export imprint:storage/stream-io@0.1.0;
            }
        ",
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/storage"],
        world: "imprint:runtime-stream/streaming",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
        },
        require_store_data_send: true,
    });
}

pub(crate) mod hypervisor {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/hypervisor"],
        world: "imprint:hypervisor/hypervisor-plugin",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
            "imprint:host": crate::bindings::host::imprint::host,
        },
        require_store_data_send: true,
    });
}

/// The interface that the world `hypervisor-with-devices` exports in addition to
/// `hypervisor-plugin`.
pub(crate) mod devices {
    wasmtime::component::bindgen!({
        inline: "
            package imprint:runtime-devices@0.1.0;
            world changing {
                export imprint:hypervisor/devices@0.1.0;
            }
        ",
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/hypervisor"],
        world: "imprint:runtime-devices/changing",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
        },
        require_store_data_send: true,
    });
}

/// The interface that the world `hypervisor-with-reclaim` exports in addition to
/// `hypervisor-plugin`.
pub(crate) mod reclaim {
    wasmtime::component::bindgen!({
        inline: "
            package imprint:runtime-reclaim@0.1.0;
            world reclaiming {
                export imprint:hypervisor/reclaim@0.1.0;
            }
        ",
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/hypervisor"],
        world: "imprint:runtime-reclaim/reclaiming",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
        },
        require_store_data_send: true,
    });
}

pub(crate) mod inspector {
    wasmtime::component::bindgen!({
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin", "../../wit/inspector"],
        world: "imprint:inspector/inspector-plugin",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
            "imprint:host": crate::bindings::host::imprint::host,
        },
        require_store_data_send: true,
    });
}

/// The interface that every kind of plugin may export: the check of its settings.
pub(crate) mod admin {
    wasmtime::component::bindgen!({
        inline: "
            package imprint:runtime-admin@0.1.0;
            world administered {
                export imprint:plugin/admin@0.1.0;
            }
        ",
        path: ["../../wit/types", "../../wit/host", "../../wit/plugin"],
        world: "imprint:runtime-admin/administered",
        exports: { default: async },
        with: {
            "imprint:types": crate::bindings::host::imprint::types,
        },
        require_store_data_send: true,
    });
}
