//! Rate limits for source addresses and handshake codes.
//!
//! Each has a bucket of tokens, which holds a burst and fills at a rate. Memory is bounded: when
//! there are too many buckets, the full ones are dropped first, because a full bucket is the same
//! as none. When that is not enough, all are dropped. All buckets have the same size: a code may be
//! as long as a client likes, so its bucket is found by its hash.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use super::proxy;
use crate::error::Error;

/// The greatest number of buckets of one kind, which take some 10 MiB.
const BUCKETS_MAX: usize = 100_000;

/// The headers that name the limits, and what is left of them.
const POLICY_HEADER: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT_HEADER: HeaderName = HeaderName::from_static("ratelimit");

/// A rate of requests, and the burst that is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The number of requests per second in the long run.
    pub per_second: f64,
    /// The number of requests that may come at once.
    pub burst: f64,
}

impl Rate {
    /// Return a rate with a burst of two seconds.
    #[must_use]
    pub fn per_second(rate: u32) -> Self {
        Self { per_second: f64::from(rate), burst: 2.0 * f64::from(rate) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

/// The buckets of one kind.
#[derive(Debug)]
struct Buckets<K> {
    rate: Rate,
    all: Mutex<HashMap<K, Bucket>>,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, all: Mutex::default() }
    }

    /// Take a token, and return what is left. Without one, return the seconds until there is one.
    fn take(&self, key: K, now: Instant) -> Result<Left, (u64, Left)> {
        let Rate { per_second, burst } = self.rate;
        let filled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
            (bucket.tokens + since * per_second).min(burst)
        };
        // A bucket is consistent at every step, so a panic elsewhere does not corrupt it.
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= BUCKETS_MAX && !all.contains_key(&key) {
            all.retain(|_, bucket| filled(bucket) < burst);
            if all.len() >= BUCKETS_MAX {
                all.clear();
            }
        }
        let bucket = all.entry(key).or_insert(Bucket { tokens: burst, filled_at: now });
        *bucket = Bucket { tokens: filled(bucket), filled_at: now };
        let has_one = bucket.tokens >= 1.0;
        if has_one {
            bucket.tokens -= 1.0;
        }
        let left = Left {
            requests: bucket.tokens as u64,
            full_in_seconds: ((burst - bucket.tokens) / per_second).ceil() as u64,
        };
        if has_one {
            return Ok(left);
        }
        Err((((1.0 - bucket.tokens) / per_second).ceil().max(1.0) as u64, left))
    }
}

/// The remaining part of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The number of requests that may come at once.
    pub requests: u64,
    /// The number of seconds until the whole burst may come again.
    pub full_in_seconds: u64,
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The source or code with too many requests.
    pub who: String,
    /// The number of seconds after which one more may come.
    pub retry_after_seconds: u64,
    /// The remaining part of the limit.
    pub left: Option<Left>,
}

impl From<TooMany> for Error {
    fn from(TooMany { who, retry_after_seconds, .. }: TooMany) -> Self {
        Self::TooMany { who, retry_after_seconds }
    }
}

/// The remaining part of a handshake code's limit, as an extension of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftOfCode(pub(super) Left);

/// The limits of the client API.
#[derive(Debug)]
pub struct RateLimits {
    sources: Buckets<IpAddr>,
    codes: Buckets<u64>,
    /// The hash function differs at each start, so that nobody can search for a code that shares
    /// the bucket of another.
    chance: RandomState,
}

impl RateLimits {
    /// Make limits for each source address, and for each handshake code.
    #[must_use]
    pub fn new(per_source: Rate, per_code: Rate) -> Self {
        Self {
            sources: Buckets::new(per_source),
            codes: Buckets::new(per_code),
            chance: RandomState::new(),
        }
    }

    /// Accept a request from this address, and return what is left. All addresses of one IPv6 site
    /// are one source.
    ///
    /// # Errors
    /// Fails when too many have come.
    pub fn source(&self, address: IpAddr) -> Result<Left, TooMany> {
        let site = proxy::site(address);
        let taken = self.sources.take(site, Instant::now());
        taken.map_err(|(retry_after_seconds, left)| TooMany {
            who: proxy::site_name(site),
            retry_after_seconds,
            left: Some(left),
        })
    }

