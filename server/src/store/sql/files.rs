//! License files, as the vendor signed them: the only source of what an item permits.
//!
//! An operator can edit every row of the database. A file counts only if its signature fits, by the
//! root key that the organization trusts since its first file. The items of any other file are not
//! ready: nothing is granted from them, and nothing is booked to them, until the file is imported
//! again. Everything else continues.
//!
//! Checking a signature costs as much as many reports. Files that were checked are kept in memory.
//! A row of the database is compared with the checked text byte by byte, so an edit of a row is
//! noticed by the next batch. Where the engine tells that nothing was edited, the row is not even
//! read ([`super::catalog`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::{PublicKey, Signed, digest_hex};

use super::catalog::{self, Known};
use super::table::{FILE, ITEM};
use super::{Row, Sql, Value, values};
use crate::error::Error;

/// The number of checked files that are kept in memory, and of broken ones that the log has named.
/// Beyond it, they are forgotten and checked again.
const KEPT_MAX: usize = 4_096;

/// A license file with a checked signature.
#[derive(Debug)]
pub(in crate::store) struct VerifiedFile {
    /// The file as the vendor signed it.
    pub(in crate::store) envelope: Arc<Signed>,
    /// The key that has signed it, which the organization trusts.
    pub(in crate::store) root_key: PublicKey,
    /// The content.
    pub(in crate::store) file: LicenseFile,
    /// The items of the file by their ids, for the accounts that share them.
    items: HashMap<String, Arc<LicenseItem>>,
}

/// The files by their ids; of a file that cannot be trusted, the reason as a clause for a sentence.
pub(in crate::store) type Files = HashMap<String, Result<Arc<VerifiedFile>, String>>;

/// The checked files by their signatures, of all stores of this process.
static CHECKED: LazyLock<Mutex<HashMap<String, Arc<VerifiedFile>>>> = LazyLock::new(Mutex::default);

/// Digests of the broken files that the log has named.
static NAMED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// A row of the table of license files.
struct Stored {
    file_id: String,
    organization_id: String,
    root_key: String,
    envelope: Signed,
}

impl VerifiedFile {
    /// Return the item with this id.
    pub(in crate::store) fn item(&self, item_id: &str) -> Option<&Arc<LicenseItem>> {
        self.items.get(item_id)
    }

    /// Make a file without items, for a test in which no file matters.
    #[cfg(test)]
    pub(in crate::store) fn of_nobody() -> Arc<Self> {
        let root_key = PublicKey::from_bytes([0; 32]);
        let file = LicenseFile {
            version: 1,
            file_id: String::new(),
            organization_id: String::new(),
            organization_name: String::new(),
            server_key: root_key.clone(),
            issued_at: 0,
            items: Vec::new(),
            unknown_items: Vec::new(),
        };
        let [payload, key_id, signature] = [(); 3].map(|()| String::new());
        let envelope = Arc::new(Signed { payload, key_id, signature });
        Arc::new(Self { envelope, root_key, file, items: HashMap::new() })
    }

    fn is_of(&self, stored: &Stored) -> bool {
        *self.envelope == stored.envelope
            && self.file.file_id == stored.file_id
            && self.file.organization_id == stored.organization_id
            && self.root_key.to_string() == stored.root_key
    }
}

/// Look up these files.
pub(in crate::store) fn find(sql: &dyn Sql, file_ids: &BTreeSet<&str>) -> Result<Files, Error> {
    let (known, others) = catalog::known(sql, |all| &all.files, file_ids.iter().copied());
    let mut files: Files = known.into_iter().map(|(id, file)| (id, Ok(file))).collect();
    let keys: Vec<Value<'_>> = others.into_iter().map(Value::Text).collect();
    let mut found = Known::new();
    for mut row in FILE.find(sql, &keys)? {
        let stored = Stored::read(&mut row)?;
        let checked = check(sql, &stored)?;
        if let Ok(file) = &checked {
            found.insert(stored.file_id.clone(), file.clone());
        }
        files.insert(stored.file_id, checked);
    }
    catalog::keep(sql, |all| &mut all.files, &found);
    Ok(files)
}

/// Return a sentence for each license file that cannot be trusted.
pub(in crate::store) fn not_ready(sql: &dyn Sql) -> Result<Vec<String>, Error> {
    let rows = sql.query("SELECT file_id FROM license_file ORDER BY file_id", &[])?;
    let mut broken = Vec::new();
    for mut row in rows {
        let file_id: String = row.take(0)?;
        // One after another, because all files together may need much memory.
        let found = find(sql, &BTreeSet::from([file_id.as_str()]))?;
        broken.extend(found.into_values().filter_map(Result::err));
    }
    Ok(broken)
}

