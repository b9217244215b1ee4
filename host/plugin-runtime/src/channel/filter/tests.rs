use std::path::Path;

use super::*;
use crate::manifest::{ChannelKind, Framing, rules::is_forbidden_pattern};

fn capability(allow: &[&str], drivers: &[&str]) -> ChannelCapability {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    ChannelCapability {
        id: "qmp".to_owned(),
        kind: ChannelKind::Unix,
        path: String::new(),
        framing: Framing::Lines,
        allow: owned(allow),
        block_drivers: owned(drivers),
        hello: None,
        guards: Vec::new(),
    }
}

fn check(line: &str) -> Result<Command, CommandRefused> {
    let resources = CallResources::default();
    resources.allow_path(Path::new("/run/scratch.qcow2"));
    resources.allow_path(Path::new("/run/nbd.sock"));
    let allow =
        ["query-*", "blockdev-*", "transaction", "nbd-server-*", "block-export-add", "*-snapshot-sync"];
    check_line(&capability(&allow, &["qcow2", "file", "copy-before-write"]), &resources, line.as_bytes())
}

fn allowed(line: &str) {
    check(line).unwrap_or_else(|refusal| panic!("{line} is refused: {refusal}"));
}

fn refused(line: &str, reason: &str) {
    let refusal = check(line).expect_err(line).to_string();
    assert!(refusal.contains(reason), "{line} is refused with {refusal:?}, not with {reason:?}");
}

