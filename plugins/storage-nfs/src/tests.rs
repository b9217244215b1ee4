//! The protocol against a server in memory, and the suite of the SDK.

mod marker;
mod server;

use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    host::Mount,
    mock::MockHost,
    storage::{
        Order, Storage, StreamReader as _, StreamStorage as _, StreamWriter as _, Upload, WriteRequest,
        WriteTarget,
    },
    testing::storage::{CaseResult, MockSubject, run},
    types::{FileRef, Props, ReadLocator, props},
};
use nfs3_types::{mount::mountstat3, nfs3::nfsstat3};

use self::server::{EXPORT, Server};
use crate::{NfsUpload, NfsVolume, NfsWriter, procedure};

const MIB: usize = 1 << 20;

fn settings() -> Props {
    props([("server", "nas"), ("export", EXPORT), ("folder", "customer"), ("uid", "1000"), ("gid", "100")])
}

fn open(server: &Server) -> (MockHost, NfsVolume) {
    let host = server.host();
    let volume = NfsVolume::open(&host, &settings()).unwrap();
    (host, volume)
}

fn wanted(key: &str, if_absent: bool) -> WriteRequest {
    WriteRequest {
        key: key.to_owned(),
        size: None,
        upper_bound: Some(1 << 30),
        needs_random: false,
        if_absent,
        extra: Props::new(),
    }
}

fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 255 + seed) % 251).unwrap()).collect()
}

fn write(host: &MockHost, writer: &mut NfsWriter, offset: usize, bytes: &[u8]) -> Result<(), Error> {
    let mut at = offset;
    for part in bytes.chunks(MIB) {
        writer.write(host, u64::try_from(at).unwrap(), part)?;
        at += part.len();
    }
    Ok(())
}

fn started(host: &MockHost, volume: &NfsVolume, key: &str) -> (NfsUpload, NfsWriter) {
    let upload = volume.begin_upload(host, &wanted(key, true)).unwrap();
    let writer = volume.writer(host, &upload.token()).unwrap();
    (upload, writer)
}

fn put(host: &MockHost, volume: &NfsVolume, key: &str, bytes: &[u8]) {
    let (mut upload, mut writer) = started(host, volume, key);
    write(host, &mut writer, 0, bytes).unwrap();
    let size = u64::try_from(bytes.len()).unwrap();
    writer.finish(host, size).unwrap();
    upload.commit(host, size, &[]).unwrap();
}

#[test]
fn it_does_what_every_storage_must() {
    let outcomes = run(&mut |_| {
        let server = Server::new();
        MockSubject::<NfsVolume>::over_tcp(server.host(), &settings(), &[])
    });
    for outcome in outcomes {
        assert_eq!(outcome.result, CaseResult::Passed, "{outcome}");
    }
}

#[test]
fn a_mounted_export_does_what_every_storage_must() {
    let settings = props([("access", "mount"), ("server", "nas"), ("export", EXPORT), ("path", "/mnt")]);
    let outcomes = run(&mut |_| {
        let host = MockHost::new();
        host.set_mount("mount", mounted("nas:/srv/images"));
        MockSubject::<NfsVolume>::over_tcp(host, &settings, &["mount"])
    });
    for outcome in outcomes {
        assert_eq!(outcome.result, CaseResult::Passed, "{outcome}");
    }
}

fn mounted(source: &str) -> Mount {
    Mount {
        file_system: "nfs4".to_owned(),
        source: source.to_owned(),
        root: "/".to_owned(),
        inside: String::new(),
        options: String::new(),
    }
}

#[test]
fn the_bytes_of_a_mounted_export_are_the_hosts() {
    let settings = props([("access", "mount"), ("server", "nas"), ("export", EXPORT), ("path", "/mnt")]);
    let host = MockHost::new();
    host.grant_dir("mount");
    let error = NfsVolume::open(&host, &settings).err().unwrap();
    assert_eq!(error.code, "nfs.not-mounted.setting.path");
    host.set_mount("mount", mounted("other:/srv/images"));
    let error = NfsVolume::open(&host, &settings).err().unwrap();
    assert_eq!(error.code, "nfs.other-server.setting.server");
    host.set_mount("mount", mounted("nas:/srv/images"));
    let volume = NfsVolume::open(&host, &settings).unwrap();
    let mut upload = volume.begin_upload(&host, &wanted("a", true)).unwrap();
    let WriteTarget::File(FileRef { grant, path }) = upload.target() else { panic!("no file") };
    host.put_file(&grant, &path, 7);
    // The rename happened, and its answer was lost.
    host.lose_answer("publish", 0, Error::transient("dirs.io", "the connection broke"));
    assert_eq!(upload.commit(&host, 7, &[]).unwrap().size, 7);
    assert!(matches!(volume.open_read(&host, "a"), Ok(ReadLocator::File(_))));
    assert_eq!(volume.writer(&host, &upload.token()).err().unwrap().code, "nfs.mounted");
}

