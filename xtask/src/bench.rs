//! `cargo xtask bench`: the data path against qemu-img, on the same disk in the same run.
//!
//! Seconds of a busy machine mean nothing; ratios do. The two tools take turns, a ratio is taken within each round, and the
//! median of the rounds is printed, with the CPU seconds of both beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::{plugins, setup, sh, up};

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of each job; the first one, which warms the caches, is not counted.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// MiB of real files on the disk.
    #[arg(long, default_value_t = 1200)]
    data_mib: u64,
    /// Only jobs whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
}

/// One job, done by both tools: source and target below the bench's folder, and the arguments between.
struct Job {
    name: &'static str,
    source: &'static str,
    target: &'static str,
    qemu: &'static [&'static str],
    ours: &'static [&'static str],
}

const JOBS: &[Job] = &[
    Job {
        name: "raw -> qcow2",
        source: "disk.raw",
        target: "out.qcow2",
        qemu: &["-f", "raw", "-O", "qcow2"],
        ours: &["--from", "raw", "--to", "qcow2"],
    },
    Job {
        name: "qcow2 -> raw",
        source: "disk.qcow2",
        target: "out.raw",
        qemu: &["-f", "qcow2", "-O", "raw"],
        ours: &["--from", "qcow2", "--to", "raw"],
    },
    Job {
        name: "raw -> qcow2 zstd",
        source: "disk.raw",
        target: "out.qcow2",
        qemu: &["-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        ours: &["--from", "raw", "--to", "qcow2", "--compress", "zstd"],
    },
    Job {
        name: "raw -> qcow2 zlib",
        source: "disk.raw",
        target: "out.qcow2",
        qemu: &["-f", "raw", "-O", "qcow2", "-c"],
        ours: &["--from", "raw", "--to", "qcow2", "--compress", "zlib"],
    },
    Job {
        name: "qcow2 zstd -> raw",
        source: "disk-zstd.qcow2",
        target: "out.raw",
        qemu: &["-f", "qcow2", "-O", "raw"],
        ours: &["--from", "qcow2", "--to", "raw"],
    },
    Job {
        name: "qcow2 zlib -> raw",
        source: "disk-zlib.qcow2",
        target: "out.raw",
        qemu: &["-f", "qcow2", "-O", "raw"],
        ours: &["--from", "qcow2", "--to", "raw"],
    },
];

/// One tool's run.
#[derive(Clone, Copy, Debug)]
struct Run {
    wall: f64,
    cpu: f64,
    stored: u64,
}

/// Runs the measurements and prints a table.
pub(crate) fn bench(options: &Options) -> Result<()> {
    setup::setup(setup::Purpose::Demo)?;
    plugins::build(plugins::Set::Shipped)?;
    let imprint = up::build_host(up::Profile::Release)?;
    let dir = sh::dist().join("bench");
    fs::create_dir_all(&dir)?;
    disks(&dir, options.data_mib)?;
    print(
        "job                  qemu/ours (wall)  qemu wall  ours wall  qemu cpu  ours cpu  qemu MiB  ours MiB  through the sandbox",
    );
    for job in JOBS.iter().filter(|job| job.name.contains(&options.only)) {
        measure(job, &imprint, &dir, options.rounds)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the table is the command's answer")]
fn print(line: &str) {
    println!("{line}");
}

fn measure(job: &Job, imprint: &Path, dir: &Path, rounds: usize) -> Result<()> {
    let (source, target) = (dir.join(job.source), dir.join(job.target));
    let mut qemu_runs = Vec::new();
    let mut our_runs = Vec::new();
    let mut share = 0.0;
    for round in 0..=rounds {
        let mut qemu = sh::cmd("qemu-img", ["convert", "-m", "16", "-W"]);
        qemu.args(job.qemu).arg(&source).arg(&target);
        let theirs = timed(&mut qemu, &target)?.0;
        let mut ours =
            sh::cmd(&imprint.to_string_lossy(), ["disk", "convert", "--output", "json", "--force"]);
        ours.args(job.ours).arg(&source).arg(&target);
        let (mine, report) = timed(&mut ours, &target)?;
        if round == 0 {
            sh::quiet(sh::cmd("qemu-img", ["compare"]).arg(dir.join("disk.raw")).arg(&target))
                .context("the result differs")?;
            share = crossed(&report)?;
            continue;
        }
        qemu_runs.push(theirs);
        our_runs.push(mine);
    }
    let ratios = qemu_runs.iter().zip(&our_runs).map(|(theirs, mine)| theirs.wall / mine.wall).collect();
    let column = |runs: &[Run], of: fn(&Run) -> f64| median(runs.iter().map(of).collect());
    let stored = |runs: &[Run]| runs.first().map_or(0, |run| run.stored >> 20);
    print(&format!(
        "{:<20} {:>16.2}  {:>9.2}  {:>9.2}  {:>8.2}  {:>8.2}  {:>8}  {:>8}  {:>8.4} %",
        job.name,
        median(ratios),
        column(&qemu_runs, |run| run.wall),
        column(&our_runs, |run| run.wall),
        column(&qemu_runs, |run| run.cpu),
        column(&our_runs, |run| run.cpu),
        stored(&qemu_runs),
        stored(&our_runs),
        share * 100.0,
    ));
    Ok(())
}

/// The share of bytes that crossed the sandbox, from the report of `disk convert`.
fn crossed(report: &str) -> Result<f64> {
    let report: Value = serde_json::from_str(report).context("the report of `disk convert` is not JSON")?;
    let figure =
        |name: &str| report[name].as_f64().with_context(|| format!("the report has no {name}: {report}"));
    let share = figure("boundary_bytes")? / figure("native_bytes")?.max(1.0);
    if share > 0.001 {
        bail!("{:.3} % of the bytes crossed the sandbox; at most 0.1 % may", share * 100.0);
    }
    Ok(share)
}

fn timed(command: &mut std::process::Command, target: &Path) -> Result<(Run, String)> {
    if target.exists() {
        fs::remove_file(target)?;
    }
    let (begun, cpu) = (Instant::now(), children_cpu()?);
    let report = sh::output(command)?;
    let run =
        Run { wall: begun.elapsed().as_secs_f64(), cpu: children_cpu()? - cpu, stored: allocated(target)? };
    Ok((run, report))
}

fn allocated(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(path)?.blocks() * 512)
}

/// CPU seconds of all children that have ended (`proc(5)`, /proc/PID/stat, fields 16 and 17, in hundredths).
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("stat has a name")?.1.split_whitespace().collect();
    let field = |number: usize| {
        fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).context("stat has a figure")
    };
    Ok((field(16)? + field(17)?) / 100.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(*value, values.get(middle - 1).copied().unwrap_or(*value)),
        (None, _) => f64::NAN,
    }
}

