//! A model of a QEMU process with a guest agent, which can refuse commands, lose connections, and
//! whose client can be killed at any host call.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Channel, Channels, Config, Endpoint, Framing, Journal, Note, Task},
};
use serde_json::{Value, json};

pub(super) const VM: &str = "vm1";
pub(super) const SIZE: u64 = 1 << 30;
const DEVICE: &str = "/machine/peripheral/vdisk0";

/// The guest agent's behaviour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AgentKind {
    /// Nobody holds the port.
    Absent,
    /// Something holds the port and never answers.
    Silent,
    /// As it should be.
    Works,
}

/// When the client is killed, counted in host calls that have an effect.
#[derive(Clone, Copy)]
pub(super) enum Kill {
    Never,
    /// The call has its effect; the client never hears of it.
    After(u32),
}

pub(super) struct Node {
    pub(super) driver: String,
    file: Option<String>,
    target: Option<String>,
    size: u64,
}

pub(super) struct State {
    pub(super) version: (u32, u32),
    /// Connections to the monitor that get no greeting.
    pub(super) busy_for: u32,
    pub(super) gone: bool,
    pub(super) status: &'static str,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) drive: String,
    pub(super) read_only: bool,
    pub(super) no_disk: bool,
    pub(super) second_disk: bool,
    pub(super) exports: Vec<String>,
    pub(super) server: bool,
    pub(super) iothreads: u32,
    pub(super) drivers: Vec<&'static str>,
    pub(super) scratch_size: u64,
    pub(super) agent: AgentKind,
    pub(super) can_freeze: bool,
    pub(super) frozen: u32,
    pub(super) freezable: u32,
    pub(super) freeze_takes_ms: u64,
    pub(super) can_trim: bool,
    pub(super) trim_takes_ms: u64,
    trimming_until: u64,
    /// The host's watchdog thaws or resumes during the stop window.
    pub(super) thaws_by_itself: bool,
    pub(super) resumes_by_itself: bool,
    /// Commands that are refused, with QEMU's words; each as often as it is there.
    pub(super) refuse: Vec<(&'static str, &'static str)>,
    /// How many of the refused commands pass before.
    pub(super) accept_first: u32,
    /// Stale bytes in the agent's pipe.
    pub(super) agent_stale: VecDeque<Vec<u8>>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) cancelled: bool,
    /// The drive whose medium changes.
    pub(super) tray_open: bool,
    pub(super) medium: Option<String>,
    /// Devices that were added, with their nodes.
    pub(super) added: BTreeMap<String, String>,
    /// Whether the guest keeps disks that are to go.
    pub(super) holds_disks: bool,
    pub(super) journal: Vec<Note>,
    pub(super) commands: Vec<String>,
    pub(super) clock: u64,
    pub(super) kill: Kill,
    /// The monitor closes once, at this effect.
    pub(super) lose_monitor_at: Option<u32>,
    effects: u32,
    generation: u32,
    root_below: Option<String>,
}

/// The host of a driver under test. Clones share the state.
#[derive(Clone)]
pub(super) struct Model(pub(super) Rc<RefCell<State>>);

impl Model {
    pub(super) fn new() -> Self {
        let plain = |driver: &str| Node { driver: driver.to_owned(), file: None, target: None, size: SIZE };
        let nodes = [("disk0-file", "file"), ("disk0", "raw")];
        Self(Rc::new(RefCell::new(State {
            version: (10, 0),
            busy_for: 0,
            gone: false,
            status: "running",
            nodes: nodes.into_iter().map(|(name, driver)| (name.to_owned(), plain(driver))).collect(),
            drive: "disk0".to_owned(),
            read_only: false,
            no_disk: false,
            second_disk: false,
            exports: Vec::new(),
            server: false,
            iothreads: 0,
            drivers: vec!["file", "raw", "qcow2", "copy-before-write", "snapshot-access"],
            scratch_size: SIZE,
            agent: AgentKind::Works,
            can_freeze: true,
            frozen: 0,
            freezable: 2,
            freeze_takes_ms: 20,
            can_trim: true,
            trim_takes_ms: 20,
            trimming_until: 0,
            thaws_by_itself: false,
            resumes_by_itself: false,
            refuse: Vec::new(),
            accept_first: 0,
            agent_stale: VecDeque::new(),
            settings: BTreeMap::new(),
            cancelled: false,
            tray_open: false,
            medium: None,
            added: BTreeMap::new(),
            holds_disks: false,
            journal: Vec::new(),
            commands: Vec::new(),
            clock: 1_000,
            kill: Kill::Never,
            lose_monitor_at: None,
            effects: 0,
            generation: 0,
            root_below: None,
        })))
    }

