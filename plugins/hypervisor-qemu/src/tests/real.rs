//! Against a real QEMU without an operating system: the monitor conversation is the same.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{Channel, Channels, Config, Endpoint, Framing, Journal, Note, Task},
    hypervisor::{Consistency, Hypervisor, Outcome, Power, PowerAction, StartedCapture, VmSpec},
    types::props,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    launch::{disk, spec},
    model::VM,
    request,
};
use crate::Qemu;

const SIZE: usize = 16 << 20;
const MIB: usize = 1 << 20;
/// For anything that a busy machine may take.
const QEMU_TIMEOUT: Duration = Duration::from_secs(60);

struct Socket {
    stream: UnixStream,
    buffer: RefCell<VecDeque<u8>>,
}

impl Socket {
    fn connect(path: &Path) -> std::io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(path)?, buffer: RefCell::default() })
    }
}

impl Channel for Socket {
    fn send(&self, message: &[u8]) -> Result<()> {
        let mut line = message.to_vec();
        line.push(b'\n');
        (&self.stream).write_all(&line).map_err(|error| Error::transient("channel.closed", error.to_string()))
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + Duration::from_millis(timeout_ms.into());
        let mut buffer = self.buffer.borrow_mut();
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(buffer.drain(..=end).collect()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut chunk = [0; 65_536];
            match (&self.stream).read(&mut chunk) {
                Ok(0) => return Err(Error::transient("channel.closed", "closed")),
                Ok(count) => buffer.extend(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) => return Err(Error::transient("channel.closed", error.to_string())),
            }
        }
    }
}

/// A running QEMU, started as [`crate::launch`] says, and the host's side of it. The process ends
/// with the value.
struct RealHost {
    folder: TempDir,
    process: RefCell<Child>,
    started: Instant,
    journal: RefCell<Vec<Note>>,
    /// The driver dies when this note is on disk.
    dies_at: RefCell<Option<String>>,
    dead: Cell<bool>,
}

impl Drop for RealHost {
    fn drop(&mut self) {
        let mut process = self.process.borrow_mut();
        // It may have ended by itself; nothing else can fail here.
        drop(process.kill());
        drop(process.wait());
    }
}

