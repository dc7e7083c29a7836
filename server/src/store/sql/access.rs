//! Tokens, users and sessions of the admin API, and which organization a change concerns.

use super::{Row, Sql, values};
use crate::access::{Caller, Known, Role, SessionLimits, TokenFacts, TokenRow, UserRow, Who};
use crate::error::Error;
use crate::store::{NewSession, Shown};

/// The greatest number of sessions that a user has at one time; the oldest one makes room.
const SESSIONS_MAX: usize = 32;

/// Return who has shown this, unless it is unknown, revoked or at its end. The ends of sessions are
/// settings, so the caller compares them.
pub(in crate::store) fn caller(
    sql: &dyn Sql,
    shown: &Shown,
    now: u64,
) -> Result<Option<Known>, Error> {
    match shown {
        Shown::Token(digest) => token_caller(sql, digest, now),
        Shown::Session(digest) => session_caller(sql, digest),
    }
}

fn token_caller(sql: &dyn Sql, digest: &str, now: u64) -> Result<Option<Known>, Error> {
    let row = sql.row(
        "SELECT name, role, organization_id, last_used_at FROM admin_token
          WHERE token_digest = ?1 AND revoked_at IS NULL
            AND (expires_at IS NULL OR expires_at > ?2)",
        values![digest, now],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let caller = Caller {
        who: Who::Token(row.take(0)?),
        role: role(&mut row, 1)?,
        organization_id: organization(&mut row, 2)?,
    };
    let used_at = row.take::<Option<u64>>(3)?.unwrap_or(0);
    Ok(Some(Known { caller, begun_at: 0, used_at }))
}

fn session_caller(sql: &dyn Sql, digest: &str) -> Result<Option<Known>, Error> {
    // The role is that which the user has now.
    let row = sql.row(
        "SELECT admin_session.name, admin_user.role, admin_session.begun_at, admin_session.used_at,
                admin_user.organization_id
           FROM admin_session JOIN admin_user ON admin_user.name = admin_session.name
          WHERE admin_session.session_digest = ?1",
        values![digest],
    )?;
    let Some(mut row) = row else { return Ok(None) };
    let caller = Caller {
        who: Who::User(row.take(0)?),
        role: role(&mut row, 1)?,
        organization_id: organization(&mut row, 4)?,
    };
    Ok(Some(Known { caller, begun_at: row.take(2)?, used_at: row.take(3)? }))
}

fn role(row: &mut Row, column: usize) -> Result<Role, Error> {
    row.take::<String>(column)?.parse()
}

fn organization(row: &mut Row, column: usize) -> Result<Option<String>, Error> {
    Ok(Some(row.take::<String>(column)?).filter(|id| !id.is_empty()))
}

/// Record the use of a token or session.
pub(in crate::store) fn note_use(sql: &dyn Sql, shown: &Shown, now: u64) -> Result<(), Error> {
    // The time of another server may be ahead, and a use may be recorded late.
    let statement = match shown {
        Shown::Token(_) => {
            "UPDATE admin_token SET last_used_at = ?2
              WHERE token_digest = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)"
        }
        Shown::Session(_) => {
            "UPDATE admin_session SET used_at = ?2 WHERE session_digest = ?1 AND used_at < ?2"
        }
    };
    sql.execute(statement, values![shown.digest(), now])?;
    Ok(())
}

/// Return the hash of a user's password.
pub(in crate::store) fn password_hash(sql: &dyn Sql, name: &str) -> Result<Option<String>, Error> {
    sql.value("SELECT password_hash FROM admin_user WHERE name = ?1", values![name])
}

/// Begin a session. Return `false` when the password is no longer the one that was checked.
pub(in crate::store) fn begin_session(
    sql: &dyn Sql,
    session: &NewSession,
    now: u64,
) -> Result<bool, Error> {
    let NewSession { digest, name, password_hash: checked, limits } = session;
    // The update locks the row: a new password ends this session, too, or is seen here.
    let locked = sql.execute(
        "UPDATE admin_user SET password_hash = ?2 WHERE name = ?1 AND password_hash = ?2",
        values![name, checked],
    )?;
    if locked == 0 {
        return Ok(false);
    }
    remove_ended(sql, name, *limits, now)?;
    sql.execute(
        "INSERT INTO admin_session (session_digest, name, begun_at, used_at)
         VALUES (?1, ?2, ?3, ?3)",
        values![digest, name, now],
    )?;
    Ok(true)
}

/// Remove the sessions of a user that have ended, and the oldest ones beyond the bound.
fn remove_ended(sql: &dyn Sql, name: &str, limits: SessionLimits, now: u64) -> Result<(), Error> {
    let rows = sql.query(
        "SELECT session_digest, begun_at, used_at FROM admin_session WHERE name = ?1
          ORDER BY begun_at DESC",
        values![name],
    )?;
    let mut kept = 0;
    for mut row in rows {
        let (digest, begun_at, used_at): (String, u64, u64) =
            (row.take(0)?, row.take(1)?, row.take(2)?);
        if limits.end(begun_at, used_at) > now && kept + 1 < SESSIONS_MAX {
            kept += 1;
        } else {
            end_session(sql, &digest)?;
        }
    }
    Ok(())
}

/// End a session.
pub(in crate::store) fn end_session(sql: &dyn Sql, digest: &str) -> Result<(), Error> {
    sql.execute("DELETE FROM admin_session WHERE session_digest = ?1", values![digest])?;
    Ok(())
}