    /// A model that differs from the well-behaved one.
    pub(super) fn with(change: impl FnOnce(&mut State)) -> Self {
        let model = Self::new();
        change(&mut model.0.borrow_mut());
        model
    }

    /// A new life of the client.
    pub(super) fn revive(&self, kill: Kill) {
        let mut state = self.0.borrow_mut();
        state.kill = kill;
        state.effects = 0;
    }

    /// Whether the last life was cut short.
    pub(super) fn was_killed(&self) -> bool {
        self.0.borrow().dead()
    }

    pub(super) fn commands(&self) -> Vec<String> {
        self.0.borrow().commands.clone()
    }

    pub(super) fn steps(&self) -> Vec<String> {
        self.0.borrow().journal.iter().map(|note| note.step.clone()).collect()
    }

    /// What keeps the instance from being as it was, if anything.
    pub(super) fn residue(&self) -> Option<String> {
        let state = self.0.borrow();
        let nodes: Vec<&String> = state.nodes.keys().filter(|name| name.starts_with("imprint-")).collect();
        let held = state.status == "paused";
        if nodes.is_empty()
            && state.exports.is_empty()
            && !state.server
            && !held
            && state.frozen == 0
            && state.drive == "disk0"
        {
            return None;
        }
        Some(format!(
            "nodes {nodes:?}, exports {:?}, server {}, status {}, frozen {}, drive {}",
            state.exports, state.server, state.status, state.frozen, state.drive
        ))
    }
}

fn killed() -> Error {
    Error::internal("test.killed", "the client is dead")
}

fn closed() -> Error {
    Error::new(ErrorClass::Transient, "channel.closed", "closed")
}

fn refused(description: impl Into<String>) -> Value {
    json!({ "error": { "class": "GenericError", "desc": description.into() } })
}

fn done() -> Value {
    json!({ "return": {} })
}

impl State {
    fn dead(&self) -> bool {
        matches!(self.kill, Kill::After(limit) if self.effects >= limit)
    }

    /// Counts a call with an effect; it is the last one when the client dies after it.
    fn effect(&mut self) {
        self.effects += 1;
        if self.lose_monitor_at == Some(self.effects) {
            self.lose_monitor_at = None;
            self.generation += 1;
        }
    }

    fn monitor(&mut self, command: &str, arguments: &Value) -> (Value, Vec<Value>) {
        if let Some(answer) = self.query(command, arguments) {
            return (answer, Vec::new());
        }
        let mut events = Vec::new();
        let answer = self.change_devices(command, arguments, &mut events);
        (answer.unwrap_or_else(|| self.act(command, arguments, &mut events)), events)
    }

    /// Answers the commands that change nothing.
    fn query(&self, command: &str, arguments: &Value) -> Option<Value> {
        Some(match command {
            "qmp_capabilities" | "system_powerdown" => done(),
            "query-status" => {
                json!({ "return": { "status": self.status, "running": self.status == "running" } })
            }
            "query-iothreads" => {
                json!({ "return": vec![json!({ "id": "io" }); usize::try_from(self.iothreads).unwrap()] })
            }
            "query-block" => json!({ "return": self.query_block() }),
            "query-named-block-nodes" => json!({ "return": self.query_nodes() }),
            "query-block-exports" => {
                let export = |id: &String| json!({ "id": id, "type": "nbd", "shutting-down": false, "node-name": "n" });
                json!({ "return": self.exports.iter().map(export).collect::<Vec<_>>() })
            }
            "query-chardev" => json!({ "return": [
                { "label": "qga0", "frontend-open": self.agent != AgentKind::Absent, "filename": "unix" },
            ] }),
            "query-qmp-schema" => json!({ "return": [
                { "meta-type": "command", "name": "stop" },
                { "meta-type": "enum", "name": "1", "values": self.drivers },
            ] }),
            "x-debug-query-block-graph" => self.graph(),
            "qom-list" => {
                let added = self.added.keys().map(String::as_str);
                let names: Vec<Value> =
                    ["vdisk0", "cdm"].into_iter().chain(added).map(|name| json!({ "name": name })).collect();
                json!({ "return": names })
            }
            "qom-get" if arguments["property"] == "iothread" => json!({ "return": "" }),
            "qom-get" => json!({ "return": "virtio-blk-pci" }),
            _ => return None,
        })
    }

