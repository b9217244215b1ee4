//! `cargo xtask test`: everything that can fail, from an empty checkout. `cargo xtask check`: what
//! is no test.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::{fuzz, garage, gates, guest, panel, plugins, setup, sh, tidy};

/// Options of `test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed to nextest: filters and the like.
    #[arg(trailing_var_arg = true)]
    nextest: Vec<String>,
}

/// Sets up and runs all tests, after everything that fails sooner.
pub(crate) fn test(options: &Options) -> Result<()> {
    garage::say_if_missing();
    let mut clock = Clock::default();
    clock.step("set up", || setup::setup(setup::Purpose::Tests))?;
    clock.step("formatting and tidy", || {
        format_check()?;
        tidy::tidy()
    })?;
    clock.step("dependencies", gates::dependencies)?;
    clock.step("plugins", || {
        plugins::build(plugins::Set::Shipped)?;
        plugins::build(plugins::Set::Hostile)
    })?;
    clock.step("panel", || {
        panel::build()?;
        sh::run(&mut panel::npm(&["run", "check"]))?;
        sh::run(&mut panel::npm(&["run", "test"]))
    })?;
    clock.step("lints", gates::lints)?;
    clock.step("documentation", gates::documentation)?;
    clock.step("stock image", guest::build)?;
    // One selection of packages for all: another one would resolve other features, and build half
    // of it twice. The binary is built with it, because the tests of its package run it.
    clock.step("build", || sh::run(nextest().arg("--no-run")))?;
    let binary = sh::target_dir()?.join("debug/imprint");
    clock.step("Rust, real guests, browser", || {
        let mut nextest = nextest();
        nextest.args(&options.nextest).env("IMPRINT_BIN", &binary).env("IMPRINT_DIST", sh::dist());
        sh::run(&mut nextest)
    })?;
    clock.step("examples", || {
        sh::run(sh::cargo().args(["test", "--quiet", "--locked", "--workspace", "--doc"]))
    })?;
    clock.step("fuzzing", || fuzz::fuzz(&fuzz::Options::short()))?;
    clock.print();
    garage::say_if_missing();
    Ok(())
}

/// Everything that `test` checks without running a test.
pub(crate) fn check() -> Result<()> {
    format_check()?;
    tidy::tidy()?;
    gates::dependencies()?;
    plugins::build(plugins::Set::Shipped)?;
    panel::build()?;
    gates::lints()?;
    gates::documentation()?;
    sh::run(&mut panel::npm(&["run", "check"]))
}

fn nextest() -> std::process::Command {
    let mut command = sh::cargo();
    command.args(["nextest", "run", "--locked", "--workspace"]);
    command
}

fn format_check() -> Result<()> {
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))
}

/// What each step took, printed at the end: the whole run has a budget.
#[derive(Default)]
struct Clock(Vec<(&'static str, u64)>);

impl Clock {
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        sh::say(&format!("== {name}"));
        let start = Instant::now();
        let result = work()?;
        self.0.push((name, start.elapsed().as_secs()));
        Ok(result)
    }

    fn print(&self) {
        for (name, seconds) in &self.0 {
            sh::say(&format!("{seconds:>5} s  {name}"));
        }
        sh::say(&format!("{:>5} s  in all", self.0.iter().map(|(_, seconds)| seconds).sum::<u64>()));
    }
}
