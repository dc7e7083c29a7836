//! The usage: counted once, in memory that outlives the process, until the server has recorded it.

mod allowance;
mod archive;
mod counter;
mod duplicate_filter;
mod durable;
#[cfg(test)]
mod history;
#[cfg(test)]
mod lost_files;
mod segment;
mod unique;
mod unsent;

pub use allowance::{SpentAllowance, lost_of};
pub use archive::{Acknowledged, Archive};
pub use counter::{CheckedFiles, Counter, SlotEntries, Work};
pub use duplicate_filter::DuplicateFilter;
pub use durable::Durable;
pub use segment::{
    Attribution, Carried, ENDING as SEGMENT_ENDING, Segment, SegmentHeader, Total,
    UNFINISHED_ENDING,
};
pub use unique::{Barcode, for_each_unique};
pub use unsent::{has_counted, oldest_unsent, unsent_of};

#[cfg(any(test, feature = "kill-points"))]
pub use segment::power_cut;
#[cfg(test)]
pub(crate) use segment::test_support::attribution;
