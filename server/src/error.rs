//! The one error type of the server, and the problem details that a client gets for each kind.
//!
//! | kind | who is at fault | HTTP status |
//! | --- | --- | --- |
//! | `Refused` | nobody: the license rules say no | 403; 404 for an unknown handshake code, 400 for another protocol version, 503 with Retry-After for -20100 |
//! | `Unproven`, `NotFresh` | the client, or somebody on the way | 401 |
//! | `BadRequest` | the client | the one it carries: 400, 401, 403, 404, 405, 408, 409, 413, 415 |
//! | `Of` | the client | that of the kind which it names |
//! | `Standby` | nobody: the main server is up | 503 with Retry-After |
//! | `Busy` | the load | 503 with Retry-After |
//! | `TooMany`, `LoginSlowed` | the client: it asks too often | 429 with Retry-After |
//! | `NotReady` | the operator: something is missing on this server | 503 with Retry-After: another server may have it |
//! | `Store` | disk or database | 503 with Retry-After: another server, or a later attempt, may succeed |
//! | `Internal` | this program | 500 |
//! | `Setup`, `Output` | the operator's side of the command line | never sent |

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{Problem, ProblemNumbers};
use seatmeter_protocol::signature::Signed;

use crate::problem::ProblemKind;

/// A request that the license rules do not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the violated rule.
    pub code: ErrorCode,
    /// The text: what was requested, what forbids it, and what to do.
    pub detail: String,
    /// The numbers behind the refusal, where there are any.
    pub numbers: Option<Box<ProblemNumbers>>,
    /// The epoch of the data that decided; empty where the data was not read.
    pub epoch: String,
}

impl Refusal {
    /// Make a refusal without numbers.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), numbers: None, epoch: String::new() }
    }

    /// Make a refusal with the numbers behind it.
    #[must_use]
    pub fn with_numbers(
        code: ErrorCode,
        detail: impl Into<String>,
        numbers: ProblemNumbers,
    ) -> Self {
        Self { numbers: Some(Box::new(numbers)), ..Self::new(code, detail) }
    }
}

/// The errors of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The license rules refuse the request.
    #[error("{} ({})", .0.detail, .0.code)]
    Refused(Refusal),
    /// A request whose proof of who sends it does not belong to it, or is missing. It tells nothing
    /// about the device: who changes the proof on its way must not end an identity.
    #[error("{0}")]
    Unproven(&'static str),
    /// A request that must be sent again with this challenge: as it is, it may be an old one that
    /// arrives late.
    #[error(
        "the request must be sent again with the challenge of this answer: the device shows \
             an earlier license than before, or none, and an old request that arrives late looks \
             the same"
    )]
    NotFresh(Box<Signed>),
    /// The request is not one that this server understands.
    #[error("{detail}")]
    BadRequest {
        /// The HTTP status.
        status: u16,
        /// The description of what is wrong.
        detail: String,
    },
    /// The request cannot be served as it is; the kind says why.
    #[error("{detail}")]
    Of {
        /// The kind of problem.
        kind: ProblemKind,
        /// The description of what is wrong, and what to do.
        detail: String,
    },
    /// The server is a standby, and its main server is up.
    #[error("{0}")]
    Standby(String),
    /// Too many wrong passwords came for a name, or from an address.
    #[error("too many wrong passwords; the next attempt is possible in {retry_after_seconds} s")]
    LoginSlowed {
        /// The number of seconds after which the next attempt is possible.
        retry_after_seconds: u64,
    },
    /// Too many requests are waiting already.
    #[error("too many requests are waiting")]
    Busy,
    /// A client makes more requests than it may.
    #[error("too many requests from {who}")]
    TooMany {
        /// The source address or handshake code in question.
        who: String,
        /// The number of seconds after which the client may try again.
        retry_after_seconds: u64,
    },
    /// This server lacks something that it needs to serve this request; the sentence says what, and
    /// what to do.
    #[error("{0}")]
    NotReady(String),
    /// The database cannot be read or written.
    #[error("the database cannot be used: {0}")]
    Store(String),
    /// A fault of this program.
    #[error("{0}")]
    Internal(String),
    /// The setup of the machine is wrong; the sentence says what to do.
    #[error("{0}")]
    Setup(String),
    /// Standard output cannot be written.
    #[error("standard output cannot be written: {0}")]
    Output(std::io::ErrorKind),
}

/// The seconds after which a client may come back when the queue was full.
const BUSY_SECONDS: u64 = 1;

/// The seconds after which a database may be usable again.
const DATABASE_SECONDS: u64 = 5;

/// The seconds after which a standby may have seen that its main server is down. It looks every two
/// seconds, and gives the main server two seconds to answer.
const STANDBY_SECONDS: u64 = 5;

