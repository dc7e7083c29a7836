//! Nothing but the build script, which gives the second library its name.
//!
//! Cargo hands a dependency's arguments for linking a cdylib to every cdylib that depends on it,
//! after that one's own, and dependencies by their names. So the name of `libseatmeter.so` comes to
//! the second library, too, and the last one counts: this package stands behind `seatmeter` in that
//! order. A test looks at the outcome.
