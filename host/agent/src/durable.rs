//! Small files and names that survive a crash: [`imprint_ports::durable`] for the agent's own
//! folders, by their paths.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use cap_std::{ambient_authority, fs::Dir};
use imprint_ports::durable;

/// Replaces a file in one step; after a crash it holds the old bytes or the new ones. Blocks.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (dir, name) = open_folder(path)?;
    durable::write(&dir, name, bytes)
}

/// Removes a file, if it exists. Blocks.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match open_folder(path) {
        Ok((dir, name)) => durable::remove(&dir, name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a folder and what is in it, if it exists. Blocks.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names in the folder of `path` durable. Blocks.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn open_folder(path: &Path) -> io::Result<(Dir, &str)> {
    let names = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
    let (folder, name) = names.ok_or(io::ErrorKind::InvalidFilename)?;
    Ok((Dir::open_ambient_dir(folder, ambient_authority())?, name))
}
