//! What every storage must do, over directories in memory.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    host::Space,
    mock::MockHost,
    storage::{Object, Storage, Upload, WriteRequest, WriteTarget},
    types::{FileRef, Props, ReadLocator},
};

use crate::{
    folder::POOL,
    {LocalUpload, LocalVolume},
};

fn open() -> (MockHost, LocalVolume) {
    let host = MockHost::new();
    host.grant_dir(POOL);
    let volume = LocalVolume::open(&host, &Props::new()).unwrap();
    (host, volume)
}

fn wanted(key: &str) -> WriteRequest {
    WriteRequest {
        key: key.to_owned(),
        size: None,
        upper_bound: Some(1 << 40),
        needs_random: true,
        if_absent: true,
        extra: Props::new(),
    }
}

fn temporary(upload: &LocalUpload) -> String {
    let WriteTarget::File(FileRef { grant, path }) = upload.target() else { panic!("not a file") };
    assert_eq!(grant, POOL);
    path
}

/// Writes as the host does.
fn put(host: &MockHost, volume: &LocalVolume, key: &str, size: u64) -> Object {
    let mut upload = volume.begin_upload(host, &wanted(key)).unwrap();
    host.put_file(POOL, &temporary(&upload), size);
    upload.commit(host, size, &[]).unwrap()
}

fn keys(host: &MockHost, volume: &LocalVolume, prefix: &str, max: u32) -> Vec<String> {
    let mut keys = Vec::new();
    let mut resume = None;
    loop {
        let page = volume.list(host, prefix, resume.as_deref(), max).unwrap();
        assert!(page.objects.len() <= usize::try_from(max).unwrap());
        keys.extend(page.objects.into_iter().map(|object| object.key));
        resume = page.resume;
        if resume.is_none() {
            return keys;
        }
    }
}

#[test]
fn an_object_is_listed_and_read_after_its_commit_and_not_before() {
    let (host, volume) = open();
    let mut upload = volume.begin_upload(&host, &wanted("images/a.qcow2")).unwrap();
    host.put_file(POOL, &temporary(&upload), 7);
    assert_eq!(volume.stat(&host, "images/a.qcow2").unwrap_err().class, ErrorClass::NotFound);
    assert_eq!(keys(&host, &volume, "", 10), Vec::<String>::new());
    let object = upload.commit(&host, 7, &[]).unwrap();
    assert_eq!((object.key.as_str(), object.size), ("images/a.qcow2", 7));
    assert_eq!(volume.stat(&host, "images/a.qcow2").unwrap(), object);
    assert_eq!(keys(&host, &volume, "", 10), ["images/a.qcow2"]);
    assert_eq!(keys(&host, &volume, "images/a", 10), ["images/a.qcow2"]);
    assert_eq!(keys(&host, &volume, "images/b", 10), Vec::<String>::new());
    assert_eq!(keys(&host, &volume, "nowhere/", 10), Vec::<String>::new());
    let file = FileRef { grant: POOL.to_owned(), path: "images/a.qcow2".to_owned() };
    assert_eq!(volume.open_read(&host, "images/a.qcow2"), Ok(ReadLocator::File(file)));
    assert_eq!(host.files(POOL), ["images/a.qcow2"]);
}

#[test]
fn an_empty_object() {
    let (host, volume) = open();
    assert_eq!(put(&host, &volume, "empty", 0).size, 0);
}

#[test]
fn an_incomplete_upload_is_not_published() {
    let (host, volume) = open();
    let mut upload = volume.begin_upload(&host, &wanted("a")).unwrap();
    host.put_file(POOL, &temporary(&upload), 6);
    let error = upload.commit(&host, 7, &[]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Corrupt, "local.incomplete"));
    assert_eq!(keys(&host, &volume, "", 10), Vec::<String>::new());
}

#[test]
fn abort_and_cleanup_leave_nothing_however_often() {
    let (host, volume) = open();
    let mut upload = volume.begin_upload(&host, &wanted("a")).unwrap();
    host.put_file(POOL, &temporary(&upload), 6);
    let token = upload.token();
    for _ in 0..2 {
        upload.abort(&host).unwrap();
        volume.cleanup(&host, &token).unwrap();
    }
    assert_eq!(host.files(POOL), Vec::<String>::new());
    let error = upload.commit(&host, 6, &[]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Conflict, "local.upload-lost"));
}

#[test]
fn cleanup_after_a_commit_keeps_the_object() {
    let (host, volume) = open();
    let mut upload = volume.begin_upload(&host, &wanted("a")).unwrap();
    host.put_file(POOL, &temporary(&upload), 6);
    upload.commit(&host, 6, &[]).unwrap();
    volume.cleanup(&host, &upload.token()).unwrap();
    assert_eq!(volume.stat(&host, "a").unwrap().size, 6);
}

