//! Seats of this process, until the device-wide pool takes this place.

use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A seat that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(());

/// Why there is no seat.
#[derive(Debug)]
pub enum SeatError {
    /// All are taken.
    Full {
        /// Seats of the device.
        capacity: u32,
        /// Seats in use.
        used: u32,
    },
}

impl std::fmt::Display for SeatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full { capacity, used } => {
                write!(f, "{used} of {capacity} seats are in use: destroy a reader, or ask for more seats")
            }
        }
    }
}

/// The seats.
#[derive(Debug, Default)]
pub struct SeatPool {
    capacity: AtomicU64,
    used: AtomicU32,
}

impl SeatPool {
    /// Opens the pool of this name.
    ///
    /// # Errors
    /// Never yet.
    pub fn open(_directory: &Path, _name: &str) -> Result<Self, SeatError> {
        Ok(Self::default())
    }

    /// Sets the number of seats; the newest grant wins.
    pub fn grant(&self, seats: u32, grant_seq: u32) -> bool {
        let new = u64::from(grant_seq) << 32 | u64::from(seats);
        self.capacity
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| (old >> 32 <= new >> 32).then_some(new))
            .is_ok()
    }

    /// Seats of the device.
    pub fn capacity(&self) -> u32 {
        (self.capacity.load(Ordering::Relaxed) & 0xffff_ffff) as u32
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// When all are taken.
    pub fn take(&self) -> Result<Seat, SeatError> {
        let capacity = self.capacity();
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < capacity).then_some(used + 1))
            .map(|_| Seat(()))
            .map_err(|used| SeatError::Full { capacity, used })
    }

    /// Gives it back.
    pub fn give(&self, _seat: Seat) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    /// Free seats.
    pub fn idle(&self) -> u32 {
        self.capacity().saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Gives everything back.
    pub fn detach(&self) {}
}
