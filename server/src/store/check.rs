//! The full check of a store for the command line, even while the server writes.

use super::sql::{self, Sql};
use super::{AuditReader, Location, postgres, sqlite};
use crate::data_dir::DataDir;
use crate::error::Error;

/// The sums that the rules read, each with the sum of the rows that it stands for.
const SUMS: [(&str, &str); 2] = [
    (
        "the seats that are held",
        "SELECT item_id FROM item_held WHERE seats <> (SELECT coalesce(sum(seats), 0)
           FROM seat_holder WHERE seat_holder.item_id = item_held.item_id)",
    ),
    (
        "the seats of the holders that have no sum",
        "SELECT DISTINCT item_id FROM seat_holder WHERE NOT EXISTS
           (SELECT 1 FROM item_held WHERE item_held.item_id = seat_holder.item_id)",
    ),
];

/// The findings of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// A sentence for each fault.
    pub faults: Vec<String>,
    /// The ids of the server keys that license files name.
    pub keys_named: Vec<String>,
}

/// Return the faults of a data directory and its store: everything that [`check`] finds, and the
/// server keys that are missing.
///
/// # Errors
/// Fails as [`check`] does, or when the keys cannot be read.
pub fn faults(location: &Location, dir: &DataDir) -> Result<Vec<String>, Error> {
    let Checked { mut faults, keys_named } = check(location)?;
    let keys = dir.keyring()?;
    for key_id in keys_named.iter().filter(|id| keys.with_id(id).is_none()) {
        faults.push(format!(
            "license files name the server key {key_id}, which is not in {}: copy its key file \
             there from a backup, or from another server of this database",
            dir.path().display()
        ));
    }
    Ok(faults)
}

/// Check everything: pages, references, license files, sums, and the chain of the audit log.
///
/// # Errors
/// Fails when the store cannot be reached or opened, or its tables are of another version.
pub fn check(location: &Location) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let sql: Box<dyn Sql> = match location {
        Location::File(path) => {
            checked.faults = sqlite::integrity(path)?;
            if !checked.faults.is_empty() {
                // Data from damaged pages would prove nothing more.
                return Ok(checked);
            }
            Box::new(sqlite::connect_to_read(path)?)
        }
        Location::Url(url) => postgres::connect_to_read(url)?,
    };
    checked.faults.extend(sql::files::not_ready(&*sql)?);
    checked.keys_named = sql::keys(&*sql)?.of_files;
    for (what, query) in SUMS {
        for mut row in sql.query(query, &[])? {
            let item_id: String = row.take(0)?;
            checked.faults.push(format!("{what} of item \"{item_id}\" are not those of its rows"));
        }
    }
    if let Err(error) = AuditReader::open(location)?.verify(None) {
        checked.faults.push(error.to_string());
    }
    Ok(checked)
}
