//! An open connection of a plugin.

use std::{
    net::{Shutdown, TcpStream},
    sync::Arc,
};

/// A connection in a plugin's hands; dropping it closes it.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct ConnectionHandle(Arc<TcpStream>);

impl ConnectionHandle {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    pub(crate) fn stream(&self) -> Arc<TcpStream> {
        self.0.clone()
    }
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        // A call that still waits for it ends.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
