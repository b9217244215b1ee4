//! Servers that stop, cut off, redirect, compress, and answer with pages: each is a typed error, or
//! the right bytes.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use imprint_ports::BlockSource as _;

use super::{code, head, object, options};
use crate::{HttpError, HttpOptions, HttpSource};

/// A request: its path with the query, and its fields.
struct Asked {
    path: String,
    fields: HashMap<String, String>,
}

impl Asked {
    fn range(&self) -> (usize, usize) {
        let range = self.fields["range"].strip_prefix("bytes=").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        (first.parse().unwrap(), last.parse().unwrap())
    }

    /// The right answer, with further fields.
    fn right(&self, more: &str) -> Vec<u8> {
        let (first, last) = self.range();
        let body = &object()[first..=last];
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}\r\nETag: \"one\"\r\n{more}Content-Length: {}\r\n\r\n",
            object().len(),
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

fn plain(status: &str, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n").into_bytes()
}

/// What a server does with the connection after an answer.
enum After {
    Continue,
    Close,
    /// Nothing more is sent, and the connection stays.
    Stop,
}

type Answers = dyn Fn(usize, &Asked) -> (Vec<u8>, After) + Send + Sync;

/// A server on loopback and the requests that it got; its threads end with the test's process.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn new(answers: impl Fn(usize, &Asked) -> (Vec<u8>, After) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (all, answers): (_, Arc<Answers>) = (requests.clone(), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, answers) = (all.clone(), answers.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &all, answers.as_ref()));
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn open(&self) -> Result<HttpSource, HttpError> {
        HttpSource::open(&options(self.url("/disk.raw")))
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The values of a field in all requests.
    fn fields(&self, name: &str) -> Vec<Option<String>> {
        self.requests.lock().unwrap().iter().map(|asked| asked.fields.get(name).cloned()).collect()
    }
}

fn serve(mut stream: TcpStream, all: &Mutex<Vec<Asked>>, answers: &Answers) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(lines) = head(&mut reader) {
        let path = lines[0].split(' ').nth(1).unwrap().to_owned();
        let fields = lines[1..].iter().filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let asked = Asked { path, fields };
        let number = all.lock().unwrap().len();
        let (answer, after) = answers(number, &asked);
        all.lock().unwrap().push(asked);
        if stream.write_all(&answer).is_err() {
            return;
        }
        match after {
            After::Continue => {}
            After::Close => return,
            After::Stop => {
                // Until the client goes.
                let _gone = head(&mut reader);
                return;
            }
        }
    }
}

/// Reads everything and compares it.
fn read_all(source: &HttpSource) -> std::io::Result<()> {
    let mut bytes = vec![0; object().len()];
    source.read_exact_at(&mut bytes, 0)?;
    assert!(bytes == object());
    Ok(())
}

#[test]
fn a_server_that_stops_in_the_middle_is_not_waited_for() {
    let server = Server::new(|number, asked| match number {
        0 => (asked.right(""), After::Continue),
        _ => {
            let whole = asked.right("");
            (whole[..whole.len() - 1000].to_vec(), After::Stop)
        }
    });
    let began = Instant::now();
    let error = read_all(&server.open().unwrap()).unwrap_err();
    assert_eq!(code(&error), "http.stalled");
    assert!(began.elapsed() < Duration::from_secs(20));
    // Of three attempts, the later ones ask for the rest only.
    assert_eq!(server.count(), 1 + 3);
}

