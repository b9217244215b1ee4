//! `journal`: notes before risky steps.

use imprint_ports::JournalNote;

use super::error;
use crate::{
    bindings::host::imprint::{
        host::journal::{self, Note},
        types::types::{Error, ErrorClass},
    },
    state::State,
};

const MAX_NOTE: usize = 64 << 10;
const MAX_NOTES: usize = 1000;

impl journal::Host for State {
    async fn record_step(&mut self, note: Note) -> wasmtime::Result<Result<(), Error>> {
        let Some(journal) = self.grants.journal.clone() else {
            let what = "this call has no journal: it must not take risky steps";
            return Ok(Err(super::denied(what)));
        };
        let size =
            note.step.len() + note.data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.plugin.counters.received(size);
        if size > MAX_NOTE {
            let what = format!("a note of {size} bytes is over {MAX_NOTE}");
            return Ok(Err(error(ErrorClass::LimitExceeded, "journal.note", what)));
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
            Ok(false) => Err(error(
                ErrorClass::LimitExceeded,
                "journal.full",
                format!("the journal has its {MAX_NOTES} notes"),
            )),
            Err(failed) => {
                let what = format!("the journal cannot be written, so the step must not be taken: {failed}");
                Err(error(ErrorClass::Transient, "journal.io", what))
            }
        })
    }

    async fn notes(&mut self) -> wasmtime::Result<Vec<Note>> {
        let notes = self.grants.journal.as_ref().map(|journal| journal.notes()).unwrap_or_default();
        Ok(notes.into_iter().map(note_out).collect())
    }
}

pub(crate) fn note_out(note: JournalNote) -> Note {
    Note { step: note.step, data: note.data.into_iter().collect() }
}
