//! Sharing of images with other accounts (S68, S71, S72, D7).

pub(crate) mod end;
pub(crate) mod permission;
pub(crate) mod share;
pub(crate) mod view;
