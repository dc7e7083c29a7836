//! Changes by an operator. Each is done completely or refused completely, together with its line in
//! the audit log.

use super::owner;
use crate::access::TokenFacts;
use crate::error::Error;
use crate::operator::commands::{Actor, Change, CodeItems};
use crate::policy::select::access::Validation;
use crate::store::account::{load, save};
use crate::store::sql::access::{self, require_done, unknown};
use crate::store::sql::queries::BACKUP;
use crate::store::sql::table::LAST_DONE;
use crate::store::sql::{Sql, alerts, audit, correction, deliveries, import, time, values};
use crate::utc;

/// The line of a change in the audit log.
struct Line {
    action: &'static str,
    subject: String,
    detail: String,
}

pub(in crate::store) fn change(sql: &dyn Sql, change: &Change, by: &Actor) -> Result<(), Error> {
    let change = match change {
        Change::Within { organization_id, change } => {
            owner::require_within(sql, change, organization_id)?;
            change
        }
        change => change,
    };
    // A revoked token, for example, no longer has an owner.
    let owner = owner::of(sql, change)?;
    let line = carry_out(sql, change, by)?;
    let owner = owner.unwrap_or_default();
    audit::add_of(sql, by, &owner, line.action, &line.subject, &line.detail)
}

fn carry_out(sql: &dyn Sql, change: &Change, by: &Actor) -> Result<Line, Error> {
    let now = by.now;
    let line = |action, subject: &str, detail: String| Line {
        action,
        subject: subject.to_owned(),
        detail,
    };
    Ok(match change {
        Change::Import(file) => {
            let detail = import::import(sql, file)?;
            line("import license file", &file.file.file_id, detail)
        }
        Change::Correct(correct) => {
            let detail = correction::apply(sql, correct, now)?;
            line("correct item", &correct.correction.item_id, detail)
        }
        Change::MakeCode { handshake_code, organization_id } => {
            make_code(sql, handshake_code, organization_id, now)?;
            line("make handshake code", handshake_code, format!("organization {organization_id}"))
        }
        Change::SetDefaultCode { organization_id, handshake_code } => {
            require_owner(sql, handshake_code, organization_id)?;
            sql.execute(
                "UPDATE organization SET default_handshake_code = ?2 WHERE organization_id = ?1",
                values![organization_id, handshake_code],
            )?;
            line("set default handshake code", organization_id, handshake_code.clone())
        }
        Change::DeleteCode { handshake_code } => {
            delete_code(sql, handshake_code)?;
            line("delete handshake code", handshake_code, String::new())
        }
        Change::DeleteOrganization { organization_id } => {
            let detail = delete_organization(sql, organization_id)?;
            line("delete organization", organization_id, detail)
        }
        Change::DeleteDevice { device_uuid } => {
            let detail = delete_device(sql, device_uuid, now)?;
            line("delete device", device_uuid, detail)
        }
        Change::RearmAlert { alert_id } => {
            alerts::rearm(sql, alert_id)?;
            line("re-arm alert", alert_id, String::new())
        }
        Change::MuteAlert { alert_id, until } => {
            alerts::mute(sql, alert_id, *until)?;
            let detail = match until {
                0 => "told again".to_owned(),
                until => format!("until {}", utc::text(*until)),
            };
            line("mute alert", alert_id, detail)
        }
        Change::TestAlerts => {
            alerts::test(sql, &by.name, now)?;
            line("test alerts", "test", String::new())
        }
        Change::SetThresholds { item_id, percents } => {
            let (item_id, percents) = (item_id.as_deref(), crate::alert::written(percents));
            alerts::set_thresholds(sql, item_id, &percents)?;
            line("set alert thresholds", item_id.unwrap_or("all items"), percents)
        }
        Change::DisableWebhook { id } => {
            LAST_DONE.put(sql, values![&deliveries::off(id), now])?;
            line("disable webhook", id, "its receiver has answered 410".to_owned())
        }
        Change::EnableWebhook => {
            deliveries::enable(sql)?;
            line("enable webhook", "all", String::new())
        }
        Change::ReplayEvent { event_id } => {
            deliveries::replay(sql, event_id, now)?;
            line("replay alert event", event_id, String::new())
        }
        Change::NoteBackup { file } => {
            LAST_DONE.put(sql, values![BACKUP, now])?;
            line("make backup", file, String::new())
        }
        Change::SetItems { handshake_code, items } => {
            set_items(sql, handshake_code, items)?;
            line("set items of handshake code", handshake_code, items.item_ids.join(", "))
        }
        Change::SetAccess { handshake_code, password_hash, validation } => {
            set_access(sql, handshake_code, password_hash.as_deref(), validation)?;
            let password = if password_hash.is_some() { "with" } else { "without" };
            line(
                "set access of handshake code",
                handshake_code,
                format!("{password} session password"),
            )
        }
        Change::ReleaseDevice { item_id, device_uuid } => {
            let ended = release(sql, item_id, device_uuid, now)?;
            line(
                "release device",
                device_uuid,
                format!("item {item_id}, {ended} running licenses ended"),
            )
        }
        Change::RenameDevice { device_uuid, name } => {
            rename(sql, device_uuid, name)?;
            line("rename device", device_uuid, name.clone())
        }
        Change::RevokeItem { item_id } => {
            revoke(sql, item_id, now)?;
            line("revoke item", item_id, String::new())
        }
        Change::UseKey { key_id } => {
            sql.execute(
                "INSERT INTO server_key (only_row, key_id) VALUES (1, ?1)
                 ON CONFLICT (only_row) DO UPDATE SET key_id = excluded.key_id",
                values![key_id],
            )?;
            line("rotate key", key_id, String::new())
        }
        Change::AcceptClock => {
            let detail = time::accept(sql, now)?;
            line("accept clock", &utc::text(now), detail)
        }
        Change::MakeToken(token) => {
            access::make_token(sql, token, now)?;
            line("make token", &token.name, told(token))
        }
        Change::RevokeToken { name } => {
            access::revoke_token(sql, name, now)?;
            line("revoke token", name, String::new())
        }
        Change::MakeUser { name, password_hash, role, organization_id } => {
            let organization_id = organization_id.as_deref();
            access::make_user(sql, (name, password_hash), *role, organization_id, now)?;
            let bound = organization_id.map(|id| format!(", organization {id}"));
            line("make user", name, format!("role {role}{}", bound.unwrap_or_default()))
        }
        Change::SetPassword { name, password_hash } => {
            access::set_password(sql, name, password_hash, now)?;
            line("set password of user", name, String::new())
        }
        Change::SetRole { name, role } => {
            access::set_role(sql, name, *role)?;
            line("set role of user", name, format!("role {role}"))
        }
        Change::RemoveUser { name } => {
            access::remove_user(sql, name)?;
            line("remove user", name, String::new())
        }
        Change::Within { .. } => {
            return Err(Error::Internal("a change is bound twice".to_owned()));
        }
    })
}

