//! Making, renaming and removing files. A call that is sent again, because its answer was lost, may
//! find that it has happened.

use std::hash::{BuildHasher as _, RandomState};

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    host::{Replace, TcpStorageHost},
};
use nfs3_types::nfs3::{
    COMMIT3args, COMMIT3res, CREATE3args, CREATE3res, LINK3args, LINK3res, Nfs3Option, REMOVE3args,
    REMOVE3res, RENAME3args, RENAME3res, SETATTR3args, SETATTR3res, WRITE3args, WRITE3res, createhow3,
    createverf3, nfs_fh3, nfsstat3, sattr3, stable_how, writeverf3,
};
use nfs3_types::xdr_codec::Opaque;

use crate::{
    client::{Client, Node, place},
    procedure,
};

/// The permissions of new files.
const FILE_MODE: u32 = 0o640;

impl Client {
    /// Creates an empty file. `key` is a number by which the server recognises the same call when
    /// it is sent again.
    pub(crate) fn create(
        &mut self,
        host: &dyn TcpStorageHost,
        folder: &nfs_fh3,
        name: &str,
        key: u64,
    ) -> Result<Node> {
        let what = format!("create `{name}`");
        let attributes = sattr3 { mode: Nfs3Option::Some(FILE_MODE), ..sattr3::default() };
        let exclusive = createhow3::EXCLUSIVE(createverf3(key.to_be_bytes()));
        let mut made = self.create_as(host, folder, name, exclusive, &what)?;
        if matches!(made, CREATE3res::Err((nfsstat3::NFS3ERR_NOTSUPP, _))) {
            made = self.create_as(host, folder, name, createhow3::GUARDED(attributes.clone()), &what)?;
        }
        if let CREATE3res::Err((status, _)) = made {
            return Err(self.failure(status, &what));
        }
        let node = self.lookup(host, folder, name)?;
        let node = node.filter(Node::is_file).ok_or_else(|| self.failure(nfsstat3::NFS3ERR_STALE, &what))?;
        // An exclusive creation keeps its key where the attributes are.
        self.set_attributes(host, &node.handle, attributes, &what)?;
        Ok(node)
    }

    fn create_as(
        &mut self,
        host: &dyn TcpStorageHost,
        folder: &nfs_fh3,
        name: &str,
        how: createhow3,
        what: &str,
    ) -> Result<CREATE3res> {
        self.nfs(host, procedure::CREATE, &CREATE3args { where_: place(folder, name), how }, what)
    }

