//! `imprint disk` against qemu-img and qemu-io, on real files.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use imprint_tests::{
    binary, eventually,
    process::signal,
    tools::{self, SmallDisk, arg},
};
use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
};
use serde_json::Value;

const MIB: u64 = 1 << 20;

pub(crate) fn command(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary()?);
    // Compiled plugins of earlier runs are good ones: one place for all tests.
    command.arg("disk").args(args).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    Ok(command)
}

fn disk(args: &[&str]) -> Result<Output> {
    Ok(command(args)?.output()?)
}

/// Runs a command that has to end well; answers its JSON.
pub(crate) fn done(args: &[&str]) -> Result<Value> {
    let output = command(args)?.args(["--output", "json"]).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "imprint disk {}: {text}", args.join(" "));
    serde_json::from_slice(&output.stdout).context("the answer is not JSON")
}

/// Runs a command that has to fail with this status and code; answers what it says.
pub(crate) fn fails(args: &[&str], status: i32, code: &str) -> Result<String> {
    let output = disk(args)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(status) && text.starts_with(&format!("error[{code}]: ")),
        "imprint disk {}: {}, not {status} with {code}: {text}",
        args.join(" "),
        output.status
    );
    ensure!(output.stdout.is_empty(), "an error is no answer");
    Ok(text)
}

