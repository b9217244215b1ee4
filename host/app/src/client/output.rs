//! Answers on standard output, and the forms of sizes, times and other values in tables.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
};

use chrono::{DateTime, Utc};
use imprint_domain::size::ByteSize;
use serde::Serialize;

use super::{failure::Failure, table::Table};
use crate::{output_format::OutputFormat, terminal};

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: OutputFormat,
}

impl Output {
    /// Chooses the format that was asked for; else a table on a terminal and JSON elsewhere.
    pub(crate) fn new(wanted: Option<OutputFormat>) -> Self {
        let usual = if io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Json };
        Self { format: wanted.unwrap_or(usual) }
    }

    /// Returns whether answers are tables.
    pub(crate) fn is_table(self) -> bool {
        self.format == OutputFormat::Table
    }

    /// Prints an answer as JSON or as its table, which is no wider than the terminal.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written, or was closed by its reader.
    pub(crate) fn print(self, value: &impl Serialize, table: impl FnOnce() -> Table) -> Result<(), Failure> {
        let text = match self.format {
            OutputFormat::Table => table().render(terminal::width()),
            OutputFormat::Json => serde_json::to_string_pretty(value)
                .map_err(|error| Failure::local("the answer cannot be printed", io::Error::other(error)))?,
        };
        write_lines(&text)
    }

    /// Prints an answer as JSON, or the lines of a text that it holds.
    ///
    /// # Errors
    ///
    /// Standard output cannot be written, or was closed by its reader.
    pub(crate) fn print_lines(self, value: &impl Serialize, lines: &str) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Table => {
                let lines: Vec<_> = lines.lines().map(terminal::printable_line).collect();
                write_lines(&lines.join("\n"))
            }
            OutputFormat::Json => self.print(value, || Table::details([])),
        }
    }
}

fn write_lines(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::local("cannot write to standard output", error)),
    }
}

/// Returns a size in binary units, or a dash.
pub(crate) fn size(bytes: Option<u64>) -> String {
    bytes.and_then(|bytes| ByteSize::new(bytes).ok()).map_or_else(dash, |size| size.to_string())
}

/// Returns a time in UTC to the second, or a dash.
pub(crate) fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(dash, |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Returns any value as text, or a dash.
pub(crate) fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

/// Returns keys and values as text, or a dash.
pub(crate) fn pairs(pairs: &BTreeMap<String, String>) -> String {
    let each: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    text((!each.is_empty()).then(|| each.join(", ")))
}

/// Returns a number of seconds with at most two units: `45 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(seconds: u64) -> String {
    let (large, unit, small, rest) = match seconds {
        0..60 => return format!("{seconds} s"),
        60..3600 => (seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => (seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    };
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {rest}") }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_duration_has_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (200, "3 min 20 s"),
            (7500, "2 h 5 min"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
