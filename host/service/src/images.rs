//! Images: captured ones and stock images.

pub(crate) mod capture;
mod created;
pub(crate) mod estimate;
pub(crate) mod findings;
pub(crate) mod image;
mod image_list;
pub(crate) mod import;
pub(crate) mod stock_image;
pub(crate) mod view;