pub(crate) fn digest(image: &Path) -> Result<String> {
    let answer = done(&["digest", arg(image)])?;
    Ok(answer["logical_digest"].as_str().context("a digest")?.to_owned())
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Bytes that do not compress, the same ones each time.
pub(crate) fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes that compress, and none of them zero.
pub(crate) fn text(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 64);
    let mut line = 0_u64;
    while bytes.len() < length {
        bytes.extend_from_slice(format!("line {line} of a file with text in it\n").as_bytes());
        line += 1;
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn sparse(path: &Path, size: u64, pieces: &[(u64, &[u8])]) -> Result<()> {
    let file = fs::File::create_new(path)?;
    file.set_len(size)?;
    for (offset, bytes) in pieces {
        file.write_all_at(bytes, *offset)?;
    }
    Ok(())
}

/// Writes through QEMU's block layer.
fn qemu_io(image: &Path, format: &str, commands: &[String]) -> Result<()> {
    let mut args = vec!["-f", format];
    for command in commands {
        args.extend(["-c", command]);
    }
    args.push(arg(image));
    let said = tools::ok("qemu-io", &args)?;
    ensure!(!said.contains("error") && !said.contains("failed"), "qemu-io: {said}");
    Ok(())
}

/// Small writes all over the place, with zeroes and discards between them.
fn fragments(size: u64) -> Vec<String> {
    let mut commands = Vec::new();
    let mut at = 4096;
    for number in 0_u64..90 {
        at = (at * 31 + 4096 * number + 512) % (size - 70_000);
        let (offset, pattern) = (at / 512 * 512, 1 + number % 250);
        commands.push(match number % 9 {
            7 => format!("write -z {offset} 64k"),
            8 => format!("discard {offset} 64k"),
            3 => format!("write -P {pattern} {offset} 65536"),
            _ => format!("write -P {pattern} {offset} 1536"),
        });
    }
    commands
}

fn disks(dir: &Path) -> Result<Vec<PathBuf>> {
    let path = |name: &str| dir.join(format!("{name}.raw"));
    sparse(&path("nothing"), 8 * MIB, &[])?;
    sparse(&path("sector"), 512, &[(0, &noise(512, 1))])?;
    sparse(&path("odd"), 3 * MIB + 1000, &[(0, &noise(70_000, 2)), (3 * MIB - 24, &noise(1024, 3))])?;
    sparse(&path("dense"), 5 * MIB, &[(0, &noise(5 << 20, 4))])?;
    let (mixed, last) = (text(900_000), noise(4096, 5));
    sparse(&path("holes"), 40 * MIB, &[(MIB + 512, &mixed), (20 * MIB, &last), (40 * MIB - 4096, &last)])?;
    sparse(
        &path("large"),
        5120 * MIB,
        &[(0, &last), (4096 * MIB - 2048, &last), (5120 * MIB - 512, &last[..512])],
    )?;
    sparse(&path("fragments"), 24 * MIB, &[])?;
    qemu_io(&path("fragments"), "raw", &fragments(24 * MIB))?;
    let names = ["nothing", "sector", "odd", "dense", "holes", "large", "fragments"];
    Ok(names.map(path).to_vec())
}

/// Allocated bytes: what a sparse file costs.
fn occupied(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

#[test]
fn round_trips_agree_with_qemu_img() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (image, back) = (dir.path().join("image.qcow2"), dir.path().join("back.raw"));
    for raw in disks(dir.path())? {
        let wanted = digest(&raw)?;
        for compress in ["none", "zlib", "zstd"] {
            let about = format!("{} {compress}", raw.display());
            let there = done(&["convert", "--force", "--compress", compress, arg(&raw), arg(&image)])?;
            tools::ok("qemu-img", &["check", "-q", "-f", "qcow2", arg(&image)]).context(about.clone())?;
            tools::ok("qemu-img", &["compare", "-q", "-f", "raw", "-F", "qcow2", arg(&raw), arg(&image)])
                .context(about.clone())?;
            let checked = done(&["check", arg(&image)])?;
            assert_eq!((&checked["errors"], &checked["leaks"]), (&0.into(), &0.into()), "{about}");
            let home = done(&["convert", "--force", arg(&image), arg(&back)])?;
            tools::ok("qemu-img", &["compare", "-q", "-f", "raw", "-F", "raw", arg(&raw), arg(&back)])
                .context(about.clone())?;
            assert_eq!(
                fs::metadata(&back)?.len(),
                fs::metadata(&raw)?.len().next_multiple_of(512),
                "{about}"
            );
            ensure!(occupied(&back)? <= occupied(&raw)? + 65_536, "{about}: holes were filled");
            for answer in [&there, &home] {
                assert_eq!(answer["logical_digest"], wanted.as_str(), "{about}");
            }
            assert_eq!(digest(&image)?, wanted, "{about}");
            let stored = done(&["digest", "--stored", arg(&image)])?;
            assert_eq!(stored["stored_digest"], there["stored_digest"], "{about}");
            assert_eq!(there["stored_size"], fs::metadata(&image)?.len(), "{about}");
            assert_eq!(done(&["compare", arg(&image), arg(&back)])?["identical"], true, "{about}");
        }
    }
    Ok(())
}

/// Options of `qemu-img create` that change how a disk is stored.
const KINDS: &[&str] = &[
    "compat=0.10",
    "compat=1.1",
    "cluster_size=512",
    "cluster_size=4k",
    "cluster_size=2M",
    "extended_l2=on,cluster_size=128k",
    "extended_l2=on,cluster_size=16k",
    "lazy_refcounts=on",
    "refcount_bits=1",
    "refcount_bits=64",
    "preallocation=metadata",
    "preallocation=falloc",
];

fn agrees(image: &Path, dir: &Path) -> Result<()> {
    let theirs = tools::to_raw(image, "qcow2", dir)?;
    let ours = dir.join("ours.raw");
    let report = done(&["convert", "--force", arg(image), arg(&ours)])?;
    tools::ok("cmp", &[arg(&theirs), arg(&ours)])?;
    assert_eq!(report["logical_digest"], digest(&theirs)?);
    assert_eq!(done(&["compare", arg(image), arg(&theirs)])?["identical"], true);
    assert_eq!(done(&["check", arg(image)])?["errors"], 0);
    assert_eq!(done(&["inspect", arg(image)])?["virtual_size"], fs::metadata(&theirs)?.len());
    Ok(())
}

#[test]
fn images_of_qemu_are_read_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("image.qcow2");
    for kind in KINDS {
        if image.exists() {
            fs::remove_file(&image)?;
        }
        tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", "-o", kind, arg(&image), "24M"])?;
        qemu_io(&image, "qcow2", &fragments(24 * MIB)).context(*kind)?;
        agrees(&image, dir.path()).context(*kind)?;
    }

    // Snapshots inside: the active state counts.
    tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", arg(&image), "24M"])?;
    qemu_io(&image, "qcow2", &fragments(24 * MIB))?;
    tools::ok("qemu-img", &["snapshot", "-c", "before", arg(&image)])?;
    qemu_io(&image, "qcow2", &["write -P 0xaa 1M 3M".to_owned(), "write -z 2M 128k".to_owned()])?;
    assert_eq!(done(&["inspect", arg(&image)])?["facts"]["internal-snapshots"], "1");
    agrees(&image, dir.path()).context("snapshots")?;

    let raw = dir.path().join("text.raw");
    sparse(&raw, 24 * MIB, &[(0, &text(3_000_000)), (9 * MIB, &noise(200_000, 9))])?;
    for kind in [
        "compression_type=zlib",
        "compression_type=zstd",
        "compression_type=zlib,cluster_size=2M",
        "compat=0.10",
    ] {
        let convert = ["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", kind, arg(&raw), arg(&image)];
        tools::ok("qemu-img", &convert)?;
        assert_ne!(done(&["inspect", arg(&image)])?["encoded_bytes"], 0, "{kind}");
        agrees(&image, dir.path()).context(kind)?;
        assert_eq!(digest(&image)?, digest(&raw)?, "{kind}");
    }
    Ok(())
}

/// Begin and end of what holds data, neighbours made one.
fn joined(pieces: impl Iterator<Item = (u64, u64, bool)>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (offset, length, _) in pieces.filter(|(.., data)| *data) {
        match runs.last_mut() {
            Some(last) if last.1 == offset => last.1 += length,
            Some(_) | None => runs.push((offset, offset + length)),
        }
    }
    runs
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(u64::MAX)
}

#[test]
fn maps_are_those_of_qemu_img() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("image.qcow2");
    for (format, raw) in
        disks(dir.path())?.iter().flat_map(|raw| [("raw", raw), ("zlib", raw), ("qcow2", raw)])
    {
        let path = match format {
            "raw" => raw,
            compress => {
                let compress = if compress == "qcow2" { "none" } else { compress };
                done(&["convert", "--force", "--compress", compress, arg(raw), arg(&image)])?;
                &image
            }
        };
        let size = number(&done(&["inspect", arg(path)])?["virtual_size"]);
        let ours = done(&["map", arg(path)])?;
        let ours = ours["extents"].as_array().context("extents")?;
        let mut at = 0;
        for extent in ours {
            assert_eq!(number(&extent["offset"]), at, "{}: without gaps and in order", path.display());
            at += number(&extent["length"]);
        }
        assert_eq!(at, size, "{}", path.display());
        if size < MIB {
            // QEMU asks the file system about the last few bytes; that is not worth a call.
            continue;
        }
        let ours = joined(ours.iter().map(|extent| {
            let data = matches!(extent["kind"].as_str(), Some("data" | "encoded"));
            (number(&extent["offset"]), number(&extent["length"]), data)
        }));
        let driver = if format == "raw" { "raw" } else { "qcow2" };
        let theirs = tools::ok("qemu-img", &["map", "--output=json", "-f", driver, arg(path)])?;
        let theirs: Vec<Value> = serde_json::from_str(&theirs)?;
        let theirs = joined(theirs.iter().map(|extent| {
            let data = extent["data"] == true && extent["zero"] == false;
            (number(&extent["start"]), number(&extent["length"]), data)
        }));
        // Past the end of an odd file there is nothing to be stored.
        let end = fs::metadata(raw)?.len();
        let cut = |runs: Vec<(u64, u64)>| {
            runs.into_iter().map(|(from, to)| (from, to.min(end))).collect::<Vec<_>>()
        };
        assert_eq!(cut(ours), cut(theirs), "{} as {format}", raw.display());
    }
    Ok(())
}

