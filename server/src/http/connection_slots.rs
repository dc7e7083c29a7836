//! Connection slots, and the choice of the connection that must make room.
//!
//! A connection may wait for a TLS handshake, the head of a request, the rest of a body, or the
//! next request. Meanwhile it takes a slot and does nothing. When all slots are taken, the
//! connection that has waited longest is closed for the next one. Thus five thousand clients that
//! send nothing, or send slowly, take no slot from an active client. A request that has arrived
//! completely is never given up.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The connection slots of a server.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// The waiting connections, in the order in which they began to wait.
    connections: BTreeMap<u64, Arc<Notify>>,
}

impl Places {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), waiting: Mutex::default() })
    }

    /// Take a slot for a new connection. When none is free, close the connection that has waited
    /// longest. When no connection waits for its client, wait until a request is done.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = match self.free.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.close_oldest();
                // The semaphore is never closed.
                self.free.clone().acquire_owned().await.ok()?
            }
        };
        let place = Place {
            places: self.clone(),
            state: Mutex::new(State { turn: None, open: 0, complete: 0, since: Instant::now() }),
            is_wanted: Arc::new(Notify::new()),
            _permit: permit,
        };
        place.waits(&mut place.state.lock());
        Some(place)
    }

    /// Close the connection that has waited longest for its client.
    pub(super) fn close_oldest(&self) {
        if let Some((_, connection)) = self.waiting.lock().connections.pop_first() {
            connection.notify_one();
        }
    }
}

/// The slot of one connection, until it is dropped.
///
/// | `open` | `complete` | the connection | can make room |
/// | --- | --- | --- | --- |
/// | 0 | 0 | is idle, in its handshake, or in the head of a request | yes |
/// | 1 or more | 0 | waits for the rest of a body | yes |
/// | 1 or more | 1 or more | has a request that has arrived completely | no |
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    state: Mutex<State>,
    is_wanted: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct State {
    /// The number of the connection among those that wait.
    turn: Option<u64>,
    /// The requests with a complete head that have no answer yet. HTTP/1.1 has one at a time.
    open: u32,
    /// The open requests that have arrived completely.
    complete: u32,
    /// The time at which `open` became 0.
    since: Instant,
}

impl Place {
    /// Wait until the connection has to make room.
    pub(super) async fn wanted(&self) {
        loop {
            self.is_wanted.notified().await;
            if self.state.lock().turn.is_some() {
                return;
            }
            // A request has become complete in between, so another connection has to make room.
            self.places.close_oldest();
        }
    }

    /// Wait until the connection has had no request for this time.
    pub(super) async fn idle(&self, time: Duration) {
        loop {
            let end = match &*self.state.lock() {
                State { open: 0, since, .. } => *since + time,
                _ => Instant::now() + time,
            };
            tokio::time::sleep_until(end).await;
            let state = self.state.lock();
            if state.open == 0 && state.since.elapsed() >= time {
                return;
            }
        }
    }

    /// Return whether the connection has no request now.
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().open == 0
    }

    /// Enter the connection at the end of those that wait for their clients.
    fn waits(&self, state: &mut State) {
        let mut waiting = self.places.waiting.lock();
        let turn = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(turn, self.is_wanted.clone());
        if let Some(before) = state.turn.replace(turn) {
            waiting.connections.remove(&before);
        }
    }

    /// Take the connection out of those that wait for their clients.
    fn works(&self, state: &mut State) {
        if let Some(before) = state.turn.take() {
            self.places.waiting.lock().connections.remove(&before);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.works(&mut self.state.lock());
    }
}

/// A request of a connection, from its head to its answer. It ends by itself if the request is
/// given up.
#[derive(Debug)]
pub(super) struct Exchange {
    place: Arc<Place>,
    step: Mutex<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Arriving,
    Complete,
    Answered,
}

impl Exchange {
    pub(super) fn begin(place: Arc<Place>) -> Arc<Self> {
        place.state.lock().open += 1;
        Arc::new(Self { place, step: Mutex::new(Step::Arriving) })
    }

    /// Mark that the request has arrived completely.
    fn arrived(&self) {
        let mut step = self.step.lock();
        if *step == Step::Arriving {
            *step = Step::Complete;
            let mut state = self.place.state.lock();
            state.complete += 1;
            self.place.works(&mut state);
        }
    }

    /// Mark that the request has its answer. If it was the last one, the connection waits for its
    /// client from now on.
    pub(super) fn answered(&self) {
        let before = std::mem::replace(&mut *self.step.lock(), Step::Answered);
        if before == Step::Answered {
            return;
        }
        let mut state = self.place.state.lock();
        state.open -= 1;
        state.complete -= u32::from(before == Step::Complete);
        if state.open == 0 {
            state.since = Instant::now();
        }
        if state.complete == 0 {
            self.place.waits(&mut state);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.answered();
    }
}

/// The body of a request, which reports when it has arrived completely.
pub(super) struct WatchedBody<B> {
    body: B,
    exchange: Arc<Exchange>,
}

impl<B: HttpBody> WatchedBody<B> {
    pub(super) fn new(body: B, exchange: Arc<Exchange>) -> Self {
        if body.is_end_stream() {
            exchange.arrived();
        }
        Self { body, exchange }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.exchange.arrived();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
