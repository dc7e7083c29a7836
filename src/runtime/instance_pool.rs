//! The instance pool of the DBR API: readers that a program gets and recycles. It has a limit for
//! this process beside that of the device, and a time to wait.
//!
//! | setting | 0 means | |
//! |---|---|---|
//! | of the device | what the connection parameters say | the next initialization requests the higher one of both |
//! | of this process | no limit of its own | counts the instances that the program has not recycled |
//! | time-out | do not wait | for both limits together |

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::SEATS_MAX;

use crate::error::{Error, Result};
use crate::licensed::Licensed;
use crate::os::locks::{Condvar, Mutex};

/// The longest time-out, in milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 600_000;

/// The settings and the counters of this process.
#[derive(Debug, Default)]
pub struct InstancePool {
    device_max: AtomicU32,
    process_max: AtomicU32,
    timeout_ms: AtomicU32,
    used: Mutex<u32>,
    recycled: Condvar,
    waiting: AtomicU32,
    waits: AtomicU32,
}

/// The state of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstancesStatus {
    /// The number of instances that this process may have.
    pub authorized: i32,
    /// The number of those instances that are free.
    pub remaining: i32,
    /// The number of threads of this process that wait for an instance.
    pub waiting: i32,
    /// The number of times that a thread had to wait.
    pub waits: i32,
}

impl InstancePool {
    /// Change the settings.
    ///
    /// # Errors
    /// Returns -10038 if a setting is out of range; then none is changed.
    pub fn set(&self, device: i32, process: i32, timeout_ms: i32) -> Result<()> {
        let device = in_range("the number for this device", device, SEATS_MAX)?;
        let process = in_range("the number for this process", process, SEATS_MAX)?;
        let timeout_ms = in_range("the time-out in milliseconds", timeout_ms, TIMEOUT_MS_MAX)?;
        self.device_max.store(device, Ordering::Relaxed);
        self.process_max.store(process, Ordering::Relaxed);
        self.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        // A higher limit lets waiting threads proceed.
        let _used = self.used.lock();
        self.recycled.notify_all();
        Ok(())
    }

    /// Return the number of seats to request when the parameters say `asked`.
    pub fn seats(&self, asked: i32) -> i32 {
        match self.device_max.load(Ordering::Relaxed) {
            // No limit was set: an impossible number must appear in the error as it was given.
            0 => asked,
            set => asked.max(i32::try_from(set).unwrap_or(i32::MAX)),
        }
    }

    /// Count an instance; wait while this process has as many as it may have. Return the remaining
    /// time.
    ///
    /// # Errors
    /// Returns -20008 if no instance was recycled in time.
    pub fn begin(&self) -> Result<Duration> {
        let timeout = Duration::from_millis(u64::from(self.timeout_ms.load(Ordering::Relaxed)));
        let end = Instant::now() + timeout;
        let mut used = self.used.lock();
        loop {
            let max = self.process_max.load(Ordering::Relaxed);
            if max == 0 || *used < max {
                *used += 1;
                return Ok(end.saturating_duration_since(Instant::now()));
            }
            let is_over = self.waiting(|| self.recycled.wait_until(&mut used, end).timed_out());
            if is_over {
                let message = format!(
                    "this process has {max} instances, which is its own limit: recycle one"
                );
                return Err(Error::new(ErrorCode::INSTANCE_COUNT_OVER_LIMIT, message));
            }
        }
    }

    /// Count a thread as waiting while it waits.
    pub fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let outcome = wait();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        outcome
    }

    /// Return the state of the pool under this license.
    pub fn status(&self, licensed: &Licensed) -> InstancesStatus {
        let number =
            |count: &AtomicU32| i32::try_from(count.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
        let own = match number(&self.process_max) {
            0 => i32::MAX,
            max => max,
        };
        let used = i32::try_from(*self.used.lock()).unwrap_or(i32::MAX);
        InstancesStatus {
            authorized: licensed.seats_max().min(own),
            remaining: licensed.idle_seats().max(0).min(own.saturating_sub(used)),
            waiting: number(&self.waiting),
            waits: number(&self.waits),
        }
    }

    /// Count one instance less.
    pub fn end(&self) {
        let mut used = self.used.lock();
        *used = used.saturating_sub(1);
        self.recycled.notify_one();
    }
}

fn in_range(what: &str, value: i32, max: u32) -> Result<u32> {
    u32::try_from(value).ok().filter(|value| *value <= max).ok_or_else(|| {
        Error::new(
            ErrorCode::PARAMETER_VALUE_INVALID,
            format!("{what} is {value}; it can be 0 to {max}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_of_its_own_a_process_never_waits_here() {
        let instances = InstancePool::default();
        for _ in 0..100 {
            assert!(instances.begin().is_ok());
        }
    }

    #[test]
    fn a_process_keeps_to_its_limit_and_a_recycled_instance_lets_the_next_in() {
        let instances = InstancePool::default();
        instances.set(0, 1, 60_000).unwrap();
        assert!(instances.begin().is_ok());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| instances.begin());
            instances.end();
            assert!(waiting.join().unwrap().is_ok());
        });
        instances.set(0, 1, 1).unwrap();
        assert_eq!(instances.begin().unwrap_err().code, ErrorCode::INSTANCE_COUNT_OVER_LIMIT);
    }

    #[test]
    fn the_higher_number_of_seats_is_asked_for() {
        let instances = InstancePool::default();
        assert_eq!((instances.seats(4), instances.seats(-1)), (4, -1));
        instances.set(8, 0, 0).unwrap();
        assert_eq!((instances.seats(4), instances.seats(9)), (8, 9));
        for (device, process, timeout) in
            [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (65_537, 0, 0), (0, 0, 600_001)]
        {
            assert_eq!(
                instances.set(device, process, timeout).unwrap_err().code,
                ErrorCode::PARAMETER_VALUE_INVALID
            );
        }
        assert_eq!(instances.seats(4), 8, "a bad setting changes nothing");
    }
}