    /// Answers the commands on the drive and on further disks.
    fn change_devices(&mut self, command: &str, arguments: &Value, events: &mut Vec<Value>) -> Option<Value> {
        let text = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
        Some(match command {
            "blockdev-open-tray" | "blockdev-close-tray" => {
                self.tray_open = command == "blockdev-open-tray";
                done()
            }
            "blockdev-remove-medium" if !self.tray_open => refused("Tray of the device is not open"),
            "blockdev-remove-medium" => {
                self.medium = None;
                done()
            }
            "blockdev-insert-medium" if !self.tray_open || self.medium.is_some() => {
                refused("not open or full")
            }
            "blockdev-insert-medium" => {
                self.medium = Some(text("node-name"));
                done()
            }
            "device_add" => {
                self.added.insert(text("id"), text("drive"));
                done()
            }
            "device_del" if !self.added.contains_key(&text("id")) => refused("Device not found"),
            "device_del" => {
                if !self.holds_disks {
                    self.added.remove(&text("id"));
                    let data = json!({ "device": text("id"), "path": format!("/machine/peripheral/{}", text("id")) });
                    events.push(json!({ "event": "DEVICE_DELETED", "data": data }));
                }
                done()
            }
            _ => return None,
        })
    }

    fn act(&mut self, command: &str, arguments: &Value, events: &mut Vec<Value>) -> Value {
        let text = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
        match command {
            "blockdev-add" => self.add_node(arguments),
            "blockdev-del" => self.remove_node(&text("node-name")),
            "qom-set" => self.set_drive(&text("path"), &text("value")),
            "nbd-server-start" if self.server => refused("NBD server already running"),
            "nbd-server-start" => {
                self.server = true;
                done()
            }
            "nbd-server-stop" if !self.server => refused("NBD server not running"),
            "nbd-server-stop" => {
                self.server = false;
                self.exports.clear();
                done()
            }
            "block-export-add" => {
                self.exports.push(text("id"));
                done()
            }
            "block-export-del" if !self.exports.contains(&text("id")) => refused("Export is not found"),
            "block-export-del" => {
                self.exports.retain(|id| *id != text("id"));
                events.push(json!({ "event": "BLOCK_EXPORT_DELETED", "data": { "id": text("id") } }));
                done()
            }
            "stop" => {
                events.push(json!({ "event": "STOP" }));
                self.status = "paused";
                done()
            }
            "cont" => {
                events.push(json!({ "event": "RESUME" }));
                self.status = "running";
                done()
            }
            "quit" => {
                self.gone = true;
                done()
            }
            other => refused(format!("The command {other} has not been found")),
        }
    }

    fn query_block(&self) -> Vec<Value> {
        let disk = |qdev: &str, node: &str, ro: bool, removable: bool| {
            json!({ "device": "", "qdev": qdev, "removable": removable, "inserted": {
                "node-name": node, "ro": ro, "drv": "raw", "backing_file_depth": 0,
                "image": { "virtual-size": SIZE, "actual-size": 4096, "filename": "f" } } })
        };
        let mut devices = vec![disk("cd0", "cdrom0", true, true)];
        if self.second_disk {
            devices.push(disk("/machine/peripheral/vdisk1/virtio-backend", "disk1", false, false));
        }
        if !self.no_disk {
            devices.push(disk(&format!("{DEVICE}/virtio-backend"), &self.drive, self.read_only, false));
        }
        devices
    }

    fn query_nodes(&self) -> Vec<Value> {
        let node = |(name, node): (&String, &Node)| {
            json!({ "node-name": name, "drv": node.driver, "ro": false,
                "image": { "virtual-size": node.size, "actual-size": 4096, "filename": "f" } })
        };
        self.nodes.iter().map(node).collect()
    }

    fn graph(&self) -> Value {
        let names: Vec<&String> = self.nodes.keys().collect();
        let id = |name: &String| names.iter().position(|other| *other == name).unwrap();
        let nodes: Vec<Value> = names
            .iter()
            .enumerate()
            .map(|(id, name)| json!({ "id": id, "name": name, "type": "block-driver" }))
            .collect();
        let mut edges = Vec::new();
        for (name, node) in &self.nodes {
            for (role, child) in [("file", &node.file), ("target", &node.target)] {
                if let Some(child) = child {
                    edges.push(json!({ "parent": id(name), "child": id(child), "name": role }));
                }
            }
        }
        json!({ "return": { "nodes": nodes, "edges": edges } })
    }

