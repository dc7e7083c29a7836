//! seatmeter: a licensing runtime that runs inside the process of another program.
//!
//! Programs link the shared library and see its C functions (`include/seatmeter.h`). The Rust items
//! here implement these functions. They are public for the project's own tests and are not a stable
//! interface.
//!
//! ```text
//! capi/ ──▶ runtime ──▶ session ─┬─▶ license/  what this device may do: verified, stored
//!                                ├─▶ seats/    the seats of the whole device and their holders
//!                                ├─▶ usage/    the counts, in mapped files
//!                                ├─▶ sync/     exchanges with the license server
//!                                └─▶ state/    files and their damage
//!           reader/  decoding and counting
//! ```

#![doc(hidden)]
#![deny(unsafe_code)]

pub mod built_in;
#[allow(unsafe_code, reason = "C hands over pointers, and names that are not mangled")]
pub mod capi;
pub mod clock;
pub mod device;
pub mod environment;
pub mod error;
pub mod fault_injection;
pub mod files;
pub mod license;
pub mod licensed;
pub mod log;
#[allow(unsafe_code, reason = "the kernel is called here")]
pub mod os;
pub mod parameters;
pub mod reader;
pub mod runtime;
#[allow(unsafe_code, reason = "words of shared memory are read and changed here")]
pub mod seats;
pub mod session;
pub mod state;
pub mod status;
pub mod sync;
pub mod usage;
