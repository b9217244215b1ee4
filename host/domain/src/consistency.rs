//! How consistent a captured disk is (X11).

use crate::string_enum::string_enum;

string_enum! {
    /// How consistent a captured disk is, weakest first.
    #[derive(PartialOrd, Ord)]
    pub enum Consistency {
        /// As after a power cut: journals must be replayed.
        Crash = "crash",
        /// The guest agent froze the file systems.
        Filesystem = "filesystem",
        /// The file systems were frozen, and the guest's own freeze hooks ran.
        Application = "application",
        /// The guest was off.
        Stopped = "stopped",
    }
}