#[test]
fn commands_match_exactly_or_by_prefix() {
    allowed(r#"{"execute":"query-status"}"#);
    allowed(r#"{"execute":"query-"}"#);
    refused(r#"{"execute":"quer"}"#, "not granted");
    refused(r#"{"execute":"Query-status"}"#, "not granted");
    refused(r#"{"execute":"cont"}"#, "not granted");
    let command = check(r#"{"execute":"query-status","id":{"n":1}}"#).unwrap();
    assert_eq!(command.id, Some(serde_json::json!({ "n": 1 })));
}

#[test]
fn lines_that_are_not_commands_are_refused() {
    for line in ["", "[]", "7", r#""execute""#, "{", r#"{"execute":"query-status"} {"execute":"quit"}"#] {
        refused(line, "one JSON object");
    }
    refused(r#"{"arguments":{}}"#, "execute");
    refused(r#"{"execute":["query-status"]}"#, "execute");
    refused(r#"{"exec-oob":"query-status"}"#, "exec-oob");
    refused(r#"{"execute":"query-status","exec-oob":"migrate"}"#, "exec-oob");
    refused(r#"{"execute":"query-status","execute":"quit"}"#, "not granted");
}

#[test]
fn bytes_that_are_not_text_are_refused_except_the_resync() {
    let resources = CallResources::default();
    let capability = capability(&["guest-sync-delimited"], &[]);
    let sync = b"\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":7}}";
    assert_eq!(check_line(&capability, &resources, sync).unwrap().name, "guest-sync-delimited");
    assert!(check_line(&capability, &resources, b"\xff\xff{\"execute\":\"guest-sync-delimited\"}").is_err());
    assert!(check_line(&capability, &resources, b"{\"execute\":\"guest-sync\xc3\x28\"}").is_err());
}

#[test]
fn some_commands_are_never_granted() {
    let everything = capability(&["*"], &[]);
    let resources = CallResources::default();
    for name in [
        "migrate",
        "migrate-incoming",
        "human-monitor-command",
        "object-add",
        "chardev-add",
        "netdev_add",
        "screendump",
        "dump-guest-memory",
        "pmemsave",
        "memsave",
        "guest-exec",
        "guest-file-open",
    ] {
        let line = format!(r#"{{"execute":"{name}"}}"#);
        let refusal = check_line(&everything, &resources, line.as_bytes()).unwrap_err().to_string();
        assert!(refusal.contains("never granted"), "{name}: {refusal}");
        assert!(is_forbidden_pattern(name), "{name}");
    }
    assert!(is_forbidden_pattern("migrate*"));
    assert!(is_forbidden_pattern("migrate-set-*"));
    assert!(is_forbidden_pattern("chardev-*"));
    assert!(!is_forbidden_pattern("query-*"));
    check_line(&everything, &resources, br#"{"execute":"query-status"}"#).unwrap();
}

#[test]
fn actions_of_a_transaction_are_checked_one_by_one() {
    allowed(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-backup","data":{"device":"d"}}]}}"#,
    );
    refused(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-backup","data":{}},{"type":"abort","data":{}}]}}"#,
        "abort",
    );
    refused(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"transaction","data":{"actions":[]}}]}}"#,
        "cannot contain a transaction",
    );
    refused(r#"{"execute":"transaction"}"#, "actions");
    refused(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-snapshot-sync","data":{"snapshot-file":"/etc/x"}}]}}"#,
        "was not granted for this call",
    );
    let many = vec![r#"{"type":"blockdev-backup","data":{}}"#; 65].join(",");
    refused(&format!(r#"{{"execute":"transaction","arguments":{{"actions":[{many}]}}}}"#), "at most 64");
}

#[test]
fn node_definitions_are_checked_in_depth() {
    allowed(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"s","backing":null,"file":{"driver":"file","filename":"/run/scratch.qcow2"}}}"#,
    );
    allowed(
        r#"{"execute":"blockdev-add","arguments":{"driver":"copy-before-write","file":"disk0","target":"s"}}"#,
    );
    refused(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","file":{"driver":"file","filename":"/etc/shadow"}}}"#,
        "was not granted for this call",
    );
    refused(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","file":{"driver":"host_device","filename":"/dev/sda"}}}"#,
        "host_device",
    );
    refused(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","file":{"driver":"qcow2","file":{"driver":"nbd","server":{"type":"inet"}}}}}"#,
        "nbd",
    );
    refused(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","file":{"driver":7}}}"#,
        "not granted",
    );
    refused(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","backing":"json:{\"driver\":\"file\"}"}}"#,
        "json:",
    );
    refused(
        r#"{"execute":"blockdev-reopen","arguments":{"options":[{"driver":"file","filename":"/etc/passwd"}]}}"#,
        "was not granted for this call",
    );
    refused(r#"{"execute":"blockdev-create","arguments":{"job-id":"j"}}"#, "blockdev-create");
    let deep = format!("{}{}", r#"{"file":"#.repeat(20), "}".repeat(20)).replace(":}", ":1}");
    refused(&format!(r#"{{"execute":"blockdev-add","arguments":{deep}}}"#), "deeper");
}

#[test]
fn servers_listen_on_reserved_endpoints() {
    allowed(
        r#"{"execute":"nbd-server-start","arguments":{"addr":{"type":"unix","data":{"path":"/run/nbd.sock"}}}}"#,
    );
    refused(
        r#"{"execute":"nbd-server-start","arguments":{"addr":{"type":"unix","data":{"path":"/run/other.sock"}}}}"#,
        "reserved",
    );
    refused(
        r#"{"execute":"nbd-server-start","arguments":{"addr":{"type":"inet","data":{"host":"0.0.0.0","port":"10809"}}}}"#,
        "reserved",
    );
    refused(r#"{"execute":"nbd-server-start"}"#, "reserved");
    allowed(r#"{"execute":"block-export-add","arguments":{"type":"nbd","id":"e","node-name":"n"}}"#);
    refused(r#"{"execute":"block-export-add","arguments":{"type":"fuse","mountpoint":"/mnt"}}"#, "nbd");
}

#[test]
fn a_new_device_is_a_disk() {
    let resources = CallResources::default();
    let capability = capability(&["device_add"], &[]);
    let check = |device: &str| {
        let line = format!(r#"{{"execute":"device_add","arguments":{device}}}"#);
        check_line(&capability, &resources, line.as_bytes()).is_ok()
    };
    assert!(check(r#"{"driver":"virtio-blk-pci","id":"vdisk-1","drive":"disk-1","serial":"1"}"#));
    assert!(check(r#"{"driver":"virtio-blk-pci","id":"vdisk-1","drive":"disk-1","bus":"port1"}"#));
    for device in [
        r#"{"driver":"vfio-pci","host":"0000:01:00.0"}"#,
        r#"{"driver":"usb-host","hostbus":1}"#,
        r#"{"driver":"virtio-blk-pci","drive":"disk-1","romfile":"/etc/shadow"}"#,
        r#"{"driver":"virtio-blk-pci","drive":{"driver":"file","filename":"/etc/shadow"}}"#,
        r#"{"id":"vdisk-1"}"#,
        "[]",
    ] {
        assert!(!check(device), "{device}");
    }
}
