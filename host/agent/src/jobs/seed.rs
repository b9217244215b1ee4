//! The data that cloud-init reads at the first boot of an instance: the NoCloud seed, and where the
//! image asks for one a config drive of `OpenStack`.

mod iso;

use std::{collections::BTreeMap, fmt::Write as _};

use imprint_agent_protocol::Seed;
use imprint_domain::{id::InstanceId, metadata::is_user};
use serde_json::json;

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
    #[error("`{0}` is not the name of a user")]
    User(String),
    #[error("`{0}` is not an instance id; use 1 to 80 letters, digits, hyphens and underscores")]
    InstanceId(String),
}

/// Returns the ISO image with the volume id `cidata`; the same seed has the same bytes.
pub(crate) fn image(instance: InstanceId, seed: &Seed) -> Result<Vec<u8>, SeedError> {
    check(seed)?;
    let meta = meta_data(instance, seed);
    let vendor = vendor_data(seed);
    let mut files = vec![
        iso::File::new("meta-data", "META_DAT", meta.as_bytes()),
        iso::File::new("user-data", "USER_DAT", user_data(seed).as_bytes()),
    ];
    files.extend(vendor.as_ref().map(|text| iso::File::new("vendor-data", "VENDOR_D", text.as_bytes())));
    Ok(iso::write("cidata", &[], &files))
}

/// Returns the config drive with the volume id `config-2`, as `OpenStack` writes it; the same seed
/// has the same bytes. Source: cloud-init, "Config drive"; the format `latest`.
pub(crate) fn config_drive(instance: InstanceId, seed: &Seed) -> Result<Vec<u8>, SeedError> {
    check(seed)?;
    let keys = seed.ssh_keys.iter().enumerate();
    let keys: BTreeMap<_, _> = keys.map(|(index, key)| (format!("key-{index:02}"), key.trim())).collect();
    let uuid = seed.instance_id.clone().unwrap_or_else(|| instance.uuid().to_string());
    let meta = json!({
        "uuid": uuid, "name": seed.hostname, "hostname": seed.hostname, "launch_index": 0,
        "public_keys": keys,
    });
    let meta = meta.to_string();
    let vendor = vendor_data(seed).map(|text| json!({ "cloud-init": text }).to_string());
    let mut files = vec![iso::File::new("meta_data.json", "META_DAT", meta.as_bytes())];
    files
        .extend(seed.user_data.as_ref().map(|text| iso::File::new("user_data", "USER_DAT", text.as_bytes())));
    files.extend(vendor.as_ref().map(|text| iso::File::new("vendor_data.json", "VENDOR_D", text.as_bytes())));
    let path = [
        iso::Folder { name: "openstack", short: "OPENSTAC" },
        iso::Folder { name: "latest", short: "LATEST" },
    ];
    Ok(iso::write("config-2", &path, &files))
}

fn check(seed: &Seed) -> Result<(), SeedError> {
    if !is_host_name(&seed.hostname) {
        return Err(SeedError::Hostname(seed.hostname.chars().take(80).collect()));
    }
    if seed.ssh_keys.len() > MAX_KEYS {
        return Err(SeedError::Keys(seed.ssh_keys.len()));
    }
    for key in &seed.ssh_keys {
        if key.trim().is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
            return Err(SeedError::Key);
        }
    }
    if let Some(text) = seed.user_data.as_ref().filter(|text| text.len() > MAX_USER_DATA) {
        return Err(SeedError::UserData(text.len()));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_id = |id: &str| (1..=80).contains(&id.len()) && id.bytes().all(is_plain);
    if let Some(id) = seed.instance_id.as_ref().filter(|id| !is_id(id)) {
        return Err(SeedError::InstanceId(id.chars().take(80).collect()));
    }
    match &seed.user {
        Some(user) if !is_user(user) => Err(SeedError::User(user.chars().take(80).collect())),
        Some(_) | None => Ok(()),
    }
}

/// Returns YAML with one key in each line; the keys are quoted as JSON strings, which are valid
/// YAML.
fn meta_data(instance: InstanceId, seed: &Seed) -> String {
    let id = seed.instance_id.clone().unwrap_or_else(|| instance.to_string());
    let mut text = format!("instance-id: {id}\nlocal-hostname: {}\n", seed.hostname);
    if !seed.ssh_keys.is_empty() {
        text.push_str("public-keys:\n");
    }
    for key in &seed.ssh_keys {
        writeln!(text, "  - {}", serde_json::Value::from(key.trim())).expect("a string takes every write");
    }
    text
}

/// Returns the customer's user data, or an empty cloud-config: cloud-init requires the file.
fn user_data(seed: &Seed) -> &str {
    seed.user_data.as_deref().unwrap_or("#cloud-config\n{}\n")
}

/// Returns the cloud-config that names the default user, who gets the keys. What the user data says
/// comes first, as vendor data always yields to it.
fn vendor_data(seed: &Seed) -> Option<String> {
    seed.user.as_ref().map(|user| format!("#cloud-config\nuser: {user}\n"))
}

fn is_host_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests;
