//! The processes that decode compressed images: what they do, what they cannot do, and what happens
//! when they die.

use std::{
    fs,
    io::Read,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use imprint_tests::{
    binary,
    process::signal,
    tools::{arg, ok},
};
use rustix::process::Signal;
use serde_json::Value;

/// Data that compresses, and enough of it that a job takes a while.
fn compressed_image(dir: &Path) -> Result<PathBuf> {
    let raw = dir.join("disk.raw");
    let words: Vec<u8> =
        (0u32..1 << 20).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
    fs::write(&raw, words.repeat(32))?;
    let image = dir.join("image.qcow2");
    ok("qemu-img", &["convert", "-c", "-o", "compression_type=zstd", "-O", "qcow2", arg(&raw), arg(&image)])?;
    fs::remove_file(raw)?;
    Ok(image)
}

fn convert(mut program: Command, image: &Path, target: &Path) -> Command {
    program.args(["disk", "convert", arg(image), arg(target), "--output", "json"]);
    program.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    program
}

fn digests(mut command: Command) -> Result<(Value, Value)> {
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    Ok((answer["logical_digest"].clone(), answer["stored_digest"].clone()))
}

#[test]
fn a_mover_does_the_work_and_opens_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = compressed_image(dir.path())?;
    let (here, there) = (dir.path().join("here.raw"), dir.path().join("there.raw"));
    let mut alone = convert(Command::new(binary()?), &image, &here);
    alone.env("IMPRINT_ISOLATION", "none");
    let expected = digests(alone)?;

    let traces = dir.path().join("trace");
    let mut traced = Command::new("strace");
    traced.args(["-ff", "-qq", "-o", arg(&traces)]).arg(binary()?);
    assert_eq!(digests(convert(traced, &image, &there))?, expected);
    assert!(fs::read(&here)? == fs::read(&there)?, "the bytes differ");

    let mover = calls_in_the_sandbox(&traces)?;
    let all = mover.join("\n");
    assert!(all.contains("pread64(") && all.contains("pwrite64("), "the mover moves the bytes");
    for call in &mover {
        let name = call.split('(').next().unwrap_or_default();
        let opens =
            ["open", "openat", "openat2", "creat", "socket", "connect", "execve", "execveat", "unlink"];
        assert!(!opens.contains(&name) || call.contains("= -1 EACCES"), "{call}");
    }
    Ok(())
}

/// What the threads of a mover called once the last filter was in force.
fn calls_in_the_sandbox(traces: &Path) -> Result<Vec<String>> {
    let of = |thread: &str| fs::read_to_string(traces.with_extension(thread));
    let folder = traces.parent().context("a folder")?;
    let mut main = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem() == traces.file_name() {
            let text = fs::read_to_string(&path)?;
            if text.contains("seccomp(SECCOMP_SET_MODE_FILTER") {
                ensure!(main.replace(text).is_none(), "there is one mover");
            }
        }
    }
    let main = main.context("a process entered the sandbox")?;
    let entered = main.rfind("seccomp(SECCOMP_SET_MODE_FILTER").context("the last filter")?;
    let mut calls: Vec<String> = main[entered..].lines().skip(1).map(str::to_owned).collect();
    let mut seen = 0;
    while seen < calls.len() {
        let started = calls[seen].strip_prefix("clone(").and_then(|call| call.rsplit_once("= "));
        if let Some((_, thread)) = started {
            let text = of(thread.trim()).with_context(|| format!("the trace of thread {thread}"))?;
            calls.extend(text.lines().map(str::to_owned));
        }
        seen += 1;
    }
    Ok(calls)
}

#[test]
fn a_mover_that_is_killed_leaves_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = compressed_image(dir.path())?;
    let mut command = convert(Command::new(binary()?), &image, &dir.path().join("target.raw"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let start = Instant::now();
    let mover = loop {
        ensure!(start.elapsed() < Duration::from_secs(60), "no mover was started");
        if let Some(mover) = mover_of(child.id()) {
            break mover;
        }
        std::thread::yield_now();
    };
    signal(mover, Signal::KILL)?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("\"code\":\"mover.died\""), "{text}");
    assert!(text.contains("try again"), "it says what to do: {text}");
    let left: Vec<_> = fs::read_dir(dir.path())?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    assert_eq!(left, ["image.qcow2"]);
    Ok(())
}

/// A process that the given one has started and that is in its sandbox: two filters are no full set
/// yet, three are.
fn mover_of(parent: u32) -> Option<u32> {
    let wanted = [format!("PPid:\t{parent}"), "Seccomp_filters:\t3".to_owned()];
    fs::read_dir("/proc").ok()?.find_map(|entry| {
        let id: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        wanted.iter().all(|line| status.lines().any(|found| found == line)).then_some(id)
    })
}

#[test]
fn a_setting_that_means_nothing_is_refused() -> Result<()> {
    let output = Command::new(binary()?)
        .args(["disk", "inspect", "nothing.qcow2"])
        .env("IMPRINT_ISOLATION", "some")
        .output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("IMPRINT_ISOLATION") && text.contains("best-effort"), "{text}");
    Ok(())
}

