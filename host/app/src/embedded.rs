//! What the binary carries: the shipped plugins and the panel.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
