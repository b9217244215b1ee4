//! The files of XFS: inodes, their extents, folders and symbolic links, by the description of the
//! format (XFS Algorithms & Data Structures). The log is not replayed: what a system wrote last
//! before its disk was taken may be missing.

mod extents;
mod folder;
mod inode;

use imprint_plugin_sdk::error::Result;

use self::inode::{Inode, Sort};
use super::Files;
use crate::{
    bytes::{corrupt, to_usize},
    volume::XfsLayout,
    window::Window,
};

/// The symbolic links that one path may lead over, and the longest one in bytes.
const MAX_LINKS: usize = 16;
const MAX_LINK: u64 = 1024;
/// The names that one path may have, with those of the links.
const MAX_NAMES: usize = 128;

/// The files of XFS.
pub(super) struct Xfs {
    window: Window,
    layout: XfsLayout,
}

impl Xfs {
    pub(super) fn open(window: &Window) -> Result<Self> {
        Ok(Self { window: window.clone(), layout: crate::volume::xfs_layout(window)? })
    }

    /// Returns the inode of a path; `None` where there is none.
    fn find(&self, path: &str) -> Result<Option<Inode>> {
        let mut names: Vec<String> = parts(path);
        let mut above = Vec::new();
        let mut at = self.layout.root;
        let mut here = self.inode(at)?;
        let (mut links, mut followed) = (0, 0);
        while let Some(name) = names.pop() {
            followed += 1;
            if followed > MAX_NAMES || here.sort != Sort::Folder {
                return Ok(None);
            }
            if name == ".." {
                at = above.pop().unwrap_or(self.layout.root);
                here = self.inode(at)?;
                continue;
            }
            let Some(number) = self.lookup(&here, name.as_bytes())? else { return Ok(None) };
            let next = self.inode(number)?;
            if next.sort == Sort::Link {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(None);
                }
                let target = self.link(&next)?;
                if target.starts_with('/') {
                    above.clear();
                    at = self.layout.root;
                    here = self.inode(at)?;
                }
                names.extend(parts(&target));
            } else {
                above.push(at);
                at = number;
                here = next;
            }
        }
        Ok(Some(here))
    }

    /// Returns where a symbolic link leads.
    fn link(&self, inode: &Inode) -> Result<String> {
        if inode.size > MAX_LINK {
            return Err(corrupt(format!("a symbolic link has {} bytes", inode.size)));
        }
        let mut target =
            self.content(inode, to_usize(inode.size.saturating_add(self.layout.link_header())))?;
        if !inode.is_inline() {
            target.drain(..to_usize(self.layout.link_header()).min(target.len()));
        }
        target.truncate(to_usize(inode.size));
        Ok(String::from_utf8_lossy(&target).into_owned())
    }
}

/// Returns the names of a path, the last one first.
fn parts(path: &str) -> Vec<String> {
    let names = path.split('/').filter(|name| !name.is_empty() && *name != ".");
    names.rev().map(str::to_owned).collect()
}

impl Files for Xfs {
    fn exists(&mut self, path: &str) -> Result<bool> {
        Ok(self.find(path)?.is_some())
    }

    fn head(&mut self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let Some(inode) = self.find(path)?.filter(|inode| inode.sort == Sort::File) else { return Ok(None) };
        self.content(&inode, max.min(to_usize(inode.size))).map(Some)
    }
}
