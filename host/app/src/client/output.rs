//! Answers on standard output; sizes, times and other figures for people.

use std::io::{self, IsTerminal, Write};

use chrono::{DateTime, Utc};
use imprint_domain::size::ByteSize;
use serde::Serialize;

use super::{args::OutputFormat, failure::Failure, table::Table};

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: OutputFormat,
}

impl Output {
    /// As it was asked for; else a table on a terminal and JSON elsewhere.
    pub(crate) fn new(wanted: Option<OutputFormat>) -> Self {
        let usual = if io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Json };
        Self { format: wanted.unwrap_or(usual) }
    }

    /// Prints an answer: itself as JSON, or its table.
    pub(crate) fn print(self, value: &impl Serialize, table: impl FnOnce() -> Table) -> Result<(), Failure> {
        let text = match self.format {
            OutputFormat::Table => table().to_string(),
            OutputFormat::Json => serde_json::to_string_pretty(value)
                .map_err(|error| Failure::local("the answer cannot be printed", io::Error::other(error)))?,
        };
        let mut stdout = io::stdout().lock();
        match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
            Err(error) => Err(Failure::local("cannot write to standard output", error)),
        }
    }
}

/// A line for the person at the terminal, beside the answer. Nothing can be done when it cannot be
/// written.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A size, or a dash.
pub(crate) fn size(bytes: Option<u64>) -> String {
    bytes.and_then(|bytes| ByteSize::new(bytes).ok()).map_or_else(dash, |size| size.to_string())
}

/// A time to the second, or a dash.
pub(crate) fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(dash, |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Anything, or a dash.
pub(crate) fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

fn dash() -> String {
    "-".to_owned()
}

/// Bytes as a person types them: `512M`, `10G`, `1.5G` is refused; units are binary.
pub(crate) fn parse_size(typed: &str) -> Result<u64, String> {
    let wrong = || format!("`{typed}` is not a size; write bytes, or a number with K, M, G or T");
    let digits = typed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = typed.get(digits.len()..).unwrap_or("").to_ascii_uppercase();
    let shift = match unit.as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(1 << shift)
        .filter(|bytes| ByteSize::new(*bytes).is_ok())
        .ok_or_else(|| format!("`{typed}` is more than any disk holds"))
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_typed_with_binary_units() {
        for (typed, bytes) in
            [("0", 0), ("512", 512), ("512M", 512 << 20), ("2g", 2 << 30), ("1TiB", 1 << 40)]
        {
            assert_eq!(parse_size(typed), Ok(bytes), "{typed}");
        }
        for wrong in ["", "G", "1.5G", "-1", "1X", "99999999999T", "1 G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