#[test]
fn an_object_is_written_by_two_writers_and_read_in_pieces() {
    let server = Server::new();
    server.0.borrow_mut().piece = 100_000;
    let (host, volume) = open(&server);
    let bytes = pattern(3, 3 * MIB + 17);
    let (mut upload, mut first) = started(&host, &volume, "folder/image.qcow2");
    assert_eq!((upload.target(), first.order()), (WriteTarget::GuestStream, Order::Any));
    let mut second = volume.writer(&host, &upload.token()).unwrap();
    write(&host, &mut second, MIB, &bytes[MIB..]).unwrap();
    write(&host, &mut first, 0, &bytes[..MIB]).unwrap();
    let size = u64::try_from(bytes.len()).unwrap();
    for writer in [&mut first, &mut second] {
        writer.finish(&host, size).unwrap();
    }
    assert_eq!(volume.stat(&host, "folder/image.qcow2").unwrap_err().class, ErrorClass::NotFound);
    let object = upload.commit(&host, size, &[]).unwrap();
    assert_eq!((object.size, object.key.as_str()), (size, "folder/image.qcow2"));
    assert_eq!(server.bytes("customer/folder/image.qcow2").as_ref(), Some(&bytes));
    assert_eq!(volume.open_read(&host, "folder/image.qcow2"), Ok(ReadLocator::GuestStream));
    let mut reader = volume.reader(&host, "folder/image.qcow2").unwrap();
    assert_eq!(reader.size(), size);
    for (from, length) in [(0, MIB), (99_999, 2), (MIB + 1, MIB), (3 * MIB, 17)] {
        let read = reader.read(&host, u64::try_from(from).unwrap(), u32::try_from(length).unwrap()).unwrap();
        assert!(read == bytes[from..from + length], "{from} {length}");
    }
    assert_eq!(server.0.borrow().uids.iter().copied().collect::<Vec<_>>(), [1000]);
    use imprint_plugin_sdk::mock::Medium as _;
    assert_eq!(server.files(), ["/customer/folder/image.qcow2"]);
}

#[test]
fn what_a_restarted_server_has_lost_is_written_again() {
    // After each number of calls: before, between and after the commits.
    for calls in 1..30 {
        let server = Server::new();
        server.0.borrow_mut().piece = 600_000;
        let (host, volume) = open(&server);
        let bytes = pattern(calls, 2 * MIB);
        let (mut upload, mut first) = started(&host, &volume, "a");
        let mut second = volume.writer(&host, &upload.token()).unwrap();
        server.0.borrow_mut().restart_in = Some(u32::try_from(calls).unwrap());
        write(&host, &mut first, 0, &bytes[..MIB]).unwrap();
        write(&host, &mut second, MIB, &bytes[MIB..]).unwrap();
        let size = u64::try_from(bytes.len()).unwrap();
        first.finish(&host, size).unwrap();
        second.finish(&host, size).unwrap();
        upload.commit(&host, size, &[]).unwrap();
        server.restart();
        assert!(server.bytes("customer/a").as_ref() == Some(&bytes), "restarted after {calls} calls");
    }
}

#[test]
fn an_upload_that_lost_a_writer_and_its_server_is_refused() {
    let server = Server::new();
    let (host, volume) = open(&server);
    let (mut upload, mut lost) = started(&host, &volume, "a");
    let mut second = volume.writer(&host, &upload.token()).unwrap();
    write(&host, &mut lost, 0, &pattern(1, MIB)).unwrap();
    drop(lost);
    server.restart();
    write(&host, &mut second, MIB, &pattern(2, MIB)).unwrap();
    let size = u64::try_from(2 * MIB).unwrap();
    second.finish(&host, size).unwrap();
    let error = upload.commit(&host, size, &[]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Conflict, "nfs.restarted"));
    volume.cleanup(&host, &upload.token()).unwrap();
    use imprint_plugin_sdk::mock::Medium as _;
    assert_eq!(server.files(), Vec::<String>::new());
    // Without a restart nothing is lost: the other writer's commit was for all bytes.
    let (mut upload, mut lost) = started(&host, &volume, "a");
    let mut second = volume.writer(&host, &upload.token()).unwrap();
    write(&host, &mut lost, 0, &pattern(1, MIB)).unwrap();
    drop(lost);
    write(&host, &mut second, MIB, &pattern(2, MIB)).unwrap();
    second.finish(&host, size).unwrap();
    upload.commit(&host, size, &[]).unwrap();
    server.restart();
    assert_eq!(server.bytes("customer/a").unwrap(), [pattern(1, MIB), pattern(2, MIB)].concat());
    assert_eq!(server.files(), ["/customer/a"]);
}

