//! The terminal: lines on standard error, questions, and its width.

use std::io::{self, IsTerminal, Write};

/// Writes a line to standard error, next to the answer on standard output. A line that cannot be
/// written is dropped: there is no other place to report that.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Asks a question with the answer yes or no; no is the default. `None` without a terminal.
///
/// # Errors
///
/// The terminal cannot be written or read.
pub(crate) fn confirm(question: &str) -> io::Result<Option<bool>> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() || !io::stdin().is_terminal() {
        return Ok(None);
    }
    terminal.write_str(&format!("{question} [y/N] "))?;
    let answer = terminal.read_line()?;
    Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// Returns a size in binary units and in bytes, which can be compared.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    format!("{} ({bytes} bytes)", indicatif::BinaryBytes(bytes))
}

/// Returns the columns of the terminal that standard output is, if it is one.
pub(crate) fn width() -> Option<u16> {
    let terminal = console::Term::stdout();
    if !terminal.is_term() {
        return None;
    }
    terminal.size_checked().map(|(_, columns)| columns)
}

/// Returns a text without control characters: text of unknown origin must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Returns the same of a line of a text that its reader wrote: tabs stay.
pub(crate) fn printable_line(line: &str) -> String {
    line.split('\t').map(printable).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(printable_line("\ta\u{1b}b"), "\ta\u{fffd}b");
    }

    #[test]
    fn without_a_terminal_nothing_is_asked() {
        assert_eq!(confirm("really?").unwrap(), None);
    }
}
