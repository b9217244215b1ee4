//! Reading folders. A server answers names in an order of its own, so a folder is read whole, and
//! sorted.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{DirEntry, DirListing, TcpStorageHost},
};
use nfs3_types::nfs3::{
    Nfs3Option, READDIR3args, READDIR3res, READDIRPLUS3args, READDIRPLUS3res, cookieverf3, entry3,
    entryplus3, fattr3, filename3, ftype3, nfs_fh3, nfsstat3, nfstime3,
};

use crate::{
    client::{Client, Node},
    listed::{Listed, Names},
    procedure,
};

/// The bytes of names, and of all that is answered about them, in one call.
const NAME_BYTES: u32 = 64 << 10;
/// See [`NAME_BYTES`].
const ANSWER_BYTES: u32 = 512 << 10;
/// The names of one folder. More are an error: a listing never leaves names out silently.
const MAX_NAMES: usize = 1_000_000;
/// How often a folder is read from the start because it changed meanwhile.
const ATTEMPTS: usize = 3;
/// The start of the names at the top that belong to the host.
const RESERVED: &str = ".imprint-storage.";

/// A part of a folder, as the server answers it.
struct Answered {
    entries: Vec<Answer>,
    verifier: cookieverf3,
    is_end: bool,
}

/// A name of a folder, as the server answers it.
struct Answer {
    name: filename3<'static>,
    cookie: u64,
    attributes: Option<fattr3>,
}

impl Client {
    /// Returns a page of the names of a folder. The first page reads it; the others are of what was
    /// read.
    pub(crate) fn list(
        &mut self,
        host: &dyn TcpStorageHost,
        path: &str,
        resume: Option<&str>,
        max: u32,
    ) -> Result<DirListing> {
        let kept = self.listed.take().filter(|listed| resume.is_some() && listed.path == path);
        let listed = match kept {
            Some(listed) => listed,
            None => match self.read_folder(host, path)? {
                Some(listed) => listed,
                None if path.is_empty() => return Ok(DirListing { entries: Vec::new(), resume: None }),
                None => return Err(self.failure(nfsstat3::NFS3ERR_NOENT, &format!("list `{path}`"))),
            },
        };
        let start =
            resume.map_or(0, |after| listed.names.partition_point(|(name, _)| name.as_str() <= after));
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let end = start.saturating_add(max).min(listed.names.len());
        let mut entries = Vec::with_capacity(end - start);
        for (name, attributes) in &listed.names[start..end] {
            let attributes = match attributes {
                Some(attributes) => Some(attributes.clone()),
                // Some servers leave them out for some names, and some for all.
                None => self.lookup(host, &listed.handle, name)?.map(|node| node.attributes),
            };
            entries.extend(attributes.and_then(|attributes| entry(name, &attributes)));
        }
        let more = end < listed.names.len();
        let resume = if more { listed.names[..end].last().map(|(name, _)| name.clone()) } else { None };
        self.listed = Some(listed);
        Ok(DirListing { entries, resume })
    }

    fn read_folder(&mut self, host: &dyn TcpStorageHost, path: &str) -> Result<Option<Listed>> {
        let folder = if path.is_empty() {
            self.base()
        } else {
            self.resolve(host, path)?.filter(Node::is_folder).map(|node| node.handle)
        };
        let Some(handle) = folder else { return Ok(None) };
        for _ in 0..ATTEMPTS {
            if let Some(mut names) = self.read_names(host, path, &handle)? {
                names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
                names.dedup_by(|one, other| one.0 == other.0);
                return Ok(Some(Listed { path: path.to_owned(), handle, names }));
            }
        }
        let text = format!("the folder `{path}` changes too fast to be listed; try again");
        Err(Error::transient("nfs.busy", text))
    }

