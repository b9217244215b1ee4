//! The shapes that every kind of plugin shares.

use crate::{
    bindings::host::imprint::types::{locators as wit_locators, types as wit},
    error::{Error, ErrorClass},
    types::{ByteRange, Codec, Digest, FileRef, NbdRef, Props, ReadLocator},
};

pub(crate) fn props_in(pairs: Vec<(String, String)>) -> Props {
    pairs.into_iter().collect()
}

pub(crate) fn props_out(props: Props) -> Vec<(String, String)> {
    props.into_iter().collect()
}

/// The classes of both sides, spelled once.
macro_rules! classes {
    ($($class:ident)*) => {
        impl From<ErrorClass> for wit::ErrorClass {
            fn from(class: ErrorClass) -> Self {
                match class {
                    $(ErrorClass::$class => Self::$class,)*
                }
            }
        }

        impl From<wit::ErrorClass> for ErrorClass {
            fn from(class: wit::ErrorClass) -> Self {
                match class {
                    $(wit::ErrorClass::$class => Self::$class,)*
                }
            }
        }
    };
}

classes! {
    InvalidInput Unsupported NotFound AlreadyExists Denied Conflict Corrupt LimitExceeded Transient Cancelled
    Internal
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        let Error { class, code, message, retry_after_ms } = error;
        Self { class: class.into(), code, message, retry_after_ms }
    }
}

impl From<wit::Error> for Error {
    fn from(error: wit::Error) -> Self {
        let wit::Error { class, code, message, retry_after_ms } = error;
        Self { class: class.into(), code, message, retry_after_ms }
    }
}

impl From<ByteRange> for wit::ByteRange {
    fn from(range: ByteRange) -> Self {
        Self { offset: range.offset, length: range.length }
    }
}

impl From<Codec> for wit::Codec {
    fn from(codec: Codec) -> Self {
        Self { name: codec.name, params: props_out(codec.params) }
    }
}

impl From<wit::Digest> for Digest {
    fn from(digest: wit::Digest) -> Self {
        Self { algorithm: digest.algorithm, value: digest.value }
    }
}

impl From<FileRef> for wit_locators::FileRef {
    fn from(file: FileRef) -> Self {
        Self { grant: file.grant, path: file.path }
    }
}

impl From<NbdRef> for wit_locators::NbdRef {
    fn from(nbd: NbdRef) -> Self {
        Self {
            endpoint: nbd.endpoint,
            export_name: nbd.export_name,
            meta_contexts: nbd.meta_contexts,
            max_connections: nbd.max_connections,
        }
    }
}

impl From<ReadLocator> for wit_locators::ReadLocator {
    fn from(locator: ReadLocator) -> Self {
        match locator {
            ReadLocator::File(file) => Self::File(file.into()),
            ReadLocator::Nbd(nbd) => Self::Nbd(nbd.into()),
            ReadLocator::GuestStream => Self::GuestStream,
        }
    }
}
