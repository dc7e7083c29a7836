//! Charge way 2: barcode scans.
//!
//! Each unique barcode is one scan. The device decides which barcodes are unique, because the
//! barcodes never leave it. The server receives totals and adds them up. It serves every device of
//! the item until N and a grace of `round(5 % · N)` are used; from then on it refuses every device
//! with -20120.
//!
//! | used | state | a device that asks |
//! | --- | --- | --- |
//! | below N | within | is served |
//! | N … N + grace − 1 | in grace | is served |
//! | N + grace or more | used up | is refused, -20120 |
//!
//! Devices learn of the refusal at their next contact, so more than N + grace scans may be
//! performed, and these are billed. An item for which this must not happen is a strict item: see
//! [`crate::policy::strict_allowance`].

use seatmeter_protocol::license::LicenseItem;

use crate::error::Refusal;
use crate::policy::metered::{self, Standing};

/// Return whether a device may scan when `used` scans are recorded for the item.
///
/// # Errors
/// Returns -20120 when N and its grace are used.
pub fn decide(item: &LicenseItem, used: u64) -> Result<Standing, Refusal> {
    metered::decide(&item.item_id, "scans", used, item.quota)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::item;
    use seatmeter_protocol::error_code::ErrorCode;

    #[test]
    fn every_device_is_refused_once_quota_and_grace_are_used() {
        assert_eq!(decide(&item(1_000), 999), Ok(Standing::Within));
        assert_eq!(decide(&item(1_000), 1_000), Ok(Standing::InGrace));
        assert_eq!(decide(&item(1_000), 1_049), Ok(Standing::InGrace));
        for used in [1_050, 1_051, u64::MAX] {
            assert_eq!(decide(&item(1_000), used).unwrap_err().code, ErrorCode::USED_UP, "{used}");
        }
    }
}
