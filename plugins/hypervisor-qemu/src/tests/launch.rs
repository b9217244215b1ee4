//! Command lines.

use imprint_plugin_sdk::{
    hypervisor::{DiskSpec, VmSpec},
    types::{Props, props},
};
use serde_json::Value;

use crate::launch::define;

pub(super) fn disk(path: &str, format: &str) -> DiskSpec {
    DiskSpec { path: path.to_owned(), format: format.to_owned(), read_only: false, serial: "root".to_owned() }
}

pub(super) fn spec(run: &str, disks: Vec<DiskSpec>) -> VmSpec {
    VmSpec {
        id: super::model::VM.to_owned(),
        name: "web,readonly=on".to_owned(),
        vcpus: 1,
        memory_bytes: 64 << 20,
        disks,
        cdroms: Vec::new(),
        paths: props([
            ("qmp", &format!("{run}/qmp")),
            ("qga", &format!("{run}/qga")),
            ("console", &format!("{run}/console,log")),
            ("pidfile", &format!("{run}/pid")),
        ]),
        options: Props::new(),
    }
}

fn values<'a>(arguments: &'a [String], flag: &str) -> Vec<&'a str> {
    arguments.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].as_str()).collect()
}

#[test]
fn names_and_paths_cannot_add_options() {
    let hostile = "/pool/a\"},{\"driver\":\"nbd\",b.raw";
    let launch = define(&spec("/run/a,b", vec![disk(hostile, "raw")])).unwrap();
    assert_eq!(launch.program, "qemu-system-x86_64");
    assert_eq!(values(&launch.arguments, "-name"), ["guest=web,,readonly=on"]);
    let chardevs = values(&launch.arguments, "-chardev");
    assert!(chardevs.contains(&"file,id=console0,path=/run/a,,b/console,,log,append=on"), "{chardevs:?}");
    assert!(chardevs.contains(&"socket,id=qmp0,path=/run/a,,b/qmp,server=on,wait=off"), "{chardevs:?}");
    assert_eq!(values(&launch.arguments, "-pidfile"), ["/run/a,b/pid"]);
    let node: Value = serde_json::from_str(values(&launch.arguments, "-blockdev")[0]).unwrap();
    assert_eq!((node["driver"].as_str(), node["filename"].as_str()), (Some("file"), Some(hostile)));
    assert!(!launch.arguments.contains(&"-daemonize".to_owned()));
}

#[test]
fn formats_are_explicit_and_disks_stand_alone() {
    let mut wanted = spec("/run", vec![disk("/a.qcow2", "qcow2"), disk("/b.raw", "raw")]);
    wanted.cdroms.push(disk("/seed.iso", "raw"));
    let arguments = define(&wanted).unwrap().arguments;
    let nodes: Vec<Value> =
        values(&arguments, "-blockdev").into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let drivers: Vec<&str> = nodes.iter().map(|node| node["driver"].as_str().unwrap()).collect();
    assert_eq!(drivers, ["file", "qcow2", "file", "raw", "file", "raw"]);
    assert_eq!(nodes[1].get("backing"), Some(&Value::Null));
    assert_eq!((nodes[5]["read-only"].as_bool(), nodes[1]["read-only"].as_bool()), (Some(true), Some(false)));
    let devices: Vec<Value> =
        values(&arguments, "-device").into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let primary = devices.iter().find(|device| device["id"] == crate::survey::PRIMARY_DEVICE).unwrap();
    assert_eq!((primary["drive"].as_str(), primary["bootindex"].as_i64()), (Some("disk0"), Some(1)));
    assert!(devices.iter().any(|device| device["driver"] == "scsi-cd" && device["drive"] == "cdrom0"));
}

