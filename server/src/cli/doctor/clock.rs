//! The doctor's check of the time: which time the programs of a device use, and its source: their
//! own file, this machine's clock, or a server.

use std::fs;
use std::path::Path;

use seatmeter_protocol::state_frame::Kind;
use seatmeter_protocol::time_scope::clocks_ahead;
use serde::Deserialize;

use super::state::{Unread, content};
use super::{Findings, Health};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::utc;

const DAY: u64 = 86_400;

/// The number of seconds by which clocks may differ.
pub(super) const DIFFER_SECONDS_MAX: u64 = 60;

/// The programs' file about the time, as far as the doctor reports it; `src/clock/seen.rs` of the
/// library writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Seen {
    highest_ms: i64,
    boot_id: String,
    offset_ms: i64,
    is_set: bool,
    heard_at_ms: i64,
    leaps: Leaps,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Leaps {
    leaps: Vec<Leap>,
}

#[derive(Deserialize)]
struct Leap {
    from_ms: i64,
    to_ms: i64,
}

/// Report what is known of the time. Return by how many seconds the programs' time is ahead of this
/// machine's clock.
pub(super) fn examine(folder: &Path, findings: &mut Findings<'_>) -> Result<Option<i64>, Error> {
    let boot = boot_clock(findings)?;
    let seen = match content::<Seen>(&folder.join("clock"), Kind::Clock) {
        Ok(seen) => seen,
        Err(Unread::Denied(finding, todo)) => {
            return findings.say(Health::Warning, "clock", &finding, &todo).map(|()| None);
        }
        // The next program creates the file.
        Err(Unread::Missing | Unread::Unfit(_)) => return Ok(None),
    };
    let ahead = match boot {
        Some((id, boot_ms)) if id == seen.boot_id && seen.is_set => {
            Some(by_word_of_server(&seen, boot_ms, findings)?)
        }
        _ => {
            without_word(&seen, findings)?;
            None
        }
    };
    if let Some(leap) = seen.leaps.leaps.last() {
        let finding = format!(
            "a server has set the time of programs back by {} s, at {}: before that, a server's \
            clock or this machine's was ahead",
            (leap.from_ms - leap.to_ms) / 1000,
            utc::text(seconds(leap.to_ms))
        );
        findings.good("clock", &finding)?;
    }
    Ok(ahead)
}

/// Return the id of the machine's start and its boot clock in milliseconds, as far as this process
/// can determine them.
fn boot_clock(findings: &mut Findings<'_>) -> Result<Option<(String, i64)>, Error> {
    let ahead_ms = clocks_ahead(|path| fs::read_link(path), |path| fs::read_to_string(path))
        .map(|ahead| ahead.boot_ms);
    let id =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime_ms = uptime.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok());
    match (ahead_ms, uptime_ms) {
        (Some(ahead_ms), Some(uptime)) if !id.is_empty() => {
            if ahead_ms != 0 {
                let finding = format!(
                    "in this time namespace, the boot clock is {} s {} the machine's: programs \
                    take that into account",
                    ahead_ms.unsigned_abs() / 1000,
                    if ahead_ms > 0 { "ahead of" } else { "behind" }
                );
                findings.good("boot clock", &finding)?;
            }
            Ok(Some((id, (uptime * 1000.0) as i64 - ahead_ms)))
        }
        _ => {
            let finding = "the system does not show whether the boot clock is the machine's: \
            programs that start here continue from the highest time that was seen";
            findings.say(
                Health::Warning,
                "boot clock",
                finding,
                "mount /proc where the programs run",
            )?;
            Ok(None)
        }
    }
}

/// Report the programs' time when a server has set it since the start of the machine.
fn by_word_of_server(seen: &Seen, boot_ms: i64, findings: &mut Findings<'_>) -> Result<i64, Error> {
    let now = SystemClock.unix_seconds();
    let programs = seconds(seen.offset_ms.saturating_add(boot_ms).max(seen.highest_ms));
    let ago = boot_ms.saturating_sub(seen.heard_at_ms) / 1000;
    if programs.abs_diff(now) > DIFFER_SECONDS_MAX {
        let finding = format!(
            "this machine's time is {}; programs use {}, which a license server set {ago} s ago",
            utc::text(now),
            utc::text(programs)
        );
        let todo = "correct the clock that is wrong, this machine's or the server's; programs take \
        the server's time at their next contact";
        findings.say(Health::Warning, "clock", &finding, todo)?;
    } else {
        findings.good(
            "clock",
            &format!("programs use the time that a license server set {ago} s ago"),
        )?;
    }
    Ok(i64::try_from(programs).unwrap_or(i64::MAX).saturating_sub(i64::try_from(now).unwrap_or(0)))
}

/// Report the programs' time when no server has set it since the start of the machine, or when this
/// process cannot determine that.
fn without_word(seen: &Seen, findings: &mut Findings<'_>) -> Result<(), Error> {
    let highest = seconds(seen.highest_ms);
    if highest > SystemClock.unix_seconds() + DAY {
        let finding = format!(
            "the state has seen {} already, which is later than this machine's time",
            utc::text(highest)
        );
        let todo =
            "correct this machine's clock; the next contact with the server corrects the state";
        findings.say(Health::Warning, "clock", &finding, todo)?;
    }
    Ok(())
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or(0)
}