/// The seconds after which a server may have what it lacks. The care after a restore ends by itself
/// within a slot.
const NOT_READY_SECONDS: u64 = 30;

/// The HTTP status of a request that is not understood, when no other status fits better.
pub const BAD_REQUEST: u16 = 400;

impl Error {
    /// Make the error for a request that is not understood, with status 400.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::BadRequest { status: BAD_REQUEST, detail: detail.into() }
    }

    /// Make the error of this kind.
    #[must_use]
    pub fn of(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self::Of { kind, detail: detail.into() }
    }

    /// Make the error for a named thing that does not exist.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::BadRequest { status: 404, detail: detail.into() }
    }

    /// Make the error for a conflict with existing data.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::BadRequest { status: 409, detail: detail.into() }
    }

    /// Add the epoch of the data that decided, because a client that is refused has to learn it,
    /// too.
    #[must_use]
    pub fn in_epoch(self, epoch: &str) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(Refusal { epoch: epoch.to_owned(), ..refusal }),
            other => other,
        }
    }

    /// Return the seconds after which the client may ask again; `None` if that helps nobody. Every
    /// answer with -20100 has them.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Busy => Some(BUSY_SECONDS),
            Self::TooMany { retry_after_seconds, .. }
            | Self::LoginSlowed { retry_after_seconds } => Some(*retry_after_seconds),
            Self::Store(_) | Self::Setup(_) | Self::Output(_) => Some(DATABASE_SECONDS),
            Self::Standby(_) => Some(STANDBY_SECONDS),
            Self::NotReady(_) => Some(NOT_READY_SECONDS),
            Self::Refused(refusal) if refusal.code == ErrorCode::STANDBY_NOT_READY => {
                Some(NOT_READY_SECONDS)
            }
            _ => None,
        }
    }

    /// Return the problem details for the client.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Refused(refusal) => {
                let status = refusal.code.statuses().first().copied().unwrap_or(403);
                let mut problem = Problem::new(status, refusal.code, refusal.detail.clone());
                if refusal.code == ErrorCode::STANDBY_NOT_READY {
                    // The server is careful for a while, for example after a restore. Devices know
                    // this by the number of a standby, which it is not.
                    problem.kind = ProblemKind::NotReady.uri();
                    problem.title = ProblemKind::NotReady.title().to_owned();
                }
                problem.numbers = refusal.numbers.clone();
                problem.epoch.clone_from(&refusal.epoch);
                problem
            }
            Self::BadRequest { status, detail } => {
                let kind = ProblemKind::of_status(*status);
                let problem = kind.problem(ErrorCode::LICENSE_SYNC_FAILED, detail.clone());
                Problem { status: *status, ..problem }
            }
            Self::Of { kind, detail } => {
                kind.problem(ErrorCode::LICENSE_SYNC_FAILED, detail.clone())
            }
            Self::Unproven(why) => ProblemKind::Unproven.problem(ErrorCode::DEVICE_NOT_MATCH, *why),
            Self::NotFresh(challenge) => {
                let kind = ProblemKind::Challenge;
                let problem = kind.problem(ErrorCode::DEVICE_NOT_MATCH, self.to_string());
                Problem { challenge: Some(challenge.clone()), ..problem }
            }
            Self::Standby(detail) => {
                ProblemKind::Standby.problem(ErrorCode::STANDBY_NOT_READY, detail.clone())
            }
            // A device that gets -20100 asks again, or asks its other server.
            Self::Busy => ProblemKind::Busy.problem(
                ErrorCode::STANDBY_NOT_READY,
                "more requests are waiting than this server can hold; try again in a second",
            ),
            Self::TooMany { who, retry_after_seconds } => ProblemKind::RateLimited.problem(
                ErrorCode::STANDBY_NOT_READY,
                format!("too many requests from {who}; try again in {retry_after_seconds} s"),
            ),
            Self::LoginSlowed { .. } => {
                ProblemKind::LoginSlowed.problem(ErrorCode::STANDBY_NOT_READY, self.to_string())
            }
            Self::NotReady(detail) => {
                ProblemKind::NotReady.problem(ErrorCode::STANDBY_NOT_READY, detail.clone())
            }
            // The exact cause concerns the operator, and is in the log.
            Self::Store(_) | Self::Setup(_) | Self::Output(_) => ProblemKind::Database.problem(
                ErrorCode::STANDBY_NOT_READY,
                "the license server cannot read or write its database now; its log says why",
            ),
            Self::Internal(_) => ProblemKind::Internal.problem(
                ErrorCode::UNKNOWN,
                "the license server has met a fault of its own; its log says more",
            ),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let todo = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                ": make room on its disk (\"df -h\" shows all disks)"
            }
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                ": look with \"seatmeterd check\", and restore a backup"
            }
            _ => "",
        };
        Self::Store(format!("{error}{todo}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seatmeter_protocol::error_code::ERRORS;

    #[test]
    fn an_unknown_handshake_code_is_not_found_and_other_refusals_are_forbidden() {
        let status = |code| Error::from(Refusal::new(code, "")).problem().status;
        assert_eq!(status(ErrorCode::HANDSHAKE_CODE_UNKNOWN), 404);
        assert_eq!(status(ErrorCode::EXPIRED), 403);
        assert_eq!(status(ErrorCode::PROTOCOL_MISMATCH), 400);
    }

    #[test]
    fn every_answer_with_the_number_of_a_standby_says_when_to_ask_again() {
        let limited = Error::TooMany { who: "address ::1".into(), retry_after_seconds: 3 };
        let with_the_number = [
            (Error::Standby("the main server is up".into()), 503),
            (Error::from(Refusal::new(ErrorCode::STANDBY_NOT_READY, "restored just now")), 503),
            (Error::NotReady("a key is missing".into()), 503),
            (Error::Store("disk full".into()), 503),
            (Error::Busy, 503),
            (limited, 429),
        ];
        for (error, status) in with_the_number {
            let problem = error.problem();
            assert_eq!((problem.status, problem.code), (status, ErrorCode::STANDBY_NOT_READY));
            assert!(error.retry_after_seconds().is_some_and(|seconds| seconds > 0), "{error:?}");
        }
        assert_eq!(Error::from(Refusal::new(ErrorCode::EXPIRED, "")).retry_after_seconds(), None);
    }

    #[test]
    fn every_answer_to_a_device_has_a_status_of_the_table_of_errors() {
        let kinds =
            ProblemKind::ALL.iter().filter(|kind| [400, 408, 413, 415].contains(&kind.status()));
        let told = kinds.map(|kind| Error::of(*kind, ""));
        let others = [
            Error::Busy,
            Error::Unproven(""),
            Error::Standby(String::new()),
            Error::TooMany { who: String::new(), retry_after_seconds: 1 },
            Error::Store(String::new()),
            Error::Internal(String::new()),
        ];
        let refused = ERRORS.iter().filter(|entry| !entry.code.statuses().is_empty());
        let refused = refused.map(|entry| Error::from(Refusal::new(entry.code, "")));
        for error in told.chain(others).chain(refused) {
            let problem = error.problem();
            assert!(problem.code.statuses().contains(&problem.status), "{error:?}");
        }
    }

    #[test]
    fn a_missing_proof_is_not_called_another_device() {
        let challenge = Signed { payload: "{}".into(), key_id: "1".into(), signature: "2".into() };
        let not_fresh = Error::NotFresh(Box::new(challenge)).problem();
        assert_eq!((not_fresh.kind.as_str(), not_fresh.status), ("/problems/challenge", 401));
        assert!(not_fresh.challenge.is_some());
        for problem in [not_fresh, Error::Unproven("it is not signed").problem()] {
            assert_eq!(problem.code, ErrorCode::DEVICE_NOT_MATCH);
            assert!(!problem.title.contains("another device"), "{}", problem.title);
        }
    }

    #[test]
    fn what_is_no_standby_and_no_failed_synchronization_is_not_called_so() {
        let limited = Error::TooMany { who: "address ::1".into(), retry_after_seconds: 3 };
        let careful = Error::from(Refusal::new(ErrorCode::STANDBY_NOT_READY, "restored just now"));
        let unready = Error::NotReady("a key is missing".into());
        let store = Error::Store("disk full".into());
        let missing = Error::not_found("there is no item \"a\"");
        for error in [limited, careful, unready, store, missing, Error::Busy] {
            let Problem { kind, title, .. } = error.problem();
            let wrong =
                |text: &str| text.to_lowercase().contains("standby") || text.contains("sync");
            assert!(!wrong(&kind) && !wrong(&title), "{error:?}: {kind} {title}");
        }
        let standby = Error::Standby("the main server is up".into()).problem();
        assert_eq!((standby.kind.as_str(), standby.status), ("/problems/standby", 503));
        let kind = |error: Error| error.problem().kind;
        assert_eq!(kind(Error::not_found("")), "/problems/not-found");
        assert_eq!(kind(Error::conflict("")), "/problems/conflict");
        assert_eq!(kind(Error::bad_request("")), "/problems/invalid-request");
    }

    #[test]
    fn what_failed_inside_is_not_told_to_clients() {
        let problem = Error::Store("disk I/O error on /secret/path".into()).problem();
        assert_eq!(problem.status, 503);
        assert!(!problem.detail.contains("secret"));
    }
}
