//! The files that are embedded in the binary: the shipped plugins and the panel.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
