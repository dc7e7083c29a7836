//! The check of the audit log: each line is compared with the previous line, and the last line with
//! the head.

use crate::audit_chain::AuditHead;

/// The query whether the audit log is whole. The chain runs through the lines of all organizations,
/// so a caller that is bound to one cannot ask.
#[derive(Clone, Copy, Debug)]
pub struct AuditCheckQuery;

/// The outcome of a check of the whole log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditCheck {
    /// The log is whole up to this line.
    Whole(AuditHead),
    /// The log is broken; the sentence says where.
    Broken(String),
}
