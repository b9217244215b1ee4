//! A real OpenStack Swift on loopback: proxy, account, container and object server with one device,
//! and Keystone where a test wants it.

use std::{net::Ipv4Addr, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    authority::Authority,
    eventually,
    process::Process,
    tools::{self, free_ports},
};

/// The user of the tests, for `v1`.
pub const USER: &str = "test:tester";
/// The user's key: nothing of ours may print or store it.
pub const KEY: &str = "swift-key-of-the-tests";
/// The password of Keystone's user `admin`.
pub const PASSWORD: &str = "keystone-password-of-the-tests";
/// The container of the images.
pub const CONTAINER: &str = "images";
/// The container that their segments get by default.
pub const SEGMENTS: &str = "images_segments";

/// A running Keystone with one project, `admin`, and its user `admin`.
pub struct Keystone {
    /// The address, `http://127.0.0.1:PORT/v3`.
    pub url: String,
    http: Client,
    folder: TempDir,
    process: Process,
    _encrypted: Option<Process>,
}

/// A running Swift with one container.
pub struct Swift {
    /// Where a client of `v1` signs in.
    pub auth_url: String,
    /// The address of the account that the tests use.
    pub account: String,
    proxy: u16,
    memcached: u16,
    token: String,
    http: Client,
    folder: TempDir,
    processes: Vec<Process>,
}

/// The last year of the certificates of servers.
const LAST_YEAR: i32 = 2090;

/// Serves Keystone with a certificate, which its own server for tests cannot do. Its arguments are
/// the port, the certificate and the key.
const ENCRYPTED_KEYSTONE: &str = "
import ssl, sys, wsgiref.simple_server
from keystone.server.wsgi import initialize_public_application
port, certificate, key = sys.argv[1:]
sys.argv[1:] = []
server = wsgiref.simple_server.make_server('127.0.0.1', int(port), initialize_public_application())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

/// Waits until a server accepts connections: these clients know no authority of a test.
async fn accepts(process: &mut Process, what: &str, port: u16) -> Result<()> {
    eventually(&format!("{what} to accept connections"), async || {
        if let Some(status) = process.ended()? {
            panic!("{what} ended with {status}: {}", process.log());
        }
        Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(()))
    })
    .await
}

fn user_name() -> Result<String> {
    Ok(tools::ok("id", &["-un"])?.trim().to_owned())
}

async fn listens(process: &mut Process, what: &str, url: &str, http: &Client) -> Result<()> {
    eventually(&format!("{what} to answer"), async || {
        if let Some(status) = process.ended()? {
            // Waiting longer does not help.
            panic!("{what} ended with {status}: {}", process.log());
        }
        Ok(http.get(url).send().await.is_ok_and(|answer| answer.status().is_success()).then_some(()))
    })
    .await
}

