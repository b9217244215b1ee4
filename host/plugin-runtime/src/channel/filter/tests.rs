use std::path::Path;

use super::*;
use crate::manifest::{ChannelKind, Framing};

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

fn judge(line: &str) -> Result<Command, String> {
    let work = WorkShared::default();
    work.hand_out(Path::new("/run/scratch.qcow2"));
    work.hand_out(Path::new("/run/nbd.sock"));
    let allow =
        ["query-*", "blockdev-*", "transaction", "nbd-server-*", "block-export-add", "*-snapshot-sync"];
    check_line(&capability(&allow, &["qcow2", "file", "copy-before-write"]), &work, line.as_bytes())
}

fn allowed(line: &str) {
    judge(line).unwrap_or_else(|why| panic!("{line} is refused: {why}"));
}

fn refused(line: &str, why: &str) {
    let refusal = judge(line).expect_err(line);
    assert!(refusal.contains(why), "{line} is refused because {refusal:?}, not because of {why:?}");
}

#[test]
fn commands_match_exactly_or_by_prefix() {
    allowed(r#"{"execute":"query-status"}"#);
    allowed(r#"{"execute":"query-"}"#);
    refused(r#"{"execute":"quer"}"#, "not granted");
    refused(r#"{"execute":"Query-status"}"#, "not granted");
    refused(r#"{"execute":"cont"}"#, "not granted");
    let command = judge(r#"{"execute":"query-status","id":{"n":1}}"#).unwrap();
    assert_eq!(command.id, Some(serde_json::json!({ "n": 1 })));
}

#[test]
fn what_is_no_command_is_refused() {
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
fn bytes_that_are_no_text_are_refused_except_the_resync() {
    let work = WorkShared::default();
    let capability = capability(&["guest-sync-delimited"], &[]);
    let sync = b"\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":7}}";
    assert_eq!(check_line(&capability, &work, sync).unwrap().name, "guest-sync-delimited");
    assert!(check_line(&capability, &work, b"\xff\xff{\"execute\":\"guest-sync-delimited\"}").is_err());
    assert!(check_line(&capability, &work, b"{\"execute\":\"guest-sync\xc3\x28\"}").is_err());
}

#[test]
fn some_commands_are_never_granted() {
    let everything = capability(&["*"], &[]);
    let work = WorkShared::default();
    for name in [
        "migrate",
        "migrate-incoming",
        "human-monitor-command",
        "object-add",
        "chardev-add",
        "device_add",
        "netdev_add",
        "screendump",
        "dump-guest-memory",
        "pmemsave",
        "memsave",
        "guest-exec",
        "guest-file-open",
    ] {
        let line = format!(r#"{{"execute":"{name}"}}"#);
        let why = check_line(&everything, &work, line.as_bytes()).unwrap_err();
        assert!(why.contains("never granted"), "{name}: {why}");
        assert!(is_forbidden_pattern(name), "{name}");
    }
    assert!(is_forbidden_pattern("migrate*"));
    assert!(is_forbidden_pattern("migrate-set-*"));
    assert!(is_forbidden_pattern("chardev-*"));
    assert!(!is_forbidden_pattern("query-*"));
    check_line(&everything, &work, br#"{"execute":"query-status"}"#).unwrap();
}

#[test]
fn actions_of_a_transaction_are_judged_one_by_one() {
    allowed(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-backup","data":{"device":"d"}}]}}"#,
    );
    refused(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-backup","data":{}},{"type":"abort","data":{}}]}}"#,
        "abort",
    );
    refused(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"transaction","data":{"actions":[]}}]}}"#,
        "no transactions",
    );
    refused(r#"{"execute":"transaction"}"#, "actions");
    refused(
        r#"{"execute":"transaction","arguments":{"actions":[{"type":"blockdev-snapshot-sync","data":{"snapshot-file":"/etc/x"}}]}}"#,
        "handed out",
    );
    let many = vec![r#"{"type":"blockdev-backup","data":{}}"#; 65].join(",");
    refused(&format!(r#"{{"execute":"transaction","arguments":{{"actions":[{many}]}}}}"#), "at most 64");
}

#[test]
fn node_definitions_are_looked_into() {
    allowed(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","node-name":"s","backing":null,"file":{"driver":"file","filename":"/run/scratch.qcow2"}}}"#,
    );
    allowed(
        r#"{"execute":"blockdev-add","arguments":{"driver":"copy-before-write","file":"disk0","target":"s"}}"#,
    );
    refused(
        r#"{"execute":"blockdev-add","arguments":{"driver":"qcow2","file":{"driver":"file","filename":"/etc/shadow"}}}"#,
        "handed out",
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
        "handed out",
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
