//! Windows: NTFS with the hives of a registry.

use std::{fs, path::Path};

use imprint_corpus::inside::hive::{Hive, Key, Value};
use imprint_plugin_sdk::inspector::{Family, Presence};

use crate::support::{arg, findings, only, run, sparse};

fn software(name: &str, build: &str) -> Vec<u8> {
    let values = vec![
        ("ProductName", Value::Text(name)),
        ("EditionID", Value::Text("ServerDatacenter")),
        ("DisplayVersion", Value::Text("21H2")),
        ("CurrentBuild", Value::Text(build)),
        ("UBR", Value::Number(2113)),
    ];
    let version = Key::folder("Windows NT", vec![Key::of("CurrentVersion", values)]);
    Hive::new(&[Key::folder("Classes", Vec::new()), Key::folder("Microsoft", vec![version])]).file()
}

fn system(product: &str) -> Vec<u8> {
    let control = vec![
        Key::of("ProductOptions", vec![("ProductType", Value::Text(product))]),
        Key::folder(
            "Session Manager",
            vec![Key::of("Environment", vec![("PROCESSOR_ARCHITECTURE", Value::Text("AMD64"))])],
        ),
    ];
    Hive::new(&[
        Key::folder("ControlSet001", Vec::new()),
        Key::folder("ControlSet002", vec![Key::folder("Control", control)]),
        Key::of("Select", vec![("Current", Value::Number(2))]),
    ])
    .file()
}

/// A disk with an NTFS file system that has these files.
fn disk(folder: &Path, files: &[(&str, Vec<u8>)]) -> std::path::PathBuf {
    let root = folder.join("windows");
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let (archive, disk) = (folder.join("windows.wim"), sparse(folder.join("disk"), 64 << 20));
    run("wimcapture", &[arg(&root), arg(&archive), "--compress=none"]);
    run("mkntfs", &["-F", "-Q", "-q", "-L", "Windows", arg(&disk)]);
    run("wimapply", &[arg(&archive), arg(&disk)]);
    fs::remove_dir_all(root).unwrap();
    disk
}

#[test]
fn a_windows_server_is_found_with_what_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(
        folder.path(),
        &[
            ("Windows/System32/config/SOFTWARE", software("Windows Server 2022 Datacenter", "20348")),
            ("Windows/System32/config/SYSTEM", system("ServerNT")),
            (
                "Program Files/Cloudbase Solutions/Cloudbase-Init/conf/cloudbase-init.conf",
                b"[DEFAULT]".to_vec(),
            ),
            ("Program Files/Qemu-ga/qemu-ga.exe", b"MZ".to_vec()),
            ("Windows/System32/OpenSSH/sshd.exe", b"MZ".to_vec()),
            ("bootmgr", b"MZ".to_vec()),
        ],
    );
    let found = findings(&disk);
    assert_eq!(found.unread, []);
    let ntfs = only(&found, "ntfs");
    assert_eq!(ntfs.label.as_deref(), Some("Windows"));
    let (used, until) = (ntfs.used.unwrap(), ntfs.used_until.unwrap());
    assert!(used > 0 && used <= until && until <= 64 << 20, "{used} to {until}");
    let system = &found.system;
    assert_eq!(system.family, Family::Windows);
    assert_eq!(system.name.as_deref(), Some("Windows Server 2022 Datacenter"));
    assert_eq!(
        (system.edition.as_deref(), system.version.as_deref()),
        (Some("ServerDatacenter"), Some("21H2"))
    );
    assert_eq!(
        (system.build.as_deref(), system.architecture.as_deref()),
        (Some("20348.2113"), Some("x86_64"))
    );
    assert_eq!([found.cloud_init, found.guest_agent, found.ssh_server], [Presence::Present; 3]);
    assert_eq!(found.domain_controller, Presence::Absent);
    assert_eq!(found.boot_loaders, ["windows"]);
}

#[test]
fn a_domain_controller_is_found_by_its_registry_or_its_data_base() {
    let folder = tempfile::tempdir().unwrap();
    let hives = |product: &str| {
        vec![
            ("Windows/System32/config/SOFTWARE", software("Windows 10 Pro", "26100")),
            ("Windows/System32/config/SYSTEM", system(product)),
        ]
    };
    let found = findings(&disk(folder.path(), &hives("LanmanNT")));
    assert_eq!(found.domain_controller, Presence::Present);
    assert_eq!(found.system.name.as_deref(), Some("Windows 11 Pro"), "as its build is called");
    assert_eq!([found.cloud_init, found.guest_agent, found.ssh_server], [Presence::Absent; 3]);
    let data_base = ("Windows/NTDS/ntds.dit", vec![0; 100]);
    let found = findings(&disk(folder.path(), &[hives("ServerNT"), vec![data_base]].concat()));
    assert_eq!(found.domain_controller, Presence::Present);
}

/// Hives that lead in a circle, and cells of impossible lengths: what is not in them is not known,
/// and the findings say why.
#[test]
fn damaged_hives_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut circle = Hive::new(&[]);
    let mut list = b"ri\x01\0".to_vec();
    let at = circle.cell(&list);
    list.extend(at.to_le_bytes());
    let own = circle.cell(&list);
    let mut key = vec![0; 80];
    key[..4].copy_from_slice(b"nk\x20\0");
    key[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    key[28..32].copy_from_slice(&own.to_le_bytes());
    let root = circle.cell(&key);
    circle.set_root(root);
    let mut away = Hive::new(&[]);
    away.set_root(u32::MAX);
    let mut cut = software("Windows", "1");
    cut.truncate(5000);
    for hive in [circle.file(), away.file(), cut, b"regf".to_vec(), vec![0; 8192]] {
        let found = findings(&disk(
            folder.path(),
            &[
                ("Windows/System32/config/SOFTWARE", hive),
                ("Windows/System32/config/SYSTEM", system("ServerNT")),
            ],
        ));
        assert_eq!(found.system.family, Family::Windows);
        assert_eq!(
            (found.system.name.as_deref(), found.system.architecture.as_deref()),
            (None, Some("x86_64"))
        );
        assert_eq!(
            (found.unread[0].what.as_str(), found.unread[0].code.as_str()),
            ("ntfs", "inspect.corrupt")
        );
        assert_eq!(found.domain_controller, Presence::Unknown, "not all was read");
    }
}