/// Return what a token may do, for the audit log.
fn told(token: &TokenFacts) -> String {
    let mut told = format!("role {}", token.role);
    if let Some(organization_id) = &token.organization_id {
        told.push_str(&format!(", organization {organization_id}"));
    }
    if let Some(end) = token.expires_at {
        told.push_str(&format!(", until {}", utc::text(end)));
    }
    told
}

/// Return the owner of a code.
fn owner_of_code(sql: &dyn Sql, handshake_code: &str) -> Result<String, Error> {
    owner::of_code(sql, handshake_code)?.ok_or_else(|| unknown("handshake code", handshake_code))
}

fn require_owner(sql: &dyn Sql, handshake_code: &str, organization_id: &str) -> Result<(), Error> {
    let owner = owner_of_code(sql, handshake_code)?;
    if owner == organization_id {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "handshake code \"{handshake_code}\" belongs to organization \"{owner}\", not to \
         \"{organization_id}\""
    )))
}

pub(in crate::store::sql) fn make_code(
    sql: &dyn Sql,
    handshake_code: &str,
    organization_id: &str,
    now: u64,
) -> Result<(), Error> {
    let there = |query: &str, id: &str| sql.exists(query, values![id]);
    if there("SELECT 1 FROM handshake_code WHERE handshake_code = ?1", handshake_code)? {
        return Err(Error::conflict(format!(
            "there is a handshake code \"{handshake_code}\" already. Choose another one"
        )));
    }
    access::require_organization(sql, organization_id)?;
    sql.execute(
        "INSERT INTO handshake_code (handshake_code, organization_id, made_at) VALUES (?1, ?2, ?3)",
        values![handshake_code, organization_id, now],
    )?;
    Ok(())
}

