//! The whole library once more, as `libDynamsoftBarcodeReader.so` with a SONAME of that name.
//!
//! A program for the DBR API that carries the library in its folder has this one file there, and
//! needs no other. A small library of that name would need `libseatmeter.so` beside it, and a
//! changed copy of the built file would need a tool that is not on every machine. So the same code
//! is linked twice.

#![allow(non_snake_case, reason = "the name by which programs are linked")]

// Every exported function of it is exported here, too.
pub use seatmeter;
// For how it is linked.
pub use seatmeter_second_name;
