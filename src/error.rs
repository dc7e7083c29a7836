//! The library's one error type: a number for programs and a sentence for people. A network error
//! also contains how far the request came.

use std::fmt;
use std::path::Path;

use seatmeter_protocol::error_code::ErrorCode;

use crate::files::state_directory_of;
use crate::os::advice_about;
use crate::os::errors;

/// An error: what happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Error {
    /// The number that the C function returns.
    pub code: ErrorCode,
    /// The sentence that goes into the caller's message buffer.
    pub message: String,
    /// The stage that the failed request had reached, if there was a request.
    pub stage: Option<Stage>,
    /// The seconds after which the server wants to be asked again, if it is too busy now.
    pub retry_after: Option<u64>,
}

/// The stage that a request had reached when it failed to get a usable answer. The numbers are
/// those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Stage {
    /// The URL or the client's own setup is wrong.
    Setup = 1,
    /// The server's name has no address.
    Lookup = 2,
    /// No connection was made.
    Connect = 3,
    /// The proxy between does not let the request through.
    Proxy = 4,
    /// The server's certificate is not trusted, or there is no common version.
    Tls = 5,
    /// The answer is not the license server's.
    Status = 6,
    /// The answer did not arrive, or did not arrive whole.
    Answer = 7,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "set-up",
            Self::Lookup => "name lookup",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "TLS",
            Self::Status => "HTTP status",
            Self::Answer => "answer",
        })
    }
}

impl Error {
    /// Return an error with its own sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), stage: None, retry_after: None }
    }

    /// Return error -20200 at this stage.
    pub fn unreachable(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage: Some(stage), ..Self::new(ErrorCode::FAILED_TO_REACH_SERVER, message) }
    }

    /// Return an error for a state file or directory that cannot be used.
    pub fn state(path: &Path, what: &str, cause: &std::io::Error) -> Self {
        let failed = format!("cannot {what} {}: {cause}", path.display());
        let remedy = remedy(path, state_directory_of(path), cause);
        let message = remedy.map_or_else(|| failed.clone(), |remedy| format!("{failed}. {remedy}"));
        Self::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
    }
}

/// Return what to do about a system error with a file of this state directory, if the system's
/// message does not name a remedy.
pub fn remedy(path: &Path, state_directory: &Path, cause: &std::io::Error) -> Option<String> {
    remedy_for_limit(cause)
        .map(str::to_owned)
        .or_else(|| advice_about(path, state_directory, cause))
}

/// Return what to do if a file became larger than this process may make it.
pub fn remedy_for_limit(cause: &std::io::Error) -> Option<&'static str> {
    (errors::is_over_the_limit_of_files(cause)).then_some(
        "This process may not write files of that size: raise its limit (RLIMIT_FSIZE; \
         \"ulimit -f\")",
    )
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        let message = code.entry().and_then(|entry| entry.message.to_str().ok()).unwrap_or("");
        Self::new(code, message)
    }
}

/// A result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
