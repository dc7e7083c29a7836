//! Alerts: messages that an operator needs before somebody calls.
//!
//! | step | where |
//! | --- | --- |
//! | what holds, and which thresholds are reached | `operator/queries/conditions.rs`, pure functions |
//! | each threshold fires once, and an event is written with it | `store/sql/alerts.rs` |
//! | checked where usage is booked, and every 10 minutes | `store/sql/batch.rs`, `http/alert_watch.rs` |
//! | events leave by mail and webhook | [`deliver`] |

pub mod deliver;
pub mod mail;
pub mod summary;
pub mod webhook;

/// Return the name of this machine.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this server".to_owned(),
        name => name.to_owned(),
    }
}
