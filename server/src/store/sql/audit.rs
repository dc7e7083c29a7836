//! The audit log: adding a line to its chain, and reading the chain.

use super::{Row, Sql, values};
use crate::audit_chain::{self, AuditHead};
use crate::error::Error;
use crate::operator::commands::{Actor, AuditRow};

/// Add a line that concerns the whole server; see [`add_of`].
pub(in crate::store) fn add(
    sql: &dyn Sql,
    by: &Actor,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), Error> {
    add_of(sql, by, "", action, subject, detail)
}

/// Add a line to the log. The caller must be in a transaction.
pub(in crate::store) fn add_of(
    sql: &dyn Sql,
    by: &Actor,
    organization_id: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<(), Error> {
    // The update locks the head until the transaction ends. Thus another server reads the head only
    // when this line is durable, and the chain has one order.
    let head = sql.row(
        "UPDATE audit_head SET audit_id = audit_id + 1 WHERE only_row = 1 RETURNING audit_id, hash",
        &[],
    )?;
    let mut head = head.ok_or_else(no_head)?;
    let (audit_id, before): (u64, String) = (head.take(0)?, head.take(1)?);
    let mut line = AuditRow {
        audit_id,
        at: by.now,
        actor: by.name.clone(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        organization_id: organization_id.to_owned(),
        hash: String::new(),
    };
    line.hash = audit_chain::hash(&before, &line);
    sql.execute(
        "INSERT INTO audit (audit_id, at, actor, action, subject, detail, organization_id, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![audit_id, by.now, &by.name, action, subject, detail, organization_id, &line.hash],
    )?;
    sql.execute("UPDATE audit_head SET hash = ?1 WHERE only_row = 1", values![&line.hash])?;
    Ok(())
}

/// Read a line from a row with the columns of the table.
pub(in crate::store) fn line(row: &mut Row) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        audit_id: row.take(0)?,
        at: row.take(1)?,
        actor: row.take(2)?,
        action: row.take(3)?,
        subject: row.take(4)?,
        detail: row.take(5)?,
        organization_id: row.take(6)?,
        hash: row.take(7)?,
    })
}

/// Return the head of the chain.
pub(in crate::store) fn head(sql: &dyn Sql) -> Result<AuditHead, Error> {
    let row = sql.row("SELECT audit_id, hash FROM audit_head WHERE only_row = 1", &[])?;
    let mut row = row.ok_or_else(no_head)?;
    Ok(AuditHead { audit_id: row.take(0)?, hash: row.take(1)? })
}

/// Pass every line to `each`, the first one first. Return the head of the chain at that instant.
pub(in crate::store) fn for_each(
    sql: &dyn Sql,
    each: &mut dyn FnMut(AuditRow) -> Result<(), Error>,
) -> Result<AuditHead, Error> {
    let mut head = None;
    // One statement sees lines and head as of the same instant, while servers add lines.
    let query = "SELECT audit.audit_id, at, actor, action, subject, detail, organization_id, \
        audit.hash, audit_head.audit_id, audit_head.hash
           FROM audit_head LEFT JOIN audit ON 1 = 1 ORDER BY audit.audit_id";
    sql.for_each(query, &[], &mut |mut row| {
        head = Some(AuditHead { audit_id: row.take(8)?, hash: row.take(9)? });
        // Without any line, there is one row that has the head alone.
        let has_line = row.0.first().is_some_and(|field| *field != super::Field::Null);
        if has_line { each(line(&mut row)?) } else { Ok(()) }
    })?;
    head.ok_or_else(no_head)
}

fn no_head() -> Error {
    Error::Store("the head of the audit log has gone".to_owned())
}
