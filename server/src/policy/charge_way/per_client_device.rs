//! Charge ways 1 and 8: client devices, and active devices within a stated window.
//!
//! A device takes a seat when it is authorized, and keeps the seat for a window of 1, 30, 90
//! (unless the item says otherwise) or 365 days. It is then a daily, monthly, quarterly or yearly
//! active device. Each further authorization and each usage report starts the window again. When
//! the window has passed, the device is forgotten and its seat is free. Beyond N and a grace of
//! `round(10 % · N)`, a new device is refused with -20120; devices that hold a seat continue to
//! work.
//!
//! | the device holds a seat | seats of others | outcome |
//! | --- | --- | --- |
//! | yes | any | keeps it: its window begins anew |
//! | no | below N | takes one |
//! | no | N … N + grace − 1 | takes one in grace |
//! | no | N + grace or more | -20120 |
//!
//! In a browser the device is one profile on one origin: see [`browser_device`].

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::grace::DEVICE_GRACE_PERCENT;
use seatmeter_protocol::license::LicenseItem;

use crate::error::Refusal;
use crate::policy::charge_way::host::Host;
use crate::policy::device_seats::{self, Taking};
use crate::policy::holders::{Hold, Occupied};

/// Decide about the seat of a device that requests an authorization.
///
/// # Errors
/// Returns -20120 when the device is new, and other devices hold N and its grace.
pub fn decide(
    item: &LicenseItem,
    occupied: &Occupied,
    now: u64,
) -> Result<(Taking, Hold), Refusal> {
    device_seats::decide(item, "client devices", DEVICE_GRACE_PERCENT, occupied, now)
}

