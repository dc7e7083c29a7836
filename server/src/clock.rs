//! The time of day as a trait, so that a test can stop the clock. [`crate::server_time`] has the
//! time that a server decides by.

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// Return the seconds since 1970-01-01 UTC.
    fn unix_seconds(&self) -> u64;

    /// Return by how many seconds this time is ahead of the machine's clock.
    fn ahead_of_machine(&self) -> u64 {
        0
    }
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
