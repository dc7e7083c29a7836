//! Seats of the pool under a grant.

use std::sync::atomic::Ordering;
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;

use super::Licensed;
use crate::error::{Error, Result};
use crate::seats::{Holder, Seat, SeatError, SeatPool};

impl Licensed {
    /// Return whether the grant has this many seats, or needs none.
    pub fn has_seats(&self, seats: u32) -> bool {
        self.pool.is_none() || self.grant.read().local.seats >= seats
    }

    /// Return the number of granted seats; INT_MAX if the charge way has no seats.
    pub fn seats_max(&self) -> i32 {
        let granted = || i32::try_from(self.grant.read().local.seats).unwrap_or(i32::MAX);
        self.pool.as_ref().map_or(i32::MAX, |_| granted())
    }

    /// Take a seat. Return `None` if the charge way has no seats.
    ///
    /// # Errors
    /// Returns -20008 if all seats are taken, or the error of [`Self::check`] if the grant is no
    /// longer valid.
    pub fn take_seat(&self) -> Result<Option<Seat>> {
        if self.ended.load(Ordering::Relaxed) {
            self.check()?;
        }
        self.pool.as_ref().map(SeatPool::take).transpose().map_err(|e| self.no_seat(e))
    }

    /// Do the same as [`Self::take_seat`] if one atomic exchange is enough. This cannot panic.
    #[inline(always)]
    pub fn take_seat_at_once(&self) -> Option<Option<Seat>> {
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        match &self.pool {
            Some(pool) => pool.take_at_once().map(Some),
            None => Some(None),
        }
    }

    /// Return why there is no seat. If this device has requested fewer seats than the license has,
    /// the message says that it may request more.
    #[cold]
    fn no_seat(&self, error: SeatError) -> Error {
        let is_full = matches!(error, SeatError::Full { .. });
        let mut error = seat_error(error);
        let grant = self.grant();
        if is_full && u64::from(grant.local.seats) < grant.item.quota {
            error.message.push_str(&format!(
                "; or ask for more: maxConcurrentInstanceCount was {}, and the license has {}",
                grant.local.seats, grant.item.quota
            ));
        }
        error
    }

    /// Take a seat, and wait up to `wait` for one.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::take_seat`].
    pub fn take_seat_within(&self, wait: Duration) -> Result<Option<Seat>> {
        self.check()?;
        self.pool
            .as_ref()
            .map(|pool| pool.take_within(wait))
            .transpose()
            .map_err(|e| self.no_seat(e))
    }

    /// Return the holders of this device's seats; none if the charge way has no seats.
    pub fn holders(&self) -> Vec<Holder> {
        self.pool.as_ref().map(SeatPool::holders).unwrap_or_default()
    }

    /// Give a seat back. A seat that was taken before this was closed is gone already.
    #[inline(always)]
    pub fn give_seat(&self, seat: Seat) {
        if let Some(pool) = &self.pool {
            pool.give(seat);
        }
    }

    /// Return the number of free seats on this device; -1 if the grant must be refreshed; INT_MAX
    /// if the charge way has no seats.
    #[inline(always)]
    pub fn idle_seats(&self) -> i32 {
        if self.ended.load(Ordering::Relaxed) && self.check().is_err() {
            return -1;
        }
        match &self.pool {
            Some(pool) => i32::try_from(pool.idle()).unwrap_or(i32::MAX),
            None => i32::MAX,
        }
    }

    pub(super) fn give_up_seats(&self) {
        let entries = std::mem::take(&mut *self.entries.lock());
        drop(entries);
        if let Some(pool) = &self.pool {
            pool.rest();
        }
    }
}

pub(super) fn seat_error(error: SeatError) -> Error {
    let code = match &error {
        SeatError::Full { .. } => ErrorCode::INSTANCE_COUNT_OVER_LIMIT,
        // The error contains the owner of the file, and what to do.
        SeatError::Io { path, what, source } => return Error::state(path, what, source),
        _ => ErrorCode::LICENSE_BUFFER_FAILED,
    };
    Error::new(code, error.to_string())
}
