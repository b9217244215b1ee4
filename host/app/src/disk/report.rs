//! Answers on standard output, as text or as JSON; on standard error where an image takes standard
//! output.

use std::io::{self, Write};

use serde_json::Value;

use super::failure::Failure;
use crate::output_format::OutputFormat;

/// Prints answers in the format that was asked for.
pub(super) struct Report {
    output: OutputFormat,
    /// Answers go to standard error, because an image goes to standard output.
    to_stderr: bool,
}

impl Report {
    /// Answers on standard output.
    pub(super) fn new(output: OutputFormat) -> Self {
        Self { output, to_stderr: false }
    }

    /// Answers on standard error.
    pub(super) fn on_stderr(output: OutputFormat) -> Self {
        Self { output, to_stderr: true }
    }

    /// Prints an answer: the document, or the lines.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    pub(super) fn answer(&self, document: &Value, lines: &[String]) -> Result<(), Failure> {
        self.write(|out, output| match output {
            OutputFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, document)?;
                out.write_all(b"\n")
            }
            OutputFormat::Table => lines.iter().try_for_each(|line| writeln!(out, "{line}")),
        })
    }

    /// Prints an answer that is too long to be built first.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    pub(super) fn write(
        &self,
        print: impl FnOnce(&mut dyn Write, OutputFormat) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let out: Box<dyn Write> =
            if self.to_stderr { Box::new(io::stderr().lock()) } else { Box::new(io::stdout().lock()) };
        let mut out = io::BufWriter::new(out);
        let printed = print(&mut out, self.output).and_then(|()| out.flush());
        printed.map_err(|error| Failure::output(&error))
    }
}

/// Returns a line with a name and a value.
pub(super) fn line(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name:<20}{value}")
}