    fn add_node(&mut self, arguments: &Value) -> Value {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let name = text(&arguments["node-name"]).unwrap();
        let driver = text(&arguments["driver"]).unwrap();
        if self.nodes.contains_key(&name) {
            return refused(format!("Duplicate nodes with node-name='{name}'"));
        }
        let file = if arguments["file"].is_object() {
            let child = text(&arguments["file"]["node-name"]).unwrap();
            let node = Node { driver: "file".to_owned(), file: None, target: None, size: 4096 };
            self.nodes.insert(child.clone(), node);
            Some(child)
        } else {
            text(&arguments["file"])
        };
        let target = text(&arguments["target"]);
        for child in file.iter().chain(&target) {
            if !self.nodes.contains_key(child) {
                return refused(format!("Cannot find device='' nor node-name='{child}'"));
            }
        }
        if driver == "copy-before-write" {
            self.root_below.clone_from(&file);
        }
        let size = if driver == "qcow2" { self.scratch_size } else { SIZE };
        self.nodes.insert(name, Node { driver, file, target, size });
        done()
    }

    fn remove_node(&mut self, name: &str) -> Value {
        let parents = self
            .nodes
            .values()
            .any(|node| node.file.as_deref() == Some(name) || node.target.as_deref() == Some(name));
        let exported = name.ends_with("-sa") && !self.exports.is_empty();
        let attached = self.added.values().chain(&self.medium).any(|node| node == name);
        if parents || exported || attached || self.drive == name {
            return refused(format!("Node {name} is in use"));
        }
        match self.nodes.remove(name) {
            None => refused(format!("Failed to find node with node-name='{name}'")),
            Some(node) => {
                if name.ends_with("-scr") {
                    self.nodes.remove(&node.file.unwrap());
                }
                done()
            }
        }
    }

    fn set_drive(&mut self, path: &str, node: &str) -> Value {
        if path != DEVICE {
            return refused(format!("Device '{path}' not found"));
        }
        if !self.nodes.contains_key(node) {
            return refused(format!("Can't find node '{node}'"));
        }
        self.drive = node.to_owned();
        if self.resumes_by_itself && node.ends_with("-cbw") {
            self.status = "running";
        }
        if self.thaws_by_itself && node.ends_with("-cbw") {
            self.frozen = 0;
        }
        done()
    }

    fn agent(&mut self, command: &str, arguments: &Value) -> Option<Vec<u8>> {
        if self.agent != AgentKind::Works || self.status != "running" {
            return None;
        }
        let plain = |value: Value| Some(json!({ "return": value }).to_string().into_bytes());
        match command {
            "guest-sync-delimited" => {
                let mut line = vec![0xff];
                line.extend(json!({ "return": arguments["id"] }).to_string().into_bytes());
                Some(line)
            }
            "guest-info" => plain(json!({ "version": "8.0", "supported_commands": [
                { "name": "guest-fsfreeze-freeze", "enabled": self.can_freeze, "success-response": true },
                { "name": "guest-fsfreeze-thaw", "enabled": true, "success-response": true },
                { "name": "guest-fstrim", "enabled": self.can_trim, "success-response": true },
            ] })),
            "guest-fstrim" => {
                self.trimming_until = self.clock + self.trim_takes_ms;
                plain(json!({ "paths": [] }))
            }
            "guest-fsfreeze-status" => plain(json!(if self.frozen > 0 { "frozen" } else { "thawed" })),
            "guest-fsfreeze-freeze" => {
                self.frozen = self.freezable;
                plain(json!(self.freezable))
            }
            "guest-fsfreeze-thaw" => {
                let count = std::mem::take(&mut self.frozen);
                plain(json!(count))
            }
            _ => None,
        }
    }
}

struct ModelChannel {
    state: Rc<RefCell<State>>,
    agent: bool,
    generation: u32,
    /// With the time at which each line is there.
    lines: RefCell<VecDeque<(u64, Vec<u8>)>>,
}

