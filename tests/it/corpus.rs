//! Hostile images through the real binary: each is refused with a code or read within bounds,
//! quickly, in little memory, and nothing but the image is opened.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use imprint_corpus::{Bait, Case, Expected, all};
use imprint_tests::{binary, tools::arg};
use serde_json::Value;

/// What one image may cost.
const MAX_CPU_SECONDS: f64 = 1.0;
const MAX_RESIDENT_KIB: u64 = 256 << 10;
const MAX_PLUGIN_MEMORY: u64 = 64 << 20;
/// Codes that say that the image is to blame.
const BLAMED: [&str; 4] = ["corrupt.", "unsupported.", "limit.", "denied."];
/// System calls that bring something in from outside the process.
const CALLS: &str = "trace=open,openat,openat2,creat,connect,bind,execve,execveat,socket,mount";

/// What the machine is asked about itself while an image is read.
const HARMLESS: [&str; 5] = ["/proc/", "/sys/", "/dev/null", "/etc/ld.so", "/lib"];

/// One command that was watched.
struct Watched {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    trace: String,
    cpu_seconds: f64,
    resident_kib: u64,
}

/// Where images and bait are.
struct Lab {
    images: PathBuf,
    traces: PathBuf,
    /// Where large maps may lie, in files without names.
    scratch: PathBuf,
    bait: Bait,
    listener: TcpListener,
}

impl Lab {
    fn new(dir: &Path) -> Result<Self> {
        let folder = |name: &str| {
            let path = dir.join(name);
            fs::create_dir(&path).map(|()| path)
        };
        let (images, traces) = (folder("images")?, folder("traces")?);
        let (canary, scratch) = (folder("canary")?, folder("scratch")?);
        fs::write(canary.join("secret.bin"), "nobody may read this")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let bait = Bait { file: arg(&canary.join("secret.bin")).to_owned(), port };
        Ok(Self { images, traces, scratch, bait, listener })
    }

    fn watch(&self, case: &Case, verb: &str, image: &Path) -> Result<Watched> {
        let place = |ending: &str| self.traces.join(format!("{}-{verb}.{ending}", case.id));
        let (trace, cost) = (place("strace"), place("time"));
        let output = Command::new("strace")
            .args(["-f", "--seccomp-bpf", "-qq", "-s", "4096", "-e", CALLS, "-o", arg(&trace)])
            .args(["time", "-q", "-f", "%U %S %M", "-o", arg(&cost)])
            .arg(binary()?)
            .args(["disk", verb, "--output", "json", "--format", case.format, arg(image)])
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("RUST_BACKTRACE", "0")
            .env("TMPDIR", &self.scratch)
            // The harness names folders there, in which every process looks for libraries.
            .env_remove("LD_LIBRARY_PATH")
            .output()
            .context("strace cannot be started")?;
        let cost = fs::read_to_string(&cost).context("the command was not measured")?;
        let figures: Vec<&str> = cost.split_whitespace().collect();
        let [user, system, resident] = figures[..] else { bail!("the cost is {cost:?}") };
        Ok(Watched {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            trace: fs::read_to_string(&trace)?,
            cpu_seconds: user.parse::<f64>()? + system.parse::<f64>()?,
            resident_kib: resident.parse()?,
        })
    }
}

impl Watched {
    /// The code of the refusal.
    fn code(&self) -> Option<String> {
        let error: Value = serde_json::from_str(&self.stderr).ok()?;
        error["error"]["code"].as_str().map(str::to_owned)
    }

