//! Which commands reach a peer.
//!
//! Every line is parsed: what is not one JSON object with an `execute` is not sent, and neither is
//! a command that no pattern of the grant allows. Composite commands are checked in depth, because
//! a node definition can open any file of the machine and a transaction can hold any command.

use serde_json::{Map, Value};

use super::resources::CallResources;
use crate::{
    manifest::{
        ChannelCapability,
        rules::{is_forbidden, matches},
    },
    text::truncate,
};

const MAX_DEPTH: usize = 16;
const MAX_ACTIONS: usize = 64;
/// The longest name and the longest path of a plugin that a refusal shows.
const SHOWN_NAME: usize = 100;
const SHOWN_PATH: usize = 200;

/// A command that may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) id: Option<Value>,
}

/// The reason why a line is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandRefused {
    #[error("a message must be one JSON object")]
    Syntax(#[source] serde_json::Error),
    #[error("a message must be one JSON object")]
    NotAnObject,
    #[error("a message with {:?} is not allowed", truncate(.0, SHOWN_NAME))]
    UnknownMember(String),
    #[error("a message needs `execute` with a command name")]
    NoCommand,
    #[error("command {} is never granted to a plugin", truncate(.0, SHOWN_NAME))]
    NeverGranted(String),
    #[error("command {} is not granted on channel {channel}", truncate(.command, SHOWN_NAME))]
    NotGranted { command: String, channel: String },
    #[error("command blockdev-create is not granted: the host creates files")]
    CreatesFile,
    #[error("a transaction needs a list of actions")]
    NoActions,
    #[error("a transaction has at most {MAX_ACTIONS} actions")]
    TooManyActions,
    #[error("an action of a transaction needs a type")]
    ActionWithoutType,
    #[error("a transaction cannot contain a transaction")]
    NestedTransaction,
    #[error("a node definition is deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error(
        "block driver {:?} is not granted on channel {channel}; name it in `block-drivers`",
        truncate(.driver, SHOWN_NAME)
    )]
    BlockDriver { driver: String, channel: String },
    #[error("`json:` definitions are not granted")]
    JsonDefinition,
    #[error("{0} of a node must be a path that the host granted")]
    NotAPath(String),
    #[error("{key} {:?} was not granted for this call", truncate(.path, SHOWN_PATH))]
    PathNotGranted { key: String, path: String },
    #[error("the NBD server may only listen on a reserved endpoint")]
    ListenAddress,
    #[error("only exports of the type nbd are granted")]
    ExportType,
    #[error("only disks are granted as new devices, with a drive of the same process")]
    Device,
}

/// Checks a line against a grant, and returns its command.
pub(super) fn check_line(
    capability: &ChannelCapability,
    resources: &CallResources,
    line: &[u8],
) -> Result<Command, CommandRefused> {
    // The guest agent's protocol resets its parser with this byte.
    let text = line.strip_prefix(&[0xFF]).unwrap_or(line);
    let value: Value = serde_json::from_slice(text).map_err(CommandRefused::Syntax)?;
    let Value::Object(message) = value else { return Err(CommandRefused::NotAnObject) };
    if let Some(key) = message.keys().find(|key| !matches!(key.as_str(), "execute" | "arguments" | "id")) {
        return Err(CommandRefused::UnknownMember(key.clone()));
    }
    let Some(Value::String(name)) = message.get("execute") else { return Err(CommandRefused::NoCommand) };
    check_command(capability, resources, name, message.get("arguments"))?;
    Ok(Command { name: name.clone(), id: message.get("id").cloned() })
}

fn check_command(
    capability: &ChannelCapability,
    resources: &CallResources,
    name: &str,
    arguments: Option<&Value>,
) -> Result<(), CommandRefused> {
    if is_forbidden(name) {
        return Err(CommandRefused::NeverGranted(name.to_owned()));
    }
    if !capability.allow.iter().any(|pattern| matches(pattern, name)) {
        let (command, channel) = (name.to_owned(), capability.id.clone());
        return Err(CommandRefused::NotGranted { command, channel });
    }
    match name {
        "transaction" => check_transaction(capability, resources, arguments),
        "blockdev-add" | "blockdev-reopen" => {
            arguments.map_or(Ok(()), |arguments| check_nodes(capability, resources, arguments, MAX_DEPTH))
        }
        "blockdev-create" => Err(CommandRefused::CreatesFile),
        "nbd-server-start" => check_listen(resources, arguments),
        "block-export-add" => check_export(arguments),
        "device_add" => check_device(arguments),
        _ => check_paths(resources, arguments),
    }
}