#[test]
fn an_upload_goes_on_from_its_token() {
    let (host, volume) = open();
    let started = volume.begin_upload(&host, &wanted("deep/er/a")).unwrap();
    host.put_file(POOL, &temporary(&started), 6);
    assert!(started.token().len() <= 4_096);
    let mut upload = volume.resume_upload(&host, &started.token()).unwrap();
    assert_eq!(upload, started);
    upload.commit(&host, 6, &[]).unwrap();
    // The answer of the first commit was lost.
    assert_eq!(
        volume.resume_upload(&host, &started.token()).unwrap().commit(&host, 6, &[]).unwrap().key,
        "deep/er/a"
    );
}

#[test]
fn the_longest_key_has_a_token_and_a_longer_one_is_refused() {
    let (host, volume) = open();
    let long = format!("{}/{}/{}", "\u{e9}".repeat(127), "\"".repeat(255), "b");
    assert_eq!(long.len(), 512);
    let upload = volume.begin_upload(&host, &wanted(&long)).unwrap();
    assert!(upload.token().len() <= 4_096);
    assert_eq!(volume.resume_upload(&host, &upload.token()), Ok(upload));
    assert_eq!(volume.begin_upload(&host, &wanted(&format!("{long}b"))).unwrap_err().code, "local.key");
}

#[test]
fn uploads_of_one_key_at_once_do_not_share_a_file_and_one_wins() {
    let (host, volume) = open();
    let mut first = volume.begin_upload(&host, &wanted("a")).unwrap();
    host.put_file(POOL, &temporary(&first), 1);
    let mut second = volume.begin_upload(&host, &wanted("a")).unwrap();
    host.put_file(POOL, &temporary(&second), 2);
    assert_ne!(temporary(&first), temporary(&second));
    second.commit(&host, 2, &[]).unwrap();
    let error = first.commit(&host, 1, &[]).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::AlreadyExists, "local.exists"));
    assert_eq!(volume.stat(&host, "a").unwrap().size, 2);
    first.abort(&host).unwrap();
    assert_eq!(host.files(POOL), ["a"]);
    assert_eq!(volume.begin_upload(&host, &wanted("a")).unwrap_err().class, ErrorClass::AlreadyExists);
}

#[test]
fn an_object_is_replaced_when_that_is_asked_for() {
    let (host, volume) = open();
    put(&host, &volume, "a", 1);
    let mut upload = volume.begin_upload(&host, &WriteRequest { if_absent: false, ..wanted("a") }).unwrap();
    host.put_file(POOL, &temporary(&upload), 2);
    assert_eq!(volume.stat(&host, "a").unwrap().size, 1);
    upload.commit(&host, 2, &[]).unwrap();
    assert_eq!(volume.stat(&host, "a").unwrap().size, 2);
}

#[test]
fn hostile_keys() {
    let (host, volume) = open();
    put(&host, &volume, "a", 1);
    let deep = "d/".repeat(16) + "e";
    let long_name = "n".repeat(256);
    let long_key = "k".repeat(513);
    let hostile = [
        "",
        "/",
        "/etc/shadow",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        ".",
        ".tmp/x",
        "a//b",
        "a/",
        "/a",
        ".hidden",
        "a/.hidden",
        "a\0b",
        "a\nb",
        "a\\b",
        "\u{7f}",
        &deep,
        &long_name,
        &long_key,
    ];
    for key in hostile {
        for error in [
            volume.begin_upload(&host, &wanted(key)).unwrap_err(),
            volume.stat(&host, key).unwrap_err(),
            volume.open_read(&host, key).unwrap_err(),
            volume.delete(&host, &[key.to_owned()]).unwrap().remove(0).1,
        ] {
            assert_eq!(
                (error.class, error.code.as_str()),
                (ErrorClass::InvalidInput, "local.key"),
                "{key:?}"
            );
        }
    }
    for prefix in ["../", "/", "a/../", ".tmp/"] {
        assert_eq!(volume.list(&host, prefix, None, 10).unwrap_err().code, "local.key", "{prefix:?}");
    }
    assert_eq!(keys(&host, &volume, ".t", 10), Vec::<String>::new());
    assert_eq!(host.files(POOL), ["a"]);
}

