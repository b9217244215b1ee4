//! How a directory is mounted, from what the kernel knows: the file system, which may not answer,
//! is not asked.

use std::{
    fs, io,
    os::fd::{AsRawFd, BorrowedFd},
    path::Path,
};

use crate::bindings::host::imprint::host::dirs::Mounted;

/// Returns how an open directory is mounted. Blocks.
pub(super) fn of(dir: BorrowedFd<'_>) -> io::Result<Mounted> {
    let fd = dir.as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let path = fs::read_link(format!("/proc/self/fd/{fd}"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    id.and_then(|id| find(&mounts, id, &path)).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "the system does not say what is mounted there")
    })
}

/// Finds a mount by its id in what proc_pid_mountinfo(5) describes.
fn find(mounts: &str, id: &str, path: &Path) -> Option<Mounted> {
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id))?;
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut what = what.splitn(3, ' ');
    let (file_system, source) = (what.next()?, what.next()?);
    let options = what.next().unwrap_or_default();
    let inside = path.strip_prefix(unescape(point)).ok()?;
    Some(Mounted {
        file_system: unescape(file_system),
        source: unescape(source),
        root: unescape(root),
        inside: inside.to_string_lossy().into_owned(),
        options: unescape(options),
    })
}

/// Undoes the escapes of the kernel: space, tab, line feed and backslash as `\` and octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    const MOUNTS: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        36 22 0:44 / /mnt/my\\040images rw,noatime shared:9 master:3 - nfs4 nas:/srv/images rw,vers=4.2,addr=10.0.0.5\n\
        37 22 0:44 /sub /mnt/sub rw - nfs nas:/srv/images rw\n";

    #[test]
    fn a_mount_is_found_by_its_id() {
        let found = find(MOUNTS, "36", Path::new("/mnt/my images/customer")).unwrap();
        assert_eq!((found.file_system.as_str(), found.source.as_str()), ("nfs4", "nas:/srv/images"));
        assert_eq!((found.root.as_str(), found.inside.as_str()), ("/", "customer"));
        assert_eq!(found.options, "rw,vers=4.2,addr=10.0.0.5");
        let found = find(MOUNTS, "37", Path::new("/mnt/sub")).unwrap();
        assert_eq!((found.root.as_str(), found.inside.as_str()), ("/sub", ""));
        assert_eq!(find(MOUNTS, "38", Path::new("/")).map(|found| found.source), None);
        // The mount was moved while it was looked at.
        assert_eq!(find(MOUNTS, "36", Path::new("/elsewhere")).map(|found| found.source), None);
    }

    #[test]
    fn the_mount_of_a_real_folder_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let open = fs::File::open(folder.path()).unwrap();
        let found = of(open.as_fd()).unwrap();
        let resolved = folder.path().canonicalize().unwrap();
        assert!(resolved.ends_with(&found.inside), "{} is in {resolved:?}", found.inside);
        assert!(!found.file_system.is_empty());
    }
}
