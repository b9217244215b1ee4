//! Storages whose bytes go through the plugin.

use std::{cell::RefCell, marker::PhantomData};

use super::{HostSide, shapes::props_in};
use crate::{
    bindings::{host::imprint::types::types as shapes, stream::exports::imprint::storage::stream_io as wit},
    storage::{Order, StreamReader, StreamStorage, StreamWriter},
};

/// What `export_streaming_storage!` exports besides the storage itself.
pub struct StreamIo<S>(PhantomData<S>);

/// A reader behind its handle.
pub struct ReaderCell<S: StreamStorage>(RefCell<S::Reader>);

/// A writer behind its handle.
pub struct WriterCell<S: StreamStorage>(RefCell<S::Writer>);

impl<S: StreamStorage> wit::Guest for StreamIo<S> {
    type Reader = ReaderCell<S>;
    type Writer = WriterCell<S>;
}

impl<S: StreamStorage> wit::GuestReader for ReaderCell<S> {
    fn open(settings: shapes::Props, key: String) -> Result<wit::Reader, shapes::Error> {
        let storage = S::open_stream(S::StreamHost::side(), &props_in(settings))?;
        Ok(wit::Reader::new(ReaderCell::<S>(RefCell::new(storage.reader(S::StreamHost::side(), &key)?))))
    }

    fn size(&self) -> u64 {
        self.0.borrow().size()
    }

    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, shapes::Error> {
        Ok(self.0.borrow_mut().read(S::StreamHost::side(), offset, length)?)
    }
}

impl<S: StreamStorage> wit::GuestWriter for WriterCell<S> {
    fn open(settings: shapes::Props, token: Vec<u8>) -> Result<wit::Writer, shapes::Error> {
        let storage = S::open_stream(S::StreamHost::side(), &props_in(settings))?;
        Ok(wit::Writer::new(WriterCell::<S>(RefCell::new(storage.writer(S::StreamHost::side(), &token)?))))
    }

    fn order(&self) -> wit::Order {
        match self.0.borrow().order() {
            Order::Any => wit::Order::Any,
            Order::Ascending => wit::Order::Ascending,
        }
    }

    fn write(&self, offset: u64, bytes: Vec<u8>) -> Result<(), shapes::Error> {
        Ok(self.0.borrow_mut().write(S::StreamHost::side(), offset, &bytes)?)
    }

    fn finish(&self, size: u64) -> Result<(), shapes::Error> {
        Ok(self.0.borrow_mut().finish(S::StreamHost::side(), size)?)
    }
}
