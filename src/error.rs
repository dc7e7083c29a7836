//! The library's one error type: a number for programs, a sentence for people; and where it is one
//! of the network, how far a request came.

use std::fmt;
use std::path::Path;

use seatmeter_protocol::error_code::ErrorCode;

use crate::files::state_directory_of;
use crate::os::advice_about;
use crate::os::errors;

/// What went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The number that the C function returns.
    pub code: ErrorCode,
    /// The sentence that goes into the caller's message buffer.
    pub message: String,
    /// How far the request came that failed, if one did.
    pub stage: Option<Stage>,
}

/// How far a request came that got no usable answer. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Stage {
    /// The URL, or the client's own set-up.
    Setup = 1,
    /// The server's name has no address.
    Lookup = 2,
    /// No connection.
    Connect = 3,
    /// The proxy between does not let it through.
    Proxy = 4,
    /// No trust in the server's certificate, or no common version.
    Tls = 5,
    /// An answer that is not the license server's.
    Status = 6,
    /// An answer that did not come, or not whole.
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
    /// An error with its own sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), stage: None }
    }

    /// -20200, at this stage.
    pub fn unreachable(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage: Some(stage), ..Self::new(ErrorCode::FAILED_TO_REACH_SERVER, message) }
    }

    /// A state file or directory that cannot be used.
    pub fn state(path: &Path, what: &str, cause: &std::io::Error) -> Self {
        let failed = format!("cannot {what} {}: {cause}", path.display());
        let remedy = remedy(path, state_directory_of(path), cause);
        let message = remedy.map_or_else(|| failed.clone(), |remedy| format!("{failed}. {remedy}"));
        Self::new(ErrorCode::LICENSE_BUFFER_FAILED, message)
    }
}

/// Return what to do about a failure of the system with a file of this state directory, where its
/// own words name no remedy.
pub fn remedy(path: &Path, state_directory: &Path, cause: &std::io::Error) -> Option<String> {
    remedy_for_limit(cause)
        .map(str::to_owned)
        .or_else(|| advice_about(path, state_directory, cause))
}

/// Return what to do where a file became larger than this process may make it.
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for Error {}

/// Shorthand for results with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