#[test]
fn a_lost_answer_of_any_call_changes_nothing() {
    let procedures = [
        procedure::LOOKUP,
        procedure::CREATE,
        procedure::SETATTR,
        procedure::MKDIR,
        procedure::WRITE,
        procedure::COMMIT,
        procedure::LINK,
        procedure::RENAME,
        procedure::REMOVE,
        procedure::READDIRPLUS,
        procedure::GETATTR,
    ];
    for lost in procedures {
        for (if_absent, repeated) in [(true, 1), (false, 1), (true, 2)] {
            let server = Server::new();
            let (host, volume) = open(&server);
            server.0.borrow_mut().lose.extend(vec![lost; repeated]);
            let bytes = pattern(9, 1000);
            let mut upload = volume.begin_upload(&host, &wanted("a/b", if_absent)).unwrap();
            let mut writer = volume.writer(&host, &upload.token()).unwrap();
            write(&host, &mut writer, 0, &bytes).unwrap();
            writer.finish(&host, 1000).unwrap();
            upload.commit(&host, 1000, &[]).unwrap();
            assert_eq!(server.bytes("customer/a/b").as_ref(), Some(&bytes), "{lost}");
            use imprint_plugin_sdk::mock::Medium as _;
            assert_eq!(server.files(), ["/customer/a/b"], "{lost}");
            assert_eq!(volume.delete(&host, &["a/b".to_owned()]).unwrap(), Vec::new(), "{lost}");
            assert_eq!(server.files(), Vec::<String>::new(), "{lost}");
        }
    }
}

#[test]
fn a_server_that_hangs_runs_into_the_time_limit() {
    let server = Server::new();
    let (host, volume) = open(&server);
    put(&host, &volume, "a", b"bytes");
    server.0.borrow_mut().silent = true;
    use imprint_plugin_sdk::host::Task as _;
    let began = host.monotonic_ms();
    let error = volume.stat(&host, "a").unwrap_err();
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Transient, "nfs.not-answering.setting.server")
    );
    let took = host.monotonic_ms() - began;
    assert!((30_000..45_000).contains(&took), "{took} ms");
    server.0.borrow_mut().silent = false;
    assert_eq!(volume.stat(&host, "a").unwrap().size, 5);
}

#[test]
fn every_status_of_the_server_says_what_to_do() {
    let cases = [
        (nfsstat3::NFS3ERR_ACCES, ErrorClass::Denied, "nfs.access.setting.uid"),
        (nfsstat3::NFS3ERR_PERM, ErrorClass::Denied, "nfs.access.setting.uid"),
        (nfsstat3::NFS3ERR_ROFS, ErrorClass::Conflict, "nfs.read-only.setting.export"),
        (nfsstat3::NFS3ERR_NOSPC, ErrorClass::LimitExceeded, "nfs.no-space"),
        (nfsstat3::NFS3ERR_DQUOT, ErrorClass::LimitExceeded, "nfs.quota.no-space"),
        (nfsstat3::NFS3ERR_STALE, ErrorClass::Conflict, "nfs.stale"),
        (nfsstat3::NFS3ERR_IO, ErrorClass::Transient, "nfs.server"),
        (nfsstat3::NFS3ERR_XDEV, ErrorClass::Conflict, "nfs.other-file-system.setting.export"),
    ];
    for (status, class, code) in cases {
        let server = Server::new();
        let (host, volume) = open(&server);
        let (_upload, mut writer) = started(&host, &volume, "a");
        server.0.borrow_mut().refuse.push_back((procedure::WRITE, status));
        let error = writer.write(&host, 0, b"bytes").unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (class, code), "{error}");
    }
    // A busy server is asked again.
    let server = Server::new();
    let (host, volume) = open(&server);
    server.0.borrow_mut().refuse.extend([(procedure::LOOKUP, nfsstat3::NFS3ERR_JUKEBOX); 3]);
    put(&host, &volume, "a", b"bytes");
}

#[test]
fn a_wrong_server_or_export_is_named() {
    let failed = |server: &Server, setting: &str, value: &str| {
        let mut settings = settings();
        settings.insert(setting.to_owned(), value.to_owned());
        NfsVolume::open(&server.host(), &settings).err().map(|error| error.code)
    };
    let server = Server::new();
    assert_eq!(failed(&server, "uid", "0"), None);
    assert_eq!(failed(&server, "export", "/srv/other").as_deref(), Some("nfs.no-export.setting.export"));
    for (setting, value) in [
        ("access", "smb"),
        ("export", "srv"),
        ("folder", "a/b"),
        ("uid", "-1"),
        ("nfs-port", "0"),
        ("timeout", "1"),
    ] {
        let code = format!("nfs.settings.setting.{setting}");
        assert_eq!(failed(&server, setting, value), Some(code));
    }
    server.0.borrow_mut().mount_status = mountstat3::MNT3ERR_ACCES;
    assert_eq!(failed(&server, "uid", "0").as_deref(), Some("nfs.not-permitted.setting.export"));

    let other = |answer: &'static [u8]| {
        let host = MockHost::new();
        host.serve_tcp("server", move |_| answer.to_vec());
        NfsVolume::open(&host, &settings()).err().map(|error| error.code)
    };
    assert_eq!(other(b"HTTP/1.1 400 Bad Request\r\n").as_deref(), Some("nfs.not-nfs.setting.server"));
    assert_eq!(other(b"").as_deref(), Some("nfs.not-answering.setting.server"));
    let nothing = MockHost::new();
    let error = NfsVolume::open(&nothing, &settings()).err().unwrap();
    assert_eq!(error.class, ErrorClass::Transient);
}

