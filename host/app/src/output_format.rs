//! The forms in which every command can print its answer.

use clap::ValueEnum;

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Human-readable
    Table,
    /// Machine-readable: one JSON document
    Json,
}
