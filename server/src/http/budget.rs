//! The memory for the bodies of requests: one budget for all of them.
//!
//! A body takes its memory from the budget before it is read, step by step as it grows, and gives
//! it back when its request is answered. One half of the budget is divided among the connections,
//! so that a small body always has room, whatever the others do. The other half is for what goes
//! beyond that:
//!
//! | a body that needs more | what happens |
//! | --- | --- |
//! | there is room | it takes it |
//! | there is none, and others have been arriving for a second | these make room, the oldest first: 503 |
//! | there is none, and all others are young or complete | it waits, at most two seconds, then 503 |
//!
//! Thus four thousand clients that send slowly take no more memory than the budget, and keep nobody
//! out who sends what he has. A body that has arrived completely is never given up.
//!
//! Over HTTP/2, a client may send [`HTTP2_WINDOW_BYTES`] before anybody reads them. Each such
//! connection takes them from the shared half as long as it lives, until that has been halved.
//! Further clients get HTTP/1.1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seatmeter_protocol::message::BODY_BYTES_MAX;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::Error;

/// The size of the budget, unless the operator sets another.
pub const BUDGET_BYTES: usize = 64 << 20;

/// The smallest budget: it holds the longest body.
pub const BUDGET_BYTES_MIN: usize = BODY_BYTES_MAX;

/// The bytes that a client may send over an HTTP/2 connection before the server reads them. The
/// protocol allows no less.
pub(super) const HTTP2_WINDOW_BYTES: u32 = 64 << 10;

/// The time for which a body that arrives keeps its room though others need it. A device sends a
/// small body at once, and the longest one within a second on most networks.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// The longest time that a body waits for room. A device waits 4 s for an answer.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The interval at which a body that waits looks again for others that must make room.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The unit of the shared part of the budget.
const UNIT: usize = 1 << 10;

/// The budget of a server.
#[derive(Debug)]
pub struct BodyBudget {
    /// The number of bytes that each body has without asking.
    own: usize,
    /// The permits for such parts, one for each connection: HTTP/2 may have more requests.
    owners: Arc<Semaphore>,
    /// The rest, in units.
    shared: Arc<Semaphore>,
    /// The permits for HTTP/2 connections. Together they leave room for the longest body.
    http2: Arc<Semaphore>,
    arriving: Mutex<Arriving>,
}

/// The room of an HTTP/2 connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Http2Room(#[expect(dead_code, reason = "it is held")] [OwnedSemaphorePermit; 2]);

/// The bodies that have a share and are not complete, in the order in which they began.
#[derive(Debug, Default)]
struct Arriving {
    next: u64,
    bodies: BTreeMap<u64, Body>,
}

#[derive(Debug)]
struct Body {
    begun: Instant,
    units: usize,
    is_wanted: Arc<Notify>,
}

impl BodyBudget {
    /// Make a budget of this size for a server with this number of connections.
    #[must_use]
    pub fn new(bytes: usize, connections: usize) -> Arc<Self> {
        let bytes = bytes.max(BUDGET_BYTES_MIN);
        let connections = connections.max(1);
        let own = (bytes / 2).min(bytes - BODY_BYTES_MAX) / connections;
        let shared = bytes - own * connections;
        let http2 = (shared - BODY_BYTES_MAX) / 2 / HTTP2_WINDOW_BYTES as usize;
        let shared = shared / UNIT;
        Arc::new(Self {
            own,
            owners: Arc::new(Semaphore::new(connections)),
            shared: Arc::new(Semaphore::new(shared.min(Semaphore::MAX_PERMITS))),
            http2: Arc::new(Semaphore::new(http2.min(Semaphore::MAX_PERMITS))),
            arriving: Mutex::default(),
        })
    }

    /// Return the part of a body that has begun. It has nothing of the shared part yet.
    pub(super) fn begin(self: &Arc<Self>) -> Share {
        let owner = self.owners.clone().try_acquire_owned().ok();
        Share {
            budget: self.clone(),
            own: if owner.is_some() { self.own } else { 0 },
            _owner: owner,
            shared: None,
            place: None,
            is_wanted: Arc::new(Notify::new()),
        }
    }

    /// Return the room of a new HTTP/2 connection; `None` when there is none.
    pub(super) fn http2(&self) -> Option<Http2Room> {
        let connection = self.http2.clone().try_acquire_owned().ok()?;
        let units = HTTP2_WINDOW_BYTES / UNIT as u32;
        let window = self.shared.clone().try_acquire_many_owned(units).ok()?;
        Some(Http2Room([connection, window]))
    }

    /// Let the oldest bodies make room that have been arriving for long enough, until this number
    /// of units will come free.
    fn free(&self, units: usize) {
        let mut arriving = self.arriving.lock();
        let mut freed = 0;
        while freed < units
            && let Some(oldest) = arriving.bodies.first_entry()
            && oldest.get().begun.elapsed() >= UNDISTURBED
        {
            let body = oldest.remove();
            freed += body.units;
            body.is_wanted.notify_one();
        }
    }
}

/// The part of one body, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<BodyBudget>,
    own: usize,
    _owner: Option<OwnedSemaphorePermit>,
    shared: Option<OwnedSemaphorePermit>,
    /// The number of the body among those that arrive.
    place: Option<u64>,
    is_wanted: Arc<Notify>,
}