#[test]
fn the_number_of_threads_does_not_show_in_the_file() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("disk.raw");
    let (words, dense) = (text(6_000_000), noise(3_000_000, 11));
    sparse(&raw, 64 * MIB, &[(0, &words), (8 * MIB + 512, &dense), (40 * MIB, &words)])?;
    for compress in ["none", "zlib", "zstd"] {
        let first = dir.path().join(format!("{compress}-1.qcow2"));
        for threads in ["1", "2", "8"] {
            let image = dir.path().join(format!("{compress}-{threads}.qcow2"));
            done(&["convert", "--threads", threads, "--compress", compress, arg(&raw), arg(&image)])?;
            tools::ok("cmp", &[arg(&first), arg(&image)])
                .with_context(|| format!("{compress}, {threads} threads"))?;
        }
    }
    Ok(())
}

#[test]
fn a_report_has_the_figures_that_others_rely_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (raw, image) = (dir.path().join("disk.raw"), dir.path().join("disk.qcow2"));
    let bytes = noise(64 << 20, 12);
    sparse(&raw, 512 * MIB, &[(0, &bytes), (100 * MIB, &bytes)])?;
    let report = done(&["convert", arg(&raw), arg(&image)])?;
    assert_eq!(number(&report["virtual_size"]), 512 * MIB);
    let (native, boundary) = (number(&report["native_bytes"]), number(&report["boundary_bytes"]));
    ensure!(native >= 2 * (128 << 20), "everything was read and written natively: {report}");
    ensure!(boundary > 0 && boundary < MIB, "headers and tables alone crossed the sandbox: {report}");
    ensure!(report["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
    Ok(())
}

#[test]
fn a_truncated_image_is_refused_and_nothing_is_written() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (raw, image) = (dir.path().join("disk.raw"), dir.path().join("disk.qcow2"));
    let target = dir.path().join("new.raw");
    sparse(&raw, 16 * MIB, &[(0, &noise(8 << 20, 13))])?;
    tools::ok("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", arg(&raw), arg(&image)])?;
    fs::File::options().write(true).open(&image)?.set_len(4 * MIB)?;
    for command in
        [&["convert", arg(&image), arg(&target)][..], &["digest", arg(&image)], &["map", arg(&image)]]
    {
        let text = fails(command, 3, "corrupt.truncated")?;
        ensure!(text.contains("disk.qcow2"), "it says which file: {text}");
    }
    fs::File::options().write(true).open(&image)?.set_len(60)?;
    let output = disk(&["inspect", arg(&image)])?;
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(names(dir.path())?, ["disk.qcow2", "disk.raw"]);
    Ok(())
}

