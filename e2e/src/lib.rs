//! Both ends under the control of a test: a license server in a folder of its own, and C programs
//! that use the library.
//!
//! This crate depends on neither of them. It starts the server as an operator does, and links the
//! library with a C compiler as a customer does.

#![allow(clippy::disallowed_methods, reason = "tests are told by the environment where things are")]

pub mod balancer;
pub mod dialogue;
pub mod namespace;
pub mod patroni;
pub mod pooler;
pub mod postgres;
pub mod program;
pub mod relay;
pub mod server;

use std::path::{Path, PathBuf};

/// Return the project's root folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e is a folder of the workspace")
}

/// Return the files with this ending in a folder and in the folders below it, in order.
///
/// # Panics
/// Panics when a folder cannot be read.
#[must_use]
pub fn files_in(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            files.extend(files_in(&path, ending));
        } else if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Return the folder of the running test's binary, where cargo puts the library that belongs to it.
#[must_use]
pub fn build_folder() -> PathBuf {
    let binary = std::env::current_exe().expect("a running program has a path");
    binary.parent().expect("a file has a folder").to_owned()
}