#[test]
fn bad_specs_are_refused() {
    let good = || spec("/run", vec![disk("/a.raw", "raw")]);
    let mut bad = Vec::new();
    let mut change = |change: fn(&mut VmSpec)| {
        let mut spec = good();
        change(&mut spec);
        bad.push(spec);
    };
    change(|spec| spec.name = "a\nb".to_owned());
    change(|spec| spec.name.clear());
    change(|spec| spec.vcpus = 0);
    change(|spec| spec.memory_bytes = (64 << 20) + 1);
    change(|spec| spec.memory_bytes = 1 << 20);
    change(|spec| spec.disks.clear());
    change(|spec| spec.disks[0].format = "vmdk".to_owned());
    change(|spec| spec.disks[0].path = "relative.raw".to_owned());
    change(|spec| spec.disks[0].path = "/a\0b".to_owned());
    change(|spec| spec.disks[0].serial = "more than twenty characters".to_owned());
    change(|spec| drop(spec.paths.remove("qmp")));
    change(|spec| drop(spec.paths.remove("pidfile")));
    change(|spec| drop(spec.options.insert("accelerator".to_owned(), "xen".to_owned())));
    change(|spec| drop(spec.options.insert("cpu".to_owned(), "host -daemonize".to_owned())));
    for spec in bad {
        assert!(define(&spec).is_err(), "{spec:?}");
    }
    assert!(define(&good()).is_ok());
}

#[test]
fn options() {
    let mut wanted = spec("/run", vec![disk("/a.raw", "raw")]);
    wanted.options = props([
        ("accelerator", "kvm"),
        ("machine", "q35"),
        ("iothread", "on"),
        ("cpu", "host"),
        ("later", "x"),
    ]);
    let arguments = define(&wanted).unwrap().arguments;
    for (flag, value) in
        [("-accel", "kvm"), ("-machine", "q35"), ("-cpu", "host"), ("-m", "64"), ("-smp", "1")]
    {
        assert_eq!(values(&arguments, flag), [value]);
    }
    assert!(values(&arguments, "-device").iter().any(|device| device.contains("\"iothread\":\"iothread0\"")));
}

/// S70, S84: a system without drivers for virtual hardware finds its disk, its card and the seed.
#[test]
fn the_mode_hvm_is_a_machine_of_emulated_devices() {
    let mut wanted = spec("/run", vec![disk("/a.qcow2", "qcow2")]);
    wanted.cdroms.extend([disk("/seed.iso", "raw"), disk("/config-drive.iso", "raw")]);
    wanted.options = props([("vm-mode", "hvm"), ("machine", "q35"), ("network", "user"), ("iothread", "on")]);
    let arguments = define(&wanted).unwrap().arguments;
    assert_eq!(values(&arguments, "-machine"), ["pc"]);
    let devices: Vec<Value> =
        values(&arguments, "-device").into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let of = |driver: &str| -> Vec<_> {
        let found = devices.iter().filter(|device| device["driver"] == driver);
        found
            .map(|device| (device["drive"].as_str(), device["bus"].as_str(), device["unit"].as_u64()))
            .collect()
    };
    assert_eq!(of("ide-hd"), [(Some("disk0"), Some("ide.0"), Some(0))]);
    assert_eq!(
        of("ide-cd"),
        [
            (Some("cdrom0"), Some("ide.0"), Some(1)),
            (Some("cdrom1"), Some("ide.1"), Some(0)),
            // The drive whose medium changes is empty.
            (None, Some("ide.1"), Some(1)),
        ]
    );
    assert_eq!(of("e1000").len(), 1);
    let virtual_only = ["virtio-blk-pci", "virtio-scsi-pci", "virtio-net-pci"];
    assert!(devices.iter().all(|device| !virtual_only.iter().any(|driver| device["driver"] == *driver)));
    assert!(!arguments.iter().any(|argument| argument.contains("iothread")));
    let primary = devices.iter().find(|device| device["id"] == crate::survey::PRIMARY_DEVICE).unwrap();
    assert_eq!((primary["driver"].as_str(), primary["bootindex"].as_i64()), (Some("ide-hd"), Some(1)));

    let mut refused = wanted.clone();
    refused.disks.extend(["/b.raw", "/c.raw"].map(|path| disk(path, "raw")));
    assert!(define(&refused).is_err(), "the controller has four drives");
    refused.options.insert("vm-mode".to_owned(), "virtio".to_owned());
    assert!(define(&refused).is_ok());
    refused.options.insert("vm-mode".to_owned(), "xen".to_owned());
    assert!(define(&refused).is_err());
}

