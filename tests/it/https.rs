//! Sources behind `https://`: a server with certificates made for the test.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    authority,
    tools::{self, arg},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::disk::{digest, done, fails, noise, sparse, text};

const MIB: u64 = 1 << 20;

/// An authority with a file that has its certificate.
struct Authority {
    issuer: authority::Authority,
    file: PathBuf,
}

impl Authority {
    fn new(file: PathBuf) -> Result<Self> {
        let issuer = authority::Authority::new()?;
        fs::write(&file, issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// A server with a certificate for `name`, valid until the end of `year`. Its threads end with
    /// the process of the test.
    fn server(&self, name: &str, year: i32, object: &Path) -> Result<u16> {
        let authority::Issued { certificate, key } = self.issuer.issue(name, year)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        let (config, object) = (Arc::new(config), Arc::new(fs::read(object)?));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, object) = (config.clone(), object.clone());
                std::thread::spawn(move || {
                    let connection = ServerConnection::new(config)?;
                    // A client that does not trust the server hangs up.
                    serve(StreamOwned::new(connection, stream), &object)
                });
            }
        });
        Ok(port)
    }
}

/// Answers range requests until the client goes.
fn serve(stream: impl Read + Write, object: &[u8]) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut range = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(asked) = line.strip_prefix("range: bytes=") {
                range = asked.split_once('-').map(|(first, last)| (first.to_owned(), last.to_owned()));
            }
        }
        let (first, last) = range.context("the client asks for ranges only")?;
        let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
        let body = object.get(first..=last).context("inside of the object")?;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"one\"\r\nContent-Range: bytes {first}-{last}/{}\r\nContent-Length: {}\r\n\r\n",
            object.len(),
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        stream.get_mut().flush()?;
    }
}

#[test]
fn an_object_behind_https_is_converted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    sparse(&path("disk.raw"), 24 * MIB, &[(5 * MIB, &noise(700_000, 1)), (20 * MIB, &text(90_000))])?;
    let (raw, packed, target) = (path("disk.raw"), path("disk.qcow2"), path("new.raw"));
    done(&["convert", arg(&raw), arg(&packed), "--compress", "zlib"])?;
    let authority = Authority::new(path("ca.pem"))?;
    let port = authority.server("localhost", 2090, &packed)?;
    let url = format!("https://localhost:{port}/disk.qcow2");
    let answer = done(&["convert", &url, arg(&target), "--ca-file", arg(&authority.file)])?;
    assert_eq!(answer["logical_digest"], digest(&raw)?.as_str());
    tools::ok("qemu-img", &["compare", "-f", "raw", "-F", "raw", arg(&raw), arg(&target)])?;
    Ok(())
}

#[test]
fn a_server_has_to_prove_who_it_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    sparse(&path("disk.raw"), MIB, &[(0, &noise(70_000, 2))])?;
    let (authority, other) = (Authority::new(path("ca.pem"))?, Authority::new(path("other.pem"))?);
    let good = authority.server("localhost", 2090, &path("disk.raw"))?;
    let renamed = authority.server("elsewhere.example", 2090, &path("disk.raw"))?;
    let expired = authority.server("localhost", 2021, &path("disk.raw"))?;
    let refused = |port: u16, more: &[&str], advice: &str| -> Result<()> {
        let url = format!("https://localhost:{port}/disk.raw");
        let said = fails(&[&["digest", &url], more].concat(), 1, "http.certificate")?;
        ensure!(said.contains(advice), "{said}");
        Ok(())
    };
    let (ca, wrong) = (arg(&authority.file).to_owned(), arg(&other.file).to_owned());
    refused(good, &[], "--ca-file")?;
    refused(good, &["--ca-file", &wrong], "--ca-file")?;
    refused(renamed, &["--ca-file", &ca], "another name")?;
    refused(expired, &["--ca-file", &ca], "expired")?;
    // The others are refused for the reason that is told, not for something else.
    done(&["digest", &format!("https://localhost:{good}/disk.raw"), "--ca-file", &ca])?;
    Ok(())
}

#[test]
fn files_without_certificates_and_servers_without_encryption_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let junk = dir.path().join("junk.pem");
    fs::write(&junk, "no certificate")?;
    let url = "https://localhost:9/disk.raw";
    let said = fails(&["digest", url, "--ca-file", arg(&junk)], 1, "invalid.authority")?;
    ensure!(said.contains("PEM"), "{said}");
    fails(&["digest", url, "--ca-file", arg(&dir.path().join("missing.pem"))], 1, "io.not-found")?;
    // A server that speaks without encryption.
    let authority = Authority::new(dir.path().join("ca.pem"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The client may be gone already.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let plain = format!("https://localhost:{port}/disk.raw");
    fails(&["digest", &plain, "--ca-file", arg(&authority.file)], 1, "http.tls")?;
    Ok(())
}

/// Nothing of a list is left out: it is taken as a whole, or refused.
#[test]
fn the_limits_of_a_list_of_authorities_are_reported() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    sparse(&path("disk.raw"), MIB, &[(0, &noise(70_000, 3))])?;
    let authority = Authority::new(path("ca.pem"))?;
    let port = authority.server("localhost", 2090, &path("disk.raw"))?;
    let (url, file) = (format!("https://localhost:{port}/disk.raw"), path("list.pem"));
    let good = fs::read_to_string(&authority.file)?;
    // Of another name: a client looks at the keys of a hundred namesakes at most.
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "other");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other = params.self_signed(&KeyPair::generate()?)?.pem();
    // The one that matters is the last one.
    let many = |others: usize| other.repeat(others) + &good;
    let long = |length: usize| "\n".repeat(length - good.len()) + &good;
    for list in [many(4095), long(4 << 20)] {
        fs::write(&file, list)?;
        done(&["digest", &url, "--ca-file", arg(&file)])?;
    }
    for list in [many(4096), long((4 << 20) + 1)] {
        fs::write(&file, list)?;
        let said = fails(&["digest", &url, "--ca-file", arg(&file)], 1, "invalid.authority")?;
        ensure!(["list.pem", "4096", "4 MiB"].iter().all(|part| said.contains(part)), "{said}");
    }
    Ok(())
}