/// End all sessions, because the data was put back: a session that had ended would come back, too.
pub(super) fn end_all_sessions(sql: &dyn Sql) -> Result<(), Error> {
    sql.execute("DELETE FROM admin_session", &[])?;
    Ok(())
}

pub(super) fn make_token(sql: &dyn Sql, token: &TokenFacts, now: u64) -> Result<(), Error> {
    let TokenFacts { name, digest, role, organization_id, expires_at } = token;
    if sql.exists("SELECT 1 FROM admin_token WHERE name = ?1", values![name])? {
        return Err(Error::conflict(format!(
            "there is, or was, a token \"{name}\". Choose another name"
        )));
    }
    if let Some(organization_id) = organization_id {
        require_organization(sql, organization_id)?;
    }
    sql.execute(
        "INSERT INTO admin_token (name, token_digest, role, organization_id, made_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        &[
            name.into(),
            digest.into(),
            role.name().into(),
            organization_id.as_deref().unwrap_or_default().into(),
            now.into(),
            expires_at.map_or(super::Value::Null, Into::into),
        ],
    )?;
    Ok(())
}

pub(super) fn require_organization(sql: &dyn Sql, organization_id: &str) -> Result<(), Error> {
    let query = "SELECT 1 FROM organization WHERE organization_id = ?1";
    match sql.exists(query, values![organization_id])? {
        true => Ok(()),
        false => Err(unknown("organization", organization_id)),
    }
}

/// Make the error for a thing that is not on this server.
pub(super) fn unknown(what: &str, name: &str) -> Error {
    Error::not_found(format!("there is no {what} \"{name}\" on this server"))
}

/// Return the organization of a token; empty when the token is bound to none.
pub(super) fn organization_of_token(sql: &dyn Sql, name: &str) -> Result<Option<String>, Error> {
    sql.value(
        "SELECT organization_id FROM admin_token WHERE name = ?1 AND revoked_at IS NULL",
        values![name],
    )
}

pub(super) fn revoke_token(sql: &dyn Sql, name: &str, now: u64) -> Result<(), Error> {
    let revoke = "UPDATE admin_token SET revoked_at = ?2 WHERE name = ?1 AND revoked_at IS NULL";
    require_done(sql.execute(revoke, values![name, now])?, "token in use", name)
}

/// Require that a statement has changed a row.
pub(super) fn require_done(rows: usize, what: &str, name: &str) -> Result<(), Error> {
    if rows == 0 { Err(unknown(what, name)) } else { Ok(()) }
}

pub(super) fn make_user(
    sql: &dyn Sql,
    (name, password_hash): (&str, &str),
    role: Role,
    organization_id: Option<&str>,
    now: u64,
) -> Result<(), Error> {
    if sql.exists("SELECT 1 FROM admin_user WHERE name = ?1", values![name])? {
        return Err(Error::conflict(format!(
            "there is a user \"{name}\" already. Choose another name, or set the password"
        )));
    }
    if let Some(organization_id) = organization_id {
        require_organization(sql, organization_id)?;
    }
    sql.execute(
        "INSERT INTO admin_user
            (name, password_hash, role, organization_id, made_at, password_set_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        values![name, password_hash, role.name(), organization_id.unwrap_or_default(), now],
    )?;
    Ok(())
}

pub(super) fn set_password(
    sql: &dyn Sql,
    name: &str,
    password_hash: &str,
    now: u64,
) -> Result<(), Error> {
    let set = "UPDATE admin_user SET password_hash = ?2, password_set_at = ?3 WHERE name = ?1";
    require_done(sql.execute(set, values![name, password_hash, now])?, "user", name)?;
    end_sessions_of(sql, name)
}

pub(super) fn set_role(sql: &dyn Sql, name: &str, role: Role) -> Result<(), Error> {
    let set = "UPDATE admin_user SET role = ?2 WHERE name = ?1";
    require_done(sql.execute(set, values![name, role.name()])?, "user", name)
}

pub(super) fn remove_user(sql: &dyn Sql, name: &str) -> Result<(), Error> {
    let removed = sql.execute("DELETE FROM admin_user WHERE name = ?1", values![name])?;
    require_done(removed, "user", name)?;
    end_sessions_of(sql, name)
}

fn end_sessions_of(sql: &dyn Sql, name: &str) -> Result<(), Error> {
    sql.execute("DELETE FROM admin_session WHERE name = ?1", values![name])?;
    Ok(())
}

/// Read a token from a row of the columns `name, role, organization_id, made_at, expires_at,
/// last_used_at, revoked_at`.
pub(super) fn token_row(row: &mut Row) -> Result<TokenRow, Error> {
    Ok(TokenRow {
        name: row.take(0)?,
        role: role(row, 1)?,
        organization_id: organization(row, 2)?,
        made_at: row.take(3)?,
        expires_at: row.take(4)?,
        last_used_at: row.take(5)?,
        revoked_at: row.take(6)?,
    })
}

/// Read a user from a row of the columns `name, role, organization_id, made_at, password_set_at`.
pub(super) fn user_row(row: &mut Row) -> Result<UserRow, Error> {
    Ok(UserRow {
        name: row.take(0)?,
        role: role(row, 1)?,
        organization_id: organization(row, 2)?,
        made_at: row.take(3)?,
        password_set_at: row.take(4)?,
    })
}