    fn verify(&self, expected: Expected) -> Result<()> {
        let said = format!("status {:?}, {}", self.status, self.stderr.trim());
        let read = self.status == Some(0);
        let blamed = self.status == Some(3)
            && self.code().is_some_and(|code| BLAMED.iter().any(|b| code.starts_with(b)));
        match expected {
            Expected::ReadSafely => ensure!(read, "it was to be read: {said}"),
            Expected::Either => ensure!(read || blamed, "it was to be read or refused: {said}"),
            Expected::Refused(codes) => {
                let known =
                    self.code().is_some_and(|code| codes.iter().any(|expected| code.starts_with(expected)));
                // What is no file is not refused for its content.
                let status = match codes {
                    ["io.open"] => Some(1),
                    ["invalid.source"] => Some(2),
                    _ => Some(3),
                };
                ensure!(known && self.status == status, "it was to be refused with {codes:?}: {said}");
            }
        }
        if read {
            let answer: Value = serde_json::from_str(&self.stdout).context("the answer is not JSON")?;
            let memory = answer["plugin_memory_peak"].as_u64().context("no plugin_memory_peak")?;
            ensure!(memory <= MAX_PLUGIN_MEMORY, "a plugin had {memory} bytes of memory");
        }
        Ok(())
    }

    fn cost(&self) -> Result<()> {
        ensure!(self.cpu_seconds <= MAX_CPU_SECONDS, "it took {} s of CPU", self.cpu_seconds);
        ensure!(self.resident_kib <= MAX_RESIDENT_KIB, "it had {} KiB of memory", self.resident_kib);
        Ok(())
    }

    /// From the moment on that the image is open, nothing else is.
    fn opened(&self, image: &Path, Lab { bait, scratch, .. }: &Lab) -> Result<()> {
        let quoted = format!("\"{}\"", image.display());
        let own = arg(image).rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut open = false;
        for call in self.trace.lines() {
            ensure!(!call.contains(&bait.file), "the bait was touched: {call}");
            if call.contains(" open") && call.contains(&quoted) {
                open = true;
                continue;
            }
            let network = ["connect(", "bind(", "AF_INET"].iter().any(|word| call.contains(word));
            let Some(path) = call.split('"').nth(1).filter(|_| open) else {
                ensure!(!(open && network), "the network was touched: {call}");
                continue;
            };
            let cache = path.starts_with(env!("CARGO_TARGET_TMPDIR"))
                || (path == arg(scratch) && call.contains("O_TMPFILE"));
            let known = HARMLESS.iter().any(|prefix| path.starts_with(prefix))
                && !path.starts_with("/proc/self/fd/0");
            ensure!((known || cache) && !path.starts_with(own), "after the image, this was opened: {call}");
        }
        Ok(())
    }
}

/// Runs one case; every case is read whole, and what names other files is also inspected.
fn check_case(lab: &Lab, case: &Case, image: &Path) -> Result<()> {
    let watched = lab.watch(case, "digest", image)?;
    watched.verify(case.expected)?;
    watched.cost()?;
    watched.opened(image, lab)?;
    if case.expected == Expected::Refused(&["denied.external-reference"]) {
        let inspected = lab.watch(case, "inspect", image)?;
        ensure!(matches!(inspected.status, Some(0 | 3)), "inspect: {}", inspected.stderr);
        inspected.cost()?;
        inspected.opened(image, lab)?;
    }
    Ok(())
}