pub(in crate::store::sql) fn set_items(
    sql: &dyn Sql,
    handshake_code: &str,
    items: &CodeItems,
) -> Result<(), Error> {
    let organization_id = owner_of_code(sql, handshake_code)?;
    sql.execute("DELETE FROM handshake_item WHERE handshake_code = ?1", values![handshake_code])?;
    for (position, item_id) in (1_i64..).zip(&items.item_ids) {
        if items.item_ids[..position as usize - 1].contains(item_id) {
            return Err(Error::bad_request(format!("item \"{item_id}\" is named twice")));
        }
        match owner::of_item(sql, item_id)? {
            None => return Err(unknown("item", item_id)),
            Some(owner) if owner != organization_id => {
                return Err(Error::conflict(format!(
                    "item \"{item_id}\" belongs to organization \"{owner}\", handshake code \
                     \"{handshake_code}\" to \"{organization_id}\""
                )));
            }
            Some(_) => {}
        }
        sql.execute(
            "INSERT INTO handshake_item (handshake_code, position, item_id) VALUES (?1, ?2, ?3)",
            values![handshake_code, position, item_id],
        )?;
    }
    sql.execute(
        "UPDATE handshake_code SET own_order = ?2 WHERE handshake_code = ?1",
        values![handshake_code, items.own_order],
    )?;
    Ok(())
}

fn set_access(
    sql: &dyn Sql,
    handshake_code: &str,
    password_hash: Option<&str>,
    validation: &Validation,
) -> Result<(), Error> {
    let validation = serde_json::to_string(validation)
        .map_err(|e| Error::Internal(format!("the validation fields have no JSON form: {e}")))?;
    let rows = sql.execute(
        "UPDATE handshake_code SET password_hash = ?2, validation = ?3 WHERE handshake_code = ?1",
        values![handshake_code, password_hash, &validation],
    )?;
    require_done(rows, "handshake code", handshake_code)
}

/// Delete a code. Usage and licenses under it keep its name.
fn delete_code(sql: &dyn Sql, handshake_code: &str) -> Result<(), Error> {
    let owner = owner_of_code(sql, handshake_code)?;
    let known = import::organization(sql, &owner)?;
    let default = known.and_then(|organization| organization.default_handshake_code);
    if default.as_deref() == Some(handshake_code) {
        return Err(Error::conflict(format!(
            "handshake code \"{handshake_code}\" is the default code of organization \"{owner}\": \
             set another one first with \"seatmeterd organization default-code\""
        )));
    }
    remove_code(sql, handshake_code)
}

fn remove_code(sql: &dyn Sql, handshake_code: &str) -> Result<(), Error> {
    sql.execute("DELETE FROM handshake_item WHERE handshake_code = ?1", values![handshake_code])?;
    sql.execute("DELETE FROM handshake_code WHERE handshake_code = ?1", values![handshake_code])?;
    Ok(())
}

