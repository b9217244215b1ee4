//! Remote procedure calls (RFC 5531) over one connection, several at a time.
//!
//! A call that has no answer when its connection breaks is sent again over a new one, with the same
//! id, until the time limit is over. So a server may restart in between.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Connection, TcpStorageHost},
};
use nfs3_types::{
    rpc::{
        RPC_VERSION_2, accept_stat_data, accepted_reply, call_body, fragment_header, msg_body, opaque_auth,
        rejected_reply, reply_body, rpc_msg,
    },
    xdr_codec::{Pack, Unpack},
};

use crate::failure::{not_answering, not_nfs};

/// The id of the grant in the manifest.
const GRANT: &str = "server";
/// The longest answer, in bytes: a read of 1 MiB with what is around it.
const MAX_ANSWER: usize = (1 << 20) + (64 << 10);
/// The bytes that are asked for while the length of an answer is not known.
const FIRST_BYTES: usize = 64 << 10;
/// How long one connection is waited for, in milliseconds, before another one is made.
const SILENCE_MS: u64 = 10_000;
/// The pause before another connection is made, in milliseconds.
const PAUSE_MS: u64 = 500;
/// The connections that a server may close in a row before it has ever answered.
const MAX_CLOSED: u32 = 2;

/// A program on a server.
pub(crate) struct Program {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) program: u32,
    pub(crate) version: u32,
    /// The setting with the port.
    pub(crate) setting: &'static str,
    /// As the operator knows it.
    pub(crate) name: &'static str,
}

/// The id of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call(u32);

/// The calls to one program.
pub(crate) struct Rpc {
    program: Program,
    credential: opaque_auth<'static>,
    /// How long an answer is waited for, in milliseconds.
    limit_ms: u64,
    connection: Option<Box<dyn Connection>>,
    has_answered: bool,
    /// Calls without an answer, as they were sent.
    pending: BTreeMap<u32, Vec<u8>>,
    /// Answers that nothing has asked for yet.
    answers: BTreeMap<u32, Vec<u8>>,
    inbox: Inbox,
    next: u32,
}

/// Bytes that have arrived.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// The fragments of an answer that has more of them.
    fragments: Vec<u8>,
}

impl Inbox {
    /// Returns how many bytes the current fragment lacks.
    fn missing(&self) -> usize {
        match self.length() {
            Some(length) => (4 + length).saturating_sub(self.bytes.len()).max(1),
            None => FIRST_BYTES,
        }
    }

    fn length(&self) -> Option<usize> {
        let header = fragment_header::from(<[u8; 4]>::try_from(self.bytes.get(..4)?).ok()?);
        usize::try_from(header.fragment_length()).ok()
    }

    /// Returns the next whole answer; `Err` for one that is too long.
    fn next(&mut self) -> Result<Option<Vec<u8>>, ()> {
        loop {
            let Some(length) = self.length() else { return Ok(None) };
            if length + self.fragments.len() > MAX_ANSWER {
                return Err(());
            }
            if self.bytes.len() < 4 + length {
                return Ok(None);
            }
            let is_last = self.bytes.first().is_some_and(|byte| byte & 0x80 != 0);
            let rest = self.bytes.split_off(4 + length);
            let fragment = std::mem::replace(&mut self.bytes, rest);
            self.fragments.extend_from_slice(&fragment[4..]);
            if is_last {
                return Ok(Some(std::mem::take(&mut self.fragments)));
            }
        }
    }
}

impl Rpc {
    pub(crate) fn new(
        host: &dyn TcpStorageHost,
        program: Program,
        credential: opaque_auth<'static>,
        limit_ms: u64,
    ) -> Self {
        Self {
            program,
            credential,
            limit_ms,
            connection: None,
            has_answered: false,
            pending: BTreeMap::new(),
            answers: BTreeMap::new(),
            inbox: Inbox::default(),
            // A server answers a repeated id from what it has kept, so another client should not
            // begin with the same one.
            next: host.monotonic_ms().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()[4..]
                .iter()
                .fold(0, |id, byte| (id << 8) | u32::from(*byte)),
        }
    }

