use std::{fs, process::Command};

use super::*;

fn seed() -> Seed {
    Seed {
        instance_id: None,
        hostname: "web-1".to_owned(),
        ssh_keys: vec!["ssh-ed25519 AAAA someone \"quoted\"".to_owned()],
        user_data: Some("#!/bin/sh\necho hello\n".repeat(200)),
        user: None,
        config_drive: false,
    }
}

fn instance() -> InstanceId {
    "ins_00000000-0000-0000-0000-000000000007".parse().unwrap()
}

fn isoinfo(arguments: &[&str], path: &std::path::Path) -> String {
    let output =
        Command::new("isoinfo").args(arguments).arg("-i").arg(path).output().expect("install genisoimage");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn another_reader_finds_the_files_by_both_kinds_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.iso");
    let bytes = image(instance(), &seed()).unwrap();
    assert_eq!(bytes, image(instance(), &seed()).unwrap());
    fs::write(&path, &bytes).unwrap();
    let header = isoinfo(&["-d"], &path);
    assert!(header.contains("Volume id: cidata"), "{header}");
    assert!(header.contains("Joliet with UCS level 3 found"), "{header}");
    assert!(header.contains("Rock Ridge signatures version 1 found"), "{header}");
    assert!(header.contains(&format!("Volume size is: {}", bytes.len() / 2048)), "{header}");
    for names in ["-R", "-J"] {
        let listing = isoinfo(&[names, "-f"], &path);
        let mut found: Vec<_> = listing.lines().collect();
        found.sort_unstable();
        assert_eq!(found, ["/meta-data", "/user-data"], "{names}");
        assert_eq!(isoinfo(&[names, "-x", "/user-data"], &path), seed().user_data.unwrap());
        assert_eq!(
            isoinfo(&[names, "-x", "/meta-data"], &path),
            "instance-id: ins_00000000-0000-0000-0000-000000000007\nlocal-hostname: web-1\npublic-keys:\n  - \"ssh-ed25519 AAAA someone \\\"quoted\\\"\"\n"
        );
    }
    assert_eq!(isoinfo(&["-f"], &path).lines().count(), 2);
}

/// Returns the files of an image as another reader lists them, by both kinds of names.
fn listed(path: &std::path::Path) -> Vec<String> {
    let mut lists = ["-R", "-J"].map(|names| {
        let mut files: Vec<_> = isoinfo(&[names, "-f"], path).lines().map(str::to_owned).collect();
        files.sort_unstable();
        files
    });
    assert_eq!(lists[0], lists[1]);
    std::mem::take(&mut lists[0])
}

/// S86: cloud-init gives the keys to the user that the image names.
#[test]
fn a_seed_names_the_user_of_the_image_in_its_vendor_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.iso");
    let seed = Seed { user: Some("debian".to_owned()), ..seed() };
    fs::write(&path, image(instance(), &seed).unwrap()).unwrap();
    assert_eq!(listed(&path), ["/meta-data", "/user-data", "/vendor-data"]);
    assert_eq!(isoinfo(&["-R", "-x", "/vendor-data"], &path), "#cloud-config\nuser: debian\n");
    for user in ["", "a: b", "Debian", "-a", &"u".repeat(33)] {
        let seed = Seed { user: Some(user.to_owned()), ..seed.clone() };
        assert_eq!(image(instance(), &seed), Err(SeedError::User(user.to_owned())));
    }
}

/// S85: the config drive has the host name, the keys and the user data where cloud-init looks.
#[test]
fn a_config_drive_is_read_by_another_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config-drive.iso");
    let seed = Seed { user: Some("debian".to_owned()), ..seed() };
    let bytes = config_drive(instance(), &seed).unwrap();
    fs::write(&path, &bytes).unwrap();
    let header = isoinfo(&["-d"], &path);
    assert!(header.contains("Volume id: config-2"), "{header}");
    assert!(header.contains(&format!("Volume size is: {}", bytes.len() / 2048)), "{header}");
    let file = |name: &str| isoinfo(&["-J", "-x", &format!("/openstack/latest/{name}")], &path);
    let names = ["meta_data.json", "user_data", "vendor_data.json"];
    let wanted: Vec<_> = names.iter().map(|name| format!("/openstack/latest/{name}")).collect();
    let found: Vec<_> = listed(&path).into_iter().filter(|name| name.matches('/').count() == 3).collect();
    assert_eq!(found, wanted);
    let meta: serde_json::Value = serde_json::from_str(&file("meta_data.json")).unwrap();
    assert_eq!(meta["uuid"], "00000000-0000-0000-0000-000000000007");
    assert_eq!(meta["hostname"], "web-1");
    assert_eq!(meta["public_keys"], json!({ "key-00": "ssh-ed25519 AAAA someone \"quoted\"" }));
    assert_eq!(file("user_data"), seed.user_data.unwrap());
    let vendor: serde_json::Value = serde_json::from_str(&file("vendor_data.json")).unwrap();
    assert_eq!(vendor["cloud-init"], "#cloud-config\nuser: debian\n");
}

#[test]
fn a_seed_that_would_break_a_guest_is_refused() {
    let refused = |change: fn(&mut Seed)| {
        let mut seed = seed();
        change(&mut seed);
        image(instance(), &seed).unwrap_err()
    };
    for name in ["", "-a", "a-", "a b", "a\nruncmd: x", "ä"] {
        let seed = Seed { hostname: name.to_owned(), ..seed() };
        assert_eq!(image(instance(), &seed), Err(SeedError::Hostname(name.to_owned())));
    }
    assert_eq!(refused(|seed| seed.ssh_keys = vec!["a\nb".to_owned()]), SeedError::Key);
    assert_eq!(refused(|seed| seed.ssh_keys = vec!["k".to_owned(); 65]), SeedError::Keys(65));
    assert_eq!(refused(|seed| seed.user_data = Some("x".repeat(65537))), SeedError::UserData(65537));
}
