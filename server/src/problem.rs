//! The kinds of problems that are no decision of the license rules, with the `type`, `title` and
//! status that a client gets for each.
//!
//! A refusal by the license rules has the type and title of its error number
//! ([`Problem::new`](seatmeter_protocol::message::Problem::new)). Everything else that a request
//! can meet is here, so that its answer says what happened. A path that does not exist is no failed
//! synchronization, and a rate limit is no standby. The types are stable. `docs/problems.md`
//! documents them, and a test compares it with this table.

use seatmeter_protocol::error_code::{ERRORS, ErrorCode, ErrorEntry};
use seatmeter_protocol::message::Problem;

/// The page that documents the kinds.
const PAGE: &str = include_str!("../../docs/problems.md");

/// Return the error numbers with which a server refuses by the license rules.
pub fn error_kinds() -> impl Iterator<Item = &'static ErrorEntry> {
    ERRORS.iter().filter(|entry| !entry.code.statuses().is_empty())
}

/// Define the kinds, each with the end of its type's URI, its status and its title.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl ProblemKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            const fn facts(self) -> (&'static str, u16, &'static str) {
                match self { $(Self::$kind => ($name, $status, $title),)* }
            }
        }
    };
}

kinds! {
    /// The body is not the JSON, or the form, that the operation takes.
    MalformedBody = "malformed-body", 400, "The body of the request cannot be understood";
    /// A header is missing or has a wrong form.
    MalformedHeader = "malformed-header", 400, "A header of the request is missing or malformed";
    /// The path or query cannot be read.
    MalformedAddress = "malformed-address", 400, "The path or query of the request cannot be understood";
    /// The request is understood, but a value in it is not allowed.
    InvalidRequest = "invalid-request", 400, "The request has a value that is not allowed";
    /// The URL of a request contains a token.
    TokenInUrl = "token-in-url", 400, "A token does not belong in a URL";
    /// The request shows no token and no session, or one that is not good.
    Unauthenticated = "unauthenticated", 401, "A token or a session is required";
    /// A device's request lacks the proof of who sends it, or has one that does not belong to it.
    Unproven = "unproven", 401, "The request does not prove which device sends it";
    /// A device's request may be an old one that arrives late.
    Challenge = "challenge", 401, "The request must be sent again with the challenge of this answer";
    /// Name or password of a login is wrong.
    LoginFailed = "login-failed", 401, "The name or the password is wrong";
    /// The role of the caller is below the one that the operation needs.
    RoleRequired = "role-required", 403, "The operation needs another role";
    /// The operation concerns the whole server, and the token is bound to an organization.
    OtherOrganization = "whole-server", 403, "The operation needs access to all organizations";
    /// A web page that is not the server's own may have sent the request.
    ForeignPage = "foreign-page", 403, "A web page of another site may have sent the request";
    /// The CSRF token of the session is missing or wrong.
    CsrfToken = "csrf-token", 403, "The CSRF token is missing or wrong";
    /// A request without a token does not come from a program on this machine.
    NotThisMachine = "not-this-machine", 403, "A token is required for this request";
    /// Any other refusal that is not a license rule's.
    Forbidden = "forbidden", 403, "The request is not allowed";
    /// There is no such path, or no such thing.
    NotFound = "not-found", 404, "There is no such thing on this server";
    /// The path exists, but not for this method.
    MethodNotAllowed = "method-not-allowed", 405, "The method is not possible at this path";
    /// The body did not arrive in time.
    BodyTimeout = "body-timeout", 408, "The body of the request did not arrive in time";
    /// The change conflicts with what exists.
    Conflict = "conflict", 409, "The change conflicts with what exists";
    /// The body is too long.
    BodyTooLong = "body-too-long", 413, "The body of the request is too long";
    /// The content type is not one that the operation takes.
    ContentType = "content-type", 415, "The content type of the request is not supported";
    /// Too many requests come from an address, or for a handshake code.
    RateLimited = "rate-limited", 429, "Too many requests";
    /// Too many wrong passwords came for a name, or from an address.
    LoginSlowed = "login-slowed", 429, "Too many wrong passwords";
    /// A fault of the server's program.
    Internal = "internal", 500, "The license server has met a fault of its own";
    /// More requests wait than the server can hold.
    Busy = "busy", 503, "The license server has more requests than it can hold";
    /// The server lacks something that the request needs.
    NotReady = "not-ready", 503, "The license server is not ready for this request";
    /// The database cannot be read or written.
    Database = "database", 503, "The license server cannot use its database";
    /// The server is a standby, and its main server is up.
    Standby = "standby", 503, "The license server is a standby, and its main server is up";
}

impl ProblemKind {
    /// Return the URI reference that is the `type` of this kind.
    #[must_use]
    pub fn uri(self) -> String {
        format!("/problems/{}", self.facts().0)
    }

    /// Return the HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.facts().1
    }

    /// Return the title, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.facts().2
    }

    /// Return what to do about it, as the page says.
    #[must_use]
    pub fn todo(self) -> &'static str {
        let begin = format!("| `{}` |", self.uri());
        let row = PAGE.lines().find(|line| line.starts_with(&begin));
        row.and_then(|row| row.trim_end_matches(" |").rsplit(" | ").next()).unwrap_or("")
    }

    /// Return the kind of a request that is refused with this status, where nothing more is known.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::BodyTimeout,
            409 => Self::Conflict,
            413 => Self::BodyTooLong,
            415 => Self::ContentType,
            _ => Self::InvalidRequest,
        }
    }

    /// Return the problem details with this error number, which tells a device what to do.
    #[must_use]
    pub fn problem(self, code: ErrorCode, detail: impl Into<String>) -> Problem {
        let (kind, title, status) = (self.uri(), self.title().to_owned(), self.status());
        Problem { kind, title, ..Problem::new(status, code, detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_documents_each_kind_with_its_status_and_title_and_no_other() {
        let rows: Vec<&str> =
            PAGE.lines().filter(|line| line.starts_with("| `/problems/")).collect();
        let documented = |kind: &ProblemKind| {
            let row = format!("| `{}` | {} | {} |", kind.uri(), kind.status(), kind.title());
            rows.iter().filter(|line| line.starts_with(&row)).count() == 1
        };
        let missing: Vec<_> = ProblemKind::ALL.iter().filter(|kind| !documented(kind)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(rows.len(), ProblemKind::ALL.len());
        assert!(ProblemKind::ALL.iter().all(|kind| kind.todo().len() > 7));
    }

    #[test]
    fn each_type_and_title_stands_once_and_no_type_is_that_of_an_error_number() {
        for (i, kind) in ProblemKind::ALL.iter().enumerate() {
            for other in &ProblemKind::ALL[..i] {
                assert!(kind.uri() != other.uri() && kind.title() != other.title(), "{kind:?}");
            }
            assert!(
                seatmeter_protocol::error_code::ERRORS.iter().all(|entry| Problem::new(
                    400, entry.code, ""
                )
                .kind
                    != kind.uri()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn only_a_standby_is_called_one() {
        let named = ProblemKind::ALL.iter().filter(|kind| kind.title().contains("standby"));
        assert_eq!(named.collect::<Vec<_>>(), [&ProblemKind::Standby]);
    }
}