/// What host and mover may take together, for any image that the default limits accept.
const MOST_KIB: u64 = 256 << 10;
/// Clusters of the images below: maps of so many, in the memory of both, would be above the bound.
/// The default limit accepts four times as many, which takes too long for every run of the tests;
/// for each 1024 more, 24 bytes more are in memory.
const PIECES: u64 = 1 << 23;
/// Bytes of a cluster; a table has entries for 8192 of them.
const CLUSTER: u64 = 65536;

/// What the clusters of an image are.
#[derive(Clone, Copy)]
enum Clusters {
    /// Compressed, each in a sector of its own.
    Compressed,
    /// As they are; only the first is compressed, so that a mover reads them.
    Data,
}

/// An image of so many clusters (whole tables of 8192) that lie in an order in which no two
/// neighbours can be merged, and in which all parts of it have to be looked at to see that none is
/// used twice. Only the first ones decode, and only they are read.
fn many_pieces(image: &Path, clusters: u64, kind: Clusters) -> Result<()> {
    use imprint_corpus::{qcow2, streams};
    const TABLES: u64 = 1 << 30;
    const UNITS: u64 = 2 << 30;
    let size = format!("{}M", clusters >> 4);
    ok("qemu-img", &["create", "-q", "-f", "qcow2", arg(image), &size])?;
    let file = fs::File::options().read(true).write(true).open(image)?;
    let mut l1 = [0; 8];
    file.read_exact_at(&mut l1, 40)?;
    let l1 = u64::from_be_bytes(l1);
    let places = clusters.next_power_of_two();
    let place = |number: u64| number.wrapping_mul(0x9E37_79B1) % places;
    let unit = |number| UNITS + place(number) * 512;
    let behind = UNITS + places * 512;
    let entry = |number| match kind {
        Clusters::Data if number > 0 => qcow2::COPIED | (behind + place(number) * CLUSTER),
        Clusters::Data | Clusters::Compressed => qcow2::COMPRESSED | unit(number),
    };
    for table in 0..clusters / 8192 {
        let at = TABLES + table * CLUSTER;
        file.write_all_at(&(at | qcow2::COPIED).to_be_bytes(), l1 + table * 8)?;
        let entries: Vec<u8> =
            (table * 8192..).take(8192).flat_map(|number| entry(number).to_be_bytes()).collect();
        file.write_all_at(&entries, at)?;
    }
    let stream = streams::deflate_run(7, usize::try_from(CLUSTER)?);
    ensure!(stream.len() <= 512, "a unit of {} bytes", stream.len());
    (0..1024).try_for_each(|number| file.write_all_at(&stream, unit(number)))?;
    Ok(file.set_len(behind + places * CLUSTER)?)
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Has the disk converted as far as its first window, and answers the peaks of host and mover.
fn peaks(image: &Path, scratch: &Path) -> Result<(u64, u64)> {
    let mut command = Command::new(binary()?);
    command.args(["disk", "convert", arg(image), "-", "--to", "raw"]);
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR")).env("TMPDIR", scratch);
    let mut host = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Nobody reads the rest: both wait in the middle of the work, with all that they need for it.
    let mut first = vec![0; 48 << 10];
    let accepted = host.stdout.as_mut().context("a pipe")?.read_exact(&mut first);
    let mover = mover_of(host.id());
    let peaks = mover.map(|mover| Ok::<_, anyhow::Error>((peak_kib(host.id())?, peak_kib(mover)?)));
    host.kill()?;
    let output = host.wait_with_output()?;
    accepted.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(first.iter().all(|byte| *byte == 7), "the disk is what was stored");
    peaks.context("no mover at work")?
}

/// Both stay below the bound, and nothing is left in the scratch folder. Answers their peaks, for
/// people.
fn bounded(clusters: u64, kind: Clusters) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("image.qcow2");
    many_pieces(&image, clusters, kind)?;
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch)?;
    let (host, mover) = peaks(&image, &scratch)?;
    let peaks = format!("host {host} KiB, mover {mover} KiB");
    ensure!(host + mover <= MOST_KIB, "{peaks}");
    ensure!(fs::read_dir(&scratch)?.next().is_none(), "a scratch file has a name");
    Ok(peaks)
}

#[test]
fn host_and_mover_share_a_bound_of_memory() -> Result<()> {
    println!("{}", bounded(PIECES, Clusters::Compressed)?);
    Ok(())
}

#[test]
fn the_bound_holds_for_fragmented_data() -> Result<()> {
    println!("{}", bounded(PIECES, Clusters::Data)?);
    Ok(())
}

#[test]
fn a_large_map_without_scratch_space_is_an_error() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let image = dir.path().join("image.qcow2");
    many_pieces(&image, 1 << 19, Clusters::Compressed)?;
    let mut command = Command::new(binary()?);
    command.args(["disk", "inspect", arg(&image)]).env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    let output = command.env("TMPDIR", dir.path().join("nowhere")).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error[scratch.open]: ") && text.contains("set TMPDIR"), "{text}");
    Ok(())
}