    /// Reads all names; `None` when the server has forgotten in the middle where it was.
    fn read_names(
        &mut self,
        host: &dyn TcpStorageHost,
        path: &str,
        handle: &nfs_fh3,
    ) -> Result<Option<Names>> {
        let what = format!("list the folder `{path}`");
        let mut names = Vec::new();
        let (mut cookie, mut verifier) = (0, cookieverf3::default());
        loop {
            let part = match self.read_part(host, handle, (cookie, verifier), &what)? {
                Ok(part) => part,
                Err(nfsstat3::NFS3ERR_BAD_COOKIE) => return Ok(None),
                Err(status) => return Err(self.failure(status, &what)),
            };
            verifier = part.verifier;
            let before = cookie;
            for found in part.entries {
                cookie = found.cookie;
                // What is no UTF-8 was not made by this plugin.
                let Ok(name) = String::from_utf8(found.name.0.into_owned()) else { continue };
                let is_own = path.is_empty() && name.starts_with(RESERVED);
                if name == "." || name == ".." || is_own {
                    continue;
                }
                names.push((name, found.attributes));
            }
            if names.len() > MAX_NAMES {
                let text = format!("the folder `{path}` has more than {MAX_NAMES} names; divide it");
                return Err(Error::limit("nfs.too-many-names", text));
            }
            if part.is_end {
                return Ok(Some(names));
            }
            if cookie == before {
                let text = format!("{} makes no progress; check the server", self.settings.server);
                return Err(Error::transient("nfs.server", text).context(&format!("cannot {what}")));
            }
        }
    }
}

impl Client {
    /// Reads the names that follow a cookie, with their attributes where the server can do that.
    fn read_part(
        &mut self,
        host: &dyn TcpStorageHost,
        handle: &nfs_fh3,
        (cookie, cookieverf): (u64, cookieverf3),
        what: &str,
    ) -> Result<Result<Answered, nfsstat3>> {
        let dir = handle.clone();
        if self.plain_names {
            let args = READDIR3args { dir, cookie, cookieverf, count: NAME_BYTES };
            let part: READDIR3res<'static> = self.nfs(host, procedure::READDIR, &args, what)?;
            return Ok(match part {
                READDIR3res::Ok(part) => {
                    let plain = |entry: entry3<'static>| Answer {
                        name: entry.name,
                        cookie: entry.cookie,
                        attributes: None,
                    };
                    Ok(Answered {
                        entries: part.reply.entries.into_inner().into_iter().map(plain).collect(),
                        verifier: part.cookieverf,
                        is_end: part.reply.eof,
                    })
                }
                READDIR3res::Err((status, _)) => Err(status),
            });
        }
        let args = READDIRPLUS3args { dir, cookie, cookieverf, dircount: NAME_BYTES, maxcount: ANSWER_BYTES };
        let part: READDIRPLUS3res<'static> = self.nfs(host, procedure::READDIRPLUS, &args, what)?;
        Ok(match part {
            READDIRPLUS3res::Ok(part) => {
                let whole = |entry: entryplus3<'static>| Answer {
                    name: entry.name,
                    cookie: entry.cookie,
                    attributes: match entry.name_attributes {
                        Nfs3Option::Some(attributes) => Some(attributes),
                        Nfs3Option::None => None,
                    },
                };
                Ok(Answered {
                    entries: part.reply.entries.into_inner().into_iter().map(whole).collect(),
                    verifier: part.cookieverf,
                    is_end: part.reply.eof,
                })
            }
            READDIRPLUS3res::Err((nfsstat3::NFS3ERR_NOTSUPP, _)) => {
                self.plain_names = true;
                // Cookies of the two calls need not be the same: the folder is read from its start.
                Err(nfsstat3::NFS3ERR_BAD_COOKIE)
            }
            READDIRPLUS3res::Err((status, _)) => Err(status),
        })
    }
}

/// Returns a file or a folder as an entry; anything else is none.
pub(crate) fn entry(name: &str, attributes: &fattr3) -> Option<DirEntry> {
    let is_directory = match attributes.type_ {
        ftype3::NF3DIR => true,
        ftype3::NF3REG => false,
        ftype3::NF3BLK | ftype3::NF3CHR | ftype3::NF3LNK | ftype3::NF3SOCK | ftype3::NF3FIFO => return None,
    };
    Some(DirEntry {
        name: name.to_owned(),
        is_directory,
        size: if is_directory { 0 } else { attributes.size },
        allocated: attributes.used,
        modified_ms: milliseconds(attributes.mtime),
    })
}

fn milliseconds(time: nfstime3) -> u64 {
    u64::from(time.seconds) * 1000 + u64::from(time.nseconds) / 1_000_000
}