impl Keystone {
    /// Starts Keystone, with an empty catalogue but for itself.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("keystone-").tempdir()?;
        let dir = folder.path();
        let [port] = free_ports()?;
        let url = format!("http://127.0.0.1:{port}/v3");
        let config = dir.join("keystone.conf");
        let (database, at) = (dir.join("keystone.db"), dir.display());
        std::fs::write(
            &config,
            format!(
                "[database]\nconnection = sqlite:///{}\n[token]\nprovider = fernet\n[fernet_tokens]\nkey_repository = \
                 {at}/fernet\n[credential]\nkey_repository = {at}/credential\n[cache]\nenabled = false\n",
                database.display()
            ),
        )?;
        std::fs::create_dir(dir.join("fernet"))?;
        std::fs::create_dir(dir.join("credential"))?;
        let manage = |args: &[&str]| {
            let args: Vec<&str> =
                ["--config-file", tools::arg(&config)].into_iter().chain(args.iter().copied()).collect();
            tools::ok("/usr/bin/keystone-manage", &args)
                .context("`cargo xtask test` installs python3-keystone")
        };
        let user = user_name()?;
        let group = tools::ok("id", &["-gn"])?.trim().to_owned();
        let owner = ["--keystone-user", &user, "--keystone-group", &group];
        manage(&["db_sync"])?;
        // With the other journal a reader of Keystone's own keeps it from writing.
        tools::ok("sqlite3", &[tools::arg(&database), "PRAGMA journal_mode=WAL"])?;
        manage(&[&["fernet_setup"], owner.as_slice()].concat())?;
        manage(&[&["credential_setup"], owner.as_slice()].concat())?;
        manage(&[
            "bootstrap",
            "--bootstrap-password",
            PASSWORD,
            "--bootstrap-region-id",
            "one",
            "--bootstrap-public-url",
            &url,
            // Where Swift itself asks about tokens.
            "--bootstrap-internal-url",
            &url,
            "--bootstrap-admin-url",
            &url,
        ])?;
        let mut command = Command::new("/usr/bin/keystone-wsgi-public");
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.env("OS_KEYSTONE_CONFIG_FILES", &config).env("OS_KEYSTONE_CONFIG_DIR", dir);
        let mut process = Process::start(&mut command, &dir.join("server.log"))?;
        let http = Client::builder().build()?;
        listens(&mut process, "Keystone", &url, &http).await?;
        Ok(Self { url, http, folder, process, _encrypted: None })
    }

    /// Serves the same Keystone at `https://localhost:PORT/v3` as well, and returns that address.
    pub async fn encrypt(&mut self, authority: &Authority) -> Result<String> {
        let dir = self.folder.path();
        let [certificate, key] = authority.issue("localhost", LAST_YEAR)?.write(dir)?;
        let [port] = free_ports()?;
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", ENCRYPTED_KEYSTONE, &port.to_string()]).args([certificate, key]);
        command.env("OS_KEYSTONE_CONFIG_FILES", dir.join("keystone.conf")).env("OS_KEYSTONE_CONFIG_DIR", dir);
        let mut process = Process::start(&mut command, &dir.join("encrypted.log"))?;
        accepts(&mut process, "Keystone", port).await?;
        self._encrypted = Some(process);
        Ok(format!("https://localhost:{port}/v3"))
    }

    /// Signs in and returns the token with the answer.
    async fn sign_in(&self) -> Result<(String, Value)> {
        let domain = json!({"id": "default"});
        let user = json!({"name": "admin", "domain": domain, "password": PASSWORD});
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }});
        let answer = self.http.post(format!("{}/auth/tokens", self.url)).json(&body).send().await?;
        let answer = answer.error_for_status()?;
        let token = answer.headers().get("x-subject-token").context("no token")?.to_str()?.to_owned();
        Ok((token, answer.json().await?))
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).header("x-auth-token", token);
        let answer = request.json(body).send().await?;
        if !answer.status().is_success() {
            bail!("{path}: {} {}\n{}", answer.status(), answer.text().await?, self.process.log());
        }
        Ok(answer.json().await?)
    }

    /// Puts an object store into the catalogue, by address and region.
    pub async fn add_object_store(&self, url: &str, region: &str) -> Result<()> {
        let (token, _) = self.sign_in().await?;
        if region != "one" {
            self.post(&token, "/regions", &json!({"region": {"id": region}})).await?;
        }
        let service = json!({"service": {"type": "object-store", "name": "swift"}});
        let service = self.post(&token, "/services", &service).await?;
        let endpoint = json!({"endpoint": {
            "service_id": service["service"]["id"], "interface": "public", "region_id": region, "url": url,
        }});
        self.post(&token, "/endpoints", &endpoint).await.map(drop)
    }

    /// Makes an application credential, and returns its id and its secret.
    pub async fn application_credential(&self) -> Result<(String, String)> {
        let (token, answer) = self.sign_in().await?;
        let user = answer["token"]["user"]["id"].as_str().context("a user has an id")?;
        let body = json!({"application_credential": {"name": "tests"}});
        let made = self.post(&token, &format!("/users/{user}/application_credentials"), &body).await?;
        let text = |name: &str| made["application_credential"][name].as_str().unwrap_or_default().to_owned();
        Ok((text("id"), text("secret")))
    }
}

