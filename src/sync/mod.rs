//! The communication with the license server: when it happens, what is sent, and how far the
//! answers are believed.

mod authorize;
mod exchange;
mod http;
mod report;
mod transport;

pub use authorize::{LicenseRequest, authorize};
pub use exchange::{Answered, Servers};
pub use http::{HttpTransport, LookUp};
pub use report::{Reported, Reporting, SegmentNote, epoch_file, report, report_end};
pub use transport::{RawAnswer, RawRequest, Transport, Unreachable};

#[cfg(test)]
pub(crate) mod scripted;
