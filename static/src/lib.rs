//! The whole library once more, as an archive for static linking.
//!
//! This is a package of its own, so that only those who want the archive build it.
//! `scripts/static.sh` makes the archive that is installed from it, in which only the names of the
//! headers can be seen.

// Every exported function of it is in the archive, too.
pub use seatmeter;
