//! What a new instance gets at its first boot: its host name, SSH keys and user data (S67).

use imprint_agent_protocol::Seed;
use imprint_domain::{
    Code, Error, image::Image, metadata::Metadata, ssh_key::check_ssh_key, user_script::MAX_USER_SCRIPT_BYTES,
};

use crate::{
    InstanceCreate, Op,
    change::Change,
    saved::{ssh_key, user_script},
};

/// The most keys of one instance.
const MAX_KEYS: usize = 32;
/// The longest host name label.
const MAX_HOSTNAME: usize = 63;

fn invalid(pointer: &str, detail: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidRequest, detail).at(pointer)
}

/// Checks the keys and the user data of a request.
pub(super) fn check(request: &InstanceCreate) -> Result<(), Error> {
    if request.ssh_keys.len() + request.ssh_key_ids.len() > MAX_KEYS {
        let pointer = if request.ssh_keys.is_empty() { "/ssh_key_ids" } else { "/ssh_keys" };
        return Err(invalid(pointer, format!("at most {MAX_KEYS} keys")));
    }
    for (index, key) in request.ssh_keys.iter().enumerate() {
        let line = index + 1;
        check_ssh_key(key).map_err(|error| {
            invalid(&format!("/ssh_keys/{index}"), format!("key {line}: {error}")).with("line", line)
        })?;
    }
    let Some(data) = &request.user_data else { return Ok(()) };
    if request.user_script_id.is_some() {
        return Err(invalid("/user_script_id", "give either `user_data` or a saved script, not both"));
    }
    if data.len() > MAX_USER_SCRIPT_BYTES {
        return Err(invalid("/user_data", "user data has at most 64 KiB"));
    }
    Ok(())
}

/// Refuses SSH keys and a user script for a system that takes none (S67).
pub(super) fn require_cloud_init(request: &InstanceCreate, image: &Image) -> Result<(), Error> {
    let wanted = [
        ("/ssh_keys", !request.ssh_keys.is_empty()),
        ("/ssh_key_ids", !request.ssh_key_ids.is_empty()),
        ("/user_data", request.user_data.is_some()),
        ("/user_script_id", request.user_script_id.is_some()),
    ];
    match wanted.into_iter().find(|(_, is_given)| *is_given) {
        Some((pointer, _)) => image.require_cloud_init().map_err(|error| error.at(pointer)),
        None => Ok(()),
    }
}

/// Returns what the instance gets: copies of what is saved, so that the instance does not depend on
/// it.
pub(super) async fn make(
    change: &Change<'_>,
    op: &Op,
    request: &InstanceCreate,
    metadata: &Metadata,
) -> Result<Seed, Error> {
    let (conn, account) = (change.conn(), op.account_id());
    let mut ssh_keys: Vec<String> = Vec::new();
    for (index, id) in request.ssh_key_ids.iter().enumerate() {
        let found = ssh_key::get(&conn, account, *id).await;
        ssh_keys.push(found.map_err(|error| error.at(format!("/ssh_key_ids/{index}")))?.public_key);
    }
    ssh_keys.extend(request.ssh_keys.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    ssh_keys.retain(|key| seen.insert(key.trim().to_owned()));
    let user_data = match request.user_script_id {
        Some(id) => {
            let found = user_script::get(&conn, account, id).await;
            Some(found.map_err(|error| error.at("/user_script_id"))?.1)
        }
        None => request.user_data.clone(),
    };
    Ok(Seed {
        instance_id: None,
        hostname: hostname(request.name.as_str()),
        ssh_keys,
        user_data,
        user: metadata.ssh_user().map(str::to_owned),
        config_drive: metadata.has_config_drive(),
    })
}

/// A host name made of an instance's name: lower-case letters, digits and hyphens.
pub(super) fn hostname(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
        if label.len() == MAX_HOSTNAME {
            break;
        }
    }
    let label = label.trim_end_matches('-');
    if label.is_empty() { "instance".to_owned() } else { label.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::hostname;

    #[test]
    fn host_names_are_labels() {
        for (name, label) in [
            ("production-web-server-v2", "production-web-server-v2"),
            ("My  Server (2)", "my-server-2"),
            ("--", "instance"),
            ("日本", "instance"),
        ] {
            assert_eq!(hostname(name), label);
        }
        assert_eq!(hostname(&"a".repeat(100)).len(), 63);
    }
}
