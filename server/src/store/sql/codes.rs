//! The handshake codes that the requests of a batch mean, with their items.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::catalog::{self, Known as InCatalog};
use super::table::{CODE, CODE_ITEMS, ORGANIZATION};
use super::{Sql, Value, files};
use crate::error::Error;
use crate::policy::Order;
use crate::policy::select::access::Validation;
use crate::policy::select::handshake::{self, Asked, Known};
use crate::store::Authorization;
use crate::store::account::load::Accounts;

/// The data of a handshake code.
pub(super) struct Code {
    pub(super) name: String,
    owner: String,
    pub(super) password_hash: Option<String>,
    pub(super) validation: Validation,
    pub(super) order: Order,
    /// The ids of the items, in the operator's order.
    pub(super) items: Vec<String>,
}

/// The handshake codes of a batch.
pub(super) struct Codes {
    codes: HashMap<String, Arc<Code>>,
    /// The default handshake code of each organization, if it has one.
    organizations: HashMap<String, Option<String>>,
    /// The items that are not ready, and why.
    not_ready: HashMap<String, String>,
}

impl Codes {
    /// Load what these requests name.
    pub(super) fn load(sql: &dyn Sql, requests: &[&Authorization]) -> Result<Self, Error> {
        let names = |of: fn(&Authorization) -> &str| -> BTreeSet<&str> {
            requests.iter().map(|request| of(request)).filter(|name| !name.is_empty()).collect()
        };
        let organizations = organizations(sql, names(|request| &request.organization_id))?;
        let mut named = names(|request| &request.handshake_code);
        named.extend(organizations.values().flatten().map(String::as_str));
        let codes = codes(sql, named)?;
        Ok(Self { codes, organizations, not_ready: HashMap::new() })
    }

    /// Note why items of the codes have no account, if there are such.
    pub(super) fn note_not_ready(
        &mut self,
        sql: &dyn Sql,
        accounts: &Accounts,
    ) -> Result<(), Error> {
        let items = self.codes.values().flat_map(|code| &code.items).map(String::as_str);
        let missing: BTreeSet<&str> = items.filter(|id| !accounts.contains_key(*id)).collect();
        if !missing.is_empty() {
            self.not_ready = files::items_not_ready(sql, &missing)?;
        }
        Ok(())
    }

    /// Return the handshake code that the request means.
    pub(super) fn meant(&self, request: &Authorization) -> Result<&Code, Error> {
        let asked = Asked {
            handshake_code: &request.handshake_code,
            organization_id: &request.organization_id,
        };
        let organization = self.organizations.get(asked.organization_id);
        let known = Known {
            code_owner: self.codes.get(asked.handshake_code).map(|code| code.owner.clone()),
            organization: organization.is_some(),
            default_code: organization.cloned().flatten(),
        };
        let name = handshake::resolve(asked, &known)?;
        let code = self.codes.get(&name).map(Arc::as_ref);
        code.ok_or_else(|| Error::Store(format!("handshake code \"{name}\" has gone")))
    }

    /// Return the items that the request can be granted.
    pub(super) fn items_of(&self, request: &Authorization) -> impl Iterator<Item = &String> {
        self.meant(request).into_iter().flat_map(|code| &code.items)
    }

    /// Refuse when an item of the code is not ready: it might have been granted.
    pub(super) fn require_ready(&self, code: &Code) -> Result<(), Error> {
        let why = |item_id: &String| self.not_ready.get_key_value(item_id);
        match code.items.iter().find_map(why) {
            None => Ok(()),
            Some((item_id, why)) => Err(files::item_is_not_ready(item_id, why)),
        }
    }
}

/// Return the default handshake codes of these organizations, where they have one.
fn organizations(sql: &dyn Sql, named: BTreeSet<&str>) -> Result<InCatalog<Option<String>>, Error> {
    let (mut all, others) = catalog::known(sql, |all| &all.organizations, named);
    let mut found = InCatalog::new();
    for mut row in ORGANIZATION.find(sql, &texts(others))? {
        found.insert(row.take(0)?, row.take::<Option<String>>(1)?);
    }
    catalog::keep(sql, |all| &mut all.organizations, &found);
    all.extend(found);
    Ok(all)
}

/// Return these handshake codes with their items.
fn codes(sql: &dyn Sql, named: BTreeSet<&str>) -> Result<InCatalog<Arc<Code>>, Error> {
    let (mut all, others) = catalog::known(sql, |all| &all.codes, named);
    let keys = texts(others);
    let mut found: HashMap<String, Code> = HashMap::new();
    for mut row in CODE.find(sql, &keys)? {
        let name: String = row.take(0)?;
        let validation = serde_json::from_str(&row.take::<String>(3)?).map_err(|e| {
            Error::Store(format!("the validation fields of code \"{name}\" are damaged: {e}"))
        })?;
        let code = Code {
            name: name.clone(),
            owner: row.take(1)?,
            password_hash: row.take(2)?,
            validation,
            order: if row.take(4)? { Order::AsListed } else { Order::ByRule },
            items: Vec::new(),
        };
        found.insert(name, code);
    }
    let mut listed: Vec<(u32, String, String)> = Vec::new();
    for mut row in CODE_ITEMS.find(sql, &keys)? {
        listed.push((row.take(1)?, row.take(0)?, row.take(2)?));
    }
    listed.sort_unstable();
    for (_, name, item_id) in listed {
        if let Some(code) = found.get_mut(&name) {
            code.items.push(item_id);
        }
    }
    let found = found.into_iter().map(|(name, code)| (name, Arc::new(code))).collect();
    catalog::keep(sql, |all| &mut all.codes, &found);
    all.extend(found);
    Ok(all)
}

fn texts(names: Vec<&str>) -> Vec<Value<'_>> {
    names.into_iter().map(Value::Text).collect()
}