/// Delete an organization that has no license files. Return the detail for the audit log.
fn delete_organization(sql: &dyn Sql, organization_id: &str) -> Result<String, Error> {
    access::require_organization(sql, organization_id)?;
    let files = "SELECT 1 FROM license_file WHERE organization_id = ?1 LIMIT 1";
    if sql.exists(files, values![organization_id])? {
        return Err(Error::conflict(format!(
            "organization \"{organization_id}\" has license items, and what was used of them is \
             billed by them: only an organization without items can be deleted"
        )));
    }
    let codes = sql.query(
        "SELECT handshake_code FROM handshake_code WHERE organization_id = ?1",
        values![organization_id],
    )?;
    let count = codes.len();
    for mut row in codes {
        remove_code(sql, &row.take::<String>(0)?)?;
    }
    sql.execute("DELETE FROM organization WHERE organization_id = ?1", values![organization_id])?;
    Ok(format!("with {count} handshake codes"))
}

/// Take a device out of the lists, and end what it was granted. Its key stays, so that nobody else
/// takes its UUID, and so do its licenses and usage, which late reports name.
fn delete_device(sql: &dyn Sql, device_uuid: &str, now: u64) -> Result<String, Error> {
    let rows = sql.query(
        "SELECT item_id FROM device WHERE device_uuid = ?1 ORDER BY item_id",
        values![device_uuid],
    )?;
    if rows.is_empty() {
        return Err(unknown("device", device_uuid));
    }
    let count = rows.len();
    for mut row in rows {
        let item_id: String = row.take(0)?;
        // Items that are not ready grant nothing, and have nothing to release.
        match release(sql, &item_id, device_uuid, now) {
            Ok(_) | Err(Error::BadRequest { .. }) => {}
            Err(error) => return Err(error),
        }
        sql.execute(
            "DELETE FROM device WHERE item_id = ?1 AND device_uuid = ?2",
            values![&item_id, device_uuid],
        )?;
    }
    sql.execute("DELETE FROM device_name WHERE device_uuid = ?1", values![device_uuid])?;
    Ok(format!("from {count} items"))
}

/// End the device's running licenses on the server, and free what the device holds. The license on
/// the device still works until it has to renew.
fn release(sql: &dyn Sql, item_id: &str, device_uuid: &str, now: u64) -> Result<usize, Error> {
    sql.lock_items(&[item_id])?;
    let mut accounts = load::whole_device(sql, item_id, device_uuid, now)?;
    let account = accounts.get_mut(item_id);
    let Some(ended) = account.and_then(|account| account.release(device_uuid, now)) else {
        return Err(owner::nothing_from(item_id, device_uuid));
    };
    save::save(sql, &mut accounts)?;
    Ok(ended)
}

fn rename(sql: &dyn Sql, device_uuid: &str, name: &str) -> Result<(), Error> {
    let known = sql.exists("SELECT 1 FROM device WHERE device_uuid = ?1", values![device_uuid])?;
    require_done(usize::from(known), "device", device_uuid)?;
    sql.execute(
        "INSERT INTO device_name (device_uuid, name) VALUES (?1, ?2)
         ON CONFLICT (device_uuid) DO UPDATE SET name = excluded.name",
        values![device_uuid, name],
    )?;
    Ok(())
}

fn revoke(sql: &dyn Sql, item_id: &str, now: u64) -> Result<(), Error> {
    let revoked: Option<Option<i64>> =
        sql.value("SELECT revoked_at FROM license_item WHERE item_id = ?1", values![item_id])?;
    match revoked {
        None => Err(unknown("item", item_id)),
        Some(Some(_)) => Err(Error::conflict(format!("item \"{item_id}\" is revoked already"))),
        Some(None) => {
            sql.execute(
                "UPDATE license_item SET revoked_at = ?2 WHERE item_id = ?1",
                values![item_id, now],
            )?;
            Ok(())
        }
    }
}