#[test]
fn what_a_file_is_is_declared_and_confirmed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let (raw, target) = (path("disk.raw"), path("new.raw"));
    sparse(&raw, MIB, &[(0, &noise(4096, 14))])?;
    tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", arg(&path("disk.qcow2")), "1M"])?;
    let mut stream = vec![0x1f, 0x8b, 8, 0];
    stream.resize(4096, 0x5a);
    fs::write(path("disk.vmdk"), &stream)?;
    fs::write(path("disk.gz"), &stream)?;
    sparse(&path("disc.iso"), MIB, &[(32768, b"\x01CD001\x01")])?;
    tools::ok(
        "qemu-img",
        &["create", "-q", "-f", "vpc", "-o", "subformat=fixed", arg(&path("vhd.raw")), "1M"],
    )?;
    fs::copy(path("disk.qcow2"), path("qcow2.raw"))?;
    fs::copy(path("disk.qcow2"), path("somefile"))?;
    fs::copy(&raw, path("raw.qcow2"))?;
    let target = arg(&target);
    let convert = |source: &str, more: &[&str], status, code: &str| {
        let source = path(source);
        fails(&[&["convert", arg(&source), target], more].concat(), status, code)
    };
    // A guest can write such a header into its own disk.
    convert("qcow2.raw", &[], 3, "denied.ambiguous-content")?;
    convert("vhd.raw", &[], 3, "denied.ambiguous-content")?;
    convert("raw.qcow2", &[], 3, "denied.ambiguous-content")?;
    convert("disk.qcow2", &["--from", "raw"], 3, "denied.ambiguous-content")?;
    let text = convert("disk.vmdk", &[], 3, "denied.ambiguous-content")?;
    ensure!(text.contains("looks like gzip") && text.contains("gunzip"), "it says what to do: {text}");
    let text = convert("disk.gz", &[], 3, "unsupported.gzip")?;
    ensure!(text.contains("gzip stream") && text.contains("gunzip"), "it says what to do: {text}");
    let text = fails(&["inspect", arg(&path("disc.iso"))], 3, "unsupported.iso9660")?;
    ensure!(text.contains("this is an ISO image") && text.contains("upload it as an ISO"), "{text}");
    let text = convert("disk.gz", &["--from", "gzip"], 2, "invalid.format")?;
    ensure!(text.contains("qcow2, raw"), "it says which formats there are: {text}");
    let text = convert("somefile", &[], 2, "invalid.format")?;
    ensure!(text.contains("looks like qcow2") && text.contains("--from"), "it says what to declare: {text}");
    // Asking what a file is may be answered by its content; reading it as the right thing may be
    // declared.
    let said = done(&["inspect", arg(&path("somefile"))])?;
    assert_eq!((&said["format"], &said["format_said_by"]), (&"qcow2".into(), &"content".into()));
    done(&["convert", "--from", "qcow2", arg(&path("somefile")), target])?;
    Ok(())
}

