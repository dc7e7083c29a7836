//! Named places inside the store's work at which a test can kill the server.
//!
//! A release build has none of them. In a debug build, the environment variable [`VARIABLE`] names
//! a place and the number of the visit at which to die: `commit: before:3`.

/// The name of the environment variable.
pub const VARIABLE: &str = "SEATMETERD_DIE_AT";

/// All places, in the order in which a group of requests passes them.
pub const PLACES: [&str; 6] = [
    "group: gathered",
    "group: begun",
    "request: done, not kept",
    "commit: before",
    "commit: durable, not answered",
    "answers: one sent",
];

/// Die here if a test has requested it.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn kill_point(_place: &'static str) {}

#[cfg(debug_assertions)]
pub(crate) use armed::kill_point;

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        place: String,
        visits_left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "only tests set it")]
    fn armed() -> Option<Armed> {
        let text = std::env::var(super::VARIABLE).ok()?;
        let (place, visit) = text.rsplit_once(':')?;
        Some(Armed { place: place.to_owned(), visits_left: AtomicU32::new(visit.parse().ok()?) })
    }

    #[expect(clippy::disallowed_methods, reason = "that is what it is for")]
    pub(crate) fn kill_point(place: &'static str) {
        debug_assert!(super::PLACES.contains(&place), "{place} is not listed");
        if let Some(armed) = ARMED.get_or_init(armed)
            && armed.place == place
            && armed.visits_left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // The process ends without any cleanup, as when the power fails.
            std::process::abort();
        }
    }
}
