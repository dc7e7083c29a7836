//! Import of license files: new files and new issues of known files.
//!
//! | there is | the file | outcome |
//! | --- | --- | --- |
//! | no file of this id | – | imported |
//! | one | same root key and organization, issued later, with all items that the old one has, each charged as before | replaces it |
//! | one that was edited in the database | correctly signed | replaces it |
//! | one | anything else | refused |
//!
//! A new issue of a file renews or extends items, or names a new key of this server. The use of an
//! item stays with it: its seats, its sums, and the part of its excess in the license years that it
//! has now. The sums also count for an item that becomes strict. The organization's first file
//! determines which root key the organization trusts.

use std::collections::BTreeSet;
use std::sync::Arc;

use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::digest_hex;

use super::files::VerifiedFile;
use super::operation::{make_code, set_items};
use super::{Sql, files, values};
use crate::error::Error;
use crate::operator::commands::CodeItems;
use crate::operator::commands::Import;
use crate::policy::select::item_choice::name;
use crate::store::Organization;
use crate::store::account::{load, save};

/// Import the file, and return the detail for the audit log.
pub(super) fn import(sql: &dyn Sql, import: &Import) -> Result<String, Error> {
    let file = &import.file;
    require_known_root(sql, import)?;
    let before = old_issue(sql, &file.file_id)?;
    let old = match &before {
        Some(Ok(old)) => Some(&old.file),
        _ => None,
    };
    if let Some(old) = old {
        require_newer(old, file)?;
    }
    sql.execute(
        "INSERT INTO organization (organization_id, name, root_key) VALUES (?1, ?2, ?3)
         ON CONFLICT (organization_id) DO UPDATE SET name = excluded.name",
        values![&file.organization_id, &file.organization_name, &import.root_key.to_string()],
    )?;
    sql.execute(
        "INSERT INTO license_file (file_id, organization_id, root_key, payload, key_id, \
         signature, imported_at,
                                   server_key_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (file_id) DO UPDATE
            SET root_key = excluded.root_key, payload = excluded.payload, key_id = excluded.key_id,
                signature = excluded.signature, imported_at = excluded.imported_at,
                server_key_id = excluded.server_key_id",
        values![
            &file.file_id,
            &file.organization_id,
            &import.root_key.to_string(),
            &import.envelope.payload,
            &import.envelope.key_id,
            &import.envelope.signature,
            import.now,
            &file.server_key.id()
        ],
    )?;
    if let Some(Err(_)) = before {
        sql.execute(
            "UPDATE license_file SET organization_id = ?2 WHERE file_id = ?1",
            values![&file.file_id, &file.organization_id],
        )?;
    }
    file.items.iter().try_for_each(|item| put_item(sql, file, item))?;
    if let Some(old) = old {
        begin_anew(sql, old, file, import.now)?;
    }
    let code = match &import.handshake_code {
        Some(code) => made(sql, import, code)?,
        None => String::new(),
    };
    let how = match before {
        None => "new",
        Some(Ok(_)) => "issued anew",
        Some(Err(_)) => "in the place of one that could not be trusted",
    };
    // The root key and the digest let the vendor find in the audit log which file it was.
    Ok(format!(
        "{how}, organization {}, {} items, issued at {}, root key {}, SHA-256 {}{code}",
        file.organization_id,
        file.items.len(),
        file.issued_at,
        import.root_key.id(),
        digest_hex(import.envelope.payload.as_bytes())
    ))
}

fn require_known_root(sql: &dyn Sql, import: &Import) -> Result<(), Error> {
    let known: Option<String> = sql.value(
        "SELECT root_key FROM organization WHERE organization_id = ?1",
        values![&import.file.organization_id],
    )?;
    match known {
        Some(known) if known != import.root_key.to_string() => Err(Error::conflict(format!(
            "license file \"{}\" is signed by root key {}, but organization \"{}\" has files of \
            another vendor's root key. Ask your vendor which key is right",
            import.file.file_id,
            import.root_key.id(),
            import.file.organization_id
        ))),
        _ => Ok(()),
    }
}

/// Return the stored issue. An issue that cannot be trusted says nothing about the new one.
fn old_issue(
    sql: &dyn Sql,
    file_id: &str,
) -> Result<Option<Result<Arc<VerifiedFile>, String>>, Error> {
    Ok(files::find(sql, &BTreeSet::from([file_id]))?.remove(file_id))
}

