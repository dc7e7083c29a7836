//! Lines of the log that many requests would repeat. The first line of a kind is written at once.
//! The lines that follow are counted, and one line in each interval gives their number.
//!
//! Thus ten thousand devices that are refused, or a database that is down, leave a readable log.
//! Memory is bounded: strangers choose the content of their requests, so only a fixed number of
//! kinds is distinguished.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The number of kinds that are distinguished at one time. Further ones have no handshake code.
const KINDS_MAX: usize = 256;

/// The longest text of a client that a line contains, in characters.
const TEXT_CHARACTERS_MAX: usize = 128;

/// The longest sentence that a line contains, in characters.
const DETAIL_CHARACTERS_MAX: usize = 1_024;

/// The weight of a line for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    /// A client was refused, as the rules or its request demand.
    Refusal,
    /// The server has more to do than it can.
    Load,
    /// The server cannot work.
    Failure,
}

impl Weight {
    /// Return the time in which lines of one kind are one line.
    fn interval(self) -> Duration {
        match self {
            Self::Refusal | Self::Load => Duration::from_secs(60),
            Self::Failure => Duration::from_secs(1),
        }
    }
}

/// A request that was not granted, and why.
#[derive(Clone, Debug)]
pub struct Line {
    /// The weight of the line.
    pub weight: Weight,
    /// The HTTP status.
    pub status: u16,
    /// The number of the error, as a program on the device gets it.
    pub number: i32,
    /// The handshake code, if it is one that exists.
    pub code: Option<String>,
    /// The UUID by which the device calls itself.
    pub device: Option<String>,
    /// The address from which the request came.
    pub address: Option<IpAddr>,
    /// The path of the request.
    pub path: String,
    /// A description of the event, and the remedy.
    pub detail: String,
}

/// The key by which lines are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    weight: Weight,
    status: u16,
    number: i32,
    code: Option<String>,
}

#[derive(Debug)]
struct Repeated {
    /// The time at which a line is written for those that were counted.
    due: Instant,
    count: u64,
    last: Line,
}

/// The lines of a server.
#[derive(Debug, Default)]
pub struct Lines {
    kinds: Mutex<HashMap<Kind, Repeated>>,
}

impl Lines {
    /// Write a line, or count it.
    pub fn note(&self, line: Line) {
        if let Some(line) = self.first(line.within_bounds(), Instant::now()) {
            write(&line, 0);
        }
    }

    /// Write the lines for what was counted, of all kinds whose time has come. `at_end` means that
    /// there will be no other time.
    pub fn write_due(&self, at_end: bool) {
        for (count, line) in self.due(Instant::now(), at_end) {
            write(&line, count);
        }
    }

    /// Count the line if one of its kind was written just now. Otherwise, return it.
    fn first(&self, line: Line, now: Instant) -> Option<Line> {
        let mut kinds = self.kinds.lock();
        let mut kind = Kind {
            weight: line.weight,
            status: line.status,
            number: line.number,
            code: line.code.clone(),
        };
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
            // Without a code there are no more kinds than errors.
            kind.code = None;
        }
        if let Some(repeated) = kinds.get_mut(&kind) {
            repeated.count += 1;
            repeated.last = line;
            return None;
        }
        let due = now + line.weight.interval();
        kinds.insert(kind, Repeated { due, count: 0, last: line.clone() });
        Some(line)
    }

    fn due(&self, now: Instant, at_end: bool) -> Vec<(u64, Line)> {
        let mut due = Vec::new();
        self.kinds.lock().retain(|kind, repeated| {
            if now < repeated.due && !at_end {
                return true;
            }
            // A kind that did not come again begins anew.
            if repeated.count == 0 {
                return false;
            }
            due.push((repeated.count, repeated.last.clone()));
            repeated.count = 0;
            repeated.due = now + kind.weight.interval();
            true
        });
        due
    }
}

impl Line {
    /// Shorten what a client has sent, and remove line breaks and the like from the sentence.
    fn within_bounds(self) -> Self {
        let clip = |text: String| match text.char_indices().nth(TEXT_CHARACTERS_MAX) {
            Some((end, _)) => text[..end].to_owned(),
            None => text,
        };
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            code: self.code.map(clip),
            device: self.device.map(clip),
            path: clip(self.path),
            detail: self.detail.chars().take(DETAIL_CHARACTERS_MAX).map(plain).collect(),
            ..self
        }
    }
}

