//! Pictures of each kind are read as other decoders read them, or refused by name, and the barcodes
//! in them are found.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

#[path = "../common/made_pictures.rs"]
mod made_pictures;
#[path = "../common/own_process.rs"]
mod own_process;

mod contents;
mod damaged;
mod drawn;
mod kinds;
mod pictures;