    fn set_attributes(
        &mut self,
        host: &dyn TcpStorageHost,
        handle: &nfs_fh3,
        new_attributes: sattr3,
        what: &str,
    ) -> Result<()> {
        let args = SETATTR3args { object: handle.clone(), new_attributes, guard: Nfs3Option::None };
        let set: SETATTR3res = self.nfs(host, procedure::SETATTR, &args, what)?;
        match set {
            SETATTR3res::Ok(_) => Ok(()),
            SETATTR3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }

    /// Makes a file exactly that long.
    pub(crate) fn set_size(
        &mut self,
        host: &dyn TcpStorageHost,
        handle: &nfs_fh3,
        size: u64,
        what: &str,
    ) -> Result<()> {
        let attributes = sattr3 { size: Nfs3Option::Some(size), ..sattr3::default() };
        self.set_attributes(host, handle, attributes, what)
    }

    /// Writes all of a short file; its bytes are on the server's disk when this returns.
    pub(crate) fn write_whole(
        &mut self,
        host: &dyn TcpStorageHost,
        handle: &nfs_fh3,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        let args = WRITE3args {
            file: handle.clone(),
            offset: 0,
            count: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            stable: stable_how::FILE_SYNC,
            data: Opaque::borrowed(bytes),
        };
        let done: WRITE3res = self.nfs(host, procedure::WRITE, &args, what)?;
        match done {
            WRITE3res::Ok(_) => Ok(()),
            WRITE3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }

    /// Makes everything durable that the server has of a file, and returns the server's verifier:
    /// it is another one after a restart.
    pub(crate) fn commit(
        &mut self,
        host: &dyn TcpStorageHost,
        handle: &nfs_fh3,
        what: &str,
    ) -> Result<writeverf3> {
        let args = COMMIT3args { file: handle.clone(), offset: 0, count: 0 };
        let done: COMMIT3res = self.nfs(host, procedure::COMMIT, &args, what)?;
        match done {
            COMMIT3res::Ok(done) => Ok(done.verf),
            COMMIT3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }

    /// Removes a file; one that is not there is as good.
    pub(crate) fn remove(&mut self, host: &dyn TcpStorageHost, path: &str) -> Result<()> {
        let (Some(folder), name) = self.parent(host, path)? else { return Ok(()) };
        let what = format!("remove `{path}`");
        if self.lookup(host, &folder, name)?.is_some_and(|node| node.is_folder()) {
            return Err(self.failure(nfsstat3::NFS3ERR_ISDIR, &what));
        }
        let args = REMOVE3args { object: place(&folder, name) };
        let removed: REMOVE3res = self.nfs(host, procedure::REMOVE, &args, &what)?;
        match removed {
            REMOVE3res::Ok(_) | REMOVE3res::Err((nfsstat3::NFS3ERR_NOENT, _)) => Ok(()),
            REMOVE3res::Err((status, _)) => Err(self.failure(status, &what)),
        }
    }

    /// Gives a finished file its final name. The server has it on its disk when it answers.
    pub(crate) fn publish(
        &mut self,
        host: &dyn TcpStorageHost,
        temporary: &str,
        name: &str,
        replace: Replace,
    ) -> Result<()> {
        let what = format!("rename `{temporary}` to `{name}`");
        let absent = |client: &Self| client.failure(nfsstat3::NFS3ERR_NOENT, &what);
        let (from, from_name) = self.parent(host, temporary)?;
        let (to, to_name) = self.parent(host, name)?;
        let (Some(from), Some(to)) = (from, to) else { return Err(absent(self)) };
        let found = self.lookup(host, &from, from_name)?.filter(Node::is_file);
        let file = found.ok_or_else(|| absent(self))?;
        let taken = self.lookup(host, &to, to_name)?;
        if taken.as_ref().is_some_and(Node::is_folder) {
            let status = match replace {
                Replace::Allowed => nfsstat3::NFS3ERR_ISDIR,
                Replace::Refused => nfsstat3::NFS3ERR_EXIST,
            };
            return Err(self.failure(status, &what));
        }
        let done = match replace {
            Replace::Allowed => self.rename(host, (&from, from_name), (&to, to_name), &what),
            Replace::Refused => self.link(host, (&from, from_name), &file, (&to, to_name), &what),
        };
        let Err(error) = done else { return Ok(()) };
        // The answer may have been lost: then the file has its final name already.
        let published = self.lookup(host, &to, to_name);
        let is_there = published.is_ok_and(|node| node.is_some_and(|node| is_same(&node, &file)));
        if !is_there {
            return Err(error);
        }
        if error.class == ErrorClass::AlreadyExists { self.remove(host, temporary) } else { Ok(()) }
    }

    fn rename(
        &mut self,
        host: &dyn TcpStorageHost,
        from: (&nfs_fh3, &str),
        to: (&nfs_fh3, &str),
        what: &str,
    ) -> Result<()> {
        let args = RENAME3args { from: place(from.0, from.1), to: place(to.0, to.1) };
        let renamed: RENAME3res = self.nfs(host, procedure::RENAME, &args, what)?;
        match renamed {
            RENAME3res::Ok(_) => Ok(()),
            RENAME3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }

    /// Gives a file a second name, which must be free, and takes the first one from it. A rename
    /// would replace what has the name.
    fn link(
        &mut self,
        host: &dyn TcpStorageHost,
        from: (&nfs_fh3, &str),
        file: &Node,
        to: (&nfs_fh3, &str),
        what: &str,
    ) -> Result<()> {
        let args = LINK3args { file: file.handle.clone(), link: place(to.0, to.1) };
        let linked: LINK3res = self.nfs(host, procedure::LINK, &args, what)?;
        match linked {
            LINK3res::Ok(_) => {}
            // File systems without links: the name was free a moment ago, and is nobody else's.
            LINK3res::Err((
                nfsstat3::NFS3ERR_NOTSUPP | nfsstat3::NFS3ERR_PERM | nfsstat3::NFS3ERR_MLINK,
                _,
            )) => {
                if self.lookup(host, to.0, to.1)?.is_some() {
                    return Err(self.failure(nfsstat3::NFS3ERR_EXIST, what));
                }
                return self.rename(host, from, to, what);
            }
            LINK3res::Err((status, _)) => return Err(self.failure(status, what)),
        }
        let args = REMOVE3args { object: place(from.0, from.1) };
        let removed: REMOVE3res = self.nfs(host, procedure::REMOVE, &args, what)?;
        match removed {
            REMOVE3res::Ok(_) | REMOVE3res::Err((nfsstat3::NFS3ERR_NOENT, _)) => Ok(()),
            REMOVE3res::Err((status, _)) => Err(self.failure(status, what)),
        }
    }
}

/// Returns whether both are the same file of the same file system.
pub(crate) fn is_same(one: &Node, other: &Node) -> bool {
    (one.attributes.fsid, one.attributes.fileid) == (other.attributes.fsid, other.attributes.fileid)
}

/// The object or the upload was changed by somebody else.
pub(crate) fn changed(key: &str) -> Error {
    let text = format!("{key:?} was replaced while it was read; start again when it no longer changes");
    Error::conflict("nfs.changed", text)
}

/// Returns a number by which the server knows this creation from another one of the same name.
pub(crate) fn exclusive_key(host: &dyn TcpStorageHost, name: &str) -> u64 {
    // The seed of the standard library's maps, the only randomness that a plugin has.
    RandomState::new().hash_one((host.monotonic_ms(), name))
}
