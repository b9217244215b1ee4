//! Sources on web servers: redirects, credentials, pages, and servers that cut off.

#![expect(clippy::disallowed_methods, reason = "tests run what they test in the background")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::tools::arg;

use crate::disk::{command, digest, done, fails, noise, sparse};

const MIB: u64 = 1 << 20;

/// A server on loopback that has one object; its threads end with the process of the test.
///
/// Below `/moved` it redirects to the object, `/page` is a page, and `/cut` ends the first answers
/// early. Requests with credentials are kept.
struct Server {
    address: String,
    credentials: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(object: &Path) -> Result<Self> {
        let object = Arc::new(fs::read(object)?);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let credentials: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, cuts) = (credentials.clone(), Arc::new(Mutex::new(0_usize)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (object, kept, cuts) = (object.clone(), kept.clone(), cuts.clone());
                std::thread::spawn(move || serve(&stream, &object, &kept, &cuts));
            }
        });
        Ok(Self { address, credentials })
    }
}

fn serve(
    mut stream: &TcpStream,
    object: &[u8],
    kept: &Mutex<Vec<String>>,
    cuts: &Mutex<usize>,
) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut range) = (String::new(), (0, object.len() - 1));
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("GET ") {
                path = rest.split(' ').next().unwrap_or_default().to_owned();
            } else if let Some(bytes) = lower.strip_prefix("range: bytes=") {
                let (first, last) = bytes.split_once('-').context("a range")?;
                range = (first.parse()?, last.parse()?);
            } else if lower.starts_with("authorization:") {
                kept.lock().expect("no test panics with it").push(line.to_owned());
            }
        }
        if path.starts_with("/moved") {
            stream.write_all(
                b"HTTP/1.1 302 Found\r\nLocation: /signed/disk?X-Signature=abcdef0123456789\r\nContent-Length: 0\r\n\r\n",
            )?;
            continue;
        }
        if path.starts_with("/page") {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            )?;
            continue;
        }
        if path.starts_with("/forbidden") {
            let body = format!("<Error>{path}</Error>");
            stream.write_all(
                format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            )?;
            continue;
        }
        let (first, last) = range;
        let body = object.get(first..=last).context("inside of the object")?;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"one\"\r\nContent-Range: bytes {first}-{last}/{}\r\nContent-Length: {}\r\n\r\n",
            object.len(),
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        let is_cut = path.starts_with("/cut") && body.len() > 200_000 && {
            let mut cuts = cuts.lock().expect("no test panics with it");
            *cuts += 1;
            *cuts <= 3
        };
        if is_cut {
            stream.write_all(&body[..body.len() / 2])?;
            return Ok(());
        }
        stream.write_all(body)?;
    }
}

#[test]
fn redirects_are_followed_and_cut_bodies_continued() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (raw, target) = (dir.path().join("disk.raw"), dir.path().join("new.raw"));
    sparse(&raw, 16 * MIB, &[(MIB, &noise(9 << 20, 1))])?;
    let server = Server::new(&raw)?;
    for path in ["moved/disk.raw", "cut/disk.raw"] {
        let url = format!("http://{}/{path}", server.address);
        let made = done(&["convert", "--force", &url, arg(&target)])?;
        assert_eq!(made["logical_digest"], digest(&raw)?.as_str(), "{path}");
        ensure!(fs::read(&target)? == fs::read(&raw)?, "{path}");
    }
    Ok(())
}

#[test]
fn passwords_and_signatures_are_never_printed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("disk.raw");
    sparse(&raw, MIB, &[(0, &noise(4096, 2))])?;
    let server = Server::new(&raw)?;
    let (password, signature) = ("se%2Fcret%20word", "abcdef0123456789");
    let url = |path: &str| format!("http://user:{password}@{}{path}?X-Signature={signature}", server.address);
    let good = url("/disk.raw");
    let runs: Vec<Vec<&str>> = vec![
        vec!["inspect", &good],
        vec!["digest", &good],
        vec!["digest", "--stored", &good],
        vec!["check", &good],
        vec!["compare", &good, arg(&raw)],
        vec!["compare", arg(&raw), &good],
    ];
    let (forbidden, page, nothing) = (url("/forbidden/disk.raw"), url("/page/disk.raw"), url("/disk.xyz"));
    let failing = [&forbidden, &page, &nothing].map(|url| vec!["digest", url.as_str()]);
    for args in runs.iter().chain(&failing) {
        for output in ["table", "json"] {
            let mut run = command(args)?;
            let output = run.args(["--output", output]).env("RUST_LOG", "debug").output()?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            for secret in ["cret", "word", signature] {
                ensure!(!said.contains(secret), "{args:?} prints {secret:?}: {said}");
            }
            ensure!(said.contains(&server.address), "the rest is there: {said}");
        }
    }
    let sent = server.credentials.lock().expect("no test panics with it").clone();
    // "user:se/cret word", decoded.
    ensure!(
        !sent.is_empty() && sent.iter().all(|line| line.ends_with("Basic dXNlcjpzZS9jcmV0IHdvcmQ=")),
        "{sent:?}"
    );
    Ok(())
}

#[test]
fn a_page_is_called_a_page() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("disk.raw");
    sparse(&raw, MIB, &[(0, &noise(4096, 3))])?;
    let server = Server::new(&raw)?;
    let text = fails(&["digest", &format!("http://{}/page/disk.raw", server.address)], 1, "http.page")?;
    ensure!(text.contains("web page"), "{text}");
    Ok(())
}