impl Channel for ModelChannel {
    fn send(&self, message: &[u8]) -> Result<()> {
        let mut state = self.state.borrow_mut();
        if state.dead() {
            return Err(killed());
        }
        let start = message.iter().position(|byte| *byte == b'{').expect("a command is an object");
        let message: Value = serde_json::from_slice(&message[start..]).expect("a command is JSON");
        let command = message["execute"].as_str().expect("a command has a name").to_owned();
        state.commands.push(command.clone());
        state.effect();
        if self.generation != state.generation {
            return Err(closed());
        }
        if state.gone {
            return Err(closed());
        }
        let mut lines = self.lines.borrow_mut();
        let refusal = state.refuse.iter().position(|(name, _)| *name == command);
        if refusal.is_some() && state.accept_first > 0 {
            state.accept_first -= 1;
        } else if let Some(index) = refusal {
            let (_, description) = state.refuse.remove(index);
            let mut answer = refused(description);
            answer["id"] = message["id"].clone();
            let now = state.clock;
            lines.push_back((now, answer.to_string().into_bytes()));
            return Ok(());
        }
        if self.agent {
            let takes = match command.as_str() {
                "guest-fsfreeze-freeze" => state.freeze_takes_ms,
                "guest-fstrim" => state.trim_takes_ms,
                _ => 1,
            };
            // An agent does one thing after the other.
            let at = state.clock.max(state.trimming_until) + takes;
            lines.extend(state.agent(&command, &message["arguments"]).map(|line| (at, line)));
            return Ok(());
        }
        let (mut answer, events) = state.monitor(&command, &message["arguments"]);
        answer["id"] = message["id"].clone();
        let now = state.clock;
        for line in events.into_iter().chain([answer]) {
            lines.push_back((now, line.to_string().into_bytes()));
        }
        Ok(())
    }

    fn receive(&self, timeout_ms: u32) -> Result<Option<Vec<u8>>> {
        let mut state = self.state.borrow_mut();
        if state.dead() {
            return Err(killed());
        }
        let deadline = state.clock + u64::from(timeout_ms);
        let mut lines = self.lines.borrow_mut();
        match lines.front() {
            Some((at, _)) if *at <= deadline => {
                let (at, line) = lines.pop_front().expect("it has a front");
                state.clock = state.clock.max(at);
                Ok(Some(line))
            }
            None if (state.gone || self.generation != state.generation) && !self.agent => Err(closed()),
            _ => {
                state.clock = deadline;
                Ok(None)
            }
        }
    }
}

impl Channels for Model {
    fn open(&self, grant: &str, params: &[(&str, &str)], framing: Framing) -> Result<Box<dyn Channel>> {
        assert_eq!(params, [("vm", VM)]);
        assert_eq!(framing, Framing::Lines);
        let mut state = self.0.borrow_mut();
        if state.dead() {
            return Err(killed());
        }
        if state.gone {
            return Err(Error::transient("channel.unreachable", "nothing listens"));
        }
        let agent = grant == "qga";
        let mut lines = VecDeque::new();
        if agent {
            lines.extend(std::mem::take(&mut state.agent_stale).into_iter().map(|line| (0, line)));
        } else if state.busy_for > 0 {
            state.busy_for -= 1;
        } else {
            let (major, minor) = state.version;
            let version = json!({ "qemu": { "major": major, "minor": minor, "micro": 2 }, "package": "" });
            lines.push_back((
                0,
                json!({ "QMP": { "version": version, "capabilities": [] } }).to_string().into_bytes(),
            ));
        }
        let generation = state.generation;
        Ok(Box::new(ModelChannel {
            state: Rc::clone(&self.0),
            agent,
            generation,
            lines: RefCell::new(lines),
        }))
    }

    fn reserve_endpoint(&self, grant: &str, hint: &str) -> Result<Endpoint> {
        assert_eq!((grant, hint), ("run", "nbd"));
        Ok(Endpoint { id: "e1".to_owned(), peer_path: "/run/imprint/e1.sock".to_owned() })
    }
}

impl Journal for Model {
    fn record(&self, note: &Note) -> Result<()> {
        let mut state = self.0.borrow_mut();
        if state.dead() {
            return Err(killed());
        }
        if let Some(index) = state.refuse.iter().position(|(name, _)| *name == note.step) {
            state.refuse.remove(index);
            return Err(Error::transient("journal.full", "no space left"));
        }
        state.journal.push(note.clone());
        state.effect();
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        self.0.borrow().journal.clone()
    }
}

impl Config for Model {
    fn config(&self, key: &str) -> Option<String> {
        self.0.borrow().settings.get(key).cloned()
    }
}

impl Task for Model {
    fn cancelled(&self) -> bool {
        self.0.borrow().cancelled
    }

    fn remaining_ms(&self) -> Option<u64> {
        None
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.borrow().clock
    }

    fn sleep_ms(&self, ms: u32) {
        self.0.borrow_mut().clock += u64::from(ms);
    }

    fn progress(&self, _done: u64, _total: Option<u64>, _note: &str) {}
}