fn check_transaction(
    capability: &ChannelCapability,
    resources: &CallResources,
    arguments: Option<&Value>,
) -> Result<(), CommandRefused> {
    let actions = arguments.and_then(|arguments| arguments.get("actions")).and_then(Value::as_array);
    let actions = actions.ok_or(CommandRefused::NoActions)?;
    if actions.len() > MAX_ACTIONS {
        return Err(CommandRefused::TooManyActions);
    }
    for action in actions {
        let kind = action.get("type").and_then(Value::as_str).ok_or(CommandRefused::ActionWithoutType)?;
        if kind == "transaction" {
            return Err(CommandRefused::NestedTransaction);
        }
        check_command(capability, resources, kind, action.get("data"))?;
    }
    Ok(())
}

/// Checks a node definition and every one inside it: only the drivers of the grant, only files that
/// the host granted.
fn check_nodes(
    capability: &ChannelCapability,
    resources: &CallResources,
    value: &Value,
    depth: usize,
) -> Result<(), CommandRefused> {
    let Some(depth) = depth.checked_sub(1) else { return Err(CommandRefused::TooDeep) };
    match value {
        Value::Object(node) => {
            if let Some(driver) = node.get("driver") {
                let driver = driver.as_str().unwrap_or_default();
                if !capability.block_drivers.iter().any(|allowed| allowed == driver) {
                    let (driver, channel) = (driver.to_owned(), capability.id.clone());
                    return Err(CommandRefused::BlockDriver { driver, channel });
                }
            }
            check_leaves(resources, node)?;
            node.values().try_for_each(|inner| check_nodes(capability, resources, inner, depth))
        }
        Value::Array(items) => {
            items.iter().try_for_each(|inner| check_nodes(capability, resources, inner, depth))
        }
        // A string where a node is expected names an existing one; `json:` would be a definition in
        // disguise.
        Value::String(text) if text.trim_start().starts_with("json:") => Err(CommandRefused::JsonDefinition),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Keys whose text opens something outside of the process.
const PATH_KEYS: [&str; 12] = [
    "filename",
    "snapshot-file",
    "target-file",
    "mountpoint",
    "path",
    "host",
    "server",
    "export",
    "key-secret",
    "tls-creds",
    "fdname",
    "device",
];

fn check_leaves(resources: &CallResources, node: &Map<String, Value>) -> Result<(), CommandRefused> {
    for (key, value) in node {
        if !PATH_KEYS.contains(&key.as_str()) {
            continue;
        }
        let Value::String(path) = value else {
            return Err(CommandRefused::NotAPath(key.clone()));
        };
        if !resources.may_name(path) {
            return Err(CommandRefused::PathNotGranted { key: key.clone(), path: path.clone() });
        }
    }
    Ok(())
}

/// Checks that the server listens on a reserved endpoint and on nothing else.
fn check_listen(resources: &CallResources, arguments: Option<&Value>) -> Result<(), CommandRefused> {
    let address = arguments.and_then(|arguments| arguments.get("addr"));
    let unix = address.and_then(|address| address.get("type")).and_then(Value::as_str) == Some("unix");
    let path = address.and_then(|address| address.pointer("/data/path")).and_then(Value::as_str);
    if unix && path.is_some_and(|path| resources.may_name(path)) {
        return Ok(());
    }
    Err(CommandRefused::ListenAddress)
}

/// Checks that an export goes through the NBD server: the other kinds (fuse, vhost-user) open
/// sockets and mounts of their own.
fn check_export(arguments: Option<&Value>) -> Result<(), CommandRefused> {
    let kind = arguments.and_then(|arguments| arguments.get("type")).and_then(Value::as_str);
    if kind == Some("nbd") {
        return Ok(());
    }
    Err(CommandRefused::ExportType)
}

/// The devices that can be added, and what may be said of them: others reach the machine's own
/// devices, its network or its files.
const DISKS: [&str; 2] = ["virtio-blk-pci", "scsi-hd"];
const DISK_KEYS: [&str; 6] = ["driver", "id", "drive", "serial", "bus", "bootindex"];

/// Checks that a new device is a disk.
fn check_device(arguments: Option<&Value>) -> Result<(), CommandRefused> {
    let Some(Value::Object(device)) = arguments else { return Err(CommandRefused::Device) };
    let is_disk = device.get("driver").and_then(Value::as_str).is_some_and(|driver| DISKS.contains(&driver));
    let known = device
        .iter()
        .all(|(key, value)| DISK_KEYS.contains(&key.as_str()) && (value.is_string() || value.is_u64()));
    if is_disk && known { Ok(()) } else { Err(CommandRefused::Device) }
}

/// Checks any other command: its arguments may name only files that the host granted.
fn check_paths(resources: &CallResources, arguments: Option<&Value>) -> Result<(), CommandRefused> {
    let Some(Value::Object(arguments)) = arguments else { return Ok(()) };
    for key in ["filename", "snapshot-file", "target", "target-file", "backing-file"] {
        if let Some(Value::String(path)) = arguments.get(key)
            && path.contains('/')
            && !resources.may_name(path)
        {
            return Err(CommandRefused::PathNotGranted { key: key.to_owned(), path: path.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