/// The part of the proxy's configuration that signs in.
fn filters(keystone: Option<&Keystone>) -> (&'static str, String) {
    let Some(keystone) = keystone else {
        return (
            "tempauth",
            format!("[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = {KEY} .admin\n"),
        );
    };
    let url = &keystone.url;
    let text = format!(
        "[filter:authtoken]\npaste.filter_factory = keystonemiddleware.auth_token:filter_factory\nwww_authenticate_uri = \
         {url}\nauth_url = {url}\nauth_type = password\nproject_domain_id = default\nuser_domain_id = default\nproject_name = \
         admin\nusername = admin\npassword = {PASSWORD}\ndelay_auth_decision = true\n[filter:keystoneauth]\nuse = \
         egg:swift#keystoneauth\noperator_roles = admin\n"
    );
    ("authtoken keystoneauth", text)
}

/// Writes the configuration of a Swift with one device below `dir`.
fn configure(dir: &Path, ports: [u16; 5], keystone: Option<&Keystone>) -> Result<()> {
    let [proxy, account, container, object, memcached] = ports;
    let user = user_name()?;
    let at = dir.display();
    std::fs::create_dir_all(dir.join("devices/d1"))?;
    std::fs::write(
        dir.join("swift.conf"),
        "[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n[storage-policy:0]\nname = \
         gold\ndefault = yes\n",
    )?;
    for (name, port) in [("account", account), ("container", container), ("object", object)] {
        std::fs::write(
            dir.join(format!("{name}.conf")),
            format!(
                "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nuser = {user}\nswift_dir = {at}\ndevices = \
                 {at}/devices\nmount_check = false\nworkers = 0\n[pipeline:main]\npipeline = \
                 {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
            ),
        )?;
        let builder = dir.join(format!("{name}.builder"));
        let device = format!("r1z1-127.0.0.1:{port}/d1");
        for args in [["create", "4", "1", "0"].as_slice(), &["add", &device, "1"], &["rebalance"]] {
            tools::ok("swift-ring-builder", &[&[tools::arg(&builder)], args].concat())
                .context("`cargo xtask test` installs Swift")?;
        }
    }
    let (sign_in, filters) = filters(keystone);
    let mut text = format!(
        "[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {proxy}\nuser = {user}\nswift_dir = {at}\nworkers = \
         0\n[pipeline:main]\npipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl {sign_in} copy \
         container-quotas account-quotas slo dlo proxy-server\n[app:proxy-server]\nuse = \
         egg:swift#proxy\naccount_autocreate = true\n[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = \
         127.0.0.1:{memcached}\n{filters}"
    );
    for (name, egg) in [
        ("catch_errors", "catch_errors"),
        // Tests put objects of another day.
        ("gatekeeper", "gatekeeper\nshunt_inbound_x_timestamp = false"),
        ("healthcheck", "healthcheck"),
        ("listing_formats", "listing_formats"),
        ("bulk", "bulk"),
        ("tempurl", "tempurl"),
        ("copy", "copy"),
        ("container-quotas", "container_quotas"),
        ("account-quotas", "account_quotas"),
        ("slo", "slo"),
        ("dlo", "dlo"),
    ] {
        text.push_str(&format!("[filter:{name}]\nuse = egg:swift#{egg}\n"));
    }
    Ok(std::fs::write(dir.join("proxy.conf"), text)?)
}

impl Swift {
    /// Starts a Swift that signs in by itself (tempauth, `v1`), and makes its container.
    pub async fn start() -> Result<Self> {
        Self::launch(None).await
    }

    /// Starts a Swift that trusts a Keystone, puts it into the catalogue, and makes its container.
    pub async fn behind(keystone: &Keystone) -> Result<Self> {
        Self::launch(Some(keystone)).await
    }

