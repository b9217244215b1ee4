//! Watchdogs behind risky commands.
//!
//! A guest that stays frozen because a plugin crashed is the worst that a capture can do. So the
//! host itself remembers every command that a guard of the manifest arms. When its counterpart has
//! not been answered in time, or the channel or the whole call ends, the host sends the undo, on
//! the same connection or on a new one, until the peer has confirmed it.
//!
//! ```text
//! idle --arm sent--> armed --disarm answered with `return`--> idle
//!                      |
//!                      +-- limit over, channel closed, plugin gone --> the host sends the undo --> fired
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use imprint_ports::{JournalNote, SharedJournal, error_chain};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::{
    connection::{Connection, MessageHook, Writer},
    error::ChannelError,
    filter::Command,
    fired::{Fired, Reason},
    resources::CallResources,
};
use crate::{
    manifest::{
        ChannelCapability, Framing, Guard,
        rules::{InvalidUndo, undo_message},
    },
    sync,
};

/// How often the host tries to undo on a new connection.
const MAX_ATTEMPTS: u32 = 20;
/// The pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// For one attempt: a guest agent thaws within this time, or does not answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands whose answer a channel waits for.
const MAX_PENDING: usize = 256;
/// The start of the ids of the host's own commands.
const UNDO_ID: &str = "imprint-host-";

/// What the watchdogs of a channel need beyond the channel.
#[derive(Clone)]
pub(super) struct GuardContext {
    pub(super) plugin_id: String,
    pub(super) resources: Arc<CallResources>,
    pub(super) journal: Option<SharedJournal>,
    /// The undos of the call: its caller waits for them.
    pub(super) undos: TaskTracker,
    /// The undos of all plugins: the process waits for them before it ends.
    pub(super) all_undos: TaskTracker,
    /// A store may be dropped by a thread that runs no tasks.
    pub(super) runtime: Handle,
}

impl GuardContext {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.all_undos.spawn_on(self.undos.track_future(task), &self.runtime);
    }
}

/// How the peer answered an undo.
#[derive(Clone, Debug)]
enum UndoOutcome {
    Confirmed,
    /// The peer's error, as JSON.
    Refused(String),
    ConnectionLost,
}

