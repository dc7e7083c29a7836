//! The operator's definitions, kept from batch to batch: organizations, handshake codes, license
//! files and items.
//!
//! Nearly every batch needs them, and they seldom change. So they are looked up, parsed and
//! compared with the checked files once for each of their versions. A connection keeps them only if
//! it notices every change of their rows, by any program ([`Sql::catalog`]). What is not there is
//! looked up each time, so that invented names take no memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::Sql;
use super::codes::Code;
use super::files::VerifiedFile;

/// The tables whose rows are kept.
pub(in crate::store) const TABLES: [&str; 5] =
    ["organization", "handshake_code", "handshake_item", "license_file", "license_item"];

/// The number of rows of a kind that are kept. Beyond it, they are forgotten and looked up again.
const KEPT_MAX: usize = 4_096;

/// The kept values of a kind, by name.
pub(in crate::store) type Known<T> = HashMap<String, T>;

/// The values that a connection keeps.
#[derive(Default)]
pub(in crate::store) struct Catalog {
    /// The default handshake codes of organizations.
    pub(super) organizations: Known<Option<String>>,
    pub(super) codes: Known<Arc<Code>>,
    /// The files that can be trusted.
    pub(super) files: Known<Arc<VerifiedFile>>,
    /// The file of each item, and whether the item is revoked.
    pub(in crate::store) items: Known<(String, bool)>,
}

/// Return what the connection knows of these names, and the names that are to be looked up.
pub(in crate::store) fn known<'n, T: Clone>(
    sql: &dyn Sql,
    kind: fn(&Catalog) -> &Known<T>,
    names: impl IntoIterator<Item = &'n str>,
) -> (Known<T>, Vec<&'n str>) {
    let Some(catalog) = sql.catalog() else {
        return (Known::new(), names.into_iter().collect());
    };
    let (catalog, mut found, mut others) = (catalog.borrow(), Known::new(), Vec::new());
    for name in names {
        match kind(&catalog).get(name) {
            Some(known) => {
                found.insert(name.to_owned(), known.clone());
            }
            None => others.push(name),
        }
    }
    (found, others)
}

/// Keep what was looked up, if the connection keeps anything.
pub(in crate::store) fn keep<T: Clone>(
    sql: &dyn Sql,
    kind: fn(&mut Catalog) -> &mut Known<T>,
    found: &Known<T>,
) {
    let Some(catalog) = sql.catalog().filter(|_| !found.is_empty()) else { return };
    let mut catalog = catalog.borrow_mut();
    let known = kind(&mut catalog);
    if known.len() + found.len() > KEPT_MAX {
        known.clear();
    }
    known.extend(found.iter().map(|(name, one)| (name.clone(), one.clone())));
}
