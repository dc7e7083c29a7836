//! The time of day comes in through a trait, so that a test can stop it.

/// Where the server learns what time it is.
pub trait Clock: Send + Sync + 'static {
    /// Seconds since 1970-01-01 UTC.
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
        // A clock before 1970 is a broken machine; 0 makes every license "not yet in effect", which
        // says so.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since_epoch| since_epoch.as_secs())
    }
}