/// The reason why an undo was not confirmed.
#[derive(Debug, thiserror::Error)]
enum UndoError {
    #[error("there is no connection")]
    NoConnection,
    #[error(transparent)]
    Invalid(#[from] InvalidUndo),
    #[error("the peer cannot be reached at {}", .path.display())]
    Unreachable { path: PathBuf, source: io::Error },
    #[error("the undo cannot be sent")]
    Send(#[source] io::Error),
    #[error("the peer refused the undo: {0}")]
    Refused(String),
    #[error("the connection was lost")]
    ConnectionLost,
    #[error("the peer does not answer")]
    NoAnswer,
}

impl UndoOutcome {
    fn into_result(self) -> Result<(), UndoError> {
        match self {
            Self::Confirmed => Ok(()),
            Self::Refused(error) => Err(UndoError::Refused(error)),
            Self::ConnectionLost => Err(UndoError::ConnectionLost),
        }
    }
}

/// The answer to an undo on the plugin's own connection.
#[derive(Clone, Debug)]
struct UndoAnswer {
    id: String,
    outcome: UndoOutcome,
}

/// The watchdogs of one channel.
pub(super) struct Watchdogs {
    capability: ChannelCapability,
    path: PathBuf,
    context: GuardContext,
    state: Mutex<WatchState>,
    last_undo: watch::Sender<Option<UndoAnswer>>,
}

#[derive(Default)]
struct WatchState {
    armed: Vec<Armed>,
    /// Commands without an answer yet, oldest first.
    pending: Vec<Command>,
    /// The id of the undo that waits for its answer on the plugin's own connection.
    pending_undo: Option<String>,
    /// A guard that fired, which the plugin has not seen yet.
    unreported: Option<String>,
    closed: bool,
}

struct Armed {
    guard: Guard,
    disarmed: Arc<Notify>,
}

impl Watchdogs {
    pub(super) fn new(capability: &ChannelCapability, path: &Path, context: GuardContext) -> Arc<Self> {
        let (last_undo, _) = watch::channel(None);
        let (capability, path) = (capability.clone(), path.to_owned());
        Arc::new(Self { capability, path, context, state: Mutex::default(), last_undo })
    }

    /// Arms the guards of a command that is about to be sent. In the other order, a crash between
    /// the two would leave the guest frozen.
    pub(super) fn before_send(
        self: &Arc<Self>,
        command: Command,
        writer: &Writer,
    ) -> Result<(), ChannelError> {
        let mut state = self.lock();
        let disarms = self.capability.guards.iter().any(|guard| guard.disarm == command.name);
        if !disarms && let Some(fired) = state.unreported.take() {
            return Err(ChannelError::GuardFired(fired));
        }
        if state.pending.len() >= MAX_PENDING {
            return Err(ChannelError::TooManyPending);
        }
        for guard in self.capability.guards.iter().filter(|guard| guard.arm == command.name) {
            if state.armed.iter().any(|armed| armed.guard.arm == guard.arm) {
                continue;
            }
            let disarmed = Arc::new(Notify::new());
            state.armed.push(Armed { guard: guard.clone(), disarmed: disarmed.clone() });
            self.start_timer(guard, disarmed, writer.clone());
        }
        state.pending.push(command);
        Ok(())
    }

    /// Starts one task for an armed guard: it ends when the guard is disarmed.
    fn start_timer(self: &Arc<Self>, guard: &Guard, disarmed: Arc<Notify>, writer: Writer) {
        let deadline = Instant::now() + Duration::from_millis(guard.limit_ms);
        let (arm, limit_ms) = (guard.arm.clone(), guard.limit_ms);
        let watchdogs: Weak<Self> = Arc::downgrade(self);
        self.context.spawn(async move {
            if tokio::time::timeout_at(deadline, disarmed.notified()).await.is_ok() {
                return;
            }
            let Some(watchdogs) = watchdogs.upgrade() else { return };
            if let Some(armed) = watchdogs.take_armed(&arm) {
                watchdogs.fire(armed.guard, Reason::TimedOut(limit_ms), Route::Shared(writer)).await;
            }
        });
    }

    fn take_armed(&self, arm: &str) -> Option<Armed> {
        let mut state = self.lock();
        let at = state.armed.iter().position(|armed| armed.guard.arm == arm)?;
        Some(state.armed.swap_remove(at))
    }

    /// Disarms what a message answers. Returns whether the message is for the plugin.
    pub(super) fn on_message(&self, message: &[u8]) -> bool {
        let Some((id, outcome)) = parse_answer(message) else { return true };
        let mut state = self.lock();
        if let Some(text) = id.as_ref().and_then(Value::as_str).filter(|id| id.starts_with(UNDO_ID)) {
            self.last_undo.send_replace(Some(UndoAnswer { id: text.to_owned(), outcome }));
            return false;
        }
        // Without ids, peers answer in order.
        let at = state.pending.iter().position(|command| command.id == id);
        let at = at.or_else(|| (id.is_none() && !state.pending.is_empty()).then_some(0));
        let Some(at) = at else {
            let Some(undo) = state.pending_undo.take().filter(|_| id.is_none()) else { return true };
            self.last_undo.send_replace(Some(UndoAnswer { id: undo, outcome }));
            return false;
        };
        let command = state.pending.remove(at);
        if matches!(outcome, UndoOutcome::Confirmed) {
            state.armed.retain(|armed| {
                let disarmed = armed.guard.disarm == command.name;
                if disarmed {
                    armed.disarmed.notify_one();
                }
                !disarmed
            });
        }
        true
    }

    /// The connection ended: what is armed fires, over a new one.
    pub(super) fn on_close(self: &Arc<Self>) {
        let armed = {
            let mut state = self.lock();
            state.closed = true;
            if let Some(id) = state.pending_undo.take() {
                self.last_undo.send_replace(Some(UndoAnswer { id, outcome: UndoOutcome::ConnectionLost }));
            }
            std::mem::take(&mut state.armed)
        };
        for armed in armed {
            armed.disarmed.notify_one();
            let watchdogs = self.clone();
            self.context.spawn(async move {
                watchdogs.fire(armed.guard, Reason::Closed, Route::New).await;
            });
        }
    }

    /// The plugin released the channel. While something is armed, the host keeps the connection and
    /// undoes it there.
    pub(super) fn on_release(self: &Arc<Self>, connection: Connection) {
        let armed = std::mem::take(&mut self.lock().armed);
        if armed.is_empty() {
            return;
        }
        for armed in &armed {
            armed.disarmed.notify_one();
        }
        let watchdogs = self.clone();
        self.context.spawn(async move {
            let mut route = Route::Own(connection);
            for armed in armed {
                route = watchdogs.fire(armed.guard, Reason::Released, route).await;
            }
        });
    }

    /// Sends the undo until the peer confirms it, and records it in the journal. Returns the route
    /// that is still open.
    async fn fire(&self, guard: Guard, reason: Reason, route: Route) -> Route {
        let fired = Fired { channel: self.capability.id.clone(), arm: guard.arm.clone(), reason };
        let (plugin, channel) = (&self.context.plugin_id, &self.capability.id);
        warn!(plugin, channel, "{fired}");
        self.lock().unreported = Some(fired.to_string());
        self.context.resources.add_fired(fired);
        let (route, undone) = self.undo(&guard, route).await;
        let outcome = match undone {
            Ok(()) => "confirmed",
            Err(failure) => {
                let failure = error_chain(&failure);
                error!(plugin, channel, undo = guard.undo, "undo failed: {failure}");
                "failed"
            }
        };
        self.record_undo(&guard, outcome).await;
        route
    }

    async fn record_undo(&self, guard: &Guard, outcome: &str) {
        let Some(journal) = self.context.journal.clone() else { return };
        let data = [("channel", self.capability.id.as_str()), ("undid", &guard.arm), ("outcome", outcome)];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let note = JournalNote { step: "host-undo".to_owned(), data };
        let written = tokio::task::spawn_blocking(move || journal.record(&note)).await;
        let failure = match written {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure.to_string(),
            Err(failure) => failure.to_string(),
        };
        error!(plugin = self.context.plugin_id, "the undo cannot be recorded in the journal: {failure}");
    }

    /// Tries the connection that exists first: monitors and guest agents serve one client at a
    /// time. Then new ones.
    async fn undo(&self, guard: &Guard, mut route: Route) -> (Route, Result<(), UndoError>) {
        let mut last = match self.undo_on_connection(guard, &mut route).await {
            Ok(()) => return (route, Ok(())),
            Err(failure) => failure,
        };
        if let Some(writer) = route.writer() {
            writer.close().await;
        }
        drop(route);
        for attempt in 0..MAX_ATTEMPTS {
            match self.undo_on_new_connection(guard, attempt).await {
                Ok(()) => return (Route::New, Ok(())),
                Err(failure) => last = failure,
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        (Route::New, Err(last))
    }

    async fn undo_on_connection(&self, guard: &Guard, route: &mut Route) -> Result<(), UndoError> {
        let writer = route.writer().ok_or(UndoError::NoConnection)?;
        let id = format!("{UNDO_ID}here-{}", guard.arm);
        let message = undo_message(&guard.undo, &id)?;
        let mut answers = self.last_undo.subscribe();
        {
            let mut state = self.lock();
            if state.closed {
                return Err(UndoError::ConnectionLost);
            }
            state.pending_undo = Some(id.clone());
        }
        writer.send(message.as_bytes()).await.map_err(UndoError::Send)?;
        let is_ours = |answer: &Option<UndoAnswer>| answer.as_ref().is_some_and(|answer| answer.id == id);
        let answered = async {
            match route {
                // The reader stops at a full queue, so the messages must be taken.
                Route::Own(connection) => tokio::select! {
                    answer = answers.wait_for(is_ours) => answer.map(|answer| answer.clone()),
                    () = connection.discard() => Ok(None),
                },
                Route::Shared(_) | Route::New => answers.wait_for(is_ours).await.map(|answer| answer.clone()),
            }
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(Some(answer))) => answer.outcome.into_result(),
            Ok(Ok(None) | Err(_)) => Err(UndoError::ConnectionLost),
            Err(_) => Err(UndoError::NoAnswer),
        }
    }

    async fn undo_on_new_connection(&self, guard: &Guard, attempt: u32) -> Result<(), UndoError> {
        let id = format!("{UNDO_ID}new-{attempt}");
        let message = undo_message(&guard.undo, &id)?;
        let accept_all: MessageHook = Arc::new(|_| true);
        let mut connection = Connection::open(&self.path, Framing::Lines, accept_all)
            .await
            .map_err(|source| UndoError::Unreachable { path: self.path.clone(), source })?;
        if let Some(hello) = &self.capability.hello {
            let hello = undo_message(hello, &format!("{UNDO_ID}hello"))?;
            connection.writer.send(hello.as_bytes()).await.map_err(UndoError::Send)?;
        }
        connection.writer.send(message.as_bytes()).await.map_err(UndoError::Send)?;
        let answered = async {
            while let Some(line) = connection.messages.recv().await {
                if let Some(outcome) = answer_to(&line, &id) {
                    return outcome.into_result();
                }
            }
            Err(UndoError::ConnectionLost)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answered).await.unwrap_or(Err(UndoError::NoAnswer))
    }

    fn lock(&self) -> MutexGuard<'_, WatchState> {
        sync::lock(&self.state)
    }
}

/// How the undo reaches the peer.
enum Route {
    /// The plugin still has the connection.
    Shared(Writer),
    /// The plugin is gone, and the host kept its connection.
    Own(Connection),
    /// There is no connection.
    New,
}

impl Route {
    fn writer(&self) -> Option<Writer> {
        match self {
            Self::Shared(writer) => Some(writer.clone()),
            Self::Own(connection) => Some(connection.writer.clone()),
            Self::New => None,
        }
    }
}

/// Parses an answer: its id, and whether the command succeeded. `None` for events, greetings and
/// what is not JSON.
fn parse_answer(message: &[u8]) -> Option<(Option<Value>, UndoOutcome)> {
    // The guest agent puts a byte in front of the object after a resynchronisation.
    let start = message.iter().position(|byte| *byte == b'{')?;
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(&message[start..]) else { return None };
    let outcome = match (answer.contains_key("return"), answer.get("error")) {
        (true, _) => UndoOutcome::Confirmed,
        (false, Some(error)) => UndoOutcome::Refused(error.to_string()),
        (false, None) => return None,
    };
    Some((answer.remove("id"), outcome))
}

/// Returns how a line answers the command with this id; `None` when it does not. An answer without
/// an id counts: old guest agents send none.
fn answer_to(line: &[u8], id: &str) -> Option<UndoOutcome> {
    let (found, outcome) = parse_answer(line)?;
    match found {
        Some(found) if found.as_str() != Some(id) => None,
        Some(_) | None => Some(outcome),
    }
}