/// Paths that a command tried to open, when strace is there to tell.
fn opened(args: &[&str], log: &Path) -> Result<Option<String>> {
    if tools::run("strace", &["-V"]).is_err() {
        return Ok(None);
    }
    let imprint = binary()?;
    let trace =
        ["-f", "-qq", "-e", "trace=open,openat,openat2,stat,statx,newfstatat,connect", "-o", arg(log)];
    tools::run("strace", &[&trace[..], &[arg(&imprint), "disk"], args].concat())?;
    Ok(Some(fs::read_to_string(log)?))
}

#[test]
fn nothing_that_an_image_names_is_opened() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let (target, log) = (path("new.raw"), path("strace.log"));
    sparse(&path("canary.bin"), MIB, &[(0, &noise(4096, 15))])?;
    let create = |name: &str, args: &[&str]| {
        let image = path(name);
        let whole = [&["create", "-q", "-f", "qcow2"], args, &[arg(&image), "1M"]].concat();
        tools::ok("qemu-img", &whole).map(|_| image)
    };
    let canary = path("canary.bin");
    let by_path = create("path.qcow2", &["-b", arg(&canary), "-F", "raw"])?;
    let data_file = format!("data_file={},data_file_raw=on", arg(&path("canary2.bin")));
    let by_data = create("data.qcow2", &["-o", &data_file])?;
    let json = format!(
        "json:{{\"driver\":\"raw\",\"file\":{{\"driver\":\"file\",\"filename\":\"{}\"}}}}",
        arg(&canary)
    );
    let by_json = create("json.qcow2", &["-b", &json, "-F", "raw"])?;
    for image in [&by_path, &by_data, &by_json] {
        let text = fails(&["convert", arg(image), arg(&target)], 3, "denied.external-reference")?;
        fails(&["digest", arg(image)], 3, "denied.external-reference")?;
        if let Some(trace) = opened(&["convert", arg(image), arg(&target)], &log)? {
            ensure!(trace.contains(arg(image)), "the trace is one of this command");
            ensure!(!trace.contains("canary"), "the canary was touched: {trace}");
        }
        ensure!(image == &by_data || text.contains("canary.bin"), "the reference is told as text: {text}");
        ensure!(!target.exists());
    }
    let said = done(&["inspect", arg(&by_path)])?;
    assert_eq!(said["references"][0]["reference"], arg(&canary));
    assert_eq!(said["references"][0]["role"], "parent");
    Ok(())
}

#[test]
fn a_disk_that_is_full_leaves_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let raw = dir.path().join("disk.raw");
    sparse(&raw, 32 * MIB, &[(0, &noise(24 << 20, 16))])?;
    let folder = dir.path().join("small");
    let _small = SmallDisk::mount(&folder, "6m")?;
    for name in ["new.qcow2", "new.raw"] {
        let text = fails(&["convert", arg(&raw), arg(&folder.join(name))], 1, "io.no-space")?;
        ensure!(text.contains("free space"), "it says what to do: {text}");
        assert_eq!(names(&folder)?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn an_interrupted_conversion_leaves_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (raw, folder) = (dir.path().join("disk.raw"), dir.path().join("out"));
    fs::create_dir(&folder)?;
    sparse(&raw, 128 * MIB, &[(0, &text(4 << 20).repeat(32))])?;
    let target = folder.join("new.qcow2");
    // Where every file has a name (NFS), one is left by a process that was killed.
    let killed = unnamed_files(&folder).then_some(("SIGKILL", Signal::KILL));
    for (name, stop) in [("SIGINT", Signal::INT), ("SIGTERM", Signal::TERM)].into_iter().chain(killed) {
        // As slow as it gets, so that it is still at it when the signal comes.
        let slow =
            ["convert", "--threads", "1", "--compress", "zstd", "--level", "19", arg(&raw), arg(&target)];
        let mut child = command(&slow)?.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        eventually("bytes of the new image", async || {
            Ok(written_in(&folder, child.id()).is_some_and(|bytes| bytes > 0).then_some(()))
        })
        .await?;
        signal(child.id(), stop)?;
        let status = eventually("the command to end", async || Ok(child.try_wait()?)).await?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        if stop != Signal::KILL {
            assert_eq!(status.code(), Some(1), "{name}: {text}");
            ensure!(text.starts_with("error[cancelled]: "), "{name}: {text}");
        }
        assert_eq!(names(&folder)?, Vec::<String>::new(), "{name}");
    }
    Ok(())
}

/// The length of the file that a process has open in a folder, with a name or without.
fn written_in(folder: &Path, process: u32) -> Option<u64> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
    let inside = |to: PathBuf| to.parent() == Some(folder);
    let mut files = open.filter(|entry| fs::read_link(entry.path()).is_ok_and(inside));
    Some(fs::metadata(files.next()?.path()).ok()?.len())
}

