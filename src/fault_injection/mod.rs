//! Faults that a test injects: a process that dies at a named place, or a disk that refuses.
//!
//! Without the feature `kill-points` all of it compiles to nothing.

pub mod disk;
pub mod kill_points;
