//! The connection of the writer, which keeps the catalog from batch to batch.
//!
//! SQLite tells when another connection has changed anything. What this connection itself does is
//! seen here: the rows of the catalog change by statements of their own, which are rare.

use std::cell::{Cell, RefCell};

use rusqlite::Connection;

use crate::error::Error;
use crate::store::sql::catalog::{self, Catalog};
use crate::store::sql::{Row, Sql, Table, Value};

/// A connection with what it knows.
pub(super) struct Keeping {
    connection: Connection,
    catalog: RefCell<Catalog>,
    /// The number that SQLite changes with each change by another connection.
    version: Cell<Option<i64>>,
}

impl Keeping {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, catalog: RefCell::default(), version: Cell::new(None) }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Forget what is known if another connection has changed anything. A transaction has begun, so
    /// that nothing changes any more.
    pub(super) fn look_for_changes(&self) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        let version = Some(statement.query_row([], |row| row.get(0))?);
        if self.version.replace(version) != version {
            self.forget();
        }
        Ok(())
    }

    /// Forget what is known, because rows may have changed.
    pub(super) fn forget(&self) {
        *self.catalog.borrow_mut() = Catalog::default();
    }

    fn forget_unless_it_reads(&self, statement: &str) {
        if !statement.trim_start().starts_with("SELECT") {
            self.forget();
        }
    }

    fn forget_by(&self, table: &Table) {
        if catalog::TABLES.contains(&table.name) {
            self.forget();
        }
    }
}

impl Sql for Keeping {
    fn catalog(&self) -> Option<&RefCell<Catalog>> {
        Some(&self.catalog)
    }

    fn execute(&self, statement: &str, parameters: &[Value<'_>]) -> Result<usize, Error> {
        self.forget();
        Sql::execute(&self.connection, statement, parameters)
    }

    fn query(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.forget_unless_it_reads(statement);
        Sql::query(&self.connection, statement, parameters)
    }

    fn for_each(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.forget_unless_it_reads(statement);
        self.connection.for_each(statement, parameters, each)
    }

    fn find(&self, table: &Table, keys: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.connection.find(table, keys)
    }

    fn remove(&self, table: &Table, keys: &[Value<'_>]) -> Result<(), Error> {
        self.forget_by(table);
        self.connection.remove(table, keys)
    }

    fn put(&self, table: &Table, rows: &[Value<'_>]) -> Result<(), Error> {
        self.forget_by(table);
        self.connection.put(table, rows)
    }

    fn size(&self) -> Result<Option<u64>, Error> {
        Sql::size(&self.connection)
    }

    fn lock_items(&self, item_ids: &[&str]) -> Result<(), Error> {
        self.connection.lock_items(item_ids)
    }

    fn lock_devices(&self, uuids: &[&str]) -> Result<(), Error> {
        self.connection.lock_devices(uuids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::catalog::Known;
    use crate::store::sql::table::{ITEM, ITEM_HELD};
    use crate::store::sql::values;
    use crate::store::sqlite::migration;

    /// A connection that knows an item, and the database.
    fn knowing() -> (Keeping, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join("db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        migration::migrate(&mut connection).unwrap();
        let keeping = Keeping::new(connection);
        keeping.look_for_changes().unwrap();
        learn(&keeping);
        (keeping, folder)
    }

    fn learn(keeping: &Keeping) {
        let item = ("item".to_owned(), ("file".to_owned(), false));
        catalog::keep(keeping, |all| &mut all.items, &Known::from([item]));
    }

    fn knows(keeping: &Keeping) -> bool {
        catalog::known(keeping, |all| &all.items, ["item"]).1.is_empty()
    }

    #[test]
    fn what_is_known_stays_while_nothing_has_changed() {
        let (keeping, _folder) = knowing();
        keeping.look_for_changes().unwrap();
        keeping.find(&ITEM, values!["other"]).unwrap();
        Sql::query(&keeping, "SELECT * FROM license_item", &[]).unwrap();
        keeping.put(&ITEM_HELD, values!["item", 1_u32]).unwrap();
        keeping.look_for_changes().unwrap();
        assert!(knows(&keeping));
    }

    #[test]
    fn what_another_connection_changes_is_looked_up_again() {
        let (keeping, folder) = knowing();
        let other = Connection::open(folder.path().join("db")).unwrap();
        other.execute_batch("INSERT INTO organization VALUES ('o', 'O', NULL, 'k')").unwrap();
        assert!(knows(&keeping), "a transaction sees one state");
        keeping.look_for_changes().unwrap();
        assert!(!knows(&keeping));
    }

    #[test]
    fn what_the_connection_itself_may_have_changed_is_looked_up_again() {
        let insert = "INSERT INTO organization VALUES ('o', 'O', NULL, 'k')";
        let returning = "DELETE FROM license_item RETURNING item_id";
        type Change<'a> = (&'a str, &'a dyn Fn(&Keeping));
        let changes: [Change<'_>; 4] = [
            ("a statement", &|keeping| assert_eq!(Sql::execute(keeping, insert, &[]), Ok(1))),
            ("one with rows", &|keeping| drop(Sql::query(keeping, returning, &[]).unwrap())),
            ("a row", &|keeping| keeping.remove(&ITEM, values!["item"]).unwrap()),
            ("an undone savepoint", &Keeping::forget),
        ];
        for (what, change) in changes {
            let (keeping, _folder) = knowing();
            change(&keeping);
            assert!(!knows(&keeping), "{what}");
        }
    }
}
