//! The DBR API: its names, its programs, and the keys of its templates.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

#[path = "../common/made_pictures.rs"]
mod made_pictures;

mod names;
mod programs;
mod template_keys;
