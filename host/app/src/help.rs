//! The help of every command in one text: a golden file, so that a change of the command line is
//! seen in review.

use std::{fmt::Write as _, io::Write as _};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};

use crate::cli::Cli;

/// Prints a text that ends with a line feed.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.trim_end().as_bytes()).and_then(|()| out.write_all(b"\n")).context("cannot print")
}

/// The help of the binary and of each command below it, 100 columns wide.
pub(crate) fn all() -> String {
    let mut text = String::new();
    let root = Cli::command().term_width(100);
    append(&mut text, "imprint", root);
    text
}

fn append(text: &mut String, path: &str, mut command: Command) {
    let help = command.render_long_help();
    let _ = writeln!(text, "## {path}\n\n{}\n", help.to_string().trim_end());
    let subcommands: Vec<Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    for sub in subcommands {
        let path = format!("{path} {}", sub.get_name());
        append(text, &path, sub.term_width(100));
    }
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn the_help_is_as_it_was_agreed() {
        let golden = include_str!("../../../tests/golden/cli-help.txt");
        assert_eq!(all().trim_end(), golden.trim_end(), "run `cargo xtask generate` and review the change");
    }
}