    async fn launch(keystone: Option<&Keystone>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("swift-").tempdir()?;
        let dir = folder.path();
        let ports: [u16; 5] = free_ports()?;
        let [proxy, .., memcached] = ports;
        configure(dir, ports, keystone)?;
        let mut memory = Command::new("memcached");
        memory.args(["-u", &user_name()?, "-l", "127.0.0.1", "-p", &memcached.to_string()]);
        let mut processes = vec![Process::start(&mut memory, &dir.join("memcached.log"))?];
        for name in ["account", "container", "object", "proxy"] {
            let mut command = Command::new(format!("swift-{name}-server"));
            command.arg(dir.join(format!("{name}.conf"))).arg("-v");
            processes.push(Process::start(&mut command, &dir.join(format!("{name}.log")))?);
        }
        let http = Client::builder().build()?;
        let base = format!("http://127.0.0.1:{proxy}");
        let last = processes.last_mut().context("the proxy was started")?;
        listens(last, "Swift", &format!("{base}/healthcheck"), &http).await?;
        let mut swift = Self {
            auth_url: format!("{base}/auth/v1.0"),
            account: String::new(),
            proxy,
            memcached,
            token: String::new(),
            http,
            folder,
            processes,
        };
        match keystone {
            None => swift.sign_in().await?,
            Some(keystone) => {
                keystone.add_object_store(&format!("{base}/v1/AUTH_%(project_id)s"), "one").await?;
                let (token, answer) = keystone.sign_in().await?;
                let project = answer["token"]["project"]["id"].as_str().context("a project has an id")?;
                swift.account = format!("{base}/v1/AUTH_{project}");
                swift.token = token;
            }
        }
        eventually("the container to be made", async || {
            swift.put(CONTAINER, Vec::new(), &[]).await.map(Some)
        })
        .await?;
        Ok(swift)
    }

    /// Starts another proxy of the same Swift, with a certificate for `name`, and returns its
    /// address, `https://localhost:PORT`.
    pub async fn encrypt(&mut self, authority: &Authority, name: &str) -> Result<String> {
        let [port] = free_ports()?;
        let dir = self.folder.path().join(format!("proxy-{port}"));
        std::fs::create_dir(&dir)?;
        let [certificate, key] = authority.issue(name, LAST_YEAR)?.write(&dir)?;
        let config = std::fs::read_to_string(self.folder.path().join("proxy.conf"))?
            .replacen(&format!("bind_port = {}\n", self.proxy), &format!("bind_port = {port}\n"), 1)
            .replacen(
                "[DEFAULT]\n",
                &format!("[DEFAULT]\ncert_file = {}\nkey_file = {}\n", certificate.display(), key.display()),
                1,
            );
        let file = dir.join("proxy.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("swift-proxy-server");
        command.arg(file).arg("-v");
        let mut process = Process::start(&mut command, &dir.join("proxy.log"))?;
        accepts(&mut process, "Swift", port).await?;
        self.processes.push(process);
        Ok(format!("https://localhost:{port}"))
    }

    async fn sign_in(&mut self) -> Result<()> {
        let request = self.http.get(&self.auth_url).header("x-auth-user", USER).header("x-auth-key", KEY);
        let answer = request.send().await?.error_for_status()?;
        let header = |name: &str| -> Result<String> {
            Ok(answer.headers().get(name).with_context(|| format!("no {name}"))?.to_str()?.to_owned())
        };
        (self.token, self.account) = (header("x-auth-token")?, header("x-storage-url")?);
        Ok(())
    }

    /// Sends a request to a path below the account, as another program does.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Response> {
        let url = if path.is_empty() { self.account.clone() } else { format!("{}/{path}", self.account) };
        let mut request = self.http.request(method.clone(), url).header("x-auth-token", &self.token);
        if body.is_empty() {
            request = request.header("content-length", "0");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await?;
        if !answer.status().is_success() {
            bail!("{method} {path}: {} {}", answer.status(), answer.text().await?);
        }
        Ok(answer)
    }

    /// Puts an object or a container.
    pub async fn put(&self, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Result<()> {
        self.send(Method::PUT, path, body, headers).await.map(drop)
    }

    /// Returns the bytes of an object.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        Ok(self.send(Method::GET, path, Vec::new(), &[]).await?.bytes().await?.to_vec())
    }

    /// Returns the names of the objects in a container; none where there is no such container.
    pub async fn objects(&self, container: &str) -> Result<Vec<String>> {
        let url = format!("{}/{container}?format=json", self.account);
        let answer = self.http.get(url).header("x-auth-token", &self.token).send().await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let listed: Vec<Value> = answer.error_for_status()?.json().await?;
        Ok(listed.iter().filter_map(|object| Some(object["name"].as_str()?.to_owned())).collect())
    }

    /// Makes all tokens invalid, and signs in again.
    pub async fn expire_tokens(&mut self) -> Result<()> {
        use std::io::{BufRead as _, BufReader, Write as _};

        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.memcached))?;
        stream.write_all(b"flush_all\r\n")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        if answer.trim() != "OK" {
            bail!("memcached answers {answer:?}");
        }
        self.sign_in().await
    }
}
