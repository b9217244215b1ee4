//! An export that the hypervisor has mounted: the granted folder has to be a mount of it.

use imprint_path_storage::GrantedTree;
use imprint_plugin_sdk::{
    error::{Error, Result},
    host::{Mount, TcpStorageHost},
};

use crate::{settings::Settings, tree::CODE};

/// The grant's name in the manifest.
pub(crate) const GRANT: &str = "mount";
/// What the kernel calls mounts of NFS, and what clients in user space call theirs.
const FILE_SYSTEMS: [&str; 3] = ["nfs", "nfs4", "fuse.nfs"];

/// Returns the folder as a tree of files.
pub(crate) fn tree<'a>(host: &'a dyn TcpStorageHost) -> GrantedTree<'a, dyn TcpStorageHost + 'a> {
    GrantedTree { host, grant: GRANT, code: CODE }
}

/// Checks that the folder is on a mount of the export.
pub(crate) fn check(host: &dyn TcpStorageHost, settings: &Settings) -> Result<()> {
    is_export(&host.mount(GRANT)?, settings)
}

fn is_export(mount: &Mount, settings: &Settings) -> Result<()> {
    let Settings { server, export, .. } = settings;
    let wanted = format!("{server}:{export}");
    let inside = settings.folder.as_deref().unwrap_or_default();
    if mount.inside != inside || !FILE_SYSTEMS.contains(&mount.file_system.as_str()) {
        let found = if mount.inside == inside {
            format!("a mount of {} ({})", mount.source, mount.file_system)
        } else {
            "no mount".to_owned()
        };
        let text =
            format!("the path is {found}, and not the NFS export {wanted}; mount that, or correct the path");
        return Err(Error::conflict("nfs.not-mounted", text).about_setting("path"));
    }
    let (name, path) = mount.source.rsplit_once(":/").unwrap_or((mount.source.as_str(), ""));
    let address = mount.options.split(',').find_map(|option| option.strip_prefix("addr="));
    let plain = |text: &str| text.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if ![Some(name), address].into_iter().flatten().any(|own| plain(own) == plain(server)) {
        let text = format!(
            "the path is a mount of the server {name}, and not of {server}; mount {wanted} there, or write the server as it \
             stands in the mount"
        );
        return Err(Error::conflict("nfs.other-server", text).about_setting("server"));
    }
    let parts =
        |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mounted = [parts(path), parts(&mount.root)].concat();
    if mounted != parts(export) {
        let text = format!(
            "the path is a mount of /{} of the server, and not of {export}; mount {wanted} there, or correct the export",
            mounted.join("/")
        );
        return Err(Error::conflict("nfs.other-export", text).about_setting("export"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use imprint_plugin_sdk::types::props;

    use super::*;

    fn checked(
        file_system: &str,
        source: &str,
        root: &str,
        inside: &str,
        folder: &str,
    ) -> Result<(), String> {
        let settings = props([
            ("access", "mount"),
            ("server", "nas.example.com"),
            ("export", "/srv/images/"),
            ("path", "/mnt"),
            ("folder", folder),
        ]);
        let mount = Mount {
            file_system: file_system.to_owned(),
            source: source.to_owned(),
            root: root.to_owned(),
            inside: inside.to_owned(),
            options: "rw,vers=4.2,addr=10.0.0.5".to_owned(),
        };
        is_export(&mount, &Settings::parse(&settings).unwrap()).map_err(|error| error.code)
    }

    #[test]
    fn the_folder_has_to_be_a_mount_of_the_export() {
        assert_eq!(checked("nfs4", "nas.example.com:/srv/images", "/", "", "."), Ok(()));
        assert_eq!(checked("nfs", "NAS.example.com.:/srv/images/", "/", "", "."), Ok(()));
        assert_eq!(checked("nfs4", "nas.example.com:/srv", "/images", "", "."), Ok(()));
        assert_eq!(checked("fuse.nfs", "nas.example.com:/srv/images", "/", "customer", "customer"), Ok(()));
        let cases = [
            ("ext4", "/dev/sda1", "/", "", ".", "nfs.not-mounted.setting.path"),
            ("tmpfs", "nas.example.com:/srv/images", "/", "", ".", "nfs.not-mounted.setting.path"),
            ("nfs4", "nas.example.com:/srv/images", "/", "deeper", ".", "nfs.not-mounted.setting.path"),
            ("nfs4", "other.example.com:/srv/images", "/", "", ".", "nfs.other-server.setting.server"),
            ("nfs4", "nas.example.com:/srv", "/", "", ".", "nfs.other-export.setting.export"),
            ("nfs4", "nas.example.com:/", "/", "", ".", "nfs.other-export.setting.export"),
        ];
        for (file_system, source, root, inside, folder, code) in cases {
            let found = checked(file_system, source, root, inside, folder);
            assert_eq!(found, Err(code.to_owned()), "{file_system} {source}");
        }
    }

    #[test]
    fn the_server_may_be_given_by_its_address() {
        let settings = props([("access", "mount"), ("server", "10.0.0.5"), ("export", "/srv/images")]);
        let mount = Mount {
            file_system: "nfs4".to_owned(),
            source: "nas:/srv/images".to_owned(),
            root: "/".to_owned(),
            inside: String::new(),
            options: "rw,addr=10.0.0.5".to_owned(),
        };
        assert_eq!(is_export(&mount, &Settings::parse(&settings).unwrap()), Ok(()));
    }
}
