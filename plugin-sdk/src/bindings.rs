//! What `wit-bindgen` makes of `wit/`. Private: authors see the traits and types of this crate
//! instead, so that a change of the generator changes no plugin.
//!
//! One generation holds the host's interfaces and the shared shapes; the worlds of the plugin kinds
//! refer to it.

pub mod host {
    //! The host's interfaces and the shared shapes.
    wit_bindgen::generate!({
        inline: "
            package imprint:sdk-host@0.1.0;
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
        path: ["wit/types", "wit/host"],
        world: "imprint:sdk-host/host",
        generate_all,
        generate_unused_types: true,
        pub_export_macro: true,
    });
}

pub mod format {
    //! World `format-full`.
    wit_bindgen::generate!({
        path: ["wit/types", "wit/host", "wit/plugin", "wit/format"],
        world: "imprint:format/format-full",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
            "imprint:types/block-map@0.1.0": crate::bindings::host::imprint::types::block_map,
            "imprint:host/log@0.1.1": crate::bindings::host::imprint::host::log,
            "imprint:host/config@0.1.1": crate::bindings::host::imprint::host::config,
            "imprint:host/task@0.1.1": crate::bindings::host::imprint::host::task,
            "imprint:host/blobs@0.1.1": crate::bindings::host::imprint::host::blobs,
        },
    });
}

pub mod storage {
    //! World `storage-plugin`.
    wit_bindgen::generate!({
        path: ["wit/types", "wit/host", "wit/plugin", "wit/storage"],
        world: "imprint:storage/storage-plugin",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
            "imprint:types/http-types@0.1.0": crate::bindings::host::imprint::types::http_types,
            "imprint:types/locators@0.1.0": crate::bindings::host::imprint::types::locators,
            "imprint:host/log@0.1.1": crate::bindings::host::imprint::host::log,
            "imprint:host/config@0.1.1": crate::bindings::host::imprint::host::config,
            "imprint:host/task@0.1.1": crate::bindings::host::imprint::host::task,
            "imprint:host/dirs@0.1.1": crate::bindings::host::imprint::host::dirs,
            "imprint:host/http@0.1.1": crate::bindings::host::imprint::host::http,
            "imprint:host/tcp@0.1.1": crate::bindings::host::imprint::host::tcp,
        },
    });
}

pub mod stream {
    //! What the world `storage-streaming` exports beyond `storage-plugin`.
    wit_bindgen::generate!({
        inline: "
            package imprint:sdk-stream@0.1.0;
            world streaming {
                import imprint:types/types@0.1.0;
                export imprint:storage/stream-io@0.1.0;
            }
        ",
        path: ["wit/types", "wit/host", "wit/plugin", "wit/storage"],
        world: "imprint:sdk-stream/streaming",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
        },
    });
}

pub mod hypervisor {
    //! World `hypervisor-plugin`.
    wit_bindgen::generate!({
        path: ["wit/types", "wit/host", "wit/plugin", "wit/hypervisor"],
        world: "imprint:hypervisor/hypervisor-plugin",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
            "imprint:types/http-types@0.1.0": crate::bindings::host::imprint::types::http_types,
            "imprint:types/locators@0.1.0": crate::bindings::host::imprint::types::locators,
            "imprint:host/log@0.1.1": crate::bindings::host::imprint::host::log,
            "imprint:host/config@0.1.1": crate::bindings::host::imprint::host::config,
            "imprint:host/task@0.1.1": crate::bindings::host::imprint::host::task,
            "imprint:host/channels@0.1.1": crate::bindings::host::imprint::host::channels,
            "imprint:host/journal@0.1.1": crate::bindings::host::imprint::host::journal,
        },
    });
}

pub mod inspector {
    //! World `inspector-plugin`.
    wit_bindgen::generate!({
        path: ["wit/types", "wit/host", "wit/plugin", "wit/inspector"],
        world: "imprint:inspector/inspector-plugin",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
            "imprint:host/log@0.1.1": crate::bindings::host::imprint::host::log,
            "imprint:host/config@0.1.1": crate::bindings::host::imprint::host::config,
            "imprint:host/task@0.1.1": crate::bindings::host::imprint::host::task,
            "imprint:host/blobs@0.1.1": crate::bindings::host::imprint::host::blobs,
        },
    });
}

pub mod admin {
    //! The optional interface of every kind of plugin.
    wit_bindgen::generate!({
        inline: "
            package imprint:sdk-admin@0.1.0;
            world administered {
                import imprint:types/types@0.1.0;
                export imprint:plugin/admin@0.1.0;
            }
        ",
        path: ["wit/types", "wit/host", "wit/plugin"],
        world: "imprint:sdk-admin/administered",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
        },
    });
}

pub mod devices {
    //! What the world `hypervisor-with-devices` exports beyond `hypervisor-plugin`.
    wit_bindgen::generate!({
        inline: "
            package imprint:sdk-devices@0.1.0;
            world changing {
                import imprint:types/types@0.1.0;
                export imprint:hypervisor/devices@0.1.0;
            }
        ",
        path: ["wit/types", "wit/host", "wit/plugin", "wit/hypervisor"],
        world: "imprint:sdk-devices/changing",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
        },
    });
}

pub mod reclaim {
    //! What the world `hypervisor-with-reclaim` exports beyond `hypervisor-plugin`.
    wit_bindgen::generate!({
        inline: "
            package imprint:sdk-reclaim@0.1.0;
            world reclaiming {
                import imprint:types/types@0.1.0;
                export imprint:hypervisor/reclaim@0.1.0;
            }
        ",
        path: ["wit/types", "wit/host", "wit/plugin", "wit/hypervisor"],
        world: "imprint:sdk-reclaim/reclaiming",
        pub_export_macro: true,
        with: {
            "imprint:types/types@0.1.0": crate::bindings::host::imprint::types::types,
        },
    });
}
