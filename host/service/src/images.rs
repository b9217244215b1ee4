//! Images: captured ones and stock images.

pub(crate) mod capture;
pub(crate) mod image;
pub(crate) mod stock_image;
