//! Which commands reach a peer.
//!
//! Every line is parsed: what is not one JSON object with an `execute` is not sent, and neither is
//! a command that no pattern of the grant allows. Composite commands are looked into, because a
//! node definition can open any file of the machine and a transaction can hold any command.

use serde_json::{Map, Value};

use super::WorkShared;
use crate::{log::clip, manifest::ChannelCapability};

/// Never granted, whatever a manifest says: they move the guest or its memory out of the process,
/// reach files and devices of the host, or run anything at all.
const FORBIDDEN: [&str; 14] = [
    "migrate*",
    "x-colo*",
    "human-monitor-command",
    "object-add",
    "chardev-*",
    "device_add",
    "netdev_add",
    "screendump",
    "dump-guest-memory",
    "pmemsave",
    "memsave",
    "guest-exec*",
    "guest-file-*",
    "guest-set-user-password",
];

const MAX_DEPTH: usize = 16;
const MAX_ACTIONS: usize = 64;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) id: Option<Value>,
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

fn forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|pattern| matches(pattern, name))
}

/// Whether a pattern of a manifest names something that is never granted. A broad pattern (`*`) is
/// not refused: the commands behind it are, one by one.
pub(crate) fn is_forbidden_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    forbidden(name) || FORBIDDEN.contains(&pattern)
}

/// Judges a line. `Err` says why it is not sent.
pub(super) fn check_line(
    capability: &ChannelCapability,
    work: &WorkShared,
    line: &[u8],
) -> Result<Command, String> {
    // The guest agent's protocol resets its parser with this byte.
    let text = line.strip_prefix(&[0xFF]).unwrap_or(line);
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| format!("a message must be one JSON object: {error}"))?;
    let Value::Object(message) = value else {
        return Err("a message must be one JSON object".to_owned());
    };
    if let Some(key) = message.keys().find(|key| !matches!(key.as_str(), "execute" | "arguments" | "id")) {
        return Err(format!("a message with {:?} is not allowed", clip(key, 100)));
    }
    let Some(Value::String(name)) = message.get("execute") else {
        return Err("a message needs `execute` with a command name".to_owned());
    };
    check_command(capability, work, name, message.get("arguments"))?;
    Ok(Command { name: name.clone(), id: message.get("id").cloned() })
}

fn check_command(
    capability: &ChannelCapability,
    work: &WorkShared,
    name: &str,
    arguments: Option<&Value>,
) -> Result<(), String> {
    let shown = clip(name, 100);
    if forbidden(name) {
        return Err(format!("command {shown} is never granted to a plugin"));
    }
    if !capability.allow.iter().any(|pattern| matches(pattern, name)) {
        return Err(format!("command {shown} is not granted on channel {}", capability.id));
    }
    match name {
        "transaction" => check_transaction(capability, work, arguments),
        "blockdev-add" | "blockdev-reopen" => {
            arguments.map_or(Ok(()), |arguments| check_nodes(capability, work, arguments, MAX_DEPTH))
        }
        "blockdev-create" => Err("command blockdev-create is not granted: the host makes files".to_owned()),
        "nbd-server-start" => check_listen(work, arguments),
        "block-export-add" => check_export(arguments),
        _ => check_paths(work, arguments),
    }
}

fn check_transaction(
    capability: &ChannelCapability,
    work: &WorkShared,
    arguments: Option<&Value>,
) -> Result<(), String> {
    let actions = arguments.and_then(|arguments| arguments.get("actions")).and_then(Value::as_array);
    let actions = actions.ok_or("a transaction needs a list of actions")?;
    if actions.len() > MAX_ACTIONS {
        return Err(format!("a transaction has at most {MAX_ACTIONS} actions"));
    }
    for action in actions {
        let kind =
            action.get("type").and_then(Value::as_str).ok_or("an action of a transaction needs a type")?;
        if kind == "transaction" {
            return Err("a transaction holds no transactions".to_owned());
        }
        check_command(capability, work, kind, action.get("data"))?;
    }
    Ok(())
}

/// Checks a node definition and every one inside it: only the drivers of the grant, only handed-out
/// files.
fn check_nodes(
    capability: &ChannelCapability,
    work: &WorkShared,
    value: &Value,
    depth: usize,
) -> Result<(), String> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(format!("a node definition is deeper than {MAX_DEPTH}"));
    };
    match value {
        Value::Object(node) => {
            if let Some(driver) = node.get("driver") {
                let driver = driver.as_str().unwrap_or_default();
                if !capability.block_drivers.iter().any(|allowed| allowed == driver) {
                    return Err(format!(
                        "block driver {:?} is not granted on channel {}; name it in `block-drivers`",
                        clip(driver, 100),
                        capability.id
                    ));
                }
            }
            check_leaves(work, node)?;
            node.values().try_for_each(|inner| check_nodes(capability, work, inner, deeper))
        }
        Value::Array(items) => {
            items.iter().try_for_each(|inner| check_nodes(capability, work, inner, deeper))
        }
        // A string where a node is expected names an existing one; `json:` would be a definition in
        // disguise.
        Value::String(text) if text.trim_start().starts_with("json:") => {
            Err("`json:` definitions are not granted".to_owned())
        }
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

fn check_leaves(work: &WorkShared, node: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in node {
        if !PATH_KEYS.contains(&key.as_str()) {
            continue;
        }
        let Value::String(path) = value else {
            return Err(format!("{key} of a node must be a path that the host handed out"));
        };
        if !work.may_name(path) {
            return Err(format!("{key} {:?} was not handed out for this work", clip(path, 200)));
        }
    }
    Ok(())
}

/// The server listens on a reserved endpoint and on nothing else.
fn check_listen(work: &WorkShared, arguments: Option<&Value>) -> Result<(), String> {
    let address = arguments.and_then(|arguments| arguments.get("addr"));
    let unix = address.and_then(|address| address.get("type")).and_then(Value::as_str) == Some("unix");
    let path = address.and_then(|address| address.pointer("/data/path")).and_then(Value::as_str);
    if unix && path.is_some_and(|path| work.may_name(path)) {
        return Ok(());
    }
    Err("the NBD server may only listen on a reserved endpoint".to_owned())
}

/// Exports go through the NBD server: the other kinds (fuse, vhost-user) open sockets and mounts of
/// their own.
fn check_export(arguments: Option<&Value>) -> Result<(), String> {
    let kind = arguments.and_then(|arguments| arguments.get("type")).and_then(Value::as_str);
    if kind == Some("nbd") {
        return Ok(());
    }
    Err("only exports of the type nbd are granted".to_owned())
}

/// Any other command: arguments that name files, at the top level, must be handed out.
fn check_paths(work: &WorkShared, arguments: Option<&Value>) -> Result<(), String> {
    let Some(Value::Object(arguments)) = arguments else { return Ok(()) };
    for key in ["filename", "snapshot-file", "target", "target-file", "backing-file"] {
        if let Some(Value::String(path)) = arguments.get(key)
            && path.contains('/')
            && !work.may_name(path)
        {
            return Err(format!("{key} {:?} was not handed out for this work", clip(path, 200)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
