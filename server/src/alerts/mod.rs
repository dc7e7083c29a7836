//! Alerts: what an operator must be told before somebody calls.
//!
//! | step | where |
//! | --- | --- |
//! | what holds, and which thresholds are reached | `operator/queries/conditions.rs`, pure functions |
//! | each threshold fires once, and an event is written with it | `store/sql/alerts.rs` |
//! | checked where usage is booked, and every 10 minutes | `store/sql/batch.rs`, [`watch`] |
//! | events leave by mail and webhook | [`deliver`] |

pub mod deliver;
pub mod mail;
pub mod summary;
pub mod watch;
pub mod webhook;
