//! Reports of what was counted: any process of the device sends them for all processes.
//!
//! Only totals that are on the disk already are sent, so that neither a repeated report nor a power
//! cut can make device and server disagree:
//!
//! ```text
//! read the totals ─▶ make the segment durable ─▶ send ─▶ note what is recorded ─▶ remove what is complete
//! ```

mod reported;
mod request;
mod round;
#[cfg(test)]
mod tests;

pub use reported::{Reported, SegmentNote};
pub use request::report_end;
pub use round::{Reporting, epoch_file, report};
