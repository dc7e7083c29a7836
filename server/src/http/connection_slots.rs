//! Connection slots, and the choice of the connection that must make room.
//!
//! A connection that waits for its client — for the head of a request, the rest of a body, or the
//! next request — takes a slot and does nothing. When all slots are taken, the connection that has
//! waited longest is closed for the next one. Thus five thousand clients that send nothing, or send
//! slowly, take no slot from an active client. A request that has arrived completely is never given
//! up.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

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
            turn: Mutex::new(None),
            is_wanted: Arc::new(Notify::new()),
            _permit: permit,
        };
        place.waits();
        Some(place)
    }

    fn close_oldest(&self) {
        if let Some((_, connection)) = self.waiting.lock().connections.pop_first() {
            connection.notify_one();
        }
    }
}

/// The slot of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// The number of the connection among those that wait.
    turn: Mutex<Option<u64>>,
    is_wanted: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Mark that the connection waits for its client from now on.
    pub(super) fn waits(&self) {
        let mut waiting = self.places.waiting.lock();
        let turn = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(turn, self.is_wanted.clone());
        drop(waiting);
        self.leave(Some(turn));
    }

    /// Mark that a request has arrived completely.
    pub(super) fn works(&self) {
        self.leave(None);
    }

    /// Wait until the connection has to make room.
    pub(super) async fn wanted(&self) {
        loop {
            self.is_wanted.notified().await;
            if self.turn.lock().is_some() {
                return;
            }
            // A request has become complete in between, so another connection has to make room.
            self.places.close_oldest();
        }
    }

    fn leave(&self, next: Option<u64>) {
        let before = std::mem::replace(&mut *self.turn.lock(), next);
        if let Some(before) = before {
            self.places.waiting.lock().connections.remove(&before);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave(None);
    }
}

/// The body of a request, which reports when it has arrived completely.
pub(super) struct WatchedBody<B> {
    body: B,
    place: Arc<Place>,
}

impl<B: HttpBody> WatchedBody<B> {
    pub(super) fn new(body: B, place: Arc<Place>) -> Self {
        if body.is_end_stream() {
            place.works();
        }
        Self { body, place }
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
            self.place.works();
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
