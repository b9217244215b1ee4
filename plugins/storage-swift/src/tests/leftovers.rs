//! Uploads that never become an object.

use std::{cell::RefCell, rc::Rc};

use imprint_plugin_sdk::{
    error::Error,
    mock::MockHost,
    storage::{Storage as _, Upload as _},
};

use super::{
    put, read, request, send,
    server::{Server, Stored},
    settings, storage,
};
use crate::{SwiftUpload, SwiftVolume};

const SEGMENTS: &str = "images_segments";

/// Begins an upload and sends its parts. Whatever began it is gone then.
fn interrupted(host: &MockHost, volume: &SwiftVolume, key: &str, parts: &[&[u8]]) -> SwiftUpload {
    let mut upload = volume.begin_upload(host, &request(key, Some(3 << 20))).unwrap();
    send(host, &mut upload, parts);
    upload
}

/// Begins another upload, which sweeps, and gives it up.
fn sweep(host: &MockHost, volume: &SwiftVolume) {
    volume.begin_upload(host, &request("other", Some(1))).unwrap().abort(host).unwrap();
}

fn segments(server: &Rc<RefCell<Server>>) -> Vec<String> {
    server.borrow().names(SEGMENTS)
}

fn id(upload: &SwiftUpload) -> String {
    let token: serde_json::Value = serde_json::from_slice(&upload.token()).unwrap();
    token["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_upload_has_a_mark_until_it_ends() {
    let (host, server, volume) = storage(&[]);
    for ends_well in [true, false] {
        let mut upload = interrupted(&host, &volume, "a/b", &[b"bytes"]);
        let id = id(&upload);
        assert_eq!(segments(&server), [format!("own/.uploads/{id}/a/b"), format!("own/a/b/{id}/00000001")]);
        if ends_well {
            let answers = send(&host, &mut upload, &[b"bytes"]);
            upload.completed(&host, &answers).unwrap();
            upload.commit(&host, 5, &[]).unwrap();
            assert_eq!(segments(&server), [format!("own/a/b/{id}/00000001")]);
            volume.delete(&host, &["a/b".to_owned()]).unwrap();
        } else {
            volume.cleanup(&host, &upload.token()).unwrap();
        }
        assert_eq!(segments(&server), Vec::<String>::new());
    }
}

#[test]
fn uploads_that_are_never_ended_are_removed_by_the_next_one() {
    for has_bulk in [true, false] {
        let (host, server, volume) = storage(&[]);
        server.borrow_mut().has_bulk = has_bulk;
        put(&host, &volume, "a", &[b"kept"]);
        let kept = segments(&server);
        interrupted(&host, &volume, "a", &[b"one", b"two"]);
        interrupted(&host, &volume, "b/c", &[]);
        for day in [13, 18] {
            server.borrow_mut().day = day;
            sweep(&host, &volume);
            assert_eq!(segments(&server).len(), kept.len() + 4, "a week is not over on day {day}");
        }
        server.borrow_mut().day = 19;
        sweep(&host, &volume);
        assert_eq!(segments(&server), kept);
        assert_eq!(read(&host, &volume, "a"), b"kept");
    }
}

#[test]
fn the_operator_sets_after_how_many_days() {
    let (host, server, volume) = storage(&[("abort-after", "2")]);
    interrupted(&host, &volume, "a", &[b"one"]);
    server.borrow_mut().day = 13;
    sweep(&host, &volume);
    assert_eq!(segments(&server).len(), 2);
    server.borrow_mut().day = 14;
    sweep(&host, &volume);
    assert_eq!(segments(&server), Vec::<String>::new());
    for days in ["1", "366", "x"] {
        let error = SwiftVolume::open(&host, &settings(&[("abort-after", days)])).unwrap_err();
        assert_eq!(error.code, "swift.settings.setting.abort-after");
    }
}

#[test]
fn an_upload_that_continues_keeps_its_segments() {
    let (host, server, volume) = storage(&[]);
    let upload = interrupted(&host, &volume, "a", &[b"old"]);
    server.borrow_mut().day = 30;
    // Another process continues with the part that is there.
    let mut continued = volume.resume_upload(&host, &upload.token()).unwrap();
    let answers = send(&host, &mut continued, &[b"new"]);
    sweep(&host, &volume);
    continued.completed(&host, &answers).unwrap();
    continued.commit(&host, 3, &[]).unwrap();
    assert_eq!(read(&host, &volume, "a"), b"new");
}

#[test]
fn segments_of_an_object_stay_whatever_became_of_it() {
    // The process ended after the manifest was put and before the mark was removed.
    let committed = |host: &MockHost, server: &Rc<RefCell<Server>>, volume: &SwiftVolume| {
        put(host, volume, "a", &[&vec![7; 1 << 20], b"end"]);
        let name = segments(server)[0].clone();
        let id = name.split('/').nth(2).unwrap().to_owned();
        server.borrow_mut().put(SEGMENTS, &format!("own/.uploads/{id}/a"), Stored::Bytes(Vec::new()));
        server.borrow_mut().day = 31;
    };
    for renamed in [None, Some("own/a"), Some("own/other"), Some("elsewhere")] {
        let (host, server, volume) = storage(&[]);
        committed(&host, &server, &volume);
        if let Some(name) = renamed {
            server.borrow_mut().rename("images", "own/a", name);
        }
        assert_eq!(segments(&server).len(), 3);
        sweep(&host, &volume);
        assert_eq!(segments(&server).len(), 2, "the mark goes, the segments stay ({renamed:?})");
    }
    // An object of the same size has nothing to do with them.
    let (host, server, volume) = storage(&[]);
    put(&host, &volume, "b", &[&vec![8; 1 << 20], b"END"]);
    committed(&host, &server, &volume);
    server.borrow_mut().delete(&("images".to_owned(), "own/a".to_owned()), false);
    sweep(&host, &volume);
    let left = segments(&server);
    assert!(left.len() == 2 && left.iter().all(|name| name.starts_with("own/b/")), "{left:?}");
}

#[test]
fn what_others_keep_in_the_container_is_not_touched() {
    let (host, server, volume) = storage(&[]);
    let others = [
        // The command `swift` keeps its segments so.
        ("own/stock.raw/1700000000.000000/1048576/1048576/00000000", b"segment".to_vec()),
        ("own/img_1/tx00000000000000000001/00000001", b"segment".to_vec()),
        ("own/.uploads/tx00000000000000000001", Vec::new()),
        ("own/.uploads/a_b/img_1", Vec::new()),
        ("own/.uploads/tx00000000000000000001/../x", Vec::new()),
        // No mark: it has bytes.
        ("own/.uploads/tx00000000000000000001/img_1", b"bytes".to_vec()),
        (".uploads/tx00000000000000000001/own/img_1", Vec::new()),
    ];
    for (name, bytes) in &others {
        server.borrow_mut().put(SEGMENTS, name, Stored::Bytes(bytes.clone()));
    }
    server.borrow_mut().day = 31;
    sweep(&host, &volume);
    assert_eq!(segments(&server).len(), others.len());
    assert!(volume.stat(&host, ".uploads/tx1/a").is_err_and(|error| error.code == "swift.key"));
}

#[test]
fn a_sweep_that_fails_does_not_hold_up_an_upload() {
    let (host, server, volume) = storage(&[]);
    interrupted(&host, &volume, "a", &[b"one"]);
    server.borrow_mut().day = 31;
    // Whatever request fails: the sweep, or what the new upload needs.
    let mut uploads = 0;
    for skip in 0..12 {
        host.fail_nth("http", skip, Error::unsupported("test.no", "no"));
        let started = volume.begin_upload(&host, &request("other", Some(1)));
        host.clear_faults();
        if let Ok(mut upload) = started {
            upload.abort(&host).unwrap();
            uploads += 1;
        }
    }
    assert!((6..12).contains(&uploads), "{uploads}");
    sweep(&host, &volume);
    assert_eq!(segments(&server), Vec::<String>::new());
}
