//! The help of every command in other forms: one text (a golden file, so that a change of the
//! command line is seen in review), man pages, and completion scripts.

use std::{fmt::Write as _, fs, io::Write as _, path::Path};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints a text that ends with a line feed.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.trim_end().as_bytes()).and_then(|()| out.write_all(b"\n")).context("cannot print")
}

/// Prints the completion script of a shell.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    print(&completion_script(shell))
}

fn completion_script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imprint", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a man page for each command that is not hidden, such as `imprint-image-list.1`.
///
/// # Errors
///
/// The directory cannot be made, or a page cannot be written.
pub(crate) fn man_pages(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    // Where the help of clap itself is a command, it would have a page for each command once more.
    let root = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(root, dir).with_context(|| format!("cannot write to {}", dir.display()))
}

/// Returns the help of the binary and of each command below it, 100 columns wide.
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
    use clap_complete::Shell;

    use super::{all, completion_script, man_pages};

    #[test]
    fn every_command_has_a_man_page() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("man1");
        man_pages(&dir).unwrap();
        let page = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        assert!(page("imprint.1").contains("Exit status"), "{}", page("imprint.1"));
        assert!(
            page("imprint-image-create.1").contains("from\\-instance"),
            "{}",
            page("imprint-image-create.1")
        );
        assert!(page("imprint-disk-convert.1").contains("compress"));
        assert!(!dir.join("imprint-help-all.1").exists() && !dir.join("imprint-help.1").exists());
    }

    #[test]
    fn shells_complete_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion_script(shell);
            for word in ["image", "convert", "from-instance"] {
                assert!(script.contains(word), "{shell} does not complete {word}");
            }
        }
    }

    #[test]
    fn the_help_is_the_golden_one() {
        let golden = include_str!("../../../tests/golden/cli-help.txt");
        assert_eq!(all().trim_end(), golden.trim_end(), "run `cargo xtask generate` and review the change");
    }
}