/// Return why these items are not ready, by their ids; items that are ready are left out.
pub(in crate::store) fn items_not_ready(
    sql: &dyn Sql,
    item_ids: &BTreeSet<&str>,
) -> Result<HashMap<String, String>, Error> {
    let keys: Vec<Value<'_>> = item_ids.iter().copied().map(Value::Text).collect();
    let rows = ITEM.find(sql, &keys)?.into_iter();
    let items: Vec<(String, String)> =
        rows.map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect::<Result<_, Error>>()?;
    let files = find(sql, &items.iter().map(|(_, file_id)| file_id.as_str()).collect())?;
    let why = |(item_id, file_id): &(String, String)| match files.get(file_id) {
        Some(Ok(file)) if file.item(item_id).is_some() => None,
        Some(Ok(_)) => {
            Some(format!("license file \"{file_id}\" as the vendor signed it has no such item"))
        }
        Some(Err(why)) => Some(why.clone()),
        None => Some(format!("its license file \"{file_id}\" has gone from the database")),
    };
    Ok(items.iter().filter_map(|item| Some((item.0.clone(), why(item)?))).collect())
}

/// Return the error for an item that is not ready.
pub(in crate::store) fn item_is_not_ready(item_id: &str, why: &str) -> Error {
    Error::NotReady(format!(
        "item \"{item_id}\" is not ready: {why}. The operator of this server imports the file \
         again as the vendor signed it"
    ))
}

/// Return the file of a row, if its signature fits.
fn check(sql: &dyn Sql, stored: &Stored) -> Result<Result<Arc<VerifiedFile>, String>, Error> {
    let known = CHECKED.lock().get(&stored.envelope.signature).cloned();
    if let Some(known) = known.filter(|known| known.is_of(stored)) {
        return Ok(Ok(known));
    }
    let trusted: Option<String> = sql.value(
        "SELECT root_key FROM organization WHERE organization_id = ?1",
        values![&stored.organization_id],
    )?;
    Ok(match verify(stored, trusted.as_deref()) {
        Ok(file) => {
            let file = Arc::new(file);
            let mut checked = CHECKED.lock();
            if checked.len() >= KEPT_MAX {
                checked.clear();
            }
            checked.insert(stored.envelope.signature.clone(), file.clone());
            Ok(file)
        }
        Err(why) => {
            let why = format!("license file \"{}\" cannot be trusted: {why}", stored.file_id);
            name_once(stored, &why);
            Err(why)
        }
    })
}

fn verify(stored: &Stored, trusted: Option<&str>) -> Result<VerifiedFile, String> {
    let root_key: PublicKey =
        stored.root_key.parse().map_err(|e| format!("the root key beside it: {e}"))?;
    if trusted != Some(stored.root_key.as_str()) {
        return Err(format!(
            "root key {} stands beside it, which is not the one that organization \"{}\" has had \
             since its first file",
            root_key.id(),
            stored.organization_id
        ));
    }
    let file: LicenseFile = stored.envelope.open(&root_key).map_err(|e| e.to_string())?;
    if file.file_id != stored.file_id || file.organization_id != stored.organization_id {
        return Err(format!(
            "it is file \"{}\" of organization \"{}\", in the place of another",
            file.file_id, file.organization_id
        ));
    }
    let items = file.items.iter().map(|item| (item.item_id.clone(), Arc::new(item.clone())));
    let items = items.collect();
    Ok(VerifiedFile { envelope: Arc::new(stored.envelope.clone()), root_key, file, items })
}

/// Write into the log that a file cannot be trusted, unless the log has it already.
fn name_once(stored: &Stored, why: &str) {
    let Signed { payload, key_id, signature } = &stored.envelope;
    let text = format!("{}\n{payload}\n{key_id}\n{signature}\n{why}", stored.file_id);
    let mut named = NAMED.lock();
    if named.len() >= KEPT_MAX {
        named.clear();
    }
    if named.insert(digest_hex(text.as_bytes())) {
        tracing::error!("{why}. Nothing is granted from its items. Import the file again");
    }
}

impl Stored {
    /// Read a row with the columns of [`FILE`].
    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            file_id: row.take(0)?,
            envelope: Signed {
                payload: row.take(1)?,
                key_id: row.take(2)?,
                signature: row.take(3)?,
            },
            root_key: row.take(4)?,
            organization_id: row.take(5)?,
        })
    }
}