#[test]
fn a_server_that_drips_is_not_waited_for() {
    // Each piece comes in time, and the last one would after hours.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/disk.raw", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(lines) = head(&mut reader) {
                    let range = lines.iter().find_map(|line| line.strip_prefix("range: ")).unwrap();
                    let fields = [("range".to_owned(), range.to_owned())].into();
                    let whole = Asked { path: String::new(), fields }.right("");
                    let start = whole.len().min(250);
                    stream.write_all(&whole[..start]).unwrap();
                    // A byte each time that the client has not gone for a while.
                    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                    for byte in &whole[start..] {
                        if reader.fill_buf().is_ok() || stream.write_all(&[*byte]).is_err() {
                            return;
                        }
                    }
                    stream.set_read_timeout(None).unwrap();
                }
            });
        }
    });
    let source = HttpSource::open(&options(url)).unwrap();
    let began = Instant::now();
    let error = source.read_exact_at(&mut [0; 100_000], 0).unwrap_err();
    assert_eq!(code(&error), "http.stalled");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_body_that_is_cut_off_is_continued_where_it_ended() {
    let server = Server::new(|number, asked| {
        let whole = asked.right("");
        match number % 2 {
            1 if whole.len() > 80_000 => (whole[..70_000].to_vec(), After::Close),
            _ => (whole, After::Continue),
        }
    });
    read_all(&server.open().unwrap()).unwrap();
    let ranges: Vec<(usize, usize)> = server.requests.lock().unwrap().iter().map(Asked::range).collect();
    assert!(ranges.len() == 3 && ranges[2].0 > 60_000, "{ranges:?}");
}

#[test]
fn a_server_says_when_to_come_again() {
    let server = Server::new(|number, asked| match number {
        1 => (plain("503 Service Unavailable", "Retry-After: 2\r\n"), After::Continue),
        _ => (asked.right(""), After::Continue),
    });
    let source = server.open().unwrap();
    let began = Instant::now();
    read_all(&source).unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn redirects_are_followed_and_renewed() {
    // The address gives a new place for every request; a place is good for two of them.
    let server = Server::new(|number, asked| {
        let place = asked.path.strip_prefix("/signed?until=").map(|until| until.parse::<usize>().unwrap());
        match place {
            Some(until) if number <= until => (asked.right(""), After::Continue),
            Some(_) => (plain("403 Forbidden", ""), After::Continue),
            None => {
                let to = format!("Location: /signed?until={}\r\n", number + 2);
                (plain("302 Found", &to), After::Continue)
            }
        }
    });
    let source = server.open().unwrap();
    for _ in 0..5 {
        read_all(&source).unwrap();
    }
    assert!(source.unchanged().unwrap());
    let paths: Vec<bool> =
        server.requests.lock().unwrap().iter().map(|asked| asked.path == "/disk.raw").collect();
    assert!(paths.iter().filter(|is_first| **is_first).count() >= 2, "{paths:?}");
}

#[test]
fn redirects_that_lead_nowhere_are_refused_with_their_target() {
    for (location, why) in [
        ("/disk.raw", "more redirects"),
        ("ftp://example.com/disk.raw?signature=secret-text", "no web address"),
        ("file:///etc/passwd", "no web address"),
    ] {
        let to = format!("Location: {location}\r\n");
        let server = Server::new(move |_, _| (plain("301 Moved Permanently", &to), After::Continue));
        let error = server.open().map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "http.redirect", "{location}");
        let text = error.to_string();
        assert!(text.contains(why) && !text.contains("secret-text"), "{text}");
        assert!(server.count() <= 6, "{location}: {}", server.count());
    }
    let server = Server::new(|_, _| (plain("302 Found", ""), After::Continue));
    assert_eq!(server.open().map(|_| ()).unwrap_err().code(), "http.status", "without a place");
}

#[test]
fn credentials_stay_with_the_server_that_they_are_for() {
    let other = Server::new(|_, asked| (asked.right(""), After::Continue));
    let to = format!("Location: {}\r\n", other.url("/there"));
    let server = Server::new(move |_, asked| match asked.path.as_str() {
        "/disk.raw" => (plain("302 Found", "Location: /here\r\n"), After::Continue),
        _ => (plain("307 Temporary Redirect", &to), After::Continue),
    });
    let url = server.url("/disk.raw").replace("http://", "http://user:p%40ss@");
    read_all(&HttpSource::open(&options(url)).unwrap()).unwrap();
    let expected = Some("basic dxnlcjpwqhnz".to_owned());
    assert_eq!(server.fields("authorization"), [expected.clone(), expected]);
    assert_eq!(other.fields("authorization"), [None, None]);
}

