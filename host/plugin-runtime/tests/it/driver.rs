#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use imprint_plugin_runtime::{DriverGrants, PluginHost};
use imprint_ports::{
    CaptureOutcome, CaptureRequest, Consistency, Driver, ErrorClass, Journal, JournalNote, Origin, PortError,
    SharedJournal,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::Instant,
};

use crate::components::host;

#[derive(Default)]
struct Notes(Mutex<Vec<JournalNote>>);

impl Journal for Notes {
    fn record(&self, note: &JournalNote) -> std::io::Result<()> {
        self.0.lock().unwrap().push(note.clone());
        Ok(())
    }

    fn notes(&self) -> Vec<JournalNote> {
        self.0.lock().unwrap().clone()
    }
}

/// How a peer behaves.
#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    /// Answers everything, and repeats ids.
    Good,
    /// Answers everything, without ids, as old guest agents do.
    WithoutIds,
    /// Hangs up after the first command.
    HangsUp,
    /// Never answers on its first connection.
    SilentAtFirst,
}

/// A peer that serves one client at a time, as monitors and guest agents do, and remembers every
/// command.
struct Peer {
    commands: Arc<Mutex<Vec<(Instant, String)>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Peer {
    fn start(path: &Path, behaviour: Behaviour) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let commands: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let log = commands.clone();
        let server = tokio::spawn(async move {
            for connection in 0_u32.. {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, &log, behaviour, connection).await;
            }
        });
        Self { commands, server }
    }

    fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().iter().map(|(_, command)| command.clone()).collect()
    }

    fn between(&self, first: &str, second: &str) -> Duration {
        let commands = self.commands.lock().unwrap();
        let at = |name: &str| commands.iter().find(|(_, command)| command == name).unwrap().0;
        at(second) - at(first)
    }
}

async fn serve(
    stream: UnixStream,
    log: &Mutex<Vec<(Instant, String)>>,
    behaviour: Behaviour,
    connection: u32,
) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        if read.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let message: Value = serde_json::from_slice(&line).unwrap();
        log.lock().unwrap().push((Instant::now(), message["execute"].as_str().unwrap().to_owned()));
        if behaviour == Behaviour::HangsUp && connection == 0 {
            return;
        }
        if behaviour == Behaviour::SilentAtFirst && connection == 0 {
            continue;
        }
        let mut answer = json!({ "return": { "asked": message["execute"] } });
        if behaviour != Behaviour::WithoutIds && !message["id"].is_null() {
            answer["id"] = message["id"].clone();
        }
        if write.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Machine {
    folder: TempDir,
    host: PluginHost,
    driver: Arc<dyn Driver>,
    journal: Arc<Notes>,
}

impl Machine {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["vm1", "run"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let host = host(&["hostile-driver"]).await;
        let socket = |name: &str| {
            (name.to_owned(), folder.path().join(format!("{{vm}}/{name}.sock")).to_str().unwrap().to_owned())
        };
        let grants = DriverGrants {
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            channels: BTreeMap::from([socket("qmp"), socket("qga")]),
            endpoints: folder.path().join("run"),
        };
        let driver = host.driver("hostile", grants).unwrap();
        Self { folder, host, driver, journal: Arc::default() }
    }

    fn peer(&self, name: &str, behaviour: Behaviour) -> Peer {
        Peer::start(&self.folder.path().join(format!("vm1/{name}.sock")), behaviour)
    }

    fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch.qcow2")
    }

    async fn capture(&self, how: &str) -> Result<(), PortError> {
        self.capture_into(how, self.scratch()).await
    }

    async fn capture_into(&self, how: &str, scratch_path: PathBuf) -> Result<(), PortError> {
        let request = CaptureRequest {
            vm_id: "vm1".to_owned(),
            capture_id: how.to_owned(),
            want: Consistency::Crash,
            minimum: Consistency::Crash,
            scratch_path,
            scratch_limit: 1 << 20,
            freeze_limit_ms: 1000,
        };
        let journal: SharedJournal = self.journal.clone();
        let started = self.driver.begin_capture(&request, &journal).await?;
        assert_eq!(started.source.socket, self.folder.path().join(format!("run/{how}-nbd.sock")));
        Ok(())
    }

    fn steps(&self) -> Vec<String> {
        self.journal.notes().into_iter().map(|note| note.step).collect()
    }

    /// The outcome of the host's undo, as the journal has it.
    fn undo_outcome(&self) -> Option<String> {
        let notes = self.journal.notes();
        notes.iter().find(|note| note.step == "host-undo").map(|note| note.data["outcome"].clone())
    }
}

async fn send(message: &str) -> Result<(), PortError> {
    let machine = Machine::new(&[("message", message)]).await;
    let peer = machine.peer("qmp", Behaviour::Good);
    let answered = machine.driver.describe("vm1").await.map(drop);
    let expected: &[String] = if answered.is_ok() { &["query-status".to_owned()] } else { &[] };
    assert_eq!(peer.commands(), expected, "a refused command never reaches the peer");
    answered
}

#[tokio::test]
async fn a_granted_command_is_answered() {
    send(r#"{"execute":"query-status","id":7}"#).await.unwrap();
}

#[tokio::test]
async fn a_command_that_is_not_granted_is_denied() {
    for message in [
        r#"{"execute":"quit"}"#,
        r#"{"execute":"human-monitor-command","arguments":{"command-line":"info status"}}"#,
        r#"{"execute":"migrate","arguments":{"uri":"exec:touch /tmp/x"}}"#,
        r#"{"exec-oob":"query-status"}"#,
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"migrate","data":{}}]}}"#,
        r#"{"execute":"blockdev-add","arguments":{"driver":"file","filename":"/etc/passwd"}}"#,
        "query-status",
        "",
    ] {
        let error = send(message).await.unwrap_err();
        assert_eq!((error.origin, error.class), (Origin::Denied, ErrorClass::Denied), "{message}: {error}");
    }
}

