//! Facts of an item that follow from its charge way.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::UsageKind;

/// Return whether devices hold seats of the item for a window.
pub(in crate::store) fn has_seats(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ClientDevice | ChargeWay::ActiveDevice | ChargeWay::Server)
}

/// Return whether the item has an overuse budget.
pub(in crate::store) fn is_concurrent(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance)
}

/// Return whether scans or pages of the item are used up.
pub(in crate::store) fn is_metered(item: &LicenseItem) -> bool {
    matches!(item.charge_way, ChargeWay::BarcodeScan | ChargeWay::Page)
}

/// Return the kind of usage that a metered item is charged by.
pub(in crate::store) fn metered_kind(item: &LicenseItem) -> UsageKind {
    match item.charge_way {
        ChargeWay::Page => UsageKind::Page,
        _ => UsageKind::Scan,
    }
}
