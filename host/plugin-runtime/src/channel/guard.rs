//! Watchdogs behind risky commands.
//!
//! A guest that stays frozen because a plugin crashed is the worst that a capture can do. So the
//! host itself remembers every command that a guard of the manifest arms, and when its counterpart
//! has not been answered in time, or the channel or the whole piece of work goes away, the host
//! sends the undo, on the same connection or on a new one, until the peer has confirmed it.
//!
//! ```text
//! idle --arm sent--> armed --disarm answered with `return`--> idle
//!                      |
//!                      +-- limit over, channel closed, plugin gone --> the host sends the undo --> fired
//! ```

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use imprint_ports::{JournalNote, SharedJournal};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::{
    WorkShared,
    connection::{Connection, Watch, Writer},
    filter::Command,
};
use crate::manifest::{ChannelCapability, Framing, Guard};

/// How often and how long the host tries to undo.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);
/// Per attempt: a guest agent thaws within this, or does not answer at all.
const ANSWER: Duration = Duration::from_secs(5);
/// Commands whose answer a channel waits for.
const MAX_PENDING: usize = 256;

/// A guard that fired, for the caller.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    channel: String,
    arm: String,
    reason: Reason,
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, arm, reason } = self;
        write!(f, "the host undid {arm} on channel {channel}, because {reason}")
    }
}

/// Why a guard fired.
#[derive(Clone, Copy, Debug)]
enum Reason {
    Late(u64),
    Gone,
    Closed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(limit) => write!(f, "it was not undone within {limit} ms"),
            Self::Gone => f.write_str("the plugin went away without undoing it"),
            Self::Closed => f.write_str("the connection was lost"),
        }
    }
}

/// The undo as a message: a command name, or a whole object. It carries an id, so that its answer
/// is told apart.
pub(crate) fn undo_message(undo: &str, id: &str) -> Result<String, String> {
    let mut message = if undo.trim_start().starts_with('{') {
        serde_json::from_str::<Value>(undo).map_err(|error| format!("undo {undo:?} is not JSON: {error}"))?
    } else {
        serde_json::json!({ "execute": undo })
    };
    if message.get("execute").and_then(Value::as_str).is_none() {
        return Err(format!("undo {undo:?} must be a command name or an object with `execute`"));
    }
    message["id"] = Value::String(id.to_owned());
    Ok(message.to_string())
}

/// What the watchdogs of a channel need beyond the channel.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) plugin: String,
    pub(super) work: Arc<WorkShared>,
    pub(super) journal: Option<SharedJournal>,
    /// Of the piece of work: its caller waits for them.
    pub(super) undos: TaskTracker,
    /// Of the plugin: the process waits for them before it ends.
    pub(super) all_undos: TaskTracker,
    /// A store may be dropped by a thread that runs no tasks.
    pub(super) runtime: Handle,
}

impl Surroundings {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.all_undos.spawn_on(self.undos.track_future(task), &self.runtime);
    }
}

/// The watchdogs of one channel.
pub(super) struct Watchdogs {
    capability: ChannelCapability,
    path: PathBuf,
    around: Surroundings,
    state: Mutex<Watched>,
    /// The last answer to an undo on the plugin's own connection.
    undone: watch::Sender<Option<(String, Result<(), String>)>>,
}

#[derive(Default)]
struct Watched {
    armed: Vec<Armed>,
    /// Commands without an answer yet, oldest first.
    pending: Vec<Command>,
    /// The undo that is waiting for its answer on the plugin's own connection.
    undoing: Option<String>,
    /// A guard fired, and the plugin has not been told yet.
    untold: Option<String>,
    closed: bool,
}

struct Armed {
    guard: Guard,
    done: Arc<Notify>,
}

impl Watchdogs {
    pub(super) fn new(capability: &ChannelCapability, path: &Path, around: Surroundings) -> Arc<Self> {
        let (undone, _) = watch::channel(None);
        let (capability, path) = (capability.clone(), path.to_owned());
        Arc::new(Self { capability, path, around, state: Mutex::default(), undone })
    }

    /// Before a command is sent: arms its guards. Armed first, sent second: the other way round, a
    /// crash between the two would leave the guest frozen.
    pub(super) fn sending(self: &Arc<Self>, command: Command, writer: &Writer) -> Result<(), SendRefused> {
        let mut state = self.lock();
        let disarms = self.capability.guards.iter().any(|guard| guard.disarm == command.name);
        if !disarms && let Some(fired) = state.untold.take() {
            return Err(SendRefused::Fired(fired));
        }
        if state.pending.len() >= MAX_PENDING {
            return Err(SendRefused::TooManyPending);
        }
        for guard in self.capability.guards.iter().filter(|guard| guard.arm == command.name) {
            if state.armed.iter().any(|armed| armed.guard.arm == guard.arm) {
                continue;
            }
            let done = Arc::new(Notify::new());
            state.armed.push(Armed { guard: guard.clone(), done: done.clone() });
            self.watch(guard, done, writer.clone());
        }
        state.pending.push(command);
        Ok(())
    }

