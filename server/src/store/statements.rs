//! A record of each statement that an engine prepares, for the test that asks the engines for their
//! query plans.
//!
//! A release build contains nothing of it. In a debug build, the environment variable [`VARIABLE`]
//! names a file. Each process adds each statement to it once, as a line of JSON: a list of the
//! engine's name and the text.

/// The name of the environment variable that holds the path.
pub const VARIABLE: &str = "SEATMETERD_STATEMENTS";

/// Note a statement if a test has requested it.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(super) fn note(_engine: &'static str, _statement: &str) {}

#[cfg(debug_assertions)]
pub(super) use noted::note;

#[cfg(debug_assertions)]
mod noted {
    use std::collections::HashSet;
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::OnceLock;

    use parking_lot::Mutex;

    struct Notes {
        file: File,
        known: HashSet<(&'static str, String)>,
    }

    static NOTES: OnceLock<Option<Mutex<Notes>>> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "only tests set it")]
    fn open() -> Option<Mutex<Notes>> {
        let path = std::env::var_os(super::VARIABLE)?;
        let file = OpenOptions::new().create(true).append(true).open(path).ok()?;
        Some(Mutex::new(Notes { file, known: HashSet::new() }))
    }

    pub(in crate::store) fn note(engine: &'static str, statement: &str) {
        let Some(notes) = NOTES.get_or_init(open) else { return };
        let mut notes = notes.lock();
        if !notes.known.insert((engine, statement.to_owned())) {
            return;
        }
        // The line is written in one call, because other processes append to the same file.
        let line = format!("{}\n", serde_json::json!([engine, statement]));
        let _ = notes.file.write_all(line.as_bytes());
    }
}
