//! Counters of requests, and the answer to a scrape by Prometheus.
//!
//! | value | where it comes from |
//! | --- | --- |
//! | counters and durations | atomics that the way of a request adds to: no lock, and nothing is written |
//! | items, devices, data | one snapshot of the data, which is kept for some seconds ([`snapshot`]) |
//!
//! No label names a device or a handshake code. Items beyond the first
//! [`ITEMS_MAX`](crate::operator::queries::gauges::ITEMS_MAX) share the series `item="(others)"`.

pub mod snapshot;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::error_code::{ERRORS, ErrorCode};
use seatmeter_protocol::message::{UsageAnswer, UsageReport};
use seatmeter_protocol::slot::SLOT_SECONDS;

use crate::error::Error;
use crate::histogram::Histogram;

pub use text::{CONTENT_TYPE, Server, write};

/// The counters of a server, since it was started.
#[derive(Debug)]
pub struct Metrics {
    granted: AtomicU64,
    /// Authorizations that the license rules refused, by error number.
    refused: ByCode,
    /// Authorizations that could not be decided, by error number.
    failed: ByCode,
    recorded: AtomicU64,
    partly_recorded: AtomicU64,
    not_recorded: AtomicU64,
    report_lag: Histogram,
    clock_skew: Histogram,
    /// The last snapshot of the data.
    pub snapshot: Arc<snapshot::Kept>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            granted: AtomicU64::new(0),
            refused: ByCode::default(),
            failed: ByCode::default(),
            recorded: AtomicU64::new(0),
            partly_recorded: AtomicU64::new(0),
            not_recorded: AtomicU64::new(0),
            report_lag: Histogram::new(LAG_SECONDS),
            clock_skew: Histogram::new(SKEW_SECONDS),
            snapshot: Arc::default(),
        }
    }
}

/// The bounds of the lag of reports: from a slot to the longest offline time of a device.
const LAG_SECONDS: &[f64] = &[180.0, 360.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

/// The bounds of the skew of clocks. A report with work more than a day ahead is refused.
const SKEW_SECONDS: &[f64] = &[0.0, 60.0, 180.0, 900.0, 3_600.0, 21_600.0, 86_400.0];

impl Metrics {
    /// Count an authorization.
    pub fn authorized<T>(&self, outcome: &Result<T, Error>) {
        match outcome {
            Ok(_) => _ = self.granted.fetch_add(1, Ordering::Relaxed),
            Err(Error::Refused(refusal)) => self.refused.add(refusal.code),
            Err(error) => self.failed.add(error.problem().code),
        }
    }

    /// Count a report that has come at this instant, before it is booked.
    pub fn reported(&self, report: &UsageReport, now: u64) {
        let totals = report.segments.iter().flat_map(|segment| &segment.totals);
        let begins = |slot: u32| u64::from(slot) * SLOT_SECONDS;
        let slots = totals.map(|total| total.slot);
        let range = slots.fold(None, |range: Option<(u32, u32)>, slot| {
            let (oldest, newest) = range.unwrap_or((slot, slot));
            Some((oldest.min(slot), newest.max(slot)))
        });
        if let Some((oldest, newest)) = range {
            self.report_lag.note(now.saturating_sub(begins(oldest)) as f64);
            self.clock_skew.note(begins(newest).saturating_sub(now) as f64);
        }
    }

    /// Count the outcome of a report.
    pub fn recorded(&self, outcome: &Result<UsageAnswer, Error>) {
        let counter = match outcome {
            Ok(answer) if answer.refused.is_empty() => &self.recorded,
            Ok(_) => &self.partly_recorded,
            Err(_) => &self.not_recorded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A counter for each error number that there is.
#[derive(Debug)]
struct ByCode(Vec<AtomicU64>);

impl Default for ByCode {
    fn default() -> Self {
        Self(ERRORS.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl ByCode {
    fn add(&self, code: ErrorCode) {
        let is_it = |entry: &seatmeter_protocol::error_code::ErrorEntry| entry.code == code;
        if let Some(place) = ERRORS.iter().position(is_it) {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counts(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ERRORS.iter().zip(&self.0).map(move |(entry, counter)| (entry.code, count(counter)))
    }
}