/// The disk that all jobs read: a file system with real files of this machine, and the same disk as qcow2 in three ways.
fn disks(dir: &Path, data_mib: u64) -> Result<()> {
    let stamp = dir.join("stamp");
    let wanted = format!("{data_mib} MiB, layout 1");
    if sh::is_stamped(&stamp, &wanted) {
        return Ok(());
    }
    sh::say("making the bench's disk");
    let tree = dir.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(&tree)?;
    stage(&tree, data_mib << 20)?;
    let disk = dir.join("disk.raw");
    fs::File::create(&disk)?.set_len((data_mib << 20) * 3)?;
    let mut mke2fs = sh::cmd("mke2fs", ["-q", "-F", "-t", "ext4", "-d"]);
    mke2fs.arg(&tree).arg(&disk).env("PATH", sh::path_with_sbin());
    sh::quiet(&mut mke2fs)?;
    fs::remove_dir_all(&tree)?;
    let variants: [(&str, &[&str]); 3] = [
        ("disk.qcow2", &[]),
        ("disk-zlib.qcow2", &["-c"]),
        ("disk-zstd.qcow2", &["-c", "-o", "compression_type=zstd"]),
    ];
    for (name, more) in variants {
        let mut convert = sh::cmd("qemu-img", ["convert", "-m", "16", "-W", "-f", "raw", "-O", "qcow2"]);
        sh::quiet(convert.args(more).arg(&disk).arg(dir.join(name)))?;
    }
    Ok(fs::write(stamp, wanted)?)
}

/// Copies files of this machine, in a fixed order, until there are enough bytes.
fn stage(tree: &Path, bytes: u64) -> Result<()> {
    let mut left = bytes;
    for (number, root) in
        ["/usr/bin", "/usr/lib", "/usr/share", "/usr/include"].map(PathBuf::from).iter().enumerate()
    {
        let mut files = if root.is_dir() { sh::files_below(root, &|_| false)? } else { Vec::new() };
        files.sort();
        for (index, file) in files.iter().enumerate() {
            let length = fs::metadata(file).map_or(0, |metadata| metadata.len());
            if length == 0 || length > left {
                continue;
            }
            let folder = tree.join(format!("{number}-{}", index / 1000));
            fs::create_dir_all(&folder)?;
            fs::copy(file, folder.join(format!("{index}")))?;
            left -= length;
        }
        if left < 1 << 20 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn more_than_a_thousandth_through_the_sandbox_fails() {
        assert!(crossed(r#"{"boundary_bytes": 1, "native_bytes": 1001}"#).is_ok());
        assert!(crossed(r#"{"boundary_bytes": 2, "native_bytes": 1000}"#).is_err());
        assert!(crossed("{}").is_err());
    }
}
