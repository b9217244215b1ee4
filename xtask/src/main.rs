//! `cargo xtask`: the commands that developers and CI type.
//!
//! Two do everything on a fresh machine: `up` (the demo) and `test` (all tests). The others are
//! their parts.

mod bench;
mod fuzz;
mod garage;
mod gates;
mod generate;
mod guest;
mod panel;
mod plugins;
mod setup;
mod sh;
mod test;
mod tidy;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs, tests and measures Imprint")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what the other verbs need: the wasm target and Debian packages.
    Setup {
        /// Also what the tests need: PostgreSQL, a browser, nextest.
        #[arg(long)]
        tests: bool,
        /// Builds Garage for its tests, into the user's cache folder: half an hour on one core.
        #[arg(long)]
        garage: bool,
    },
    /// Sets everything up, builds it, and runs the demo on 127.0.0.1:8080.
    Up(up::Options),
    /// Sets up and runs all tests: Rust, panel, browser, real guests.
    Test(test::Options),
    /// Formatting, tidy, dependencies, lints, documentation: everything but the tests.
    Check,
    /// The import table, circles of modules, vocabulary, requirement codes, habits.
    Tidy,
    /// Rewrites the generated files: OpenAPI, the panel's types, goldens.
    Generate,
    /// Builds the parts: everything, or those named.
    Build {
        /// Which parts.
        #[arg(value_enum)]
        parts: Vec<Part>,
        /// The host binary for release.
        #[arg(long)]
        release: bool,
    },
    /// Fuzzes the readers of disk formats: all of them, or one.
    Fuzz(fuzz::Options),
    /// Measures the data path against the field's tools, in one run on the same disk.
    Bench(bench::Options),
    /// Runs a script and says what it cost: a part of `bench`.
    #[command(hide = true)]
    Measure(bench::MeasureOptions),
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The shipped plugins, as components with their manifests.
    Plugins,
    /// The hostile plugins of the tests.
    TestPlugins,
    /// The panel.
    Panel,
    /// The demo's stock image.
    Guest,
    /// The `imprint` binary.
    Host,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            sh::say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Setup { tests, garage } => {
            setup::setup(if tests { setup::Purpose::Tests } else { setup::Purpose::Demo })?;
            if garage { garage::build() } else { Ok(()) }
        }
        Verb::Up(options) => up::up(&options),
        Verb::Test(options) => test::test(&options),
        Verb::Check => test::check(),
        Verb::Tidy => tidy::tidy(),
        Verb::Generate => generate::generate(),
        Verb::Build { parts, release } => build(&parts, release),
        Verb::Fuzz(options) => fuzz::fuzz(&options),
        Verb::Bench(options) => bench::bench(&options),
        Verb::Measure(options) => bench::measure(&options),
    }
}

fn build(parts: &[Part], release: bool) -> anyhow::Result<()> {
    let wants = |part| parts.is_empty() || parts.contains(&part);
    if wants(Part::Plugins) {
        plugins::build(plugins::Set::Shipped)?;
    }
    if parts.contains(&Part::TestPlugins) {
        plugins::build(plugins::Set::Hostile)?;
    }
    if wants(Part::Panel) {
        panel::build()?;
    }
    if wants(Part::Guest) {
        guest::build()?;
    }
    if wants(Part::Host) {
        up::build_host(if release { up::Profile::Release } else { up::Profile::Dev })?;
    }
    Ok(())
}