/// A guest reaches nothing of the machine, and is reached by its forwarded port.
#[test]
fn a_card_in_user_mode_is_closed_but_for_its_port() {
    let mut wanted = spec("/run", vec![disk("/a.raw", "raw")]);
    wanted.options =
        props([("network", "user"), ("mac", "02:00:00:00:00:1f"), ("forward-ssh", "127.0.0.1:22007")]);
    let arguments = define(&wanted).unwrap().arguments;
    assert_eq!(values(&arguments, "-netdev"), ["user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:22007-:22"]);
    let card = values(&arguments, "-device").into_iter().find(|device| device.contains("vnet0")).unwrap();
    let card: Value = serde_json::from_str(card).unwrap();
    assert_eq!(
        (card["driver"].as_str(), card["mac"].as_str()),
        (Some("virtio-net-pci"), Some("02:00:00:00:00:1f"))
    );

    wanted.options.insert("outgoing".to_owned(), "on".to_owned());
    let arguments = define(&wanted).unwrap().arguments;
    assert!(values(&arguments, "-netdev")[0].starts_with("user,id=net0,restrict=off,hostfwd="));

    wanted.options.insert("network".to_owned(), "none".to_owned());
    assert!(values(&define(&wanted).unwrap().arguments, "-netdev").is_empty());
}

#[test]
fn a_card_on_a_device_of_the_machine_runs_no_script() {
    let mut wanted = spec("/run", vec![disk("/a.raw", "raw")]);
    wanted.options = props([("network", "tap"), ("tap", "imp0123456789ab")]);
    let arguments = define(&wanted).unwrap().arguments;
    assert_eq!(values(&arguments, "-netdev"), ["tap,id=net0,ifname=imp0123456789ab,script=no,downscript=no"]);
    for (key, value) in [
        ("tap", "a,script=/bin/sh"),
        ("tap", "sixteen-letters-"),
        ("mac", "02:00:00:00:00:01,x=y"),
        ("forward-ssh", "127.0.0.1:22007-:23"),
        ("outgoing", "yes"),
        ("network", "bridge"),
    ] {
        let mut refused = wanted.clone();
        refused.options.insert(key.to_owned(), value.to_owned());
        assert!(define(&refused).is_err(), "{key}={value}");
    }
    wanted.options.remove("tap");
    assert!(define(&wanted).is_err(), "no device is named");
}

/// S111: the drive is there with and without a medium, and comes first only when asked for.
#[test]
fn the_drive_and_further_disks_can_change() {
    let devices = |wanted: &VmSpec| -> Vec<Value> {
        let arguments = define(wanted).unwrap().arguments;
        values(&arguments, "-device").into_iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    };
    let of = |devices: &[Value], id: &str| devices.iter().find(|device| device["id"] == id).cloned();
    let mut wanted = spec("/run", vec![disk("/a.qcow2", "qcow2")]);
    let drive = of(&devices(&wanted), "cdm").unwrap();
    assert_eq!(
        (drive["driver"].as_str(), drive.get("drive"), drive.get("bootindex")),
        (Some("scsi-cd"), None, None)
    );
    wanted.cdroms.push(DiskSpec { serial: "medium".to_owned(), ..disk("/setup.iso", "raw") });
    let drive = of(&devices(&wanted), "cdm").unwrap();
    assert_eq!((drive["drive"].as_str(), drive.get("bootindex")), (Some("medium"), None));
    wanted.options = props([("boot", "cd"), ("machine", "q35")]);
    wanted.disks.push(DiskSpec { serial: "0123".to_owned(), ..disk("/b.qcow2", "qcow2") });
    let all = devices(&wanted);
    assert_eq!(of(&all, "cdm").unwrap()["bootindex"].as_i64(), Some(0));
    let further = of(&all, "vdisk-0123").unwrap();
    assert_eq!((further["drive"].as_str(), further["bus"].as_str()), (Some("disk-0123"), Some("port1")));
    assert_eq!(all.iter().filter(|device| device["driver"] == "pcie-root-port").count(), 7);
}
