//! The time of day as a trait, so that a test can stop the clock.

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// Return the seconds since 1970-01-01 UTC.
    fn unix_seconds(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place where the machine's clock is read"
    )]
    fn unix_seconds(&self) -> u64 {
        // A clock before 1970 means a broken machine. With 0, every license is refused as "not yet
        // in effect", which points to the clock.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since_epoch| since_epoch.as_secs())
    }
}
