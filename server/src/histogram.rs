//! A histogram of atomics. That of prometheus-client takes a lock for each value, and these values
//! come from the way of requests.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of values by upper bounds, with their number and sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// The counters: one for each bound, and one for all greater values.
    counts: Vec<AtomicU64>,
    /// The sum in millionths, which can be added without a lock.
    sum_millionths: AtomicU64,
}

/// The counts of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The number of values up to each bound and above the previous bound.
    pub buckets: Vec<(f64, u64)>,
    /// The number of values.
    pub count: u64,
    /// The sum of the values.
    pub sum: f64,
}

impl Histogram {
    /// Make a histogram with these upper bounds, in ascending order.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_millionths: AtomicU64::new(0) }
    }

    /// Count a value that is not negative.
    pub fn note(&self, value: f64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        // Relaxed is enough: a scrape may see a value in one counter and not yet in the other.
        self.counts[place.unwrap_or(self.bounds.len())].fetch_add(1, Ordering::Relaxed);
        self.sum_millionths.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// Return what was counted.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum_millionths.load(Ordering::Relaxed) as f64 / 1e6;
        Counted { buckets, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_the_first_bound_that_is_not_below_it() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        for value in [0.0, 1.0, 1.5, 10.0, 11.0, 100.0] {
            histogram.note(value);
        }
        let Counted { buckets, count, sum } = histogram.counted();
        assert_eq!(buckets, [(1.0, 2), (10.0, 2), (f64::INFINITY, 2)]);
        assert_eq!((count, sum), (6, 123.5));
    }
}
