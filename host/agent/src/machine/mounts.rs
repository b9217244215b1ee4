//! The file systems that `/etc/fstab` lists and that are not mounted.

use std::path::{Path, PathBuf};

/// Returns the mount point at or above `path` that `/etc/fstab` lists and that nothing is mounted
/// on. Blocks.
pub(super) fn unmounted_above(path: &Path) -> Option<PathBuf> {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    unmounted(&read("/etc/fstab"), &read("/proc/self/mountinfo"), path)
}

/// `fstab` as fstab(5), `mounted` as in proc_pid_mountinfo(5).
fn unmounted(fstab: &str, mounted: &str, path: &Path) -> Option<PathBuf> {
    let mounted: Vec<PathBuf> = mounted.lines().filter_map(|line| field(line, 4)).collect();
    let listed = fstab.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut listed: Vec<PathBuf> = listed.filter_map(|line| field(line, 1)).collect();
    listed.retain(|point| point.is_absolute() && path.starts_with(point) && !mounted.contains(point));
    listed.into_iter().max_by_key(|point| point.components().count())
}

/// Returns a field of a line, in which spaces are written as `\040`.
fn field(line: &str, index: usize) -> Option<PathBuf> {
    let text = line.split_ascii_whitespace().nth(index)?;
    Some(PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_without_its_mount_is_found() {
        let fstab = "# comment /mnt/x\nUUID=1 / ext4 defaults 0 1\nnas:/images /mnt/my\\040images nfs4 noauto 0 0\n\
                     /dev/sdb1 /srv ext4 defaults 0 2\n/dev/sdb2 none swap sw 0 0\n";
        let root = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";
        let images = Path::new("/mnt/my images/customer");
        assert_eq!(unmounted(fstab, root, images), Some("/mnt/my images".into()));
        assert_eq!(unmounted(fstab, root, Path::new("/srv")), Some("/srv".into()));
        assert_eq!(unmounted(fstab, root, Path::new("/srvx")), None);
        assert_eq!(unmounted(fstab, root, Path::new("/mnt/x")), None);
        let both = format!("{root}23 22 0:44 / /mnt/my\\040images rw - nfs4 nas:/images rw\n");
        assert_eq!(unmounted(fstab, &both, images), None);
        assert_eq!(unmounted("", root, images), None);
    }
}
