//! Reading of what a signed export contains beside the usage of its period.

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::Signed;

use super::table::USED;
use super::{Sql, Value, audit, files, values};
use crate::audit_chain::AuditHead;
use crate::error::Error;
use crate::usage_bill::{ExportedItem, ExportedUse};

/// The parts of an export beside the usage.
pub struct BillFrame {
    /// The current epoch of the data.
    pub epoch: String,
    /// The number of epochs that began after the first one.
    pub epochs_begun: u64,
    /// The last line of the audit log.
    pub audit_head: AuditHead,
    /// The license files, as the vendor signed them, and their contents.
    pub files: Vec<(Signed, LicenseFile)>,
    /// The items of these files.
    pub items: Vec<ExportedItem>,
}

/// Read it for one organization, or for all.
pub(in crate::store) fn frame(
    sql: &dyn Sql,
    organization_id: Option<&str>,
) -> Result<BillFrame, Error> {
    if let Some(id) = organization_id
        && !sql.exists("SELECT 1 FROM organization WHERE organization_id = ?1", values![id])?
    {
        return Err(Error::not_found(format!("there is no organization \"{id}\" on this server")));
    }
    let rows = sql.query(
        "SELECT item_id, file_id, organization_id, revoked_at
           FROM license_item JOIN license_file USING (file_id) ORDER BY item_id",
        &[],
    )?;
    let mut items = Vec::new();
    for mut row in rows {
        let owner: String = row.take(2)?;
        if organization_id.is_none_or(|id| id == owner) {
            let (item_id, file_id) = (row.take(0)?, row.take(1)?);
            items.push(ExportedItem { item_id, file_id, revoked_at: row.take(3)?, used: vec![] });
        }
    }
    add_used(sql, &mut items)?;
    let ids: BTreeSet<&str> = items.iter().map(|item| item.file_id.as_str()).collect();
    let mut files = Vec::with_capacity(ids.len());
    for (_, file) in files::find(sql, &ids)?.into_iter().collect::<BTreeMap<_, _>>() {
        let file = file.map_err(|why| {
            Error::Setup(format!("{why}. Import it again as the vendor signed it, then export."))
        })?;
        files.push(((*file.envelope).clone(), file.file.clone()));
    }
    let row = sql.row("SELECT epoch, number - 1 FROM epoch ORDER BY number DESC LIMIT 1", &[])?;
    let mut row = row.ok_or_else(|| Error::Store("the epoch has gone".to_owned()))?;
    Ok(BillFrame {
        epoch: row.take(0)?,
        epochs_begun: row.take(1)?,
        audit_head: audit::head(sql)?,
        files,
        items,
    })
}

fn add_used(sql: &dyn Sql, items: &mut [ExportedItem]) -> Result<(), Error> {
    let keys: Vec<Value<'_>> = items.iter().map(|item| Value::Text(&item.item_id)).collect();
    let rows = USED.find(sql, &keys)?;
    let mut used: BTreeMap<String, Vec<ExportedUse>> = BTreeMap::new();
    for mut row in rows {
        let kind = UsageKind::from_number(row.take(1)?)
            .ok_or_else(|| Error::Store("a kind of usage is damaged".to_owned()))?;
        let of_item = used.entry(row.take(0)?).or_default();
        of_item.push(ExportedUse { kind, module: row.take(2)?, used: row.take(3)? });
    }
    for item in items {
        item.used = used.remove(&item.item_id).unwrap_or_default();
        item.used.sort_by_key(|of| (of.kind.number(), of.module));
    }
    Ok(())
}
