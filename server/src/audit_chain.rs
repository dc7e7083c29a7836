//! The audit log as a chain of hashes, so that a later change to it can be noticed.
//!
//! The hash of a line is the SHA-256 of one text. It begins with `seatmeter/1 audit line` and a
//! line feed. Then come eight fields in this order: the hash of the line before, and the line's
//! number, time, actor, action, subject, detail and organization. Each field is written as its
//! length in bytes in decimal, a colon, its bytes, and a line feed. No two lines have the same
//! text, whatever characters their fields have. The line before the first one has the hash
//! [`NO_HASH`].
//!
//! | what was done to the log | what shows it |
//! | --- | --- |
//! | a line was changed, or another put in its place | its hash is wrong |
//! | a line was removed before the end, or inserted | a number is missing, or a hash is wrong |
//! | the last lines were removed | the head in the same database, unless it was changed, too |
//! | all hashes from a line on were computed anew | a head that somebody keeps elsewhere |

use ring::digest::{Context, SHA256};

use crate::operator::commands::AuditRow;

/// The hash before the first line.
pub const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the chain: number and hash of the last line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuditHead {
    /// The number of the last line; 0 when there is none.
    pub audit_id: u64,
    /// The hash of the last line.
    pub hash: String,
}

/// Return the hash of a line that follows a line with this hash. The line's own hash is not read.
#[must_use]
pub fn hash(before: &str, line: &AuditRow) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"seatmeter/1 audit line\n");
    let (number, at) = (line.audit_id.to_string(), line.at.to_string());
    let AuditRow { actor, action, subject, detail, organization_id, .. } = line;
    for field in [before, &number, &at, actor, action, subject, detail, organization_id] {
        context.update(format!("{}:{field}\n", field.len()).as_bytes());
    }
    hex::encode(context.finish())
}

/// A check of a chain, line by line from the first one.
#[derive(Debug)]
pub struct ChainCheck {
    last: AuditHead,
    /// The line that somebody noted elsewhere, and whether it was found.
    wanted: Option<(String, bool)>,
}

impl ChainCheck {
    /// Begin a check. `wanted` is a hash that some line must have.
    #[must_use]
    pub fn new(wanted: Option<String>) -> Self {
        let is_found = |hash: String| {
            let is_found = hash == NO_HASH;
            (hash, is_found)
        };
        let last = AuditHead { audit_id: 0, hash: NO_HASH.to_owned() };
        Self { last, wanted: wanted.map(is_found) }
    }

    /// Check the next line.
    ///
    /// # Errors
    /// Returns what is wrong with the line, as a sentence.
    pub fn add(&mut self, line: &AuditRow) -> Result<(), String> {
        let expected = self.last.audit_id + 1;
        if line.audit_id != expected {
            return Err(format!(
                "line {expected} is missing: after line {} comes line {}. It was removed",
                self.last.audit_id, line.audit_id
            ));
        }
        let hash = hash(&self.last.hash, line);
        if hash != line.hash {
            return Err(format!(
                "line {} ({} by {}) has hash {}, but its content and the line before it have \
                 {hash}. It was changed, inserted, or put in the place of another line",
                line.audit_id, line.action, line.actor, line.hash
            ));
        }
        if let Some((wanted, is_found)) = &mut self.wanted {
            *is_found |= *wanted == hash;
        }
        self.last = AuditHead { audit_id: line.audit_id, hash };
        Ok(())
    }

