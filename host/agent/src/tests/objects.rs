//! The object server: what it gives, to whom, and what it refuses.

#![expect(clippy::disallowed_methods, reason = "tests hold no clock of their own")]

use std::{fs, io::Read as _, net::TcpStream, sync::Arc, time::Duration};

use chrono::Utc;
use imprint_agent_protocol::{AssignmentKind, ObjectGrant, ObjectServer, ObjectSource, Outcome, object_path};
use imprint_domain::id::StorageId;
use imprint_http_client::{
    Client, ClientOptions, HttpError, HttpSource, PrivateNetworks, Retries,
    http::{Request, header},
};
use uuid::Uuid;

use super::fakes::{DISK_SIZE, World, object_key, storage_ref};
use crate::{ObjectSettings, sync::blocking};

const KEY: &str = "a key/\u{e4}.raw";

fn grant() -> ObjectGrant {
    ObjectGrant {
        storage: storage_ref().id,
        key: "image-1".to_owned(),
        purpose: "test".to_owned(),
        until: Utc::now() + chrono::Duration::minutes(1),
        direct_s: None,
        file_name: None,
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

/// An agent that serves objects.
fn world() -> World {
    let mut world = World::new();
    world.settings.objects =
        Some(ObjectSettings { listen: "127.0.0.1:0".parse().unwrap(), address: None, internal: false });
    world
}

async fn announced(world: &World) -> ObjectServer {
    world.control.until(|calls| calls.registers.last()?.objects.clone()).await
}

fn client(server: &ObjectServer) -> Arc<Client> {
    let options = ClientOptions {
        private_networks: PrivateNetworks::All,
        tls: true,
        authorities: Vec::new(),
        pinned: Some(server.fingerprint.bytes()),
    };
    Arc::new(Client::new(&options).unwrap())
}

/// What was answered: status, body, and two fields of the head.
struct Answer {
    status: u16,
    body: Vec<u8>,
    range: Option<String>,
    etag: Option<String>,
    location: Option<String>,
}

fn ask(server: &ObjectServer, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("https://{}{path}", server.address));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut answer = client(server).send(request.body(&[][..]).unwrap()).unwrap();
    let field = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (range, etag) = (field(header::CONTENT_RANGE), field(header::ETAG));
    let location = field(header::LOCATION);
    let mut body = Vec::new();
    answer.body_mut().as_reader().read_to_end(&mut body).unwrap();
    Answer { status: answer.status().as_u16(), body, range, etag, location }
}

async fn asked(server: &ObjectServer, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let (server, method, path) = (server.clone(), method.to_owned(), path.to_owned());
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    blocking(move || {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        ask(&server, &method, &path, &fields)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_whole_and_in_parts() {
    let world = world();
    let content = bytes(3_000_000);
    fs::write(world.ports.storage.path("image-1"), &content).unwrap();
    let agent = world.start();
    let server = announced(&world).await;
    let bearer = format!("Bearer {}", object_key().token(&grant()));
    let path = object_path(storage_ref().id, "image-1");
    let get = async |method, fields: &[(&str, &str)]| {
        let fields = [&[("authorization", bearer.as_str())], fields].concat();
        asked(&server, method, &path, &fields).await
    };
    let whole = get("GET", &[]).await;
    assert_eq!(whole.status, 200);
    assert!(whole.body == content);
    let etag = whole.etag.unwrap();
    let head = get("HEAD", &[]).await;
    assert_eq!((head.status, head.body.len(), head.etag.as_ref()), (200, 0, Some(&etag)));
    let part = get("GET", &[("range", "bytes=1500000-2600000")]).await;
    assert_eq!((part.status, part.range.as_deref()), (206, Some("bytes 1500000-2600000/3000000")));
    assert!(part.body == content[1_500_000..=2_600_000]);
    let beyond = get("GET", &[("range", "bytes=3000000-")]).await;
    assert_eq!((beyond.status, beyond.range.as_deref()), (416, Some("bytes */3000000")));
    let if_range = get("GET", &[("range", "bytes=0-9"), ("if-range", "\"other\"")]).await;
    assert_eq!((if_range.status, if_range.body.len()), (200, content.len()));
    let same = get("GET", &[("range", "bytes=0-9"), ("if-range", &etag)]).await;
    assert_eq!((same.status, same.body.len()), (206, 10));
    assert_eq!(get("GET", &[("if-match", "\"other\"")]).await.status, 412);
    assert_eq!(get("GET", &[("if-none-match", &etag)]).await.status, 304);
    assert_eq!(get("POST", &[]).await.status, 405);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_object_of_a_valid_token_is_read() {
    let world = world();
    for key in ["image-1", "image-2"] {
        fs::write(world.ports.storage.path(key), bytes(100)).unwrap();
    }
    let agent = world.start();
    let server = announced(&world).await;
    let status = async |token: String, storage: StorageId, key: &str| {
        let bearer = format!("Bearer {token}");
        let answer = asked(&server, "GET", &object_path(storage, key), &[("authorization", &bearer)]).await;
        (answer.status, String::from_utf8(answer.body).unwrap_or_default())
    };
    let (id, token) = (storage_ref().id, |grant| object_key().token(&grant));
    assert_eq!(status(token(grant()), id, "image-1").await.0, 200);
    let other = StorageId::new(Uuid::from_u128(77));
    let expired = ObjectGrant { until: Utc::now() - chrono::Duration::seconds(1), ..grant() };
    let forged = imprint_agent_protocol::ObjectKey::derive(&[8; 32], "tests").token(&grant());
    for (token, storage, key, code) in [
        (token(grant()), id, "image-2", "object.other"),
        (token(grant()), other, "image-1", "object.other"),
        (token(expired), id, "image-1", "object.expired"),
        (forged, id, "image-1", "object.token"),
        (String::new(), id, "image-1", "object.token"),
    ] {
        let (status, body) = status(token, storage, key).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains(code), "{body} is not {code}");
    }
    let missing = ObjectGrant { key: KEY.to_owned(), ..grant() };
    assert_eq!(status(token(missing), id, KEY).await.0, 404);
    let unbound = ObjectGrant { storage: other, ..grant() };
    let (refused, body) = status(token(unbound), other, "image-1").await;
    assert!(refused == 503 && body.contains("object.not-bound"), "{body}");
    assert_eq!(asked(&server, "GET", "/etc/passwd", &[]).await.status, 404);
    let long = "x".repeat(40_000);
    let request = Request::get(format!("https://{}/", server.address)).header("x-long", long);
    let request = request.body(&[][..]).unwrap();
    let of = client(&server);
    // It is answered, or cut off before all of it was sent.
    let sent = blocking(move || of.send(request)).await.unwrap();
    assert!(sent.is_err() || sent.is_ok_and(|answer| answer.status().as_u16() == 431));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_sent_to_the_storage_where_both_its_token_and_the_storage_permit_that() {
    let world = world();
    let content = bytes(1000);
    for key in ["image-1", "a b.raw"] {
        fs::write(world.ports.storage.path(key), &content).unwrap();
    }
    let agent = world.start();
    let server = announced(&world).await;
    let asked = async |method, key: &str, direct_s| {
        let token = object_key().token(&ObjectGrant { key: key.to_owned(), direct_s, ..grant() });
        let fields = [("authorization", format!("Bearer {token}"))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        asked(&server, method, &object_path(storage_ref().id, key), &fields).await
    };
    assert_eq!(asked("GET", "image-1", Some(60)).await.status, 200, "the storage does not permit it");
    world.ports.storage.direct.store(true, std::sync::atomic::Ordering::SeqCst);
    let passed = asked("GET", "image-1", None).await;
    assert_eq!((passed.status, passed.location), (200, None), "the token does not permit it");
    assert!(passed.body == content);
    for (method, direct_s, expected) in [
        ("GET", 60, "name=a_b.raw&s=60&head=false"),
        ("HEAD", 60, "name=a_b.raw&s=60&head=true"),
        // Nobody makes an address that is valid for a day.
        ("GET", 86_400, "name=a_b.raw&s=900&head=false"),
    ] {
        let sent = asked(method, "a b.raw", Some(direct_s)).await;
        assert_eq!((sent.status, sent.body.len()), (307, 0), "{method}");
        let location = format!("http://storage.test/a b.raw?{expected}&sig=precious");
        assert_eq!(sent.location, Some(location));
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_certificate_gets_no_token() {
    let world = world();
    let agent = world.start();
    let mut server = announced(&world).await;
    server.fingerprint = imprint_agent_protocol::Fingerprint::new([9; 32]);
    let request = Request::get(format!("https://{}/", server.address)).body(()).unwrap();
    let retries = Retries { attempts: 1, ..Retries::default() };
    let opened = blocking(move || HttpSource::request(client(&server), request, retries)).await.unwrap();
    let error = opened.unwrap_err();
    assert!(matches!(error, HttpError::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("announced"), "{error}");
    agent.stop().await;
}

/// One that connects and says nothing, and one that takes no answer, hold nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stops_does_not_wait_for_readers() {
    let world = world();
    fs::write(world.ports.storage.path("image-1"), bytes(64 << 20)).unwrap();
    let agent = world.start();
    let server = announced(&world).await;
    let silent = TcpStream::connect(&server.address).unwrap();
    let bearer = format!("Bearer {}", object_key().token(&grant()));
    let path = object_path(storage_ref().id, "image-1");
    let request = Request::get(format!("https://{}{path}", server.address)).header("authorization", bearer);
    let request = request.body(&[][..]).unwrap();
    let of = client(&server);
    // The head has arrived, and the body is not taken.
    let answer = blocking(move || of.send(request).unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    tokio::time::timeout(Duration::from_secs(10), agent.stop()).await.expect("it stops in time");
    drop((answer, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_deployed_from_another_agent() {
    let world = world();
    fs::write(world.ports.storage.path("image-1"), bytes(usize::try_from(DISK_SIZE).unwrap())).unwrap();
    let agent = world.start();
    let server = announced(&world).await;
    let other = World::new();
    let deploying = other.start();
    let mut work = other.deploy(DISK_SIZE, None);
    let AssignmentKind::Deploy(deploy) = &mut work.kind else { panic!("a deployment") };
    deploy.source = Some(ObjectSource { server: server.clone(), token: object_key().token(&grant()) });
    let (task, instance) = (work.task_id, deploy.instance.id);
    other.control.give(work);
    let Outcome::Deployed(_) = other.control.outcome(task).await else { panic!("not deployed") };
    let disk = crate::machine::instance::InstanceDir::new(&other.folders(), instance);
    let written = fs::read(disk.file("disk.raw")).unwrap();
    assert!(written == bytes(usize::try_from(DISK_SIZE).unwrap()));
    // A token that has expired: the next attempt would get another one.
    let mut work = other.deploy(DISK_SIZE, None);
    let AssignmentKind::Deploy(deploy) = &mut work.kind else { panic!("a deployment") };
    let expired = ObjectGrant { until: Utc::now() - chrono::Duration::seconds(1), ..grant() };
    deploy.source = Some(ObjectSource { server, token: object_key().token(&expired) });
    let task = work.task_id;
    other.control.give(work);
    let Outcome::Failed(error) = other.control.outcome(task).await else { panic!("not refused") };
    assert_eq!((error.code(), error.is_retried()), ("peer.refused", true), "{}", error.operator_detail());
    deploying.stop().await;
    agent.stop().await;
}
