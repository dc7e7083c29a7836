//! The errors of a page, and what it does after each, by the rules of `bindings/web/src/errors.js`.

use seatmeter_protocol::error_code::ErrorCode;

/// The refusals that end a license.
pub(super) const ENDS: [ErrorCode; 6] = [
    ErrorCode::SESSION_PASSWORD_WRONG,
    ErrorCode::DOMAIN_MISMATCH,
    ErrorCode::REVOKED,
    ErrorCode::VALIDATION_FIELD_MISMATCH,
    ErrorCode::USED_UP,
    ErrorCode::QUOTA_EXCEEDED,
];

/// The refusals after which a device takes another identity.
pub(super) const TAKES_FRESH_UUID: [ErrorCode; 2] =
    [ErrorCode::DEVICE_NOT_MATCH, ErrorCode::DEVICE_CLONED];

/// The errors after which the other server is asked.
pub(super) const ASKS_OTHER: [ErrorCode; 3] = [
    ErrorCode::LICENSE_SYNC_FAILED,
    ErrorCode::STANDBY_NOT_READY,
    ErrorCode::FAILED_TO_REACH_SERVER,
];

/// The reason why the work of a page does not continue.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The renderer was killed.
    Killed,
    Failed(Failure),
}

pub(crate) type Outcome<T> = Result<T, Halt>;

/// An error of a license.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// Whether the server that this device knows has signed the refusal; `None`: it is no refusal.
    pub(super) is_believed: Option<bool>,
    pub(super) retry_after: u64,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), is_believed: None, retry_after: 0 }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Fail with an error of this page.
pub(super) fn fail<T>(code: ErrorCode, message: impl Into<String>) -> Outcome<T> {
    Err(Failure::new(code, message).into())
}

/// Return the failure of an answer that has another form.
pub(super) fn malformed(why: impl std::fmt::Display) -> Halt {
    Failure::new(ErrorCode::LICENSE_SYNC_FAILED, format!("the answer is malformed: {why}")).into()
}

/// Take a failure as a value. A renderer that was killed takes nothing.
pub(super) fn caught<T>(outcome: Outcome<T>) -> Outcome<Result<T, Failure>> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Halt::Failed(failure)) => Ok(Err(failure)),
        Err(Halt::Killed) => Err(Halt::Killed),
    }
}
