//! The inspector over real file systems, made by the programs of their systems, and over hostile
//! ones.

mod hostile;
mod linux;
mod support;
mod tables;
mod volumes;
mod windows;