#[test]
fn every_hostile_image_is_refused_or_read_safely() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::new(dir.path())?;
    let cases = all(&lab.bait);
    let images: Vec<PathBuf> =
        cases.iter().map(|case| Ok(case.write(&lab.images)?)).collect::<Result<_>>()?;
    // The first one compiles the plugins, if they are new; that is not its fault.
    lab.watch(&cases[0], "digest", &images[0])?;
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((case, image)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(number).zip(images.get(number))
                } {
                    if let Err(error) = check_case(&lab, case, image)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{} ({}): {error:#}", case.id, case.what));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
    ensure!(lab.listener.accept().is_err(), "somebody connected to the bait");
    Ok(())
}

/// What a format plugin may claim of a file, and how the host finds out.
const LIES: [(&str, &str); 14] = [
    ("alias", "corrupt.aliased"),
    ("same-sector", "corrupt.aliased"),
    ("outside", "corrupt.truncated"),
    ("table-outside", "corrupt.truncated"),
    ("table-far", "corrupt.truncated"),
    ("table-in-data", "corrupt.aliased"),
    ("tables-forever", "plugin.metadata-ranges"),
    ("source", "plugin."),
    ("codec", "unsupported."),
    ("overlap", "plugin."),
    ("size", "plugin."),
    ("names-parent", "denied.external-reference"),
    ("names-extent", "denied.external-reference"),
    ("names-log", "denied.external-reference"),
];

#[test]
fn the_host_believes_no_format_plugin() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plugins = dir.path().join("plugins");
    fs::create_dir(&plugins)?;
    let built = imprint_tests::dist()?.join("hostile-plugins/hostile-format.wasm");
    fs::copy(&built, plugins.join("hostile-format.wasm")).context("the hostile plugins are not built")?;
    let digest = |mode: &str| -> Result<std::process::Output> {
        let image = dir.path().join(format!("{mode}.liar"));
        let mut bytes = imprint_corpus::Bytes::new();
        bytes.put(0, format!("LIAR:{mode}\n").as_bytes()).resize(1 << 20);
        bytes.write(&image)?;
        Ok(Command::new(binary()?)
            .args(["disk", "digest", "--format", "hostile", "--plugin-dir", arg(&plugins), arg(&image)])
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .output()?)
    };
    let honest = digest("nothing")?;
    ensure!(honest.status.success(), "an honest answer is read: {}", String::from_utf8_lossy(&honest.stderr));
    for (mode, code) in LIES {
        let output = digest(mode)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.starts_with(&format!("error[{code}")),
            "{mode}: {}, not {code}: {said}",
            output.status
        );
    }
    Ok(())
}

/// The largest table that a qcow2 image may have, its check included: what reads files is never
/// given more than the bound, so that what is refused cannot take more either.
#[test]
fn the_largest_table_is_read_within_the_bound() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("image.qcow2");
    let create = ["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", arg(&image), "128G"];
    imprint_tests::tools::ok("qemu-img", &create)?;
    for verb in ["digest", "inspect"] {
        let output = Command::new(binary()?)
            .args(["disk", verb, "--output", "json", arg(&image)])
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .output()?;
        ensure!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let memory = answer["plugin_memory_peak"].as_u64().context("no plugin_memory_peak")?;
        // The L1 table alone has 32 MiB.
        ensure!((32 << 20..=MAX_PLUGIN_MEMORY).contains(&memory), "{verb}: {memory} bytes");
    }
    Ok(())
}

/// Plugins whose write side is granted more; what reads is given [`MAX_PLUGIN_MEMORY`] at most,
/// whatever the manifest says.
const GRANTED_MORE: [(&str, u64); 2] = [("format-qcow2", 128 << 20), ("format-vmdk", 128 << 20)];

#[test]
fn no_format_may_have_more_memory() -> Result<()> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut seen = 0;
    for entry in fs::read_dir(plugins)? {
        let manifest = entry?.path().join("plugin.toml");
        // What plugins share is beside them.
        if !manifest.is_file() {
            continue;
        }
        let text = fs::read_to_string(&manifest)?;
        if !text.contains("kinds = [\"format\"]") {
            continue;
        }
        let memory = text.lines().find_map(|line| line.strip_prefix("memory = \"")?.strip_suffix("MiB\""));
        let mebibytes: u64 =
            memory.with_context(|| format!("{}: no memory limit", manifest.display()))?.parse()?;
        let granted = GRANTED_MORE.iter().find(|(name, _)| text.contains(&format!("id = \"{name}\"")));
        let most = granted.map_or(MAX_PLUGIN_MEMORY, |(_, most)| *most);
        ensure!(mebibytes << 20 <= most, "{}: {mebibytes} MiB", manifest.display());
        seen += 1;
    }
    ensure!(seen >= 3, "{seen} formats");
    Ok(())
}
