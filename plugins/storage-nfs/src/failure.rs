//! What the answers of a server mean, and what to do about them.

use imprint_plugin_sdk::error::Error;
use nfs3_types::{mount::mountstat3, nfs3::nfsstat3};

use crate::settings::Settings;

/// The pause after which a busy server is asked again, in milliseconds.
const BUSY_MS: u32 = 2_000;
/// The most exports that a message names.
const SHOWN: usize = 10;

/// The server has no such thing as was asked for: it is no NFS server, or one of another version.
pub(crate) fn not_nfs(setting: &str, problem: &str) -> Error {
    Error::corrupt(
        "nfs.not-nfs",
        format!("{problem}; check that the address and the port are those of an NFS server"),
    )
    .about_setting(setting)
}

/// The server did not answer in time.
pub(crate) fn not_answering(server: &str, limit_ms: u64) -> Error {
    let text = format!(
        "the server {server} has not answered for {} s; check that it runs and that the network leads to it",
        limit_ms / 1000
    );
    Error::transient("nfs.not-answering", text).about_setting("server")
}

/// Returns whether the mount service refuses an export, which it may not have.
pub(crate) fn is_refusal(status: mountstat3) -> bool {
    matches!(status, mountstat3::MNT3ERR_ACCES | mountstat3::MNT3ERR_PERM)
}

/// Returns what the mount service's answer means. `exports` are the paths that the server says it
/// has.
pub(crate) fn of_mount(status: mountstat3, exports: Option<&[String]>, settings: &Settings) -> Error {
    let Settings { server, export, .. } = settings;
    let below = |path: &String| export.strip_prefix(path.trim_end_matches('/'));
    let is_listed = |path: &String| below(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_known = exports.is_none_or(|exports| exports.iter().any(is_listed));
    match status {
        mountstat3::MNT3ERR_NOENT | mountstat3::MNT3ERR_NOTDIR | mountstat3::MNT3ERR_INVAL => {
            let text = format!("the server {server} has no export {export}; correct the path, or export it");
            Error::not_found("nfs.no-export", text)
        }
        mountstat3::MNT3ERR_ACCES | mountstat3::MNT3ERR_PERM if is_known => {
            let text = format!(
                "the server {server} refuses {export} to this machine; add its address to the clients of the export. An \
                 export that takes only ports below 1024 needs the setting `reserved-port`, or the option `insecure`"
            );
            Error::denied("nfs.not-permitted", text)
        }
        mountstat3::MNT3ERR_ACCES | mountstat3::MNT3ERR_PERM => {
            let shown = exports.unwrap_or_default().iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let text = format!(
                "the server {server} has no export {export} (it has: {shown}); correct the path, or export it"
            );
            Error::not_found("nfs.no-export", text)
        }
        mountstat3::MNT3ERR_NAMETOOLONG => Error::invalid_input(
            "nfs.no-export",
            format!("the path {export} is too long for the server {server}"),
        ),
        mountstat3::MNT3ERR_IO
        | mountstat3::MNT3ERR_NOTSUPP
        | mountstat3::MNT3ERR_SERVERFAULT
        | mountstat3::MNT3_OK => {
            let text = format!("the server {server} cannot give {export} ({status}); check its log");
            Error::transient("nfs.server", text)
        }
    }
    .about_setting("export")
}

/// Returns what a status of NFS means. `what` is the operation with its object, such as "write to
/// `a`".
pub(crate) fn of_nfs(status: nfsstat3, what: &str, settings: &Settings) -> Error {
    let Settings { server, export, uid, gid, .. } = settings;
    let cannot = format!("the server {server} cannot {what}");
    match status {
        nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_NOTDIR => {
            Error::not_found("nfs.absent", format!("{cannot}: it does not exist"))
        }
        nfsstat3::NFS3ERR_EXIST => Error::already_exists("nfs.taken", format!("{cannot}: it exists already")),
        nfsstat3::NFS3ERR_PERM | nfsstat3::NFS3ERR_ACCES => {
            let text = format!(
                "the server {server} does not let user {uid} with group {gid} {what}; give that user the right to {export}, \
                 or set the ids of one that has it"
            );
            Error::denied("nfs.access", text).about_setting("uid")
        }
        nfsstat3::NFS3ERR_ROFS => {
            let text = format!("{cannot}: {export} is exported read-only; export it read-write");
            Error::conflict("nfs.read-only", text).about_setting("export")
        }
        nfsstat3::NFS3ERR_NOSPC => {
            Error::limit("nfs.no-space", format!("{cannot}: its file system is full; make room"))
        }
        nfsstat3::NFS3ERR_DQUOT => {
            let text = format!("{cannot}: the quota of user {uid} is used up; raise it or make room");
            Error::limit("nfs.quota.no-space", text)
        }
        nfsstat3::NFS3ERR_STALE | nfsstat3::NFS3ERR_BADHANDLE => {
            let text = format!(
                "{cannot}: it knows the file no more (a stale handle), because the file or the export was replaced or \
                 removed; start again"
            );
            Error::conflict("nfs.stale", text)
        }
        nfsstat3::NFS3ERR_NAMETOOLONG | nfsstat3::NFS3ERR_INVAL => {
            Error::invalid_input("nfs.name", format!("{cannot}: it does not take the name"))
        }
        nfsstat3::NFS3ERR_FBIG => {
            Error::limit("nfs.too-large", format!("{cannot}: its file system holds no file of that size"))
        }
        nfsstat3::NFS3ERR_ISDIR => Error::conflict("nfs.is-directory", format!("{cannot}: it is a folder")),
        nfsstat3::NFS3ERR_NOTEMPTY => Error::conflict("nfs.not-empty", format!("{cannot}: it is not empty")),
        nfsstat3::NFS3ERR_XDEV => {
            let text =
                format!("{cannot}: parts of {export} are other file systems; export them on their own");
            Error::conflict("nfs.other-file-system", text).about_setting("export")
        }
        nfsstat3::NFS3ERR_JUKEBOX => {
            Error::transient_after("nfs.busy", format!("{cannot} at the moment: it is busy"), BUSY_MS)
        }
        nfsstat3::NFS3ERR_NOTSUPP | nfsstat3::NFS3ERR_BADTYPE => {
            Error::unsupported("nfs.unsupported", format!("{cannot}: it does not support that ({status})"))
        }
        nfsstat3::NFS3_OK
        | nfsstat3::NFS3ERR_IO
        | nfsstat3::NFS3ERR_NXIO
        | nfsstat3::NFS3ERR_NODEV
        | nfsstat3::NFS3ERR_MLINK
        | nfsstat3::NFS3ERR_REMOTE
        | nfsstat3::NFS3ERR_NOT_SYNC
        | nfsstat3::NFS3ERR_BAD_COOKIE
        | nfsstat3::NFS3ERR_TOOSMALL
        | nfsstat3::NFS3ERR_SERVERFAULT => {
            Error::transient("nfs.server", format!("{cannot} ({status}); check its log and its disks"))
        }
    }
}