/// Whether the file system has files without a name.
fn unnamed_files(folder: &Path) -> bool {
    rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR | Mode::WUSR).is_ok()
}

#[test]
fn a_target_is_not_written_over_by_accident() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let (raw, taken, link) = (path("disk.raw"), path("taken.qcow2"), path("link.raw"));
    sparse(&raw, MIB, &[(0, &noise(4096, 17))])?;
    fs::write(&taken, "precious")?;
    std::os::unix::fs::symlink(&raw, &link)?;
    let text = fails(&["convert", arg(&raw), arg(&taken)], 1, "io.already-exists")?;
    ensure!(text.contains("--force"), "it says what to do: {text}");
    assert_eq!(fs::read_to_string(&taken)?, "precious");
    for target in [&raw, &link] {
        fails(&["convert", "--force", arg(&raw), arg(target)], 2, "invalid.target")?;
    }
    fails(&["convert", "--to", "raw", "--force", arg(&raw), arg(dir.path())], 2, "invalid.target")?;
    fails(&["convert", arg(&raw), arg(&path("no/such/folder.raw"))], 1, "io.not-found")?;
    fails(&["convert", arg(&raw), arg(&path(&format!("{}.raw", "n".repeat(300))))], 1, "io.open")?;
    fails(&["convert", arg(&path("missing.raw")), arg(&path("new.raw"))], 1, "io.not-found")?;
    done(&["convert", "--force", arg(&raw), arg(&taken)])?;
    assert_eq!(digest(&taken)?, digest(&raw)?);
    assert_eq!(names(dir.path())?, ["disk.raw", "link.raw", "taken.qcow2"]);
    Ok(())
}

#[test]
fn a_comparison_shows_where_disks_differ() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name);
    let bytes = noise(1 << 20, 18);
    let mut other = bytes.clone();
    other[700_001] ^= 1;
    sparse(&path("a.raw"), 8 * MIB, &[(5 * MIB, &bytes)])?;
    sparse(&path("b.raw"), 8 * MIB, &[(5 * MIB, &other)])?;
    sparse(&path("long.raw"), 9 * MIB, &[(5 * MIB, &bytes)])?;
    tools::ok(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", arg(&path("b.raw")), arg(&path("b.qcow2"))],
    )?;
    let compare = |other: &str| -> Result<(Option<i32>, Value)> {
        let output = disk(&["compare", "--output", "json", arg(&path("a.raw")), arg(&path(other))])?;
        Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
    };
    for other in ["b.raw", "b.qcow2"] {
        let (status, answer) = compare(other)?;
        assert_eq!((status, &answer["first_difference"]), (Some(1), &(5 * MIB + 700_001).into()), "{other}");
        assert_eq!(answer["identical"], false);
    }
    let (status, answer) = compare("long.raw")?;
    assert_eq!(
        (status, &answer["same_content"], &answer["identical"]),
        (Some(1), &true.into(), &false.into())
    );
    assert_eq!(compare("a.raw")?.0, Some(0));
    // Content that is declared as another format is refused, by the first image's option and the
    // second's. The spellings of earlier versions stay.
    let (raw, qcow2) = (path("b.raw"), path("b.qcow2"));
    for (from, to) in [("--from", "--to"), ("--format-a", "--format-b")] {
        let args = ["compare", from, "raw", to, "qcow2", arg(&raw), arg(&qcow2)];
        assert_eq!(disk(&args)?.status.code(), Some(0), "{args:?}");
        fails(&["compare", to, "raw", arg(&raw), arg(&qcow2)], 3, "denied.ambiguous-content")?;
    }
    Ok(())
}

#[test]
fn an_undeclared_format_is_refused_with_the_option_that_declares_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("image");
    sparse(&image, MIB, &[(0, &noise(4096, 7))])?;
    let target = dir.path().join("target.raw");
    for (args, option) in [
        (vec!["digest", arg(&image)], "--format"),
        (vec!["convert", arg(&image), arg(&target)], "--from"),
        (vec!["compare", arg(&image), arg(&image)], "--from"),
        (vec!["compare", "--from", "raw", arg(&image), arg(&image)], "--to"),
    ] {
        let said = fails(&args, 2, "invalid.format")?;
        ensure!(said.contains(&format!("declare it with {option} ")), "{args:?}: {said}");
    }
    Ok(())
}

