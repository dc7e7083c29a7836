//! What the library and the license server say to each other, and what both compute.

pub mod seat_layout;
