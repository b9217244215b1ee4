//! Answers on standard output, as text or as JSON; on standard error where an image takes standard
//! output.

use std::io::{self, Write};

use serde_json::Value;

use super::{Output, failure::Failure};

/// Tells answers in the form that was asked for.
pub(super) struct Report {
    output: Output,
    /// Standard output is taken by an image.
    beside: bool,
}

impl Report {
    pub(super) fn new(output: Output) -> Self {
        Self { output, beside: false }
    }

    /// The same on standard error.
    pub(super) fn beside_a_stream(output: Output) -> Self {
        Self { output, beside: true }
    }

    /// One answer: the document, or these lines.
    pub(super) fn answer(&self, document: &Value, lines: &[String]) -> Result<(), Failure> {
        self.write(|out, output| match output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, document)?;
                out.write_all(b"\n")
            }
            Output::Table => lines.iter().try_for_each(|line| writeln!(out, "{line}")),
        })
    }

    /// An answer that is too long to be put together first.
    pub(super) fn write(
        &self,
        say: impl FnOnce(&mut dyn Write, Output) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let out: Box<dyn Write> = match self.beside {
            true => Box::new(io::stderr().lock()),
            false => Box::new(io::stdout().lock()),
        };
        let mut out = io::BufWriter::new(out);
        let said = say(&mut out, self.output).and_then(|()| out.flush());
        said.map_err(|error| Failure::output(&error))
    }
}

/// A size for people: with its bytes, because that is what gets compared.
pub(super) fn size(bytes: u64) -> String {
    match bytes < 1024 {
        true => format!("{bytes} bytes"),
        false => format!("{} ({bytes} bytes)", indicatif::BinaryBytes(bytes)),
    }
}

/// A line of a list of facts.
pub(super) fn line(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name:<20}{value}")
}
