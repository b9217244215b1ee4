use std::{fs, process::Command};

use super::*;

fn seed() -> Seed {
    Seed {
        hostname: "web-1".to_owned(),
        ssh_keys: vec!["ssh-ed25519 AAAA someone \"quoted\"".to_owned()],
        user_data: Some("#!/bin/sh\necho hello\n".repeat(200)),
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
