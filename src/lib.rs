//! seatmeter: a licensing runtime that lives inside somebody else's process.

pub mod seats;