#[test]
fn listings_are_in_order_whatever_the_server_answers() {
    let server = Server::new();
    let (host, volume) = open(&server);
    assert_eq!(volume.list(&host, "", None, 10).unwrap().objects, Vec::new(), "nothing is there yet");
    let keys = ["a", "a-b", "a/b", "a0", "b/c/d", "z"];
    for key in keys {
        // `a` is an object and a folder cannot have its name.
        if key != "a" {
            put(&host, &volume, key, key.as_bytes());
        }
    }
    for (bare, plain) in [(false, false), (true, false), (false, true)] {
        server.0.borrow_mut().bare_listings = bare;
        server.0.borrow_mut().plain_names = plain;
        server.0.borrow_mut().page = 1;
        for max in 1..7 {
            let mut found = Vec::new();
            let mut resume = None;
            loop {
                let page = volume.list(&host, "", resume.as_deref(), max).unwrap();
                found.extend(page.objects.into_iter().map(|object| object.key));
                resume = page.resume;
                if resume.is_none() {
                    break;
                }
            }
            assert_eq!(found, keys[1..]);
        }
    }
}

#[test]
fn a_server_without_readdirplus_does_what_every_storage_must() {
    let outcomes = run(&mut |_| {
        let server = Server::new();
        server.0.borrow_mut().plain_names = true;
        MockSubject::<NfsVolume>::over_tcp(server.host(), &settings(), &[])
    });
    for outcome in outcomes {
        assert_eq!(outcome.result, CaseResult::Passed, "{outcome}");
    }
    // It is asked for it once in an instance, and no other failure has the same meaning.
    let server = Server::new();
    server.0.borrow_mut().plain_names = true;
    let (host, volume) = open(&server);
    put(&host, &volume, "a/b", b"bytes");
    let calls = |procedure: u32| server.0.borrow().calls.iter().filter(|call| **call == procedure).count();
    let plus = calls(procedure::READDIRPLUS);
    for _ in 0..3 {
        assert_eq!(volume.list(&host, "", None, 10).unwrap().objects.len(), 1);
    }
    assert_eq!((plus, calls(procedure::READDIRPLUS)), (1, 1));
    let server = Server::new();
    let (host, volume) = open(&server);
    put(&host, &volume, "a/b", b"bytes");
    server.0.borrow_mut().refuse.push_back((procedure::READDIRPLUS, nfsstat3::NFS3ERR_ACCES));
    assert_eq!(volume.list(&host, "", None, 10).unwrap_err().code, "nfs.access.setting.uid");
}

#[test]
fn links_are_no_objects() {
    let server = Server::new();
    let host = server.host();
    let mut settings = settings();
    settings.insert("folder".to_owned(), ".".to_owned());
    let volume = NfsVolume::open(&host, &settings).unwrap();
    server.put_link("link");
    server.put_link(".imprint-storage.x");
    assert_eq!(volume.stat(&host, "link").unwrap_err().class, ErrorClass::NotFound);
    assert_eq!(volume.list(&host, "", None, 10).unwrap().objects, Vec::new());
    let named = NfsVolume::open(&host, &props([("server", "nas"), ("export", EXPORT), ("folder", "link")]));
    assert_eq!(named.err().unwrap().code, "nfs.no-folder.setting.folder");
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_a_conflict() {
    let server = Server::new();
    let (host, volume) = open(&server);
    put(&host, &volume, "a", b"first");
    let mut reader = volume.reader(&host, "a").unwrap();
    assert_eq!(reader.read(&host, 0, 5).unwrap(), b"first");
    let mut upload = volume.begin_upload(&host, &wanted("a", false)).unwrap();
    let mut writer = volume.writer(&host, &upload.token()).unwrap();
    write(&host, &mut writer, 0, b"second").unwrap();
    writer.finish(&host, 6).unwrap();
    upload.commit(&host, 6, &[]).unwrap();
    assert_eq!(reader.read(&host, 0, 5).unwrap_err().class, ErrorClass::Conflict);
}
