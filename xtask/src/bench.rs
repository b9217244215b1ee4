//! `cargo xtask bench`: the data path against the field's tools, on the same disk in the same run.
//!
//! Seconds of a busy machine mean nothing; ratios do. The tools take turns, a ratio is taken within
//! each round, and the median of the rounds is judged; CPU seconds, sizes and memory stand beside
//! it. The first round, which warms the caches, is not counted; there the result is compared with
//! the disk, byte for byte.

mod disk;
mod jobs;
mod measure;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::Value;

use self::{
    disk::Mount,
    jobs::{Against, JOBS, Job, Place, SOURCES},
    measure::{Cost, Measured, median},
};
pub(crate) use measure::{Options as MeasureOptions, measure};

use crate::{guest, plugins, setup, sh, up};

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of each job, after one that warms up
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// MiB of data on the disk
    #[arg(long, default_value_t = 2500)]
    data_mib: u64,
    /// Only jobs whose name or goal holds this
    #[arg(long, default_value = "")]
    only: String,
    /// Measures image storages instead: captures into each kind and deployments from it, against
    /// the plain tool of that kind
    #[arg(long)]
    storages: bool,
    /// Measures uploads, imports from a server and exports instead, against plain tools
    #[arg(long)]
    transfers: bool,
    /// Measures lists of 100,000 images instead, on SQLite and PostgreSQL
    #[arg(long)]
    lists: bool,
    /// Measures metering of 100,000 images and a report of 10,000 instead, on SQLite and PostgreSQL
    #[arg(long)]
    billing: bool,
    /// Measures the processor time of an idle guest of the demo instead
    #[arg(long)]
    idle: bool,
    /// A binary to measure instead of building one
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Most bytes that may cross the sandbox, as a share of those that the host moves, and of the time.
const SANDBOX_BYTES: f64 = 0.001;
const SANDBOX_TIME: f64 = 0.01;
/// Most memory of any job, in KiB: this, and so much for each thread (goal P17).
const MEMORY: i64 = 128 << 10;
const MEMORY_PER_THREAD: i64 = 4 << 10;

/// Bytes of memory that are touched before a run in memory: what the largest result takes.
const TOUCHED: usize = 3 << 30;

/// The rounds of one tool.
#[derive(Default)]
struct Runs {
    costs: Vec<Cost>,
    stored: u64,
}

impl Runs {
    fn wall(&self, round: usize) -> f64 {
        self.costs.get(round).or_else(|| self.costs.last()).map_or(f64::NAN, |cost| cost.wall)
    }

    fn middle(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        median(self.costs.iter().map(of).collect())
    }
}

/// Where the jobs of one place work.
struct Folder {
    path: PathBuf,
    imprint: PathBuf,
    _mount: Option<Mount>,
}

/// Runs the measurements and prints a table; fails when a goal is missed.
pub(crate) fn bench(options: &Options) -> Result<()> {
    if options.lists {
        return service("list-figures");
    }
    if options.billing {
        return service("billing-figures");
    }
    setup::setup(setup::Purpose::Bench)?;
    let imprint = match &options.binary {
        Some(binary) => fs::canonicalize(binary)?,
        None => {
            plugins::build(plugins::Set::Shipped)?;
            up::build_host(up::Profile::Release)?
        }
    };
    if options.storages || options.transfers {
        let numbers = [options.data_mib.to_string(), options.rounds.max(1).to_string()];
        let transfers = options.transfers.to_string();
        let args = ["--data-mib", &numbers[0], "--rounds", &numbers[1], "--transfers", &transfers];
        return figures(&args, &imprint);
    }
    if options.idle {
        guest::build()?;
        return figures(&["--idle-seconds", "30"], &imprint);
    }
    let dir = sh::dist().join("bench");
    let disk = disk::make(&dir, options.data_mib)?;
    let mut missed = Vec::new();
    for place in [Place::Memory, Place::Disk, Place::Cold, Place::Xfs] {
        let wanted = |job: &&Job| {
            let named = |text: &str| text.to_lowercase().contains(&options.only.to_lowercase());
            job.place == place && (named(job.name) || job.goals.iter().any(|goal| goal.id == options.only))
        };
        let jobs: Vec<&Job> = JOBS.iter().filter(wanted).collect();
        if jobs.is_empty() {
            continue;
        }
        let folder = folder(place, &dir, &disk, &imprint)?;
        for job in jobs {
            missed.extend(run(job, &folder, options.rounds.max(1))?);
        }
    }
    match missed.is_empty() {
        true => Ok(()),
        false => bail!("missed: {}", missed.join("; ")),
    }
}

/// Measures use cases on both databases, which needs neither the binary nor a disk.
fn service(example: &str) -> Result<()> {
    setup::setup(setup::Purpose::Tests)?;
    let program = ["--package", "imprint-service", "--example", example];
    sh::run(sh::cargo().args(["run", "--locked", "--release"]).args(program))
}