    /// Sends a call. Where that fails, it is sent again while its answer is waited for.
    pub(crate) fn start(
        &mut self,
        host: &dyn TcpStorageHost,
        procedure: u32,
        args: &impl Pack,
    ) -> Result<Call> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let call = rpc_msg {
            xid: id,
            body: msg_body::CALL(call_body {
                rpcvers: RPC_VERSION_2,
                prog: self.program.program,
                vers: self.program.version,
                proc: procedure,
                cred: self.credential.borrow(),
                verf: opaque_auth::default(),
            }),
        };
        let length = call.packed_size() + args.packed_size();
        let invalid = || Error::internal("nfs.call", "a call cannot be written");
        let header = u32::try_from(length).map_err(|_| invalid())?;
        let mut record = Vec::with_capacity(4 + length);
        record.extend_from_slice(&fragment_header::new(header, true).into_xdr_buf());
        call.pack(&mut record).map_err(|_| invalid())?;
        args.pack(&mut record).map_err(|_| invalid())?;
        if self.connection.is_none() {
            self.reconnect(host).or_else(unless_lasting)?;
        }
        if let Some(connection) = &self.connection
            && connection.send(&record).is_err()
        {
            self.disconnect();
        }
        self.pending.insert(id, record);
        Ok(Call(id))
    }

    /// Waits for the answer to a call.
    pub(crate) fn wait<T: Unpack>(&mut self, host: &dyn TcpStorageHost, call: Call) -> Result<T> {
        let answer = self.answer(host, call.0).inspect_err(|_| self.forget(call))?;
        self.parse(&answer)
    }

    /// Sends a call and waits for its answer.
    pub(crate) fn call<T: Unpack>(
        &mut self,
        host: &dyn TcpStorageHost,
        procedure: u32,
        args: &impl Pack,
    ) -> Result<T> {
        let call = self.start(host, procedure, args)?;
        self.wait(host, call)
    }

    /// Gives a call up: its answer is not waited for any more.
    pub(crate) fn forget(&mut self, call: Call) {
        self.pending.remove(&call.0);
        self.answers.remove(&call.0);
    }

    fn answer(&mut self, host: &dyn TcpStorageHost, id: u32) -> Result<Vec<u8>> {
        let began = host.monotonic_ms();
        let mut closed = 0;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            let left = self.limit_ms.saturating_sub(host.monotonic_ms().saturating_sub(began));
            if left == 0 {
                // The next call has a connection of its own: this one may be stuck.
                self.disconnect();
                return Err(not_answering(&self.program.server, self.limit_ms));
            }
            if self.connection.is_none()
                && let Err(error) = self.reconnect(host)
            {
                if error.class != ErrorClass::Transient || left <= PAUSE_MS {
                    return Err(error);
                }
                pause(host, PAUSE_MS);
                continue;
            }
            match self.receive(left)? {
                Received::Some => {}
                Received::Closed => {
                    closed += 1;
                    if !self.has_answered && closed >= MAX_CLOSED {
                        return Err(self.not_nfs("closes the connection without an answer"));
                    }
                    pause(host, PAUSE_MS.min(left));
                }
            }
        }
    }

    /// Receives some bytes, and sorts the answers that they complete.
    fn receive(&mut self, left_ms: u64) -> Result<Received> {
        let Some(connection) = &self.connection else { return Ok(Received::Closed) };
        let wanted = u32::try_from(self.inbox.missing().min(MAX_ANSWER)).unwrap_or(u32::MAX);
        let timeout = u32::try_from(left_ms.min(SILENCE_MS)).unwrap_or(u32::MAX);
        match connection.receive(wanted, timeout) {
            Ok(Some(bytes)) if bytes.is_empty() => {
                self.disconnect();
                return Ok(Received::Closed);
            }
            Ok(Some(bytes)) => self.inbox.bytes.extend_from_slice(&bytes),
            // Nothing came for a long time: the server may have restarted without a word.
            Ok(None) => self.disconnect(),
            Err(error) if error.class == ErrorClass::Transient => {
                self.disconnect();
                return Ok(Received::Closed);
            }
            Err(error) => return Err(error),
        }
        loop {
            match self.inbox.next() {
                Ok(None) => return Ok(Received::Some),
                Ok(Some(answer)) => {
                    let id =
                        answer.get(..4).and_then(|id| <[u8; 4]>::try_from(id).ok()).map(u32::from_be_bytes);
                    self.has_answered = true;
                    if let Some(id) = id.filter(|id| self.pending.remove(id).is_some()) {
                        self.answers.insert(id, answer);
                    }
                }
                Err(()) => {
                    self.disconnect();
                    return Err(self.not_nfs("answers with what is no answer of a remote procedure"));
                }
            }
        }
    }

    fn connect(&mut self, host: &dyn TcpStorageHost) -> Result<()> {
        self.connection = Some(host.connect(GRANT, &self.program.server, self.program.port)?);
        Ok(())
    }

    /// Makes a new connection, and sends everything again that has no answer.
    fn reconnect(&mut self, host: &dyn TcpStorageHost) -> Result<()> {
        self.connect(host)?;
        let connection = self.connection.as_ref();
        let sent = connection.map_or(Ok(()), |connection| {
            self.pending.values().try_for_each(|record| connection.send(record))
        });
        sent.inspect_err(|_| self.disconnect())
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.inbox = Inbox::default();
    }

    fn parse<T: Unpack>(&self, answer: &[u8]) -> Result<T> {
        let mut rest = answer;
        let unreadable = |_| self.not_nfs("answers with what cannot be read");
        let (message, _) = rpc_msg::unpack(&mut rest).map_err(unreadable)?;
        match message.body {
            msg_body::CALL(_) => Err(self.not_nfs("answers with a call")),
            msg_body::REPLY(reply_body::MSG_DENIED(denied)) => Err(self.denied(&denied)),
            msg_body::REPLY(reply_body::MSG_ACCEPTED(accepted_reply { reply_data, .. })) => {
                match reply_data {
                    accept_stat_data::SUCCESS => {
                        T::unpack(&mut rest).map(|(value, _)| value).map_err(unreadable)
                    }
                    accept_stat_data::PROG_UNAVAIL => Err(self.not_nfs("does not offer it")),
                    accept_stat_data::PROG_MISMATCH { low, high } => {
                        let Program { server, name, .. } = &self.program;
                        let text = format!(
                            "the server {server} offers versions {low} to {high} of {name}, and version 3 is needed; switch it on \
                         there, or mount the export"
                        );
                        Err(Error::unsupported("nfs.version", text).about_setting("server"))
                    }
                    accept_stat_data::PROC_UNAVAIL | accept_stat_data::GARBAGE_ARGS => {
                        Err(self.not_nfs("does not understand a call"))
                    }
                    accept_stat_data::SYSTEM_ERR => {
                        let text =
                            format!("the server {} failed in a call; check its log", self.program.server);
                        Err(Error::transient("nfs.server", text))
                    }
                }
            }
        }
    }

    fn denied(&self, denied: &rejected_reply) -> Error {
        let Program { server, name, .. } = &self.program;
        match denied {
            rejected_reply::RPC_MISMATCH { .. } => self.not_nfs("speaks another protocol"),
            rejected_reply::AUTH_ERROR(why) => {
                let text = format!(
                    "{name} of the server {server} refuses the user's ids ({why}); export with `sec=sys`. If it takes only ports \
                     below 1024, turn on the setting `reserved-port`, or export with `insecure`"
                );
                Error::denied("nfs.authentication", text).about_setting("export")
            }
        }
    }

    fn not_nfs(&self, problem: &str) -> Error {
        let Program { server, port, name, setting, .. } = &self.program;
        not_nfs(setting, &format!("{name} is expected at {server}, port {port}, which {problem}"))
    }
}

/// What came over a connection.
enum Received {
    /// Bytes, or nothing in time.
    Some,
    /// The connection was closed.
    Closed,
}

/// Passes on a failure that does not pass by itself.
fn unless_lasting(error: Error) -> Result<()> {
    if error.class == ErrorClass::Transient { Ok(()) } else { Err(error) }
}

fn pause(host: &dyn TcpStorageHost, ms: u64) {
    host.sleep_ms(u32::try_from(ms).unwrap_or(u32::MAX));
}
