//! Import of a license file by an operator, with what the operator should know about it: the codes
//! that were made, and quotas below what is used already.

use std::collections::BTreeSet;

use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::message::Metered;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{By, Caller};
use crate::error::Error;
use crate::licensing::{Licensing, require_usable};
use crate::operator::IssuedFile;
use crate::operator::commands::{ItemRow, Listing, View};
use crate::operator::queries::status::{MeterStatus, StatusQuery};

/// The outcome of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Imported {
    /// The value is always true.
    pub done: bool,
    /// The handshake code that was made with the file.
    pub handshake_code: Option<String>,
    /// The code that the organization uses when it names none.
    pub default_handshake_code: Option<String>,
    /// Sentences about what may not be meant.
    pub warnings: Vec<String>,
}

/// The effect that an import would have.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The content of the file, whose signature is good.
    pub file: LicenseFile,
    /// Whether the file is not here yet.
    pub is_new: bool,
    /// The items of the file, and those that only the file before it has.
    pub changes: Vec<ItemChange>,
    /// Sentences about what may not be meant.
    pub warnings: Vec<String>,
}

/// The effect that an import would have on an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemChange {
    /// The item.
    pub item_id: String,
    /// Whether the item is new, changed, unchanged or not in the file any more.
    pub kind: ChangeKind,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
}

/// The kind of a change of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The item is not here yet.
    New,
    /// The item has other terms.
    Changed,
    /// The item is the same.
    Same,
    /// The item is here, and the file does not have it any more.
    Missing,
}

/// A field of an item that differs, as in the license file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The name of the field.
    pub name: String,
    /// The value that is here; empty when there is none.
    pub before: String,
    /// The value in the file; empty when there is none.
    pub after: String,
}

impl Licensing {
    /// Say what an import would do, and change nothing.
    ///
    /// # Errors
    /// Fails when the signature is wrong, or the file is not one for this server.
    pub async fn preview_import(&self, issued: IssuedFile, by: &Caller) -> Result<Preview, Error> {
        let IssuedFile { root_key, license_file } = issued;
        let file: LicenseFile = license_file
            .open(&root_key)
            .map_err(|e| Error::bad_request(format!("the license file cannot be imported: {e}")))?;
        require_usable(&file, &self.keys)?;
        let Listing::Items(rows) = self.look(by.view(View::Items)).await? else {
            return Err(Error::Internal("a list was answered otherwise".to_owned()));
        };
        let here = |item_id: &str| rows.iter().find(|row| row.item_id == item_id);
        let of_file = |row: &&ItemRow| row.file_id == file.file_id;
        let is_new = !rows.iter().any(|row| of_file(&row));
        let mut changes: Vec<ItemChange> =
            file.items.iter().map(|item| item_change(here(&item.item_id), item)).collect();
        let is_missing =
            |row: &&ItemRow| !file.items.iter().any(|item| item.item_id == row.item_id);
        changes.extend(rows.iter().filter(of_file).filter(is_missing).map(|row| ItemChange {
            item_id: row.item_id.clone(),
            kind: ChangeKind::Missing,
            fields: Vec::new(),
        }));
        let mut warnings = Vec::new();
        for item in file.items.iter().filter(|item| here(&item.item_id).is_some()) {
            let query = StatusQuery { item: Some(item.item_id.clone()), ..StatusQuery::default() };
            let status = self.ask(query, None).await?;
            let meters = status.items.iter().flat_map(|item| &item.meters);
            // A budget and the quotas of modules are compared when they are in effect.
            let quota = |meter: &&MeterStatus| {
                matches!(meter.of, Metered::Scans | Metered::Devices) && meter.used > item.quota
            };
            let meter = |meter: &MeterStatus| {
                let meter = MeterStatus { quota: item.quota, ..meter.clone() };
                warning(&item.item_id, &meter)
            };
            warnings.extend(meters.filter(quota).map(meter));
        }
        Ok(Preview { file, is_new, changes, warnings })
    }

    /// Import a license file, and say what came of it. With `make_default`, the handshake code
    /// becomes the default code of the organization, also when there is one.
    ///
    /// # Errors
    /// Fails as [`Licensing::import`] does.
    pub async fn import_issued(
        &self,
        issued: IssuedFile,
        handshake_code: Option<String>,
        make_default: bool,
        by: impl Into<By>,
    ) -> Result<Imported, Error> {
        let IssuedFile { root_key, license_file } = issued;
        let code = handshake_code.clone();
        let file = self.import_file(license_file, root_key, code, make_default, by).await?;
        let organization = self.store.organization(file.organization_id.clone()).await?;
        let default_handshake_code = organization.and_then(|known| known.default_handshake_code);
        let mut warnings = Vec::new();
        if let (Some(made), Some(default)) = (&handshake_code, &default_handshake_code)
            && made != default
        {
            warnings.push(format!(
                "organization \"{}\" keeps the default code {default}: programs that name only the \
                 organization do not get the items of this file. Change it with \
                 \"seatmeterd organization default-code\"",
                file.organization_id
            ));
        }
        for item in &file.items {
            let query = StatusQuery { item: Some(item.item_id.clone()), ..StatusQuery::default() };
            let status = self.ask(query, None).await?;
            let meters = status.items.iter().flat_map(|item| &item.meters);
            let above = meters.filter(|meter| meter.used > meter.quota);
            warnings.extend(above.map(|meter| warning(&item.item_id, meter)));
        }
        Ok(Imported { done: true, handshake_code, default_handshake_code, warnings })
    }
}

fn item_change(here: Option<&ItemRow>, item: &LicenseItem) -> ItemChange {
    let Some(here) = here else {
        let (item_id, kind) = (item.item_id.clone(), ChangeKind::New);
        return ItemChange { item_id, kind, fields: fields(None, Some(item)) };
    };
    let fields = fields(here.item.as_ref(), Some(item));
    let kind = if fields.is_empty() { ChangeKind::Same } else { ChangeKind::Changed };
    ItemChange { item_id: item.item_id.clone(), kind, fields }
}

/// Return the fields that differ, by the form in which a license file has them.
fn fields(before: Option<&LicenseItem>, after: Option<&LicenseItem>) -> Vec<FieldChange> {
    let object = |item: Option<&LicenseItem>| match item.map(serde_json::to_value) {
        Some(Ok(serde_json::Value::Object(fields))) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (object(before), object(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let shown = |name: &str, value: Option<&serde_json::Value>| match value {
        None => String::new(),
        Some(serde_json::Value::Number(at)) if name.ends_with("_at") => {
            at.as_u64().map_or_else(|| at.to_string(), crate::utc::text)
        }
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let field = |name: &String| FieldChange {
        name: name.clone(),
        before: shown(name, before.get(name)),
        after: shown(name, after.get(name)),
    };
    names.into_iter().filter(differs).map(field).collect()
}

fn warning(item_id: &str, meter: &MeterStatus) -> String {
    let MeterStatus { used, quota, grace, .. } = meter;
    let outcome = match meter.of {
        Metered::Excess => "only N run at a time",
        Metered::Devices if *used >= quota + grace => "no new device gets a seat",
        _ if *used >= quota + grace => "requests are refused",
        _ => "the rest comes out of the grace",
    };
    format!(
        "item \"{item_id}\" has {used} {} in use, and a quota of {quota}, with a grace of {grace}: \
         {outcome}",
        meter.noun()
    )
}
