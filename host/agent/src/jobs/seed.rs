//! The NoCloud seed: the data that cloud-init reads at the first boot of an instance.

mod iso;

use std::fmt::Write as _;

use imprint_agent_protocol::Seed;
use imprint_domain::id::InstanceId;

/// The longest user data in bytes, the largest number of keys, and the longest key in bytes.
const MAX_USER_DATA: usize = 64 * 1024;
const MAX_KEYS: usize = 64;
const MAX_KEY: usize = 16 * 1024;

/// The reason why a seed cannot be written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SeedError {
    #[error("`{0}` is not a host name; use 1 to 63 letters, digits and hyphens, with no hyphen at the ends")]
    Hostname(String),
    #[error("an SSH key must be one line of at most {MAX_KEY} bytes, as in authorized_keys")]
    Key,
    #[error("there are {0} SSH keys; at most {MAX_KEYS} fit")]
    Keys(usize),
    #[error("the user data has {0} bytes; at most {MAX_USER_DATA} fit")]
    UserData(usize),
}

/// Returns the ISO image with the volume id `cidata`; the same seed has the same bytes.
pub(crate) fn image(instance: InstanceId, seed: &Seed) -> Result<Vec<u8>, SeedError> {
    let meta = meta_data(instance, seed)?;
    let user = user_data(seed)?;
    Ok(iso::write(
        "cidata",
        &[iso::File::new("meta-data", "META_DAT", &meta), iso::File::new("user-data", "USER_DAT", &user)],
    ))
}

/// Returns YAML with one key in each line; the keys are quoted as JSON strings, which are valid
/// YAML.
fn meta_data(instance: InstanceId, seed: &Seed) -> Result<Vec<u8>, SeedError> {
    if !is_host_name(&seed.hostname) {
        return Err(SeedError::Hostname(seed.hostname.chars().take(80).collect()));
    }
    if seed.ssh_keys.len() > MAX_KEYS {
        return Err(SeedError::Keys(seed.ssh_keys.len()));
    }
    let mut text = format!("instance-id: {instance}\nlocal-hostname: {}\n", seed.hostname);
    if !seed.ssh_keys.is_empty() {
        text.push_str("public-keys:\n");
    }
    for key in &seed.ssh_keys {
        if key.trim().is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
            return Err(SeedError::Key);
        }
        writeln!(text, "  - {}", serde_json::Value::from(key.trim())).expect("a string takes every write");
    }
    Ok(text.into_bytes())
}

/// Returns the customer's user data, or an empty cloud-config: cloud-init requires the file.
fn user_data(seed: &Seed) -> Result<Vec<u8>, SeedError> {
    let text = seed.user_data.as_deref().unwrap_or("#cloud-config\n{}\n");
    if text.len() > MAX_USER_DATA {
        return Err(SeedError::UserData(text.len()));
    }
    Ok(text.as_bytes().to_vec())
}

fn is_host_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests;