#[test]
fn hostile_tokens() {
    let (host, volume) = open();
    put(&host, &volume, "a", 1);
    let token = |temporary: &str, key: &str| {
        format!(r#"{{"version":1,"temporary":"{temporary}","key":"{key}","if-absent":true}}"#).into_bytes()
    };
    assert!(volume.resume_upload(&host, &token(".tmp/1-2-3", "b")).is_ok());
    let hostile = [
        Vec::new(),
        b"not json".to_vec(),
        vec![b' '; 5_000],
        token("a", "b"),
        token(".tmp/", "b"),
        token(".tmp/../a", "b"),
        token(".tmpa", "b"),
        token("../.tmp/1", "b"),
        br#"{"version":2,"temporary":".tmp/1","key":"b","if-absent":true}"#.to_vec(),
    ];
    for bytes in hostile.into_iter().chain([token(".tmp/1", "../b")]) {
        assert_eq!(volume.cleanup(&host, &bytes).unwrap_err().class, ErrorClass::InvalidInput);
        assert!(volume.resume_upload(&host, &bytes).is_err());
    }
    assert_eq!(host.files(POOL), ["a"]);
}

#[test]
fn deleting_is_idempotent_and_names_what_it_could_not() {
    let (host, volume) = open();
    put(&host, &volume, "dir/a", 1);
    let both = ["dir/a".to_owned(), "never".to_owned()];
    for _ in 0..2 {
        assert_eq!(volume.delete(&host, &both), Ok(Vec::new()));
    }
    let failed = volume.delete(&host, &["dir".to_owned(), "../x".to_owned()]).unwrap();
    let failed: Vec<&str> = failed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(failed, ["dir", "../x"]);
    assert_eq!(keys(&host, &volume, "", 10), Vec::<String>::new());
}

#[test]
fn unknown_keys_and_directories_are_not_objects() {
    let (host, volume) = open();
    put(&host, &volume, "dir/a", 1);
    for key in ["nothing", "dir", "dir/b", "dir/a/c"] {
        let error = volume.stat(&host, key).unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::NotFound, "local.not-found"), "{key}");
        assert!(error.message.contains(key));
    }
}

#[test]
fn ten_thousand_keys_in_pages() {
    let (host, volume) = open();
    let mut expected: Vec<String> =
        (0..10_000).map(|index| format!("images/{:02}/{index:05}-x", index % 100)).collect();
    for key in &expected {
        host.put_file(POOL, key, 1);
    }
    expected.sort();
    assert_eq!(keys(&host, &volume, "", 1_000), expected);
    expected.retain(|key| key.starts_with("images/4"));
    assert_eq!(keys(&host, &volume, "images/4", 333), expected);
    assert_eq!(volume.list(&host, "", None, u32::MAX).unwrap().objects.len(), 1_000);
}

#[test]
fn the_order_is_that_of_the_keys_at_every_page_size() {
    let (host, volume) = open();
    let mut expected: Vec<String> = [
        "a/b", "a-b", "a", "a!x/1", "a.b/c", "a0", "ab/c", "b/c/d/e", "b/c-d", "b/c.d/x", "b", "a--/z",
        "\u{e9}/x", "-/y", "-",
    ]
    .map(str::to_owned)
    .to_vec();
    // A name cannot be a file and a directory at once.
    expected.retain(|key| !["a", "b", "-"].contains(&key.as_str()));
    for key in &expected {
        host.put_file(POOL, key, 1);
    }
    host.put_file(POOL, ".hidden/x", 1);
    host.put_file(POOL, ".tmp/1-2-3", 1);
    expected.sort();
    for max in 1..=16 {
        assert_eq!(keys(&host, &volume, "", max), expected, "in pages of {max}");
    }
    for prefix in ["a", "a-", "a/", "b/c", "b/c/", "b/c/d", "z", "\u{e9}"] {
        let some: Vec<&String> = expected.iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(keys(&host, &volume, prefix, 1).iter().collect::<Vec<_>>(), some, "with prefix {prefix}");
    }
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let (host, volume) = open();
    for key in ["a/x", "b/x"] {
        host.put_file(POOL, key, 1);
    }
    // The pool itself is listed first, then `a`.
    host.fail_nth("list", 1, Error::denied("dirs.denied", "not readable"));
    assert_eq!(keys(&host, &volume, "", 10), ["b/x"]);
    host.fail_next("list", Error::transient("dirs.io", "i/o error"));
    assert_eq!(volume.list(&host, "", None, 10).unwrap_err().code, "dirs.io");
}

#[test]
fn room() {
    let (host, volume) = open();
    host.set_space(Space { total: 100, available: 10 });
    assert_eq!(volume.space(&host), Ok(Some(Space { total: 100, available: 10 })));
    let error = volume.begin_upload(&host, &WriteRequest { size: Some(11), ..wanted("a") }).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::LimitExceeded, "local.full"));
    assert!(volume.begin_upload(&host, &WriteRequest { size: Some(10), ..wanted("a") }).is_ok());
    assert!(volume.features(&host).unwrap().atomic_replace);
}

#[test]
fn without_a_pool_it_does_not_open() {
    assert_eq!(
        LocalVolume::open(&MockHost::new(), &Props::new()).err().map(|error| error.class),
        Some(ErrorClass::Denied)
    );
}

#[test]
fn a_host_that_fails_in_the_middle_of_a_commit_leaves_a_whole_upload() {
    let (host, volume) = open();
    let mut upload = volume.begin_upload(&host, &wanted("x/a")).unwrap();
    host.put_file(POOL, &temporary(&upload), 3);
    for operation in ["stat", "create-directory", "publish"] {
        host.fail_next(operation, Error::transient("dirs.io", "i/o error"));
        assert_eq!(upload.commit(&host, 3, &[]).unwrap_err().code, "dirs.io", "{operation}");
        assert_eq!(keys(&host, &volume, "", 10), Vec::<String>::new());
    }
    upload.commit(&host, 3, &[]).unwrap();
    assert_eq!(host.files(POOL), ["x/a"]);
}
