//! The rule that client devices and servers have in common: each takes a seat and keeps it for a
//! window.
//!
//! | the device holds a seat | seats of others | outcome |
//! | --- | --- | --- |
//! | yes | any | keeps it: its window begins anew |
//! | no | below N | takes one |
//! | no | N … N + grace − 1 | takes one in grace |
//! | no | N + grace or more | -20120 |
//!
//! A device that holds a seat keeps it whatever the others hold, even after N has become smaller.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::grace::{grace, limit};
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::ProblemNumbers;

use crate::error::Refusal;
use crate::policy::holders::{Hold, Occupied};
use crate::policy::window::seat_until;
use crate::utc;

/// The way in which a device gets its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// The device had a seat already.
    Kept,
    /// The device takes one of the N seats.
    Taken,
    /// The device takes one of the grace.
    TakenInGrace,
}

/// Decide about the seat of a device, and return how it got the seat. `noun` is a word for the
/// devices in the plural.
///
/// The problem's numbers leave out the names of the holders; the caller that stores the holders
/// adds them.
///
/// # Errors
/// Returns -20120 when the device is new, and other devices hold N and its grace.
pub(super) fn decide(
    item: &LicenseItem,
    noun: &str,
    grace_percent: u32,
    occupied: &Occupied,
    now: u64,
) -> Result<(Taking, Hold), Refusal> {
    let hold = Hold { seats: 1, until: seat_until(item, now) };
    if occupied.own.is_some() {
        return Ok((Taking::Kept, hold));
    }
    let taken = occupied.by_others;
    if taken < item.quota {
        return Ok((Taking::Taken, hold));
    }
    if taken < limit(item.quota, grace_percent) {
        return Ok((Taking::TakenInGrace, hold));
    }
    let next = occupied.first_free_at.map_or_else(String::new, |at| {
        format!("; the next seat is free at {}, unless its device is used again", utc::text(at))
    });
    Err(Refusal::with_numbers(
        ErrorCode::USED_UP,
        format!(
            "item \"{}\": {taken} {noun} hold a seat, of {} and a grace of {}{next}",
            item.item_id,
            item.quota,
            grace(item.quota, grace_percent)
        ),
        ProblemNumbers {
            requested: 1,
            quota: item.quota,
            used: taken,
            grace: grace(item.quota, grace_percent),
            next_free_at: occupied.first_free_at,
            holders: Vec::new(),
        },
    ))
}
