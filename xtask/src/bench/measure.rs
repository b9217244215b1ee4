//! Runs one shell command and says what it cost.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use serde::{Deserialize, Serialize};

use crate::sh;

/// Arguments of the hidden verb that measures: what a process and its descendants cost is known
/// exactly only to a parent that has no other children.
#[derive(Args)]
pub(crate) struct Options {
    /// A command for `sh -c`.
    script: String,
}

/// What a command cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of CPU, of all processes together.
    pub(crate) cpu: f64,
    /// Largest resident set of one process, in KiB.
    pub(crate) rss: i64,
}

/// What a measured command said on standard output, and what it cost.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) cost: Cost,
    pub(crate) stdout: String,
}

/// The hidden verb: prints a [`Measured`].
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn measure(options: &Options) -> Result<()> {
    let start = Instant::now();
    let output = Command::new("sh").args(["-c", &options.script]).output().context("sh is missing")?;
    let wall = start.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("{}: {}: {}", options.script, output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cpu = std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let measured = Measured { cost: Cost { wall, cpu, rss: usage.max_rss() }, stdout };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Runs a script in a process of its own, with these variables.
pub(crate) fn run(script: &str, dir: &Path, variables: &[(&str, &Path)]) -> Result<Measured> {
    let this = std::env::current_exe().context("this program has no name")?;
    let mut command = sh::cmd(&this.to_string_lossy(), ["measure", script]);
    command.current_dir(dir).env("PATH", sh::path_with_sbin());
    for (name, value) in variables {
        command.env(name, value);
    }
    Ok(serde_json::from_str(&sh::output(&mut command)?)?)
}

/// The middle value; between the middle two of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(*value, values.get(middle - 1).copied().unwrap_or(*value)),
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