fn require_newer(old: &LicenseFile, file: &LicenseFile) -> Result<(), Error> {
    let no = |why: String| Err(Error::conflict(format!("license file \"{}\" {why}", file.file_id)));
    if file.issued_at <= old.issued_at {
        return no(format!(
            "was imported already, as this issue or a later one: the one that is here has \
             issued_at {}, this one {}. \
             If it says something new, ask your vendor to sign it with a later issued_at",
            old.issued_at, file.issued_at
        ));
    }
    if file.organization_id != old.organization_id {
        return no(format!("is here already, for organization \"{}\"", old.organization_id));
    }
    let gone =
        old.items.iter().find(|item| !file.items.iter().any(|new| new.item_id == item.item_id));
    if let Some(item) = gone {
        return no(format!(
            "is here already with item \"{}\", which this issue does not have. Ask your vendor \
             for one with \
             all items",
            item.item_id
        ));
    }
    for item in &file.items {
        if let Some(before) =
            same_item(old, item).filter(|before| before.charge_way != item.charge_way)
        {
            let (from, to) = (name(&before.charge_way), name(&item.charge_way));
            return no(format!(
                "changes the charge way of item \"{}\" from {from} to {to}, and usage counted for \
                one has no meaning for the other. Ask your vendor for an item of another id",
                item.item_id
            ));
        }
    }
    Ok(())
}

fn same_item<'a>(old: &'a LicenseFile, item: &LicenseItem) -> Option<&'a LicenseItem> {
    old.items.iter().find(|before| before.item_id == item.item_id)
}

/// Change the accounts of the items whose license years begin at another instant than before, and
/// of those that have become strict.
fn begin_anew(sql: &dyn Sql, old: &LicenseFile, file: &LicenseFile, now: u64) -> Result<(), Error> {
    let with_before = file.items.iter().filter_map(|item| Some((item, same_item(old, item)?)));
    let has_moved = |(item, before): &(&LicenseItem, &LicenseItem)| {
        item.charge_way.is_concurrent() && before.starts_at != item.starts_at
    };
    let has_become_strict =
        |(item, before): &(&LicenseItem, &LicenseItem)| item.strict && !before.strict;
    let changed: Vec<_> =
        with_before.filter(|both| has_moved(both) || has_become_strict(both)).collect();
    let ids: BTreeSet<&str> = changed.iter().map(|(item, _)| item.item_id.as_str()).collect();
    let mut accounts = load::accounts(sql, ids, &(now..=now))?;
    load::nobody(sql, &mut accounts)?;
    for both in &changed {
        let Some(account) = accounts.get_mut(&both.0.item_id) else { continue };
        if has_moved(both) {
            account.begin_years_anew(&load::slots_above(sql, both.0)?);
        }
        if has_become_strict(both) {
            account.begin_strict(&load::used_by_devices(sql, &both.0.item_id)?);
        }
    }
    save::save(sql, &mut accounts)
}

fn put_item(sql: &dyn Sql, file: &LicenseFile, item: &LicenseItem) -> Result<(), Error> {
    let rows = sql.execute(
        "INSERT INTO license_item (item_id, file_id) VALUES (?1, ?2)
         ON CONFLICT (item_id) DO UPDATE SET revoked_at = license_item.revoked_at
          WHERE license_item.file_id = excluded.file_id",
        values![&item.item_id, &file.file_id],
    )?;
    if rows == 0 {
        return Err(Error::conflict(format!(
            "license file \"{}\" has item \"{}\", which is here already from another file",
            file.file_id, item.item_id
        )));
    }
    Ok(())
}

/// Make a code over all items of the file. It becomes the default code if the operator wants it, or
/// if there is none. Return the clause for the audit log.
fn made(sql: &dyn Sql, import: &Import, code: &str) -> Result<String, Error> {
    let organization_id = &import.file.organization_id;
    make_code(sql, code, organization_id, import.now)?;
    let item_ids = import.file.items.iter().map(|item| item.item_id.clone()).collect();
    set_items(sql, code, &CodeItems { item_ids, own_order: false })?;
    let known = organization(sql, organization_id)?;
    let default = known.and_then(|organization| organization.default_handshake_code);
    if let Some(default) = default.filter(|_| !import.make_default) {
        return Ok(format!(", handshake code {code}, default code {default} as before"));
    }
    sql.execute(
        "UPDATE organization SET default_handshake_code = ?2 WHERE organization_id = ?1",
        values![organization_id, code],
    )?;
    Ok(format!(", handshake code {code}, which is the default code now"))
}

pub(in crate::store) fn organization(
    sql: &dyn Sql,
    id: &str,
) -> Result<Option<Organization>, Error> {
    let row = sql.row(
        "SELECT name, default_handshake_code FROM organization WHERE organization_id = ?1",
        values![id],
    )?;
    row.map(|mut row| Ok(Organization { name: row.take(0)?, default_handshake_code: row.take(1)? }))
        .transpose()
}