/// Return the device name of a browser profile on one origin:
/// `<client UUID>@<scheme>://<host>:<port>`.
///
/// # Errors
/// Returns -20114 when the text is not an origin.
pub fn browser_device(client_uuid: &str, origin: &str) -> Result<String, Refusal> {
    let no = |why: &str| {
        Refusal::new(
            ErrorCode::VALIDATION_FIELD_MISMATCH,
            format!(
                "{origin:?} is not the origin of a website, such as https://shop.example: {why}"
            ),
        )
    };
    let (scheme, rest) = origin.split_once("://").ok_or_else(|| no("it has no scheme"))?;
    let scheme = scheme.to_ascii_lowercase();
    let port_of_scheme = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(no("its scheme is neither http nor https")),
    };
    if rest.contains(['/', '?', '#']) {
        return Err(no("it has a path"));
    }
    let (host, port) = Host::parse_with_port(rest).map_err(|why| no(&why.to_string()))?;
    Ok(format!("{client_uuid}@{scheme}://{}:{}", host.as_text(), port.unwrap_or(port_of_scheme)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START};
    use crate::policy::holders::Holders;
    use proptest::prelude::*;
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::grace::limit;
    use seatmeter_protocol::license::DAY_SECONDS;
    use std::collections::HashMap;

    fn item(quota: u64, days: u32) -> LicenseItem {
        let plain = LicenseItem::new("item", ChargeWay::ActiveDevice, quota, START, EXPIRY);
        LicenseItem { window_days: Some(days), ..plain }
    }

    /// Let a device request a seat, and return how it got one.
    fn come(
        holders: &mut Holders<u32>,
        item: &LicenseItem,
        device: u32,
        now: u64,
    ) -> Result<Taking, ErrorCode> {
        let outcome = decide(item, &holders.occupied(device, now), now);
        let (taking, hold) = outcome.map_err(|refusal| refusal.code)?;
        holders.hold(device, hold);
        Ok(taking)
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let own = Some(Hold { seats: 1, until: START + 1 });
        for (own, by_others, expected) in [
            (own, 0, Ok(Taking::Kept)),
            (own, 99, Ok(Taking::Kept)),
            (None, 0, Ok(Taking::Taken)),
            (None, 9, Ok(Taking::Taken)),
            (None, 10, Ok(Taking::TakenInGrace)),
            (None, 11, Err(ErrorCode::USED_UP)),
            (None, 12, Err(ErrorCode::USED_UP)),
        ] {
            let occupied = Occupied { by_others, own, first_free_at: None };
            let outcome = decide(&item(10, 90), &occupied, START);
            let outcome = outcome.map(|(taking, _)| taking).map_err(|refusal| refusal.code);
            assert_eq!(outcome, expected, "own {own:?}, others {by_others}");
        }
    }

    #[test]
    fn a_seat_is_kept_for_a_window_and_each_contact_moves_it_on() {
        for days in [1, 30, 90, 365_u32] {
            let (item, window) = (item(1, days), u64::from(days) * DAY_SECONDS);
            let mut holders = Holders::default();
            assert_eq!(come(&mut holders, &item, 1, START), Ok(Taking::Taken));
            if days < 365 {
                assert_eq!(come(&mut holders, &item, 1, START + window - 1), Ok(Taking::Kept));
                let end = START + 2 * window - 1;
                assert_eq!(
                    come(&mut holders, &item, 2, end - 1),
                    Err(ErrorCode::USED_UP),
                    "{days} days"
                );
                assert_eq!(come(&mut holders, &item, 2, end), Ok(Taking::Taken), "{days} days");
                assert_eq!(
                    come(&mut holders, &item, 1, end),
                    Err(ErrorCode::USED_UP),
                    "it is forgotten"
                );
            }
        }
    }

    #[test]
    fn a_refusal_says_when_the_next_seat_is_free() {
        let occupied = Occupied { by_others: 11, own: None, first_free_at: Some(START + 60) };
        let refusal = decide(&item(10, 90), &occupied, START).unwrap_err();
        let numbers = refusal.numbers.unwrap_or_default();
        assert_eq!((numbers.used, numbers.quota, numbers.grace), (11, 10, 1));
        assert_eq!(numbers.next_free_at, Some(START + 60));
        let detail = refusal.detail;
        let next = crate::utc::text(START + 60);
        assert!(
            detail.contains("11 client devices hold a seat, of 10 and a grace of 1"),
            "{detail}"
        );
        assert!(detail.contains(&next), "{detail}");
    }

    #[test]
    fn a_browser_profile_is_another_device_on_each_origin() {
        let device = |origin| browser_device("aa", origin).map_err(|refusal| refusal.code);
        let shop = Ok("aa@https://shop.example:443".to_owned());
        for same in ["https://shop.example", "HTTPS://Shop.Example.", "https://shop.example:443"] {
            assert_eq!(device(same), shop, "{same}");
        }
        for other in
            ["http://shop.example", "https://shop.example:8443", "https://www.shop.example"]
        {
            assert_ne!(device(other), shop, "{other}");
        }
        assert_eq!(device("http://[::1]:8080"), Ok("aa@http://[::1]:8080".to_owned()));
        for bad in [
            "shop.example",
            "ftp://shop.example",
            "https://",
            "https://shop.example/x",
            "https://a:b:c",
        ] {
            assert_eq!(device(bad), Err(ErrorCode::VALIDATION_FIELD_MISMATCH), "{bad}");
        }
    }

    proptest! {
        /// Devices come at random over a year. New devices never take more than N + grace seats,
        /// and no device that holds a seat is refused. A map of last contacts predicts the same
        /// outcomes.
        #[test]
        fn seats_never_exceed_quota_and_grace(
            quota in 1..25_u64,
            days in prop::sample::select(&[1_u32, 30, 90][..]),
            visits in prop::collection::vec((0..40_u32, 0..200_000_u64), 1..120),
        ) {
            let item = item(quota, days);
            let (mut holders, mut heard, mut now) = (Holders::default(), HashMap::<u32, u64>::new(), START);
            for (device, passed) in visits {
                now += passed;
                heard.retain(|_, at| now < *at + u64::from(days) * DAY_SECONDS);
                let has_room = (heard.len() as u64) < limit(quota, DEVICE_GRACE_PERCENT);
                let expected = heard.contains_key(&device) || has_room;
                prop_assert_eq!(come(&mut holders, &item, device, now).is_ok(), expected);
                if expected {
                    heard.insert(device, now);
                }
                prop_assert!(holders.seats(now) <= limit(quota, DEVICE_GRACE_PERCENT));
            }
        }
    }
}