    /// One task for each armed guard: it ends when the guard is disarmed.
    fn watch(self: &Arc<Self>, guard: &Guard, done: Arc<Notify>, writer: Writer) {
        let deadline = Instant::now() + Duration::from_millis(guard.limit_ms);
        let (arm, limit) = (guard.arm.clone(), guard.limit_ms);
        let watchdogs: Weak<Self> = Arc::downgrade(self);
        self.around.spawn(async move {
            if tokio::time::timeout_at(deadline, done.notified()).await.is_ok() {
                return;
            }
            let Some(watchdogs) = watchdogs.upgrade() else { return };
            if let Some(armed) = watchdogs.take(&arm) {
                watchdogs.fire(armed.guard, Reason::Late(limit), Via::Shared(writer)).await;
            }
        });
    }

    fn take(&self, arm: &str) -> Option<Armed> {
        let mut state = self.lock();
        let at = state.armed.iter().position(|armed| armed.guard.arm == arm)?;
        Some(state.armed.swap_remove(at))
    }

    /// After a message came: disarms what it answers. Answers whether the message is for the
    /// plugin.
    pub(super) fn received(&self, message: &[u8]) -> bool {
        let text = message.iter().position(|byte| *byte == b'{').map_or(message, |start| &message[start..]);
        let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(text) else { return true };
        let outcome = match (answer.contains_key("return"), answer.get("error")) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(error.to_string()),
            (false, None) => return true,
        };
        let id = answer.get("id");
        let mut state = self.lock();
        if let Some(text) = id.and_then(Value::as_str).filter(|id| id.starts_with(UNDO_ID)) {
            self.undone.send_replace(Some((text.to_owned(), outcome)));
            return false;
        }
        // Without ids, peers answer in order.
        let at = state.pending.iter().position(|command| command.id.as_ref() == id);
        let at = at.or_else(|| (id.is_none() && !state.pending.is_empty()).then_some(0));
        let Some(at) = at else {
            let Some(undoing) = state.undoing.take().filter(|_| id.is_none()) else { return true };
            self.undone.send_replace(Some((undoing, outcome)));
            return false;
        };
        let command = state.pending.remove(at);
        if outcome.is_ok() {
            state.armed.retain(|armed| {
                let disarmed = armed.guard.disarm == command.name;
                if disarmed {
                    armed.done.notify_one();
                }
                !disarmed
            });
        }
        true
    }

    /// The connection ended by itself: what is armed fires, over a new one.
    pub(super) fn closed(self: &Arc<Self>) {
        let armed = {
            let mut state = self.lock();
            state.closed = true;
            let waiting = state.undoing.take();
            if let Some(id) = waiting {
                self.undone.send_replace(Some((id, Err("the peer closed the connection".to_owned()))));
            }
            std::mem::take(&mut state.armed)
        };
        for armed in armed {
            armed.done.notify_one();
            let watchdogs = self.clone();
            self.around.spawn(async move {
                watchdogs.fire(armed.guard, Reason::Closed, Via::New).await;
            });
        }
    }

    /// The plugin let go of the channel. While something is armed, the host keeps the connection
    /// and undoes it there.
    pub(super) fn let_go(self: &Arc<Self>, connection: Connection) {
        let armed = std::mem::take(&mut self.lock().armed);
        if armed.is_empty() {
            return;
        }
        for armed in &armed {
            armed.done.notify_one();
        }
        let watchdogs = self.clone();
        self.around.spawn(async move {
            let mut via = Via::Own(connection);
            for armed in armed {
                via = watchdogs.fire(armed.guard, Reason::Gone, via).await;
            }
        });
    }

    /// Sends the undo until the peer confirms it, and writes down that it did. Answers the way that
    /// is still open.
    async fn fire(&self, guard: Guard, reason: Reason, via: Via) -> Via {
        let fired = Fired { channel: self.capability.id.clone(), arm: guard.arm.clone(), reason };
        warn!(plugin = self.around.plugin, channel = fired.channel, "{fired}");
        self.lock().untold = Some(fired.to_string());
        self.around.work.lock().fired.push(fired);
        let (via, undone) = self.undo(&guard, via).await;
        let outcome = match undone {
            Ok(()) => "confirmed",
            Err(why) => {
                error!(
                    plugin = self.around.plugin,
                    channel = self.capability.id,
                    undo = guard.undo,
                    "undo failed: {why}"
                );
                "failed"
            }
        };
        self.note(&guard, outcome).await;
        via
    }

    async fn note(&self, guard: &Guard, outcome: &str) {
        let Some(journal) = self.around.journal.clone() else { return };
        let data = [("channel", self.capability.id.as_str()), ("undid", &guard.arm), ("outcome", outcome)];
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let note = JournalNote { step: "host-undo".to_owned(), data };
        let written = tokio::task::spawn_blocking(move || journal.record(&note)).await;
        if !matches!(written, Ok(Ok(()))) {
            error!(plugin = self.around.plugin, "the undo cannot be written into the journal");
        }
    }

    /// First on the connection that is there: monitors and guest agents talk to one client at a
    /// time. Then on new ones.
    async fn undo(&self, guard: &Guard, mut via: Via) -> (Via, Result<(), String>) {
        let mut last = match self.undo_here(guard, &mut via).await {
            Ok(()) => return (via, Ok(())),
            Err(why) => why,
        };
        if let Some(writer) = via.writer() {
            writer.close().await;
        }
        drop(via);
        for attempt in 0..ATTEMPTS {
            match self.undo_anew(guard, attempt).await {
                Ok(()) => return (Via::New, Ok(())),
                Err(why) => last = why,
            }
            tokio::time::sleep(BETWEEN).await;
        }
        (Via::New, Err(last))
    }

    async fn undo_here(&self, guard: &Guard, via: &mut Via) -> Result<(), String> {
        let writer = via.writer().ok_or("there is no connection")?;
        let id = format!("{UNDO_ID}here-{}", guard.arm);
        let message = undo_message(&guard.undo, &id)?;
        let mut answers = self.undone.subscribe();
        {
            let mut state = self.lock();
            if state.closed {
                return Err("the connection was lost".to_owned());
            }
            state.undoing = Some(id.clone());
        }
        writer.send(message.as_bytes()).await.map_err(|error| error.to_string())?;
        let mine =
            |answer: &Option<(String, Result<(), String>)>| answer.as_ref().is_some_and(|(of, _)| *of == id);
        let answered = async {
            match via {
                // Somebody must take the messages, or the reader stops at a full queue.
                Via::Own(connection) => tokio::select! {
                    answer = answers.wait_for(mine) => answer.map(|answer| answer.clone()),
                    () = connection.discard() => Ok(None),
                },
                Via::Shared(_) | Via::New => answers.wait_for(mine).await.map(|answer| answer.clone()),
            }
        };
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(Some((_, outcome)))) => outcome,
            Ok(Ok(None) | Err(_)) => Err("the connection was lost".to_owned()),
            Err(_) => Err("the peer does not answer".to_owned()),
        }
    }

    async fn undo_anew(&self, guard: &Guard, attempt: u32) -> Result<(), String> {
        let id = format!("{UNDO_ID}new-{attempt}");
        let message = undo_message(&guard.undo, &id)?;
        let everything: Watch = Arc::new(|_| true);
        let mut connection = Connection::open(&self.path, Framing::Lines, everything)
            .await
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        if let Some(hello) = &self.capability.hello {
            let hello = undo_message(hello, &format!("{UNDO_ID}hello"))?;
            connection.writer.send(hello.as_bytes()).await.map_err(|error| error.to_string())?;
        }
        connection.writer.send(message.as_bytes()).await.map_err(|error| error.to_string())?;
        let answered = async {
            while let Some(line) = connection.messages.recv().await {
                if let Some(answer) = answer_to(&line, &id) {
                    return answer;
                }
            }
            Err("the peer closed the connection".to_owned())
        };
        tokio::time::timeout(ANSWER, answered)
            .await
            .unwrap_or_else(|_| Err("the peer does not answer".to_owned()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a command was not sent.
pub(super) enum SendRefused {
    /// A guard fired since: what the plugin is about to do rests on a state that is gone.
    Fired(String),
    /// The peer answers nothing.
    TooManyPending,
}

/// How the undo reaches the peer.
enum Via {
    /// The plugin still has the connection.
    Shared(Writer),
    /// The plugin is gone, and the host kept its connection.
    Own(Connection),
    /// There is none.
    New,
}

impl Via {
    fn writer(&self) -> Option<Writer> {
        match self {
            Self::Shared(writer) => Some(writer.clone()),
            Self::Own(connection) => Some(connection.writer.clone()),
            Self::New => None,
        }
    }
}

/// Start of the ids of the host's own commands.
const UNDO_ID: &str = "imprint-host-";

/// Whether a line answers the command with this id, and how. An answer without an id counts: old
/// guest agents send none.
fn answer_to(line: &[u8], id: &str) -> Option<Result<(), String>> {
    let text = line.iter().position(|byte| *byte == b'{').map_or(line, |start| &line[start..]);
    let answer: Value = serde_json::from_slice(text).ok()?;
    if answer.get("id").is_some_and(|found| found.as_str() != Some(id)) {
        return None;
    }
    if answer.get("return").is_some() {
        return Some(Ok(()));
    }
    answer.get("error").map(|error| Err(error.to_string()))
}
