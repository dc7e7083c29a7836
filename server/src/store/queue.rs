//! The queue of requests that wait for a transaction: bounded, and fair among license items.
//!
//! Requests for one item wait in one lane, and a transaction takes one request of each lane in
//! turn. Thus an item with ten thousand waiting devices does not hold up an item with three. There
//! may be more items than lanes: chance decides which items share a lane, differently at each
//! start. When the queue is full, the newest request of the longest lane is refused and has to come
//! back later. This may be the request that has just come.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// The number of lanes.
const LANES: usize = 64;

/// The queue of waiting requests.
pub(super) struct Queue<T> {
    places: usize,
    chance: RandomState,
    waiting: Mutex<Waiting<T>>,
    news: Condvar,
}

struct Waiting<T> {
    lanes: Vec<VecDeque<T>>,
    /// The lanes that are not empty, in the order of their turns.
    turns: VecDeque<usize>,
    count: usize,
    is_closed: bool,
}

/// The reason why a request cannot wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace<T> {
    /// The queue is full: this request has to come back later. It need not be the one that has just
    /// come.
    Full(T),
    /// The queue is closed: no thread will take this request.
    Closed(T),
}

impl<T> Queue<T> {
    /// Make a queue for this number of requests.
    pub(super) fn new(places: usize) -> Self {
        let lanes = std::iter::repeat_with(VecDeque::new).take(LANES).collect();
        let waiting = Waiting { lanes, turns: VecDeque::new(), count: 0, is_closed: false };
        Self {
            places,
            chance: RandomState::new(),
            waiting: Mutex::new(waiting),
            news: Condvar::new(),
        }
    }

    /// Put a request into the lane of this key.
    pub(super) fn push(&self, key: &impl Hash, request: T) -> Result<(), NoPlace<T>> {
        let lane = (self.chance.hash_one(key) % LANES as u64) as usize;
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return Err(NoPlace::Closed(request));
        }
        let mut turned_away = None;
        if waiting.count >= self.places {
            let longest = (0..LANES).max_by_key(|&lane| waiting.lanes[lane].len()).unwrap_or(lane);
            if waiting.lanes[longest].len() <= waiting.lanes[lane].len() {
                return Err(NoPlace::Full(request));
            }
            turned_away = waiting.lanes[longest].pop_back();
            waiting.count -= 1;
            if waiting.lanes[longest].is_empty() {
                waiting.turns.retain(|turn| *turn != longest);
            }
        }
        if waiting.lanes[lane].is_empty() {
            waiting.turns.push_back(lane);
        }
        waiting.lanes[lane].push_back(request);
        waiting.count += 1;
        drop(waiting);
        self.news.notify_one();
        turned_away.map_or(Ok(()), |other| Err(NoPlace::Full(other)))
    }

    /// Wait for a request; `None` when there is none and there will be none.
    pub(super) fn pop(&self) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(request) = waiting.take() {
                return Some(request);
            }
            if waiting.is_closed {
                return None;
            }
            self.news.wait(&mut waiting);
        }
    }

    /// Wait for the next request until this instant; `None` when none comes in time.
    pub(super) fn pop_until(&self, deadline: Instant) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(request) = waiting.take() {
                return Some(request);
            }
            if waiting.is_closed || left.is_zero() {
                return None;
            }
            self.news.wait_for(&mut waiting, left);
        }
    }

    /// Return the number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().count
    }

    /// Accept no further requests. Requests that wait already can still be taken.
    pub(super) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.news.notify_all();
    }
}

impl<T> Waiting<T> {
    fn take(&mut self) -> Option<T> {
        let lane = self.turns.pop_front()?;
        let request = self.lanes[lane].pop_front()?;
        if !self.lanes[lane].is_empty() {
            self.turns.push_back(lane);
        }
        self.count -= 1;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return two keys that do not share a lane.
    fn keys<T>(queue: &Queue<T>) -> (u32, u32) {
        let lane = |key: u32| queue.chance.hash_one(key) % LANES as u64;
        let other = (1..).find(|key| lane(*key) != lane(0)).unwrap();
        (0, other)
    }

    #[test]
    fn a_lane_that_is_short_is_served_beside_one_that_is_long() {
        let queue = Queue::new(100);
        let (many, few) = keys(&queue);
        for n in 0..50 {
            queue.push(&many, ("many", n)).unwrap();
        }
        queue.push(&few, ("few", 0)).unwrap();
        queue.push(&few, ("few", 1)).unwrap();
        let first: Vec<_> = std::iter::repeat_with(|| queue.pop().unwrap()).take(5).collect();
        assert_eq!(first, [("many", 0), ("few", 0), ("many", 1), ("few", 1), ("many", 2)]);
    }

    #[test]
    fn a_full_queue_turns_away_the_newest_of_the_longest_lane() {
        let queue = Queue::new(4);
        let (many, few) = keys(&queue);
        for n in 0..4 {
            queue.push(&many, n).unwrap();
        }
        assert_eq!(queue.push(&many, 4), Err(NoPlace::Full(4)));
        assert_eq!(queue.push(&few, 10), Err(NoPlace::Full(3)));
        assert_eq!(queue.push(&few, 11), Err(NoPlace::Full(2)));
        assert_eq!(queue.push(&few, 12), Err(NoPlace::Full(12)), "both lanes are as long");
        let all: Vec<_> = std::iter::repeat_with(|| queue.pop().unwrap()).take(4).collect();
        assert_eq!(all, [0, 10, 1, 11]);
        assert_eq!(queue.pop_until(Instant::now()), None);
    }

    #[test]
    fn a_lane_whose_only_request_was_turned_away_takes_another() {
        let queue = Queue::new(1);
        let (one, _) = keys(&queue);
        queue.push(&one, 1).unwrap();
        assert_eq!(queue.pop(), Some(1));
        queue.push(&one, 2).unwrap();
        assert_eq!(queue.pop(), Some(2));
    }

    #[test]
    fn what_waits_is_served_after_the_end_and_nothing_else() {
        let queue = Queue::new(4);
        queue.push(&0, 1).unwrap();
        queue.close();
        assert_eq!(queue.push(&0, 2), Err(NoPlace::Closed(2)));
        assert_eq!((queue.pop(), queue.pop()), (Some(1), None));
    }
}