impl Share {
    /// Return whether the body has room for this number of bytes without asking.
    pub(super) fn is_own(&self, bytes: usize) -> bool {
        bytes <= self.own
    }

    /// Take room for a body of this number of bytes in all.
    ///
    /// # Errors
    /// Fails when there is none in time, or when this body must make room itself.
    pub(super) async fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let has = self.shared.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.saturating_sub(self.own).div_ceil(UNIT).saturating_sub(has);
        if more == 0 {
            return Ok(());
        }
        let permit = self.wait_for(more).await?;
        match &mut self.shared {
            Some(shared) => shared.merge(permit),
            None => self.shared = Some(permit),
        }
        self.note(has + more);
        Ok(())
    }

    async fn wait_for(&self, units: usize) -> Result<OwnedSemaphorePermit, Error> {
        let units_wanted = u32::try_from(units).map_err(|_| Error::Busy)?;
        let shared = self.budget.shared.clone();
        if let Ok(permit) = shared.clone().try_acquire_many_owned(units_wanted) {
            return Ok(permit);
        }
        let mut turn = std::pin::pin!(shared.acquire_many_owned(units_wanted));
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            self.budget.free(units);
            let next = (Instant::now() + LOOK_INTERVAL).min(deadline);
            tokio::select! {
                // The semaphore is never closed.
                permit = turn.as_mut() => return permit.map_err(|_| Error::Busy),
                () = self.wanted() => return Err(Error::Busy),
                () = tokio::time::sleep_until(next) => {
                    if next == deadline {
                        return Err(Error::Busy);
                    }
                }
            }
        }
    }

    /// Record how much the body has, as long as it arrives.
    fn note(&mut self, units: usize) {
        let mut arriving = self.budget.arriving.lock();
        if let Some(body) = self.place.and_then(|place| arriving.bodies.get_mut(&place)) {
            body.units = units;
        } else if self.place.is_none() {
            let place = arriving.next;
            arriving.next += 1;
            let is_wanted = self.is_wanted.clone();
            arriving.bodies.insert(place, Body { begun: Instant::now(), units, is_wanted });
            self.place = Some(place);
        }
    }

    /// Wait until the body has to make room.
    pub(super) async fn wanted(&self) {
        self.is_wanted.notified().await;
    }

    /// Mark that the body has arrived completely.
    pub(super) fn is_complete(&mut self) {
        if let Some(place) = self.place.take() {
            self.budget.arriving.lock().bodies.remove(&place);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.is_complete();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Two long bodies fit beside what four connections have as their own.
    fn budget() -> Arc<BodyBudget> {
        BodyBudget::new(4 * MIB, 4)
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_body_has_room_whatever_the_others_do() {
        let budget = budget();
        let mut long = [budget.begin(), budget.begin()];
        for body in &mut long {
            body.grow(budget.own + MIB).await.unwrap();
        }
        let begun = Instant::now();
        let mut small = budget.begin();
        small.grow(budget.own).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(small.is_own(budget.own) && !small.is_own(budget.own + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_arrives_slowly_makes_room_and_a_complete_one_does_not() {
        let budget = budget();
        let (mut complete, mut slow) = (budget.begin(), budget.begin());
        complete.grow(budget.own + MIB).await.unwrap();
        complete.is_complete();
        slow.grow(budget.own + MIB).await.unwrap();
        let slow = tokio::spawn(async move {
            slow.wanted().await;
            Instant::now()
        });
        let mut next = budget.begin();
        let begun = Instant::now();
        next.grow(budget.own + MIB).await.unwrap();
        assert!(begun.elapsed() >= UNDISTURBED, "a young one is left alone");
        assert!(slow.await.unwrap() <= Instant::now());
        // The complete one stays, and the young one is the next to leave.
        let mut last = budget.begin();
        let waiting = tokio::spawn(async move {
            let outcome = last.grow(MIB).await;
            drop(last);
            outcome
        });
        next.wanted().await;
        drop(next);
        assert_eq!(waiting.await.unwrap(), Ok(()));
        drop(complete);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_room_longer_than_he_would_wait_for_an_answer() {
        let budget = budget();
        let mut held = [budget.begin(), budget.begin()];
        for body in &mut held {
            body.grow(budget.own + MIB).await.unwrap();
            body.is_complete();
        }
        let begun = Instant::now();
        assert_eq!(budget.begin().grow(MIB).await, Err(Error::Busy));
        assert_eq!(begun.elapsed(), WAIT_MAX);
        drop(held);
        assert_eq!(budget.begin().grow(MIB).await, Ok(()));
    }

    #[test]
    fn all_parts_together_are_the_budget() {
        for (bytes, connections) in [(64 * MIB, 4_096), (MIB, 4_096), (4 * MIB, 3), (0, 0)] {
            let budget = BodyBudget::new(bytes, connections);
            let shared = budget.shared.available_permits() * UNIT;
            let owned = budget.own * budget.owners.available_permits();
            assert!(shared + owned <= bytes.max(BUDGET_BYTES_MIN), "{bytes} {connections}");
            let rooms: Vec<_> = std::iter::from_fn(|| budget.http2()).collect();
            let left = budget.shared.available_permits() * UNIT;
            assert_eq!(left + rooms.len() * HTTP2_WINDOW_BYTES as usize, shared);
            assert!(left >= BODY_BYTES_MAX, "{bytes} {connections}: the longest body fits");
        }
    }
}
