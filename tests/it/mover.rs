//! The processes that decode compressed images: what they do, what they cannot do, and what happens when they die.

use std::{
    fs,
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
    let begun = Instant::now();
    let mover = loop {
        ensure!(begun.elapsed() < Duration::from_secs(60), "no mover was started");
        if let Some(mover) = mover_of(child.id()) {
            break mover;
        }
        std::thread::yield_now();
    };
    signal(mover, Signal::KILL)?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error[mover.died]: "), "{text}");
    assert!(text.contains("try again"), "it says what to do: {text}");
    let left: Vec<_> = fs::read_dir(dir.path())?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    assert_eq!(left, ["image.qcow2"]);
    Ok(())
}

/// A process that the given one has started and that is in its sandbox: two filters are no full set yet, three are.
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
