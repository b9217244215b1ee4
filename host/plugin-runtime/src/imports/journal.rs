//! `journal`: notes before risky steps.

use imprint_ports::JournalNote;

use crate::{
    bindings::host::imprint::{
        host::journal::{self, Note},
        types::types::Error,
    },
    codes::Code,
    state::State,
    wit_error,
};

/// The longest note, in bytes.
const MAX_NOTE: usize = 64 << 10;
/// Notes of one journal.
const MAX_NOTES: usize = 1000;

impl journal::Host for State {
    async fn record_step(&mut self, note: Note) -> wasmtime::Result<Result<(), Error>> {
        let Some(journal) = self.grants.journal.clone() else {
            let message = "this call has no journal: it must not take risky steps";
            return Ok(Err(wit_error::denied(message)));
        };
        let size =
            note.step.len() + note.data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.plugin.counters.count_from_plugin(size);
        if size > MAX_NOTE {
            let message = format!("a note of {size} bytes is longer than {MAX_NOTE}");
            return Ok(Err(wit_error::new(Code::JournalNote, message)));
        }
        let note = JournalNote { step: note.step, data: note.data.into_iter().collect() };
        let recorded = tokio::task::spawn_blocking(move || {
            if journal.notes().len() >= MAX_NOTES {
                return Ok(false);
            }
            journal.record(&note).map(|()| true)
        });
        Ok(match recorded.await? {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(wit_error::new(Code::JournalFull, format!("the journal already has {MAX_NOTES} notes")))
            }
            Err(error) => {
                let message =
                    format!("the journal cannot be written, so the step must not be taken: {error}");
                Err(wit_error::new(Code::JournalIo, message))
            }
        })
    }

    async fn notes(&mut self) -> wasmtime::Result<Vec<Note>> {
        let notes = self.grants.journal.as_ref().map(|journal| journal.notes()).unwrap_or_default();
        Ok(notes.into_iter().map(note_to_plugin).collect())
    }
}

/// Returns a note for the plugin.
pub(crate) fn note_to_plugin(note: JournalNote) -> Note {
    Note { step: note.step, data: note.data.into_iter().collect() }
}
