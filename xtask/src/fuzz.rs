//! `cargo xtask fuzz`: every reader of a disk format, natively, with the images of the corpus as
//! seeds.
//!
//! Works with any toolchain: coverage comes from flags that the stable compiler knows, and no
//! sanitizer is used (there is no unsafe code in a plugin, so what a sanitizer would find is not
//! there; overflows and bounds are checked).

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::sh;

/// Where the targets are, from the root.
const FUZZ_DIR: &str = "tests/fuzz";
/// Seconds that a target runs in `cargo xtask test`: enough to run the seeds and to notice a reader
/// that breaks at once. `cargo xtask fuzz --seconds 600` looks further.
const SHORT: u32 = 20;
/// Targets at the same time.
const AT_ONCE: usize = 2;
/// Longest run of one input, in seconds: far more than any takes, even where other programs want
/// the processors, too.
const TIMEOUT: u32 = 30;
/// Most memory of a run: the bound of a plugin's, with what the fuzzer itself needs.
const MEMORY_MIB: u32 = 512;
/// Bytes of an input that are printed.
const SHOWN: usize = 2048;
/// Longest input: packed files are short.
const MAX_INPUT: u32 = 64 << 10;

/// Targets that only run by name. A library that `inside` uses does not end on some inputs; in the
/// sandbox the host ends it, a fuzzer only waits.
const BY_NAME: [&str; 1] = ["inside"];

/// Options of `fuzz`.
#[derive(Args)]
pub(crate) struct Options {
    /// One target; without it all that end on every input.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = SHORT)]
    seconds: u32,
}

impl Options {
    /// As in `cargo xtask test`.
    pub(crate) fn short() -> Self {
        Self { target: None, seconds: SHORT }
    }
}

/// Builds the targets, makes the seeds, and runs two at a time. A crash fails it and says where the
/// input is.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let all = targets()?;
    let mut waiting: VecDeque<String> = match &options.target {
        None => all.into_iter().filter(|target| !BY_NAME.contains(&target.as_str())).collect(),
        Some(one) if all.contains(one) => VecDeque::from([one.clone()]),
        Some(other) => bail!("there is no target {other}; there are {}", all.join(", ")),
    };
    let folder = sh::target_dir()?.join("fuzz");
    let built = build(&folder)?;
    let seeds = folder.join("seeds");
    sh::run(
        sh::cargo()
            .args(["run", "--quiet", "--locked", "--package", "imprint-corpus", "--example", "seeds", "--"])
            .arg(&seeds),
    )?;
    let mut running: Vec<Run> = Vec::new();
    let mut crashed = Vec::new();
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < AT_ONCE
            && let Some(target) = waiting.pop_front()
        {
            running.push(Run::start(target, &built, &folder, &seeds, options.seconds)?);
        }
        // They all take the same time: the first one that began ends first.
        if !running.is_empty() {
            crashed.extend(running.remove(0).finish()?);
        }
    }
    if crashed.is_empty() { Ok(()) } else { bail!("fuzzing found:\n{}", crashed.join("\n")) }
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(sh::root().join(FUZZ_DIR).join("fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Answers the folder of the binaries.
fn build(folder: &Path) -> Result<PathBuf> {
    sh::say("building the fuzz targets");
    let version = sh::output(&mut sh::cmd("rustc", ["-vV"]))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say its host")?;
    let target_dir = folder.join("build");
    // `cargo fuzz` would renew a lock file that is behind without a word.
    let lock = ["metadata", "--locked", "--format-version", "1", "--manifest-path"];
    sh::quiet(sh::cargo().args(lock).arg(format!("{FUZZ_DIR}/Cargo.toml")))
        .context("the lock file of the fuzz targets is behind: cargo update --workspace in their folder")?;
    let mut command = sh::cargo();
    command
        .args(["fuzz", "build", "--fuzz-dir", FUZZ_DIR, "--sanitizer", "none", "--target-dir"])
        .arg(&target_dir);
    // The flags of coverage are the compiler's own business, so a stable one has to be told that we
    // know what we do.
    sh::run(command.env("RUSTC_BOOTSTRAP", "1"))?;
    Ok(target_dir.join(host).join("release"))
}

struct Run {
    target: String,
    child: Child,
    log: PathBuf,
    artifacts: PathBuf,
}

impl Run {
    fn start(target: String, built: &Path, folder: &Path, seeds: &Path, seconds: u32) -> Result<Self> {
        let place = |what: &str| -> Result<PathBuf> {
            let place = folder.join(what).join(&target);
            fs::create_dir_all(&place)?;
            Ok(place)
        };
        let (found, artifacts) = (place("corpus")?, place("artifacts")?);
        let log = folder.join(format!("{target}.log"));
        let file = fs::File::create(&log)?;
        let child = Command::new(built.join(&target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-max_len={MAX_INPUT}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-print_final_stats=1", "-use_value_profile=1"])
            .arg(found)
            .arg(seeds.join(&target))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("the fuzz target {target} cannot be started"))?;
        sh::say(&format!("fuzzing {target} for {seconds} s"));
        Ok(Self { target, child, log, artifacts })
    }

    /// What was found, with the end of what the target printed.
    fn finish(mut self) -> Result<Option<String>> {
        let status = self.child.wait()?;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        sh::say(&format!("{}: {} runs", self.target, runs.unwrap_or("an unknown number of").trim()));
        if status.success() {
            return Ok(None);
        }
        let lines: Vec<&str> = said.lines().collect();
        // What went wrong is said before the trace, and the trace may be longer than what is shown
        // of the end.
        let panics = lines.iter().position(|line| line.contains("panicked at"));
        let what = panics.map_or(&[][..], |at| &lines[at..lines.len().min(at + 3)]).join("\n");
        let end = lines[lines.len().saturating_sub(40)..].join("\n");
        let inputs = self.inputs();
        Ok(Some(format!("{} ({status}):\n{what}\n{end}\n{inputs}", self.target)))
    }

    /// The inputs that were kept, in hexadecimal where they are short: the folder may be gone when
    /// this is read.
    fn inputs(&self) -> String {
        let files = fs::read_dir(&self.artifacts).into_iter().flatten().flatten();
        let mut text = format!("inputs in {}", self.artifacts.display());
        for path in files.map(|file| file.path()) {
            let bytes = fs::read(&path).unwrap_or_default();
            let shown: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
            let more = if bytes.len() > SHOWN { "..." } else { "" };
            let _ = write!(text, "\n{} ({} bytes): {shown}{more}", path.display(), bytes.len());
        }
        text
    }
}