/// Measures with the servers and guests of the whole-product tests.
fn figures(args: &[&str], imprint: &Path) -> Result<()> {
    setup::setup(setup::Purpose::Tests)?;
    let mut build = sh::cargo();
    build.args(["build", "--locked", "--workspace", "--bin", "storage-figures"]);
    sh::run(&mut build)?;
    let mut figures = sh::cmd::<&str>(&sh::target_dir()?.join("debug/storage-figures").to_string_lossy(), []);
    figures.args(args);
    figures.env("IMPRINT_BIN", imprint).env("IMPRINT_DIST", sh::dist()).env("PATH", sh::path_with_sbin());
    sh::run(&mut figures)
}

#[expect(clippy::print_stdout, reason = "the table is the command's answer")]
fn print(line: &str) {
    println!("{line}");
}

fn folder(place: Place, dir: &Path, disk: &Path, imprint: &Path) -> Result<Folder> {
    let at = dir.join("mounted");
    let mount = match place {
        Place::Memory => Some(Mount::memory(&at)?),
        Place::Xfs => Some(Mount::xfs(&at)?),
        Place::Disk | Place::Cold => None,
    };
    let path = mount.as_ref().map_or_else(|| dir.to_owned(), |mount| mount.path().to_owned());
    if mount.is_some() {
        sh::quiet(sh::cmd("cp", ["--sparse=always"]).arg(disk).arg(path.join("disk.raw")))?;
    }
    Ok(Folder { path, imprint: imprint.to_owned(), _mount: mount })
}

/// One job: all rounds, its line of the table, and the goals that it misses.
fn run(job: &Job, folder: &Folder, rounds: usize) -> Result<Vec<String>> {
    let made = sources(job, folder)?;
    if job.place == Place::Memory {
        make_room()?;
    }
    let mut alternatives: Vec<Runs> = job.alternatives.iter().map(|_| Runs::default()).collect();
    let mut ours = Runs::default();
    let mut report = Value::Null;
    for round in 0..=rounds {
        for (alternative, runs) in job.alternatives.iter().zip(&mut alternatives) {
            if alternative.slow && round != 1 {
                continue;
            }
            let (measured, stored) = timed(job, folder, alternative.script)?;
            if round > 0 {
                runs.costs.push(measured.cost);
                runs.stored = stored;
            }
        }
        let (measured, stored) = timed(job, folder, job.ours)?;
        if round == 0 {
            script(folder, job.check).with_context(|| format!("{}: the result is wrong", job.name))?;
            report = serde_json::from_str(&measured.stdout)
                .context("the report of `imprint disk convert` is not JSON")?;
        } else {
            ours.costs.push(measured.cost);
            ours.stored = stored;
        }
    }
    for source in made {
        fs::remove_file(source)?;
    }
    remove(&folder.path.join("out"))?;
    Ok(evaluate(job, &alternatives, &ours, &report))
}

/// Makes what the job reads; answers the files.
fn sources(job: &Job, folder: &Folder) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for name in job.sources {
        let (_, recipe) = SOURCES
            .iter()
            .find(|(known, _)| known == name)
            .with_context(|| format!("no recipe for {name}"))?;
        let path = folder.path.join(name);
        measure::run(recipe, &folder.path, &[("IN", &folder.path), ("OUT", &path)])?;
        made.push(path);
    }
    Ok(made)
}

fn script(folder: &Folder, script: &str) -> Result<Measured> {
    let out = folder.path.join("out");
    let variables =
        [("IN", folder.path.as_path()), ("OUT", out.as_path()), ("IMPRINT", folder.imprint.as_path())];
    measure::run(script, &folder.path, &variables)
}

/// Runs one tool on a clean target; answers its cost and what it stored.
fn timed(job: &Job, folder: &Folder, text: &str) -> Result<(Measured, u64)> {
    let out = folder.path.join("out");
    remove(&out)?;
    if job.place != Place::Memory {
        // What an earlier run left to be written is not this one's.
        sh::quiet(&mut sh::cmd::<&str>("sync", []))?;
    }
    if job.place == Place::Cold {
        for name in ["disk.raw"].iter().chain(job.sources) {
            evict(&folder.path.join(name))?;
        }
    }
    touch_memory();
    let measured = script(folder, text)?;
    Ok((measured, fs::metadata(&out)?.blocks() * 512))
}

/// Throws a file out of the page cache. Everything else stays: programs that had to be read again
/// first would be measured, too.
fn evict(path: &Path) -> Result<()> {
    let file = fs::File::open(path)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// A full page cache has to be emptied page by page while a tool allocates memory: that cost
/// belongs to neither tool.
fn make_room() -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "1").context("dropping the page cache needs root")
}

/// A virtual machine gives back memory that is not used, and gets it page by page from its host
/// when it is touched again: that took some tools seconds, and whichever came later nothing.
/// Touched shortly before each run, it is there for all.
fn touch_memory() {
    std::hint::black_box(vec![1_u8; TOUCHED]);
}

