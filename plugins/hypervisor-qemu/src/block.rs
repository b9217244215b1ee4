//! Block nodes: how the files of disks and media are described to QEMU.

use imprint_plugin_sdk::hypervisor::DiskSpec;
use serde_json::{Value, json};

use crate::error::Fault;

/// The longest serial number that virtio-blk shows to the guest.
const MAX_SERIAL: usize = 20;
const IMAGE_FORMATS: [&str; 2] = ["raw", "qcow2"];

/// Refuses a serial that virtio-blk does not show to the guest.
pub(crate) fn check_serial(serial: &str) -> Result<(), Fault> {
    if serial.len() > MAX_SERIAL || !serial.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = format!("use at most {MAX_SERIAL} visible ASCII characters");
        return Err(Fault::Invalid { what: "disk serial", problem });
    }
    Ok(())
}

/// A file node and a format node above it. The format is never guessed from the content, which the
/// guest controls, and no backing file is followed: deployed disks stand alone.
pub(crate) fn nodes(node: &str, disk: &DiskSpec) -> Result<[Value; 2], Fault> {
    let format =
        IMAGE_FORMATS.into_iter().find(|format| *format == disk.format).ok_or_else(|| Fault::Invalid {
            what: "disk format",
            problem: format!("`{}` cannot be run; convert to {}", disk.format, IMAGE_FORMATS.join(" or ")),
        })?;
    let file = format!("{node}-file");
    let path = absolute("disk path", &disk.path)?;
    let below = json!({
        "driver": "file", "node-name": file, "filename": path,
        "read-only": disk.read_only, "discard": "unmap",
    });
    let mut above = json!({
        "driver": format, "node-name": node, "file": file,
        "read-only": disk.read_only, "discard": "unmap",
    });
    if format == "qcow2" {
        above["backing"] = Value::Null;
    }
    Ok([below, above])
}

pub(crate) fn absolute<'a>(what: &'static str, path: &'a str) -> Result<&'a str, Fault> {
    if path.starts_with('/') && !path.chars().any(char::is_control) {
        Ok(path)
    } else {
        Err(Fault::Invalid { what, problem: "give an absolute path without control characters".to_owned() })
    }
}
