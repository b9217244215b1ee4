use super::*;
use crate::{
    error::{Error, Result},
    host::{Blob, Framing, HypervisorHost, Note, Replace, StorageHost, Task as _},
    types::props,
};

fn hypervisor_side(host: &dyn HypervisorHost) -> Result<Vec<u8>> {
    host.record(&Note { step: "asking".to_owned(), data: props([("vm", "a")]) })?;
    let channel = host.open("qmp", &[("vm", "a")], Framing::Lines)?;
    let greeting = channel.receive(100)?.expect("a greeting");
    channel.send(br#"{"execute":"query-status"}"#)?;
    assert_eq!(channel.receive(100)?, Some(br#"{"return":{}}"#.to_vec()));
    assert_eq!(channel.receive(250)?, None);
    Ok(greeting)
}

#[test]
fn a_script_answers_and_the_trace_keeps_the_order() {
    let host = MockHost::new();
    host.peer("qmp", Script::new().greets("hello").expects("query-status", &[r#"{"return":{}}"#]));
    assert_eq!(hypervisor_side(&host).unwrap(), b"hello");
    assert_eq!(host.monotonic_ms(), 250);
    let trace = host.trace();
    assert_eq!(trace[0], Event::Recorded("asking".to_owned()));
    assert_eq!(trace[1], Event::Opened("qmp".to_owned()));
    assert_eq!(trace.last(), Some(&Event::Closed("qmp".to_owned())));
    assert_eq!(host.journal()[0].data["vm"], "a");
}

#[test]
fn closed_sockets_and_faults_reach_the_plugin() {
    let host = MockHost::new();
    assert_eq!(hypervisor_side(&host).unwrap_err().code, "channel.unreachable");
    host.peer("qmp", Script::new().greets("hello").expects_then("query", vec![PeerAction::Close]));
    assert_eq!(hypervisor_side(&host).unwrap_err().code, "channel.closed");
    host.fail_nth("record", 1, Error::internal("disk.full", "no room"));
    host.peer("qmp", Script::new().greets("hello").expects_then("query", vec![PeerAction::Close]));
    assert_eq!(hypervisor_side(&host).unwrap_err().code, "channel.closed");
    assert_eq!(hypervisor_side(&host).unwrap_err().code, "disk.full");
}

#[test]
fn directories_page_publish_and_refuse() {
    let host = MockHost::new();
    for name in ["c", "a", "b"] {
        host.put_file("pool", &format!("images/{name}"), 7);
    }
    let side: &dyn StorageHost = &host;
    let first = side.list("pool", "images", None, 2).unwrap();
    let names: Vec<_> = first.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((names.as_slice(), first.resume.as_deref()), (["a", "b"].as_slice(), Some("b")));
    let rest = side.list("pool", "images", Some("b"), 2).unwrap();
    assert_eq!((rest.entries.len(), rest.resume), (1, None));
    assert_eq!(
        side.publish("pool", "images/a", "images/b", Replace::Refused).unwrap_err().code,
        "dirs.exists"
    );
    side.publish("pool", "images/a", "images/b", Replace::Allowed).unwrap();
    side.remove_file("pool", "images/gone").unwrap();
    assert_eq!(side.stat("pool", "../etc/passwd").unwrap_err().code, "plugin.denied");
    assert_eq!(side.stat("other", "x").unwrap_err().code, "plugin.denied");
    assert_eq!(host.files("pool"), ["images/b", "images/c"]);
}

#[test]
fn blobs_keep_the_limits_of_the_real_host() {
    let blob = MemBlob::new(*b"abcdef").with_size(10).failing_at(9);
    assert_eq!(blob.read_at(4, 4).unwrap(), b"ef\0\0");
    assert_eq!(blob.read_at(8, 4).unwrap_err().code, "blob.io");
    assert_eq!(blob.read_at(0, (1 << 20) + 1).unwrap_err().code, "blob.read");
    assert_eq!(MemBlob::new(*b"abcdef").short_from(3).read_at(0, 6).unwrap(), b"abc");
    assert_eq!(blob.reads(), 2);
}

fn stream_side(host: &dyn crate::host::StreamHost) -> Result<Vec<u8>> {
    host.write_at("pool", "part", 3, b"abc")?;
    host.set_size("pool", "part", 8)?;
    host.sync("pool", "part")?;
    host.publish("pool", "part", "whole", Replace::Refused)?;
    host.read_at("pool", "whole", 2, 100)
}

#[test]
fn files_keep_their_bytes_and_what_was_never_written_is_zero() {
    let host = MockHost::new();
    host.grant_dir("pool");
    assert_eq!(stream_side(&host).unwrap(), b"\0abc\0\0");
    assert_eq!(host.files("pool"), ["whole"]);
    let files: &dyn crate::host::Files = &host;
    assert!(files.write_at("pool", "x", 0, &vec![0; (1 << 20) + 1]).is_err());
    assert!(files.read_at("elsewhere", "whole", 0, 1).is_err());
    host.fail_next("write-at", Error::limit("disk.no-space", "full"));
    assert_eq!(stream_side(&host).unwrap_err().code, "disk.no-space");
}