    /// Check the end: the head that stands in the database, and the hash that must be there. Return
    /// the last line.
    ///
    /// # Errors
    /// Returns what is wrong with the end, as a sentence.
    pub fn finish(self, head: &AuditHead) -> Result<AuditHead, String> {
        if self.last != *head {
            return Err(format!(
                "line {} is the last one, but the head of the log is line {} with hash {}. The \
                 lines after line {0} were removed, or lines were added without the server",
                self.last.audit_id, head.audit_id, head.hash
            ));
        }
        match self.wanted {
            Some((wanted, false)) => Err(format!(
                "no line has the hash {wanted}, which was the head of this log. Lines were removed \
                 from the end, or the log was written anew",
            )),
            _ => Ok(self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(audit_id: u64, actor: &str, action: &str) -> AuditRow {
        AuditRow {
            audit_id,
            at: 1_800_000_000,
            actor: actor.into(),
            action: action.into(),
            subject: "item".into(),
            detail: String::new(),
            organization_id: String::new(),
            hash: String::new(),
        }
    }

    fn chain(count: u64) -> Vec<AuditRow> {
        let mut before = NO_HASH.to_owned();
        let next = |audit_id| {
            let mut line = line(audit_id, "cli: ann", "revoke item");
            line.hash = hash(&before, &line);
            before.clone_from(&line.hash);
            line
        };
        (1..=count).map(next).collect()
    }

    fn check(lines: &[AuditRow], head: &AuditRow, wanted: Option<&str>) -> Result<(), String> {
        let mut check = ChainCheck::new(wanted.map(str::to_owned));
        lines.iter().try_for_each(|line| check.add(line))?;
        let head = AuditHead { audit_id: head.audit_id, hash: head.hash.clone() };
        check.finish(&head).map(|_| ())
    }

    #[test]
    fn the_hash_is_that_of_the_documented_text() {
        let text = format!(
            "seatmeter/1 audit line\n64:{NO_HASH}\n1:1\n10:1800000000\n3:ä2\n3:a:b\n4:item\n0:\n0:\n"
        );
        let expected = seatmeter_protocol::signature::digest_hex(text.as_bytes());
        assert_eq!(hash(NO_HASH, &line(1, "ä2", "a:b")), expected);
    }

    #[test]
    fn text_that_moves_from_one_field_to_the_next_changes_the_hash() {
        let hashes = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("a\n1:b", "c")]
            .map(|(actor, action)| hash(NO_HASH, &line(1, actor, action)));
        for (i, one) in hashes.iter().enumerate() {
            assert!(!hashes[..i].contains(one));
        }
    }

    #[test]
    fn the_first_broken_line_is_named_whatever_was_done_to_it() {
        let whole = chain(5);
        let head = &whole[4];
        assert_eq!(check(&whole, head, Some(&whole[2].hash)), Ok(()));
        let edited = |edit: &dyn Fn(&mut Vec<AuditRow>)| {
            let mut lines = whole.clone();
            edit(&mut lines);
            check(&lines, head, None).unwrap_err()
        };
        let told = edited(&|lines| lines[2].detail = "another".into());
        assert!(told.starts_with("line 3 (revoke item by cli: ann) has hash"), "{told}");
        let told = edited(&|lines| drop(lines.remove(2)));
        assert!(told.starts_with("line 3 is missing"), "{told}");
        let told = edited(&|lines| {
            lines.remove(2);
            (2..4).for_each(|i| lines[i].audit_id -= 1);
        });
        assert!(told.starts_with("line 3 ("), "{told}");
        let told = edited(&|lines| {
            lines.insert(2, line(3, "cli: eve", "revoke item"));
            (3..6).for_each(|i| lines[i].audit_id += 1);
        });
        assert!(told.starts_with("line 3 (revoke item by cli: eve)"), "{told}");
        let told = edited(&|lines| lines.truncate(3));
        assert!(told.starts_with("line 3 is the last one, but the head of the log is line 5"));
    }

    #[test]
    fn a_log_written_anew_is_told_by_a_head_that_was_noted() {
        let whole = chain(5);
        let mut forged = whole.clone();
        forged[2].subject = "another".into();
        let mut before = forged[1].hash.clone();
        for line in &mut forged[2..] {
            line.hash = hash(&before, line);
            before.clone_from(&line.hash);
        }
        assert_eq!(check(&forged, &forged[4], None), Ok(()), "the chain itself is whole");
        let told = check(&forged, &forged[4], Some(&whole[4].hash)).unwrap_err();
        assert!(told.starts_with("no line has the hash"), "{told}");
        let told = check(&whole[..3], &whole[2], Some(&whole[4].hash)).unwrap_err();
        assert!(told.starts_with("no line has the hash"), "{told}");
        assert_eq!(
            check(
                &[],
                &AuditRow { audit_id: 0, hash: NO_HASH.into(), ..line(0, "", "") },
                Some(NO_HASH)
            ),
            Ok(())
        );
    }
}