#[tokio::test]
async fn another_instance_cannot_be_reached() {
    let machine = Machine::new(&[("message", r#"{"execute":"query-status"}"#)]).await;
    let error = machine.driver.describe("vm1/../vm2").await.unwrap_err();
    assert_eq!((error.origin, error.code.as_str()), (Origin::Denied, "plugin.denied"), "{error}");
    let machine = Machine::new(&[("channel", "console")]).await;
    let error = machine.driver.describe("vm1").await.unwrap_err();
    assert_eq!((error.origin, error.code.as_str()), (Origin::Denied, "plugin.denied"), "{error}");
}

#[tokio::test]
async fn a_capture_that_thaws_is_served_and_taken_down() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::Good);
    machine.capture("thaw").await.unwrap();
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    assert_eq!(machine.steps(), ["freezing"]);

    let socket = machine.folder.path().join("run/thaw-nbd.sock");
    std::fs::write(&socket, "").unwrap();
    let journal: SharedJournal = machine.journal.clone();
    machine.driver.end_capture("vm1", "thaw", CaptureOutcome::Commit, &journal).await.unwrap();
    assert!(!socket.exists(), "the endpoint goes with the capture");
    let recovered = machine.driver.recover("vm1", "thaw", &journal).await.unwrap();
    assert_eq!(recovered.actions, ["freezing"], "recovery gets the notes");
}

#[tokio::test]
async fn a_plugin_that_traps_leaves_no_guest_frozen() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::Good);
    let error = machine.capture("trap").await.unwrap_err();
    assert_eq!((error.origin, error.code.as_str()), (Origin::Trap, "plugin.trap"));
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    assert_eq!(machine.undo_outcome().as_deref(), Some("confirmed"));
}

#[tokio::test]
async fn answers_of_old_guest_agents_without_ids_count() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::WithoutIds);
    machine.capture("trap").await.unwrap_err();
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    assert_eq!(machine.undo_outcome().as_deref(), Some("confirmed"));
    machine.capture("thaw").await.unwrap();
}

#[tokio::test]
async fn a_guest_is_thawed_in_time_while_the_plugin_sleeps() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::Good);
    let error = machine.capture("sleep").await.unwrap_err();
    assert_eq!((error.origin, error.code.as_str()), (Origin::Timeout, "plugin.timeout"));
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    let frozen = agent.between("guest-fsfreeze-freeze", "guest-fsfreeze-thaw");
    assert!((Duration::from_millis(290)..Duration::from_millis(1800)).contains(&frozen), "{frozen:?}");
    assert_eq!(machine.undo_outcome().as_deref(), Some("confirmed"));
}

#[tokio::test]
async fn a_capture_with_a_guard_that_fired_fails() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::Good);
    let error = machine.capture("forget").await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Transient, "plugin.guard-fired"));
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
}

#[tokio::test]
async fn a_lost_connection_is_undone_on_a_new_one() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::HangsUp);
    let error = machine.capture("trap").await.unwrap_err();
    assert_eq!(error.code, "channel.closed");
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    assert_eq!(machine.undo_outcome().as_deref(), Some("confirmed"));
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_asked_again_on_a_new_connection() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::SilentAtFirst);
    machine.capture("trap").await.unwrap_err();
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw", "guest-fsfreeze-thaw"]);
    assert_eq!(machine.undo_outcome().as_deref(), Some("confirmed"));
}

#[tokio::test]
async fn a_call_that_is_dropped_thaws_as_well() {
    let machine = Machine::new(&[]).await;
    let agent = machine.peer("qga", Behaviour::Good);
    let cancelled = tokio::time::timeout(Duration::from_millis(150), machine.capture("sleep")).await;
    assert!(cancelled.is_err());
    machine.host.drain().await;
    assert_eq!(agent.commands(), ["guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    assert_eq!(machine.undo_outcome().as_deref(), Some("confirmed"));
}

#[tokio::test]
async fn a_stopped_guest_is_continued_after_a_greeting() {
    let machine = Machine::new(&[("message", r#"{"execute":"stop"}"#)]).await;
    let monitor = machine.peer("qmp", Behaviour::HangsUp);
    machine.driver.describe("vm1").await.unwrap_err();
    machine.host.drain().await;
    assert_eq!(monitor.commands(), ["stop", "qmp_capabilities", "cont"]);
}

#[tokio::test]
async fn endpoints_and_lists_of_a_capture_are_checked() {
    let machine = Machine::new(&[]).await;
    let _agent = machine.peer("qga", Behaviour::Good);
    let foreign = machine.folder.path().join("foreign");
    let error = machine.capture_into("thaw", foreign).await.unwrap_err();
    assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, "plugin.bad-answer.endpoint"));
    let error = machine.capture("Not-An-Id").await.unwrap_err();
    assert_eq!(error.code, "capture.id");
    let request = CaptureRequest {
        vm_id: "vm1".to_owned(),
        capture_id: "abc".to_owned(),
        want: Consistency::Crash,
        minimum: Consistency::Crash,
        scratch_path: machine.scratch(),
        scratch_limit: 1,
        freeze_limit_ms: 1,
    };
    let error = machine.driver.plan_capture(&request).await.unwrap_err();
    assert_eq!((error.origin, error.code.as_str()), (Origin::BadAnswer, "plugin.bad-answer.list"));
}
