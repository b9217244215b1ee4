//! The rules for commands: which ones a manifest may never ask for, and what an undo looks like.

use serde_json::Value;

/// Never granted, whatever a manifest asks for: they move the guest or its memory out of the
/// process, reach files and devices of the machine, or run anything at all.
const FORBIDDEN: [&str; 13] = [
    "migrate*",
    "x-colo*",
    "human-monitor-command",
    "object-add",
    "chardev-*",
    "netdev_add",
    "screendump",
    "dump-guest-memory",
    "pmemsave",
    "memsave",
    "guest-exec*",
    "guest-file-*",
    "guest-set-user-password",
];

/// Returns whether a command matches a pattern: its name, or a prefix that ends with `*`.
pub(crate) fn matches(pattern: &str, command: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => command.starts_with(prefix),
        None => pattern == command,
    }
}

/// Returns whether a command is never granted.
pub(crate) fn is_forbidden(command: &str) -> bool {
    FORBIDDEN.iter().any(|pattern| matches(pattern, command))
}

/// Returns whether a pattern of a manifest names something that is never granted. A broad pattern
/// (`*`) is not refused: the commands that it matches are, one by one.
pub(crate) fn is_forbidden_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    is_forbidden(name) || FORBIDDEN.contains(&pattern)
}

/// An `undo` of a manifest that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidUndo {
    #[error("undo {undo:?} is not valid JSON")]
    Syntax { undo: String, source: serde_json::Error },
    #[error("undo {0:?} must be a command name or an object with `execute`")]
    NoCommand(String),
}

/// Returns an undo as a message: `undo` is a command name or a whole object. The message carries an
/// id, by which its answer is recognised.
pub(crate) fn undo_message(undo: &str, id: &str) -> Result<String, InvalidUndo> {
    let mut message = if undo.trim_start().starts_with('{') {
        serde_json::from_str::<Value>(undo)
            .map_err(|source| InvalidUndo::Syntax { undo: undo.to_owned(), source })?
    } else {
        serde_json::json!({ "execute": undo })
    };
    if message.get("execute").and_then(Value::as_str).is_none() {
        return Err(InvalidUndo::NoCommand(undo.to_owned()));
    }
    message["id"] = Value::String(id.to_owned());
    Ok(message.to_string())
}