/// The big-endian number at an offset.
fn be64(file: &fs::File, offset: u64) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(u64::from_be_bytes(bytes))
}

#[test]
fn the_check_finds_leaks_and_errors() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("disk.qcow2");
    tools::ok("qemu-img", &["create", "-q", "-f", "qcow2", arg(&image), "8M"])?;
    qemu_io(&image, "qcow2", &["write -P 1 0 1M".to_owned()])?;
    assert_eq!(done(&["check", arg(&image)])?["leaks"], 0);
    let file = fs::File::options().read(true).write(true).open(&image)?;
    let block = be64(&file, be64(&file, 48)?)?;
    let clusters = file.metadata()?.len().div_ceil(65_536);
    // A reference that nobody has: space is lost, the disk is right.
    file.set_len((clusters + 1) * 65_536)?;
    file.write_all_at(&1_u16.to_be_bytes(), block + clusters * 2)?;
    assert_eq!(done(&["check", arg(&image)])?["leaks"], 1);
    assert_eq!(
        tools::run("qemu-img", &["check", arg(&image)])?.status.code(),
        Some(3),
        "qemu-img sees it, too"
    );
    // One that is missing: the next write may destroy data.
    file.write_all_at(&0_u16.to_be_bytes(), block + (clusters - 1) * 2)?;
    let output = disk(&["check", "--output", "json", arg(&image)])?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((output.status.code(), &answer["leaks"]), (Some(3), &1.into()), "{answer}");
    ensure!(number(&answer["errors"]) >= 1, "{answer}");
    let error: Value = serde_json::from_slice(&output.stderr)?;
    assert_eq!(error["error"]["code"], "corrupt.tables", "{error}");
    Ok(())
}

#[test]
fn a_large_image_is_checked_within_the_bounds_of_a_plugin() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("large.qcow2");
    // 384 MiB of L2 tables; the clusters do not fit into one window of the check.
    let args = ["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", arg(&image), "3T"];
    tools::ok("qemu-img", &args)?;
    // A refcount that is missing, in the second window.
    let file = fs::File::options().read(true).write(true).open(&image)?;
    let (cluster, a_block) = (40 << 20, 32_768);
    let block = be64(&file, be64(&file, 48)? + cluster / a_block * 8)?;
    file.write_all_at(&0_u16.to_be_bytes(), block + cluster % a_block * 2)?;
    let answer = done(&["inspect", arg(&image)])?;
    let found = &answer["findings"];
    assert_eq!(
        (&found["errors"], &found["leaks"]),
        (&2.into(), &0.into()),
        "the refcount, and the flag: {answer}"
    );
    ensure!(number(&answer["plugin_memory_peak"]) <= 64 * MIB, "{answer}");
    Ok(())
}

#[test]
fn wrong_usage_ends_with_2() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (raw, target) = (dir.path().join("disk.raw"), dir.path().join("new.qcow2"));
    sparse(&raw, MIB, &[(0, &noise(4096, 19))])?;
    let (raw, target) = (arg(&raw), arg(&target));
    let wrong: [&[&str]; 6] = [
        &[],
        &["convert", raw],
        &["convert", "--threads", "0", raw, target],
        &["convert", "--compress", "lzma", raw, target],
        &["digest"],
        &["inspect", "--output", "xml", raw],
    ];
    for args in wrong {
        assert_eq!(disk(args)?.status.code(), Some(2), "imprint disk {}", args.join(" "));
    }
    let plain = dir.path().join("new.raw");
    let report: [(&[&str], &str); 4] = [
        (&["convert", "--level", "3", raw, target], "invalid.option"),
        (&["convert", "--compress", "zstd", "--level", "99", raw, target], "invalid.option"),
        (&["convert", "--subformat", "dynamic", raw, target], "unsupported.option"),
        (&["convert", "--compress", "zlib", raw, arg(&plain)], "unsupported.option"),
    ];
    for (args, code) in report {
        fails(args, 2, code)?;
    }
    assert_eq!(names(dir.path())?, ["disk.raw"]);
    match disk(&["inspect", raw])?.status.code() {
        Some(0) => Ok(()),
        other => bail!("the right usage ends with {other:?}"),
    }
}