    /// Accept a request with this handshake code or organization, and return what is left.
    ///
    /// # Errors
    /// Fails when too many have come.
    pub fn code(&self, code: &str) -> Result<Left, TooMany> {
        let taken = self.codes.take(self.chance.hash_one(code), Instant::now());
        taken.map_err(|(retry_after_seconds, left)| TooMany {
            who: format!("programs with handshake code or organization {code:?}"),
            retry_after_seconds,
            left: Some(left),
        })
    }

    /// Add the headers that describe the limits and their remaining parts. They follow the draft
    /// "RateLimit header fields for HTTP" of the IETF's HTTPAPI group.
    pub(super) fn describe(&self, of_source: Option<Left>, response: &mut Response) {
        let of_code = response.extensions().get::<LeftOfCode>().map(|left| left.0);
        let parts = [("source", self.sources.rate, of_source), ("code", self.codes.rate, of_code)];
        let (mut policies, mut limits) = (String::new(), String::new());
        for (name, rate, left) in parts {
            let Some(left) = left else { continue };
            let comma = if policies.is_empty() { "" } else { ", " };
            let (quota, seconds) =
                (rate.burst as u64, (rate.burst / rate.per_second).ceil() as u64);
            // A text grows without an error.
            let _ = write!(policies, "{comma}\"{name}\";q={quota};w={seconds}");
            let Left { requests, full_in_seconds } = left;
            let _ = write!(limits, "{comma}\"{name}\";r={requests};t={full_in_seconds}");
        }
        for (name, value) in [(POLICY_HEADER, policies), (LEFT_HEADER, limits)] {
            if let Ok(value) = HeaderValue::try_from(value)
                && !value.is_empty()
            {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seconds(taken: Result<Left, (u64, Left)>) -> Result<(), u64> {
        taken.map(|_| ()).map_err(|(seconds, _)| seconds)
    }

    #[test]
    fn what_is_left_is_told() {
        let buckets = Buckets::new(Rate { per_second: 2.0, burst: 3.0 });
        let start = Instant::now();
        let left = |requests, full_in_seconds| Left { requests, full_in_seconds };
        assert_eq!(buckets.take("a", start), Ok(left(2, 1)));
        assert_eq!(buckets.take("a", start), Ok(left(1, 1)));
        assert_eq!(buckets.take("a", start), Ok(left(0, 2)));
        assert_eq!(buckets.take("a", start), Err((1, left(0, 2))));
    }

    #[test]
    fn a_bucket_gives_its_burst_and_fills_at_its_rate() {
        let buckets = Buckets::new(Rate { per_second: 2.0, burst: 3.0 });
        let start = Instant::now();
        let taken = |ms: u64| seconds(buckets.take("a", start + Duration::from_millis(ms)));
        assert_eq!([taken(0), taken(0), taken(0), taken(0)], [Ok(()), Ok(()), Ok(()), Err(1)]);
        assert_eq!([taken(499), taken(500), taken(500)], [Err(1), Ok(()), Err(1)]);
        assert_eq!(seconds(buckets.take("b", start)), Ok(()), "each has its own");
        let slow = Buckets::new(Rate { per_second: 0.1, burst: 1.0 });
        let taken = || seconds(slow.take("a", start));
        assert_eq!([taken(), taken()], [Ok(()), Err(10)]);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let buckets = Buckets::new(Rate { per_second: 1.0, burst: 1.0 });
        let start = Instant::now();
        for key in 0..BUCKETS_MAX + 1 {
            buckets.take(key, start).unwrap();
        }
        assert!(buckets.all.lock().unwrap().len() <= BUCKETS_MAX);
    }

    #[test]
    fn a_bucket_is_as_large_whatever_it_is_for() {
        /// Return the greatest size of the table, which grows by doubling and exists beside the
        /// previous one meanwhile.
        fn bytes_max<K>(_: &Buckets<K>) -> usize {
            assert!(!std::mem::needs_drop::<K>(), "a key has no memory of its own");
            BUCKETS_MAX.next_power_of_two() * 3 / 2 * size_of::<(K, Bucket)>()
        }
        let limits = RateLimits::new(Rate::per_second(1), Rate::per_second(1));
        for bytes in [bytes_max(&limits.sources), bytes_max(&limits.codes)] {
            assert!(bytes <= 10 << 20, "{bytes}");
        }
    }
}
