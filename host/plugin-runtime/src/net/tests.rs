//! Requests against a server on loopback.
#![expect(clippy::disallowed_methods, reason = "tests run what they test in the background")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use imprint_ports::{Props, SecretText, Secrets};

use super::{Exchange, NetContext, NetError, Payload, Template, TemplateBody, captured};
use crate::{
    bindings::host::imprint::types::http_types as wit,
    manifest::{Limits, Manifest},
};

const MANIFEST: &str = r#"
schema = 1
[plugin]
id = "storage-test"
version = "1.0.0"
kinds = ["storage"]
requires.host = ">=0.1, <0.2"
[[capabilities.http]]
id = "endpoint"
to = ["{config.endpoint}"]
private-networks-setting = "private"
[[capabilities.secret]]
name = "key"
use = ["bearer", "headers", "json-body", "sigv4", "basic"]
"#;

/// A server that answers each request with the next of its answers, and keeps what it got.
fn serve(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            log.lock().unwrap().push(head + &String::from_utf8_lossy(&body));
            let mut stream = stream;
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, seen)
}

fn context(endpoint: &str, private: &str) -> Arc<NetContext> {
    let manifest = Manifest::parse(MANIFEST, &Limits::caps()).unwrap();
    let settings = Props::from(
        [("endpoint", endpoint), ("private", private)].map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    let secrets = Secrets::from([("key".to_owned(), SecretText::new("hunter2".to_owned()))]);
    Arc::new(NetContext::new(&manifest, &settings, &secrets).unwrap())
}

fn request(url: String, scheme: &str, secrets: &[(&str, &str)]) -> wit::Request {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    wit::Request {
        method: "PUT".to_owned(),
        url,
        headers: pairs(&[("x-own", "1")]),
        computed: vec![wit::ComputedHeader { name: "x-crc".to_owned(), compute: "crc32c-b64".to_owned() }],
        auth: wit::Auth {
            scheme: scheme.to_owned(),
            params: pairs(&[("region", "r"), ("service", "s3"), ("access-key", "AK"), ("user", "me")]),
            secrets: pairs(secrets),
        },
        body: wit::Body::Inline(br#"{"a":{"b":""}}"#.to_vec()),
        expect: Vec::new(),
        retry_on: vec![503],
        capture: vec!["etag".to_owned()],
        max_response: 100,
    }
}

fn send(context: &Arc<NetContext>, request: wit::Request) -> Result<wit::Response, NetError> {
    let (template, body) = Template::parse(request)?;
    let TemplateBody::Inline(body) = body else { panic!("no payload") };
    captured(
        &template,
        Exchange { context, template: &template, body: body.as_slice().into() }.send(&|| false)?,
    )
}

const OK: &str =
    "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nX-Other: no\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
const BUSY: &str =
    "HTTP/1.1 503 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[test]
fn secrets_are_added_by_the_host_and_answers_are_what_was_asked_for() {
    let cases = [
        ("bearer", [("token", "key")], "authorization: bearer hunter2"),
        ("headers", [("x-auth-token", "key")], "x-auth-token: hunter2"),
        ("basic", [("password", "key")], "authorization: basic bwu6ahvudgvymg=="),
        ("json-body", [("/a/b", "key")], r#"{"a":{"b":"hunter2"}}"#),
        ("sigv4", [("secret-key", "key")], "authorization: aws4-hmac-sha256 credential=ak/"),
    ];
    for (scheme, secrets, expected) in cases {
        let (address, seen) = serve(vec![BUSY, OK]);
        let answer = send(&context(&address, "true"), request(format!("{address}/x?y=1"), scheme, &secrets));
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"hi".as_slice()));
        assert_eq!(answer.headers, [("etag".to_owned(), "\"e\"".to_owned())]);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2, "the busy answer is repeated");
        let text = seen[1].to_ascii_lowercase();
        assert!(text.contains(expected) && text.contains("x-own: 1") && text.contains("x-crc: "), "{text}");
        assert_eq!(text.contains("hunter2"), !matches!(scheme, "sigv4" | "basic"), "{text}");
    }
}

#[test]
fn what_is_not_granted_is_not_sent() {
    let (address, seen) = serve(vec![OK]);
    let code = |outcome: Result<wit::Response, NetError>| outcome.unwrap_err().for_host().code;
    let bearer = |url: &str| request(url.to_owned(), "bearer", &[("token", "key")]);
    let own = context(&address, "true");
    assert_eq!(code(send(&own, bearer("http://127.0.0.1:9/x"))), "net.address");
    assert_eq!(code(send(&own, bearer("https://169.254.169.254/latest"))), "net.address");
    assert_eq!(
        code(send(&context(&address, "false"), bearer(&address))),
        "net.private-network.setting.private"
    );
    let unknown = request(address.clone(), "bearer", &[("token", "other")]);
    assert_eq!(code(send(&own, unknown)), "plugin.denied");
    let other_use = request(address.clone(), "temp-url", &[("key", "key")]);
    assert_eq!(code(send(&own, other_use)), "plugin.denied");
    for (name, value) in
        [("host", "x"), ("authorization", "x"), ("content-length", "5"), ("x-a", "b\r\nc: d")]
    {
        let mut bad = bearer(&address);
        bad.headers.push((name.to_owned(), value.to_owned()));
        assert_eq!(code(send(&own, bad)), "http.request", "{name}");
    }
    assert!(seen.lock().unwrap().is_empty(), "nothing was sent");
}