/// Write a line, for itself or for `more` that it stands for.
fn write(line: &Line, more: u64) {
    let Line { weight, status, number, code, device, address, path, detail } = line;
    let (code, device) = (code.as_deref(), device.as_deref());
    let address = address.map(|address| address.to_string());
    let address = address.as_deref();
    let sentence = match more {
        0 => detail.clone(),
        1 => format!("1 more of this kind: {detail}"),
        _ => format!("{more} more of this kind; the last one: {detail}"),
    };
    let count = (more > 0).then_some(more);
    // The level of a line must be a constant.
    macro_rules! write {
        ($level:ident) => {
            tracing::$level!(
                error = number,
                status,
                code,
                device,
                address,
                path,
                count,
                "{sentence}"
            )
        };
    }
    match weight {
        Weight::Refusal => write!(info),
        Weight::Load => write!(warn),
        Weight::Failure => write!(error),
    }
}

/// The pace of a line that one place of the code would repeat: at most one in an interval.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Pace {
    /// Make a pace of one line a second, for what cannot work meanwhile.
    #[must_use]
    pub const fn per_second() -> Self {
        Self { interval: Duration::from_secs(1), state: Mutex::new((None, 0)) }
    }

    /// Make a pace of one line a minute.
    #[must_use]
    pub const fn per_minute() -> Self {
        Self { interval: Duration::from_secs(60), state: Mutex::new((None, 0)) }
    }

    /// Return how many times nothing was written since the last line, or `None` if nothing is to be
    /// written now either.
    pub fn due(&self) -> Option<u64> {
        let (last, skipped) = &mut *self.state.lock();
        if last.is_some_and(|last| last.elapsed() < self.interval) {
            *skipped += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: i32, code: Option<&str>) -> Line {
        Line {
            weight: Weight::Refusal,
            status: 403,
            number,
            code: code.map(str::to_owned),
            device: Some("device".to_owned()),
            address: None,
            path: "/v1/authorizations".to_owned(),
            detail: "no seats".to_owned(),
        }
    }

    #[test]
    fn the_first_line_of_a_kind_is_written_at_once_and_the_others_as_a_number() {
        let (lines, start) = (Lines::default(), Instant::now());
        assert!(lines.first(line(-20120, Some("A")), start).is_some());
        for _ in 0..14_000 {
            assert!(lines.first(line(-20120, Some("A")), start).is_none());
        }
        assert!(lines.first(line(-20120, Some("B")), start).is_some(), "of another code");
        assert!(lines.first(line(-20111, Some("A")), start).is_some(), "another error");
        assert!(lines.due(start + Duration::from_secs(59), false).is_empty());
        let minute = start + Duration::from_secs(60);
        let due = lines.due(minute, false);
        assert_eq!(due.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [14_000]);
        assert!(lines.first(line(-20120, Some("B")), minute).is_some(), "it begins anew");
        assert!(lines.first(line(-20120, Some("A")), minute).is_none(), "it goes on");
        assert_eq!(lines.due(minute, true).len(), 1, "the end tells what was counted");
    }

    #[test]
    fn the_number_of_kinds_and_the_length_of_a_line_are_bounded() {
        let (lines, start) = (Lines::default(), Instant::now());
        let written = (0..100_000)
            .filter(|n| lines.first(line(-20120, Some(&n.to_string())), start).is_some())
            .count();
        assert_eq!(written, KINDS_MAX + 1);
        assert!(lines.kinds.lock().len() <= KINDS_MAX + 1);
        let long = Line { detail: "a\n".repeat(1 << 20), ..line(1, Some(&"é".repeat(1 << 20))) };
        let long = long.within_bounds();
        assert_eq!(long.code.unwrap().chars().count(), TEXT_CHARACTERS_MAX);
        assert!(long.detail.len() <= DETAIL_CHARACTERS_MAX && !long.detail.contains('\n'));
    }

    #[test]
    fn a_pace_writes_once_and_counts_the_rest() {
        let pace = Pace::per_minute();
        assert_eq!([pace.due(), pace.due(), pace.due()], [Some(0), None, None]);
    }
}
