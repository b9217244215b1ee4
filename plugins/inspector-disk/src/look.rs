//! What is installed in a file system: questions to its files.

mod efi;
pub(crate) mod hive;
mod linux;
mod windows;

use imprint_plugin_sdk::{
    error::{Error, Result},
    inspector::{Presence, System},
};

use crate::files::Files;

/// What was found in one file system.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The system that is installed in it, where it has one.
    pub(crate) system: Option<System>,
    pub(crate) cloud_init: bool,
    pub(crate) guest_agent: bool,
    pub(crate) ssh_server: bool,
    pub(crate) domain_controller: bool,
    pub(crate) boot_loaders: Vec<&'static str>,
    /// Whether UEFI starts from it.
    pub(crate) uefi: bool,
    /// Why a question has no answer.
    pub(crate) failed: Option<Error>,
}

/// Asks all questions.
pub(crate) fn look(files: &mut dyn Files) -> Look {
    let mut look = Look::default();
    let mut asked = Asked { files, look: &mut look };
    linux::look(&mut asked);
    windows::look(&mut asked);
    efi::look(&mut asked);
    look
}

/// Files that are asked. A question that cannot be answered is answered with no, and its error is
/// kept: the others are asked all the same.
struct Asked<'a> {
    files: &'a mut dyn Files,
    look: &'a mut Look,
}

impl Asked<'_> {
    /// Returns the answer, or what stands for none.
    fn keep<T: Default>(&mut self, answer: Result<T>) -> T {
        match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.look.failed.get_or_insert(error);
                T::default()
            }
        }
    }

    /// Returns whether one of the paths exists.
    fn has(&mut self, paths: &[&str]) -> bool {
        paths.iter().any(|path| {
            let answer = self.files.exists(path);
            self.keep(answer)
        })
    }

    /// Returns the first bytes of the first file that exists.
    fn head(&mut self, paths: &[&str], max: usize) -> Option<Vec<u8>> {
        paths.iter().find_map(|path| {
            let answer = self.files.head(path, max);
            self.keep(answer)
        })
    }

    fn boots(&mut self, loader: &'static str, paths: &[&str]) {
        if self.has(paths) && !self.look.boot_loaders.contains(&loader) {
            self.look.boot_loaders.push(loader);
        }
    }
}

/// Returns whether something is on the disk: `found` in one of its file systems, or in none.
/// `complete` says whether everything that could have it was read.
pub(crate) fn presence(found: bool, complete: bool) -> Presence {
    match (found, complete) {
        (true, _) => Presence::Present,
        (false, true) => Presence::Absent,
        (false, false) => Presence::Unknown,
    }
}
