//! The marker of an export that is reached directly. For a mounted one the host has it.
//!
//! A handle says nothing about what is exported under a path: a server that was set up again, or
//! that has not mounted its disk, answers under the same address with another folder.

use imprint_plugin_sdk::{
    error::{ErrorClass, Result},
    host::TcpStorageHost,
    info,
    storage::Marker,
};
use nfs3_types::nfs3::nfs_fh3;

use crate::{
    client::{Client, Node},
    files::exclusive_key,
};

/// Makes sure that the storage's folder is the one that the storage was first used with: its marker
/// is there, or is written at the first use.
pub(crate) fn check(client: &mut Client, host: &dyn TcpStorageHost) -> Result<()> {
    let Some(marker) = Marker::of(host) else { return Ok(()) };
    let found = match client.base() {
        Some(base) => client.lookup(host, &base, &marker.name)?,
        None => None,
    };
    if found.as_ref().is_some_and(Node::is_file) {
        return Ok(());
    }
    if marker.is_required {
        let path = client.settings.path();
        let place = format!("the export {}:{path}", client.settings.server);
        let command = format!("touch {}/{}", path.trim_end_matches('/'), marker.name);
        return Err(marker.missing(&place, &command).about_setting("export"));
    }
    match write(client, host, &marker) {
        // Another hypervisor was faster.
        Err(error) if error.class == ErrorClass::AlreadyExists => Ok(()),
        // Images are read from an export that is read-only. It is marked when it no longer is.
        Err(error) if error.code.starts_with("nfs.read-only") => Ok(()),
        outcome => outcome,
    }
}

fn write(client: &mut Client, host: &dyn TcpStorageHost, marker: &Marker) -> Result<()> {
    let folder: nfs_fh3 = client.require_base(host)?;
    let file = client.create(host, &folder, &marker.name, exclusive_key(host, &marker.name))?;
    client.write_whole(host, &file.handle, marker.text().as_bytes(), &format!("write `{}`", marker.name))?;
    info!("the export was marked as this storage's ({})", marker.name);
    Ok(())
}