impl RealHost {
    fn start(change: impl FnOnce(&mut VmSpec, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("disk.raw"), pattern()).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut wanted = spec(&path(""), vec![disk(&path("disk.raw"), "raw")]);
        change(&mut wanted, folder.path());
        let launch = crate::launch::define(&wanted).unwrap();
        let process = Command::new(launch.program)
            .args(launch.arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the tests need QEMU: install qemu-system-x86");
        let host = Self {
            folder,
            process: RefCell::new(process),
            started: Instant::now(),
            journal: RefCell::default(),
            dies_at: RefCell::default(),
            dead: Cell::new(false),
        };
        while Socket::connect(&host.path("qmp")).is_err() {
            assert!(host.started.elapsed() < QEMU_TIMEOUT, "QEMU does not open its monitor");
            assert_eq!(host.process.borrow_mut().try_wait().unwrap(), None, "QEMU ended");
            std::thread::yield_now();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An empty scratch file, as the host makes it.
    fn scratch(&self) -> String {
        let path = self.text("scratch.qcow2");
        tool(&["create", "-q", "-f", "qcow2", &path, &SIZE.to_string()]);
        path
    }

    fn begin(&self) -> Result<StartedCapture> {
        let mut wanted = request(Consistency::Filesystem, Consistency::Crash);
        wanted.scratch_path = self.scratch();
        Qemu::begin_capture(self, &wanted)
    }

    /// Writes through the guest's own device, as the guest would.
    fn guest_writes(&self, byte: u8) {
        let monitor = self.monitor();
        let device = "/machine/peripheral/vdisk0/virtio-backend";
        let line = format!("qemu-io -d {device} \"write -P {byte} 0 {MIB}\"");
        let answer = ask(&monitor, "human-monitor-command", json!({ "command-line": line }));
        assert!(!answer.as_str().unwrap().contains("rror"), "{answer}");
    }

    /// A monitor of the test's own, greeted. The driver's must be closed.
    fn monitor(&self) -> Socket {
        let monitor = Socket::connect(&self.path("qmp")).unwrap();
        monitor.receive(60_000).unwrap().expect("a greeting");
        ask(&monitor, "qmp_capabilities", json!({}));
        monitor
    }

    /// What the export serves.
    fn read_export(&self) -> Vec<u8> {
        let source = format!("nbd+unix:///disk?socket={}", self.text("nbd"));
        let out = self.text("out.raw");
        tool(&["convert", "-f", "raw", "-O", "raw", &source, &out]);
        std::fs::read(out).unwrap()
    }

    fn assert_clean(&self, after: &str) {
        let monitor = self.monitor();
        let nodes = ask(&monitor, "query-named-block-nodes", json!({ "flat": true })).to_string();
        assert!(!nodes.contains("imprint-"), "after {after}: {nodes}");
        assert_eq!(ask(&monitor, "query-block-exports", json!({})), json!([]), "after {after}");
        assert_eq!(ask(&monitor, "query-status", json!({}))["status"], "running", "after {after}");
        let server = json!({ "addr": { "type": "unix", "data": { "path": self.text("probe") } } });
        assert_eq!(ask(&monitor, "nbd-server-start", server), json!({}), "after {after}: a server is left");
        ask(&monitor, "nbd-server-stop", json!({}));
    }
}

impl Channels for RealHost {
    fn open(&self, grant: &str, _params: &[(&str, &str)], _framing: Framing) -> Result<Box<dyn Channel>> {
        if self.dead.get() {
            return Err(Error::internal("test.killed", "dead"));
        }
        let socket = Socket::connect(&self.path(grant));
        Ok(Box::new(socket.map_err(|error| Error::transient("channel.unreachable", error.to_string()))?))
    }

    fn reserve_endpoint(&self, _grant: &str, _hint: &str) -> Result<Endpoint> {
        Ok(Endpoint { id: "e1".to_owned(), peer_path: self.text("nbd") })
    }
}

impl Journal for RealHost {
    fn record(&self, note: &Note) -> Result<()> {
        if self.dies_at.borrow().as_ref() == Some(&note.step) {
            self.dead.set(true);
        }
        if self.dead.get() {
            return Err(Error::internal("test.killed", "dead"));
        }
        self.journal.borrow_mut().push(note.clone());
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        self.journal.borrow().clone()
    }
}

impl Config for RealHost {
    fn config(&self, _key: &str) -> Option<String> {
        None
    }
}

impl Task for RealHost {
    fn cancelled(&self) -> bool {
        false
    }

    fn remaining_ms(&self) -> Option<u64> {
        None
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    fn sleep_ms(&self, ms: u32) {
        std::thread::sleep(Duration::from_millis(ms.into())); // waits because the plugin asks its host to
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _note: &str) {}
}

fn pattern() -> Vec<u8> {
    (0..SIZE).map(|offset| u8::try_from((offset >> 9) % 251).unwrap()).collect()
}

fn tool(arguments: &[&str]) {
    let status = Command::new("qemu-img").args(arguments).status().expect("the tests need qemu-utils");
    assert!(status.success(), "qemu-img {arguments:?}");
}

fn ask(monitor: &Socket, command: &str, arguments: Value) -> Value {
    monitor.send(json!({ "execute": command, "arguments": arguments }).to_string().as_bytes()).unwrap();
    loop {
        let line = monitor.receive(60_000).unwrap().expect("an answer");
        let answer: Value = serde_json::from_slice(&line).unwrap();
        if answer.get("return").is_some() || answer.get("error").is_some() {
            return answer.get("return").unwrap_or(&answer).clone();
        }
    }
}

fn captures_twice(host: &RealHost) {
    for byte in [0xaa, 0xbb] {
        let before = std::fs::read(host.path("disk.raw")).unwrap();
        let started = host.begin().unwrap();
        assert_eq!(started.virtual_size, u64::try_from(SIZE).unwrap());
        assert_eq!(started.quiesce.level, Consistency::Crash);
        assert!(started.quiesce.downgraded_because.unwrap().contains("no guest agent"));
        let empty = Qemu::capture_status(host, VM, "c1").unwrap();
        host.guest_writes(byte);
        let used = Qemu::capture_status(host, VM, "c1").unwrap();
        assert_eq!((used.broken, used.power), (None, Power::Running));
        assert!(used.scratch_used >= empty.scratch_used + u64::try_from(MIB).unwrap());
        assert!(host.read_export() == before, "the export shows what the guest wrote afterwards");
        Qemu::end_capture(host, VM, "c1", Outcome::Commit).unwrap();
        host.assert_clean("a capture");
        host.journal.borrow_mut().clear();
    }
}

#[test]
fn a_capture_shows_the_point_in_time_while_the_guest_writes() {
    let host = RealHost::start(|_, _| {});
    let vm = Qemu::describe(&host, VM).unwrap();
    assert_eq!((vm.power, vm.guest_agent, vm.disks.len()), (Power::Running, None, 1));
    let primary = &vm.disks[0];
    assert_eq!(
        (primary.id.as_str(), primary.bus.as_str(), primary.format.as_str()),
        ("vdisk0", "virtio-blk", "raw")
    );
    assert!(primary.primary && !primary.iothread && !primary.read_only);
    let plan = Qemu::plan_capture(&host, &request(Consistency::Filesystem, Consistency::Crash)).unwrap();
    assert_eq!((plan.expected, plan.method.as_str()), (Consistency::Crash, "cbw-snapshot-access"));
    captures_twice(&host);
    let disk = std::fs::read(host.path("disk.raw")).unwrap();
    assert_eq!((disk[0], disk[MIB - 1], disk[MIB]), (0xbb, 0xbb, pattern()[MIB]));
    assert_eq!(Qemu::set_power(&host, VM, PowerAction::Shutdown), Ok(Power::Running));
    assert_eq!(Qemu::set_power(&host, VM, PowerAction::PowerOff), Ok(Power::Off));
    assert!(host.process.borrow_mut().wait().unwrap().success());
}

#[test]
fn with_everything_that_a_launch_can_have() {
    let host = RealHost::start(|spec, folder| {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        tool(&["create", "-q", "-f", "qcow2", &path("second.qcow2"), "8M"]);
        std::fs::write(path("seed.iso"), vec![0; 1 << 16]).unwrap();
        spec.disks.push(disk(&path("second.qcow2"), "qcow2"));
        spec.cdroms.push(disk(&path("seed.iso"), "raw"));
        spec.options = props([("machine", "q35"), ("iothread", "on"), ("network", "user"), ("cpu", "max")]);
    });
    let vm = Qemu::describe(&host, VM).unwrap();
    let disks: Vec<(&str, bool, bool)> =
        vm.disks.iter().map(|disk| (disk.id.as_str(), disk.primary, disk.iothread)).collect();
    assert_eq!(disks, [("vdisk0", true, true), ("vdisk-root", false, true)]);
    captures_twice(&host);
}

#[test]
fn killed_at_each_note_and_recovered() {
    let host = RealHost::start(|_, _| {});
    let steps = [
        "adding-scratch",
        "starting-server",
        "inserting-filter",
        "stopping",
        "resuming",
        "resumed",
        "exporting",
    ];
    for step in steps {
        host.journal.borrow_mut().clear();
        *host.dies_at.borrow_mut() = Some(step.to_owned());
        assert_eq!(host.begin().unwrap_err().code, "test.killed");
        assert!(host.dead.get(), "{step} is no step of a capture");
        host.dead.set(false);
        *host.dies_at.borrow_mut() = None;
        for _ in 0..2 {
            let recovered = Qemu::recover(&host, VM, "c1", &host.notes()).unwrap();
            assert_eq!(recovered.power, Power::Running);
        }
        host.assert_clean(step);
    }
    host.journal.borrow_mut().clear();
    host.begin().unwrap();
    Qemu::recover(&host, VM, "c1", &host.notes()).unwrap();
    host.assert_clean("a capture that was never ended");
    assert!(std::fs::read(host.path("disk.raw")).unwrap() == pattern());
}

#[test]
fn what_others_hold_is_left_alone() {
    let host = RealHost::start(|_, _| {});
    let other = host.monitor();
    let planned = Qemu::plan_capture(&host, &request(Consistency::Crash, Consistency::Crash));
    assert_eq!(planned.unwrap_err().code, "qemu.monitor-busy");
    let server = json!({ "addr": { "type": "unix", "data": { "path": host.text("theirs") } } });
    assert_eq!(ask(&other, "nbd-server-start", server), json!({}));
    drop(other);
    assert_eq!(host.begin().unwrap_err().code, "qemu.nbd-busy");
    assert!(UnixStream::connect(host.path("theirs")).is_ok(), "the other server was stopped");
    assert_eq!(ask(&host.monitor(), "nbd-server-stop", json!({})), json!({}));
    host.begin().unwrap();
    let second = Qemu::begin_capture(&host, &request(Consistency::Crash, Consistency::Crash));
    assert_eq!(second.unwrap_err().code, "qemu.leftovers");
    assert_eq!(Qemu::capture_status(&host, VM, "c1").unwrap().broken, None);
    Qemu::end_capture(&host, VM, "c1", Outcome::Discard).unwrap();
    host.assert_clean("a second capture was refused");
}

#[test]
fn a_process_that_dies_takes_the_capture_with_it() {
    let host = RealHost::start(|_, _| {});
    host.begin().unwrap();
    host.process.borrow_mut().kill().unwrap();
    host.process.borrow_mut().wait().unwrap();
    assert_eq!(Qemu::capture_status(&host, VM, "c1").unwrap_err().code, "qemu.vm-gone");
    Qemu::end_capture(&host, VM, "c1", Outcome::Discard).unwrap();
    assert_eq!(Qemu::recover(&host, VM, "c1", &host.notes()).unwrap().power, Power::Off);
}

#[test]
fn a_missing_scratch_is_refused_before_the_guest_is_touched() {
    let host = RealHost::start(|_, _| {});
    let mut wanted = request(Consistency::Crash, Consistency::Crash);
    wanted.scratch_path = host.text("missing.qcow2");
    let error = Qemu::begin_capture(&host, &wanted).unwrap_err();
    assert_eq!(error.code, "qemu.refused");
    assert!(error.message.contains("missing.qcow2"), "{}", error.message);
    host.assert_clean("a missing scratch");
    assert!(!host.notes().iter().any(|note| note.step == "stopping"));
}