fn remove(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Prints the job's lines and says what was missed.
fn evaluate(job: &Job, alternatives: &[Runs], ours: &Runs, report: &Value) -> Vec<String> {
    let mut missed = Vec::new();
    let line = |name: &str, runs: &Runs| {
        print(&format!(
            "    {name:<22} {:>8.2} s  cpu {:>7.2} s  {:>6} MiB stored  {:>5} MiB memory",
            runs.middle(|cost| cost.wall),
            runs.middle(|cost| cost.cpu),
            runs.stored >> 20,
            runs.costs.iter().map(|cost| cost.rss).max().unwrap_or(0) >> 10,
        ));
    };
    print(job.name);
    for (alternative, runs) in job.alternatives.iter().zip(alternatives) {
        line(alternative.name, runs);
    }
    line("imprint", ours);
    let mut report_goal = |name: &str, reached: bool, text: String| {
        let word = if reached { "reached" } else { "MISSED" };
        print(&format!("    {name:<4} {text}: {word}"));
        if !reached {
            missed.push(format!("{name} of {}", job.name));
        }
    };
    for goal in job.goals {
        let ratio = median(
            (0..ours.costs.len())
                .map(|round| alternative_wall(job, alternatives, goal.against, round) / ours.wall(round))
                .collect(),
        );
        let name = match goal.against {
            Against::Alternative(name) => name,
            Against::Best => "the best of them",
        };
        let text = format!("{ratio:.2} x against {name}, at least {} (aim {})", goal.at_least, goal.aim);
        report_goal(goal.id, ratio >= goal.at_least, text);
    }
    let named = |name: &str| {
        job.alternatives
            .iter()
            .zip(alternatives)
            .find(|(alternative, _)| alternative.name == name)
            .map(|(_, runs)| runs)
    };
    if let Some((name, most)) = job.size
        && let Some(runs) = named(name)
    {
        let ratio = as_f64(ours.stored) / as_f64(runs.stored);
        report_goal("size", ratio <= most, format!("{ratio:.3} of {name}, at most {most}"));
    }
    if let Some((name, most)) = job.cpu
        && let Some(runs) = named(name)
    {
        let ratio = ours.middle(|cost| cost.cpu) / runs.middle(|cost| cost.cpu);
        report_goal("CPU", ratio <= most, format!("{ratio:.2} of {name}, at most {most}"));
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
    let most = MEMORY + MEMORY_PER_THREAD * threads;
    let peak = ours.costs.iter().map(|cost| cost.rss).max().unwrap_or(i64::MAX);
    report_goal("P17", peak <= most, format!("{} MiB of memory, at most {}", peak >> 10, most >> 10));
    let share = |part: &str, whole: &str| match (report[part].as_f64(), report[whole].as_f64()) {
        (Some(part), Some(whole)) if whole > 0.0 => part / whole,
        _ => f64::NAN,
    };
    let bytes = share("boundary_bytes", "native_bytes");
    report_goal("bytes through the sandbox", bytes <= SANDBOX_BYTES, format!("{:.4} %", bytes * 100.0));
    let time = share("sandbox_seconds", "seconds");
    report_goal("time in the sandbox", time <= SANDBOX_TIME, format!("{:.2} %", time * 100.0));
    missed
}

fn alternative_wall(job: &Job, alternatives: &[Runs], against: Against, round: usize) -> f64 {
    let walls = job.alternatives.iter().zip(alternatives).filter(|(alternative, _)| match against {
        Against::Alternative(name) => alternative.name == name,
        Against::Best => true,
    });
    walls.map(|(_, runs)| runs.wall(round)).fold(f64::INFINITY, f64::min)
}

/// Sizes of files are far below 2^52.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "see above")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_its_sources_and_alternatives() {
        for job in JOBS {
            for name in job.sources {
                assert!(SOURCES.iter().any(|(known, _)| known == name), "{}: {name}", job.name);
            }
            let known = |name: &str| job.alternatives.iter().any(|alternative| alternative.name == name);
            for goal in job.goals {
                assert!(goal.at_least <= goal.aim, "{}", job.name);
                if let Against::Alternative(name) = goal.against {
                    assert!(known(name), "{}: {name}", job.name);
                }
            }
            for (name, _) in job.size.iter().chain(&job.cpu) {
                assert!(known(name), "{}: {name}", job.name);
            }
        }
    }

    #[test]
    fn a_missed_goal_is_reported() {
        let cost = |wall| Cost { wall, cpu: wall, rss: 1 };
        let runs = |wall, stored| Runs { costs: vec![cost(wall)], stored };
        let job = JOBS.iter().find(|job| job.name == "raw -> qcow2 zstd").copied();
        let job = job.expect("the job is listed");
        let alternatives = [runs(9.0, 100), runs(6.0, 100)];
        let report = serde_json::json!({"boundary_bytes": 1, "native_bytes": 2000, "sandbox_seconds": 0.01, "seconds": 2.0});
        assert!(evaluate(&job, &alternatives, &runs(3.0, 100), &report).is_empty());
        assert_eq!(evaluate(&job, &alternatives, &runs(5.0, 101), &report).len(), 2);
        assert_eq!(evaluate(&job, &alternatives, &runs(3.0, 100), &Value::Null).len(), 2);
    }
}
