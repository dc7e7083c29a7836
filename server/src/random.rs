//! Random ids.

use seatmeter_protocol::signature::random_id;

use crate::error::Error;

/// Return a fresh random id.
///
/// # Errors
/// Fails when the system has no random numbers.
pub fn fresh_id() -> Result<String, Error> {
    random_id().ok_or_else(no_random)
}

pub(crate) fn no_random() -> Error {
    Error::Internal("the system has no random numbers".to_owned())
}
