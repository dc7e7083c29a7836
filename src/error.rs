//! The library's one error type: a number for programs, a sentence for people.

use std::fmt;

use seatmeter_protocol::error_code::ErrorCode;

/// What went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The number that the C function returns.
    pub code: ErrorCode,
    /// The sentence that goes into the caller's message buffer.
    pub message: String,
}

impl Error {
    /// An error with its own sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A state file or directory that cannot be used.
    pub fn state(path: &std::path::Path, what: &str, cause: &std::io::Error) -> Self {
        Self::new(ErrorCode::LICENSE_BUFFER_FAILED, format!("cannot {what} {}: {cause}", path.display()))
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        let message = code.entry().and_then(|entry| entry.message.to_str().ok()).unwrap_or("");
        Self::new(code, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// Shorthand for results with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
