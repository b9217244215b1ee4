//! `tcp`: connections to servers with a protocol that the plugin implements.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use wasmtime::component::Resource;

use super::dirs::run_blocking;
use crate::{
    bindings::host::imprint::{host::tcp, types::types::Error},
    codes::Code,
    connection::ConnectionHandle,
    state::State,
    wit_error,
};

/// The longest time to connect, and the longest pause while bytes are sent.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of one call.
const MAX_PIECE: usize = 2 << 20;
/// The connections of one instance.
const MAX_CONNECTIONS: usize = 32;

fn broken(error: &io::Error) -> Error {
    wit_error::new(Code::TcpBroken, format!("the connection broke: {error}"))
}

fn too_long() -> Error {
    wit_error::new(Code::TcpLength, format!("one call moves at most {} MiB", MAX_PIECE >> 20))
}

fn receive(mut stream: &TcpStream, max: usize, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
    stream.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
    let mut bytes = vec![0; max];
    loop {
        match stream.read(&mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                return Ok(Some(bytes));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl State {
    fn connection(&self, handle: &Resource<ConnectionHandle>) -> wasmtime::Result<Arc<TcpStream>> {
        Ok(self.table.get(handle)?.stream())
    }
}

impl tcp::Host for State {}

impl tcp::HostConnection for State {
    async fn open(
        &mut self,
        grant: String,
        host: String,
        port: u16,
    ) -> wasmtime::Result<Result<Resource<ConnectionHandle>, Error>> {
        let context = match self.net() {
            Ok(context) => context,
            Err(error) => return Ok(Err(error)),
        };
        if self.connections >= MAX_CONNECTIONS {
            let message = format!("one instance has at most {MAX_CONNECTIONS} connections");
            return Ok(Err(wit_error::new(Code::TcpLimit, message)));
        }
        let opened = run_blocking(move || {
            let stream = context.connect(&grant, &host, port, LIMIT).map_err(|error| error.for_plugin())?;
            let ready = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(LIMIT)));
            ready.map_err(|error| broken(&error))?;
            Ok(stream)
        });
        match opened.await? {
            Ok(stream) => {
                self.connections += 1;
                Ok(Ok(self.table.push(ConnectionHandle::new(stream))?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn send(
        &mut self,
        connection: Resource<ConnectionHandle>,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let stream = self.connection(&connection)?;
        if bytes.len() > MAX_PIECE {
            return Ok(Err(too_long()));
        }
        run_blocking(move || stream.as_ref().write_all(&bytes).map_err(|error| broken(&error))).await
    }

    async fn receive(
        &mut self,
        connection: Resource<ConnectionHandle>,
        max: u32,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let stream = self.connection(&connection)?;
        let max = match usize::try_from(max) {
            Ok(max) if (1..=MAX_PIECE).contains(&max) => max,
            Ok(_) | Err(_) => return Ok(Err(too_long())),
        };
        let timeout = Duration::from_millis(u64::from(timeout_ms));
        let timeout =
            self.deadline.map_or(timeout, |end| timeout.min(end.duration_since(tokio::time::Instant::now())));
        run_blocking(move || receive(&stream, max, timeout).map_err(|error| broken(&error))).await
    }

    async fn drop(&mut self, connection: Resource<ConnectionHandle>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        self.connections = self.connections.saturating_sub(1);
        Ok(())
    }
}