#[test]
fn redirects_lead_into_private_networks_only_from_there() {
    let inner = Server::new(|_, asked| (asked.right(""), After::Continue));
    let to = format!("Location: {}\r\n", inner.url("/metadata"));
    let server = Server::new(move |_, _| (plain("302 Found", &to), After::Continue));
    // Whoever gives an address in a private network may be redirected in it.
    read_all(&server.open().unwrap()).unwrap();
    let before = inner.count();
    // The rules of an address that is not: nothing is connected to.
    let public = HttpOptions {
        private_networks: crate::PrivateNetworks::None,
        ..options("http://93.184.216.34/x".to_owned())
    };
    let follower = crate::follow::Follower::new(&public).unwrap();
    let from = follower.start().unwrap();
    let client = crate::Client::new(&crate::ClientOptions {
        private_networks: crate::PrivateNetworks::All,
        ..crate::ClientOptions::default()
    });
    let request = crate::http::Request::get(server.url("/x")).body([].as_slice()).unwrap();
    let answer = client.unwrap().send(request).unwrap();
    for permitted in [crate::PrivateNetworks::None, crate::PrivateNetworks::All] {
        let options = HttpOptions { private_networks: permitted, ..public.clone() };
        let follower = crate::follow::Follower::new(&options).unwrap();
        let next = follower.next(&from, &answer).unwrap().unwrap();
        let (head, ()) = next.request.clone().into_parts();
        let sent = next.client.send(crate::http::Request::from_parts(head, &[]));
        assert_eq!(sent.map(|_| ()).unwrap_err().code(), "denied.private-network");
    }
    assert_eq!(inner.count(), before);
}

#[test]
fn answers_that_are_no_file_are_named() {
    let page =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 6\r\n\r\n<html>";
    let server = Server::new(|_, _| (page.to_vec(), After::Continue));
    assert_eq!(server.open().map(|_| ()).unwrap_err(), HttpError::Page);

    let server = Server::new(|_, asked| (asked.right("Content-Encoding: gzip\r\n"), After::Continue));
    let error = server.open().map(|_| ()).unwrap_err();
    assert!(error.code() == "http.protocol" && error.to_string().contains("compressed"), "{error}");

    // A range first, and then all of it, or all of it compressed.
    let server = Server::new(|number, asked| match number {
        0 => (asked.right(""), After::Continue),
        1 => (plain("200 OK", "ETag: \"one\"\r\n"), After::Continue),
        _ => (asked.right("Content-Encoding: br\r\n"), After::Continue),
    });
    let source = server.open().unwrap();
    assert_eq!(code(&read_all(&source).unwrap_err()), "http.no-ranges");
    assert_eq!(code(&read_all(&source).unwrap_err()), "http.protocol");
}

#[test]
fn the_answer_of_a_server_is_shown_without_the_signature_that_it_repeats() {
    let server = Server::new(|_, asked| {
        let body = format!("<Error>{} does not match</Error>", asked.path);
        let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n", body.len());
        ([head.as_bytes(), body.as_bytes()].concat(), After::Continue)
    });
    let error = HttpSource::open(&options(server.url("/disk.raw?signature=0123456789abcdef"))).map(|_| ());
    let error = error.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("does not match") && !text.contains("0123456789abcdef"), "{text}");
    let shown = format!("{:?}", options("http://user:secret@host/?signature=secret".to_owned()));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn an_object_that_is_replaced_is_noticed() {
    let server = Server::new(|number, asked| match number {
        0 | 1 => (asked.right(""), After::Continue),
        _ => (plain("412 Precondition Failed", ""), After::Continue),
    });
    let source = server.open().unwrap();
    assert!(source.unchanged().unwrap());
    assert!(!source.unchanged().unwrap());
    assert!(server.fields("if-match").iter().skip(1).all(|tag| tag.as_deref() == Some("\"one\"")));
}