#[test]
fn a_redirect_leads_only_to_what_is_granted() {
    let (address, _) = serve(vec![
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/stolen\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ]);
    let error = send(&context(&address, "true"), request(address.clone(), "none", &[])).unwrap_err();
    assert_eq!(error.for_host().code, "net.address");
    let (address, seen) = serve(vec![
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        OK,
    ]);
    let answer = send(&context(&address, "true"), request(address.clone(), "bearer", &[("token", "key")]));
    assert_eq!(answer.unwrap().status, 200);
    assert!(seen.lock().unwrap()[1].starts_with("PUT /there "));
}

#[test]
fn an_answer_that_is_longer_than_asked_for_is_an_error() {
    let (address, _) = serve(vec![OK]);
    let mut long = request(address.clone(), "none", &[]);
    long.max_response = 1;
    assert_eq!(send(&context(&address, "true"), long).unwrap_err().for_host().code, "http.answer");
}

#[test]
fn a_part_in_a_file_is_sent_like_one_in_memory() {
    let part: Vec<u8> = (0..1_500_000_u32).map(|at| u8::try_from(at % 91 + 32).unwrap()).collect();
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[part.as_slice(), b"beyond"].concat(), 0).unwrap();
    let length = u64::try_from(part.len()).unwrap();
    for (scheme, secrets) in [("bearer", [("token", "key")]), ("sigv4", [("secret-key", "key")])] {
        // The busy answer shows that the file is read from its start again.
        let (address, seen) = serve(vec![OK, BUSY, OK]);
        let context = context(&address, "true");
        let mut described = request(address.clone(), scheme, &secrets);
        described.body = wit::Body::Payload;
        let compute = |name: &str, compute: &str| wit::ComputedHeader {
            name: name.to_owned(),
            compute: compute.to_owned(),
        };
        described.computed.extend([compute("x-md5", "md5-hex"), compute("x-sha", "sha256-b64")]);
        let (template, _) = Template::parse(described).unwrap();
        for body in [part.as_slice().into(), Payload::File(&file, length)] {
            let answer = Exchange { context: &context, template: &template, body }.send(&|| false).unwrap();
            assert_eq!(answer.status().as_u16(), 200);
        }
        // What a signature has of the time may differ.
        let seen: Vec<Vec<String>> = seen
            .lock()
            .unwrap()
            .iter()
            .map(|text| {
                let timed =
                    |line: &&str| !line.starts_with("x-amz-date") && !line.starts_with("authorization");
                let mut lines: Vec<String> = text.split("\r\n").filter(timed).map(str::to_owned).collect();
                lines.sort();
                lines
            })
            .collect();
        assert!(
            seen[0].iter().any(|line| line == &format!("content-length: {length}")),
            "{:?}",
            seen[0].len()
        );
        assert!(seen[0] == seen[1] && seen[1] == seen[2], "{scheme}: the requests differ");
    }
}

#[test]
fn connections_come_from_the_port_that_the_settings_ask_for() {
    let tcp = "[[capabilities.tcp]]\nid = \"server\"\nto = [\"{config.endpoint}\"]\nprivate-networks-setting = \
               \"private\"\nreserved-port-setting = \"reserved\"\n";
    let (plugin, _) = MANIFEST.split_once("[[").unwrap();
    let manifest = Manifest::parse(&format!("{plugin}{tcp}"), &Limits::caps()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = |reserved: &str| {
        let settings = [("endpoint", "127.0.0.1"), ("private", "true"), ("reserved", reserved)];
        let settings = Props::from(settings.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let context = NetContext::new(&manifest, &settings, &Secrets::new()).unwrap();
        let stream = context.connect("server", "127.0.0.1", port, std::time::Duration::from_secs(5))?;
        Ok::<u16, NetError>(stream.local_addr().unwrap().port())
    };
    for reserved in ["", "false"] {
        assert!(connect(reserved).unwrap() >= 1024);
    }
    match connect("true") {
        Ok(port) => assert!(port < 1024, "{port}"),
        // The user who runs the tests may not have the right.
        Err(error) => {
            let error = error.for_host();
            assert_eq!((error.cause(), error.setting()), ("net.reserved-port", Some("reserved")));
            assert!(error.message.contains("CAP_NET_BIND_SERVICE"), "{error}");
        }
    }
    let http = tcp.replace("capabilities.tcp", "capabilities.http");
    let refused = Manifest::parse(&format!("{plugin}{http}"), &Limits::caps()).unwrap_err();
    assert!(refused.to_string().contains("`reserved-port-setting` is for `tcp`"), "{refused}");
}
