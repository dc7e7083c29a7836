//! A connection to PostgreSQL, as one of the engines behind [`crate::store::sql`].
//!
//! Rows that are wanted together are requested in one statement: their keys are passed as arrays,
//! one for each column.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;

use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use postgres::{Client, Statement};

use crate::error::Error;
use crate::store::sql::{Field, Kind, Row, Sql, Table, Value, join};
use crate::store::statements;

/// A connection, and the known state of the transaction on it. The connection can be replaced.
pub(super) struct PgConnection {
    /// The open connection; `None` while there is none.
    client: RefCell<Option<Client>>,
    /// The prepared statements by their text.
    statements: RefCell<HashMap<String, Statement>>,
    /// The locked items, each with the number of the savepoint after which it was locked.
    locked: RefCell<HashMap<String, u32>>,
    savepoint: Cell<u32>,
    met_another: Cell<bool>,
    is_lost: Cell<bool>,
}

impl PgConnection {
    pub(super) fn new(client: Option<Client>) -> Self {
        Self {
            client: RefCell::new(client),
            statements: RefCell::default(),
            locked: RefCell::default(),
            savepoint: Cell::new(0),
            met_another: Cell::new(false),
            is_lost: Cell::new(false),
        }
    }

    /// Replace the connection.
    pub(super) fn replace(&self, client: Option<Client>) {
        // The statements are dropped first, because closing them needs the old connection.
        self.statements.borrow_mut().clear();
        *self.client.borrow_mut() = client;
        self.is_lost.set(false);
        self.forget();
    }

    /// Run statements without parameters and without wanted rows.
    pub(super) fn batch(&self, statements: &str) -> Result<(), Error> {
        self.with(|client| client.batch_execute(statements))
    }

    /// Forget the state of the transaction.
    pub(super) fn forget(&self) {
        self.locked.borrow_mut().clear();
        self.savepoint.set(0);
        self.met_another.set(false);
    }

    /// Count another savepoint.
    pub(super) fn note_savepoint(&self) {
        self.savepoint.set(self.savepoint.get() + 1);
    }

    /// Forget the locks taken since the savepoint, because rolling back to it releases them.
    pub(super) fn forget_since_savepoint(&self) {
        let savepoint = self.savepoint.get();
        self.locked.borrow_mut().retain(|_, since| *since < savepoint);
    }

    /// Return whether the transaction has conflicted with another one, and would not fail again.
    pub(super) fn met_another(&self) -> bool {
        self.met_another.get()
    }

    /// Return whether the connection can no longer be used.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get() || self.client.borrow().as_ref().is_none_or(Client::is_closed)
    }

    /// Return the items of these handshake codes, organizations and local licenses.
    pub(super) fn items_of(
        &self,
        codes: &[&str],
        organizations: &[&str],
        licenses: &[&str],
    ) -> Result<Vec<String>, Error> {
        let mut items = Vec::new();
        for (ids, statement) in [
            (codes, "SELECT item_id FROM handshake_item WHERE handshake_code = ANY($1)"),
            (
                organizations,
                "SELECT item_id FROM organization
                   JOIN handshake_item ON handshake_code = default_handshake_code
                  WHERE organization_id = ANY($1)",
            ),
            (licenses, "SELECT DISTINCT item_id FROM local_license WHERE license_id = ANY($1)"),
        ] {
            if !ids.is_empty() {
                for mut row in self.run(statement, &[&ids])? {
                    items.push(row.take(0)?);
                }
            }
        }
        Ok(items)
    }

    fn prepared(&self, text: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.borrow().get(text) {
            return Ok(statement.clone());
        }
        let numbered = numbered(text);
        statements::note("PostgreSQL", &numbered);
        let statement = self.with(|client| client.prepare(&numbered))?;
        self.statements.borrow_mut().insert(text.to_owned(), statement.clone());
        Ok(statement)
    }

    fn run(&self, text: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(text)?;
        self.with(|client| client.query(&statement, parameters))?.iter().map(row).collect()
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, Error> {
        work(&mut *self.client()?).map_err(|error| self.failed(&error))
    }

    fn client(&self) -> Result<RefMut<'_, Client>, Error> {
        RefMut::filter_map(self.client.borrow_mut(), Option::as_mut)
            .map_err(|_| Error::Store("PostgreSQL is not connected".to_owned()))
    }

    /// Record what an error means for the transaction and the connection, and convert it.
    fn failed(&self, error: &postgres::Error) -> Error {
        let state = error.code();
        let other = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::UNIQUE_VIOLATION,
        ];
        if state.is_some_and(|state| other.contains(state)) {
            self.met_another.set(true);
        }
        let lost = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        if state.is_none_or(|state| lost.contains(state)) {
            self.is_lost.set(true);
        }
        if state == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE) {
            return Error::bad_request(
                "a text has a character that the database cannot keep, such as NUL",
            );
        }
        Error::Store(match error.as_db_error() {
            Some(error) => format!("PostgreSQL says {} ({})", error.message(), error.code().code()),
            None => format!("PostgreSQL does not answer: {error}"),
        })
    }
}

impl Sql for PgConnection {
    fn execute(&self, statement: &str, parameters: &[Value<'_>]) -> Result<usize, Error> {
        let statement = self.prepared(statement)?;
        let rows = self.with(|client| client.execute(&statement, &references(parameters)))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    fn query(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.run(statement, &references(parameters))
    }

    fn for_each(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let statement = self.prepared(statement)?;
        let mut client = self.client()?;
        let rows = client.query_raw(&statement, references(parameters));
        let mut rows = rows.map_err(|error| self.failed(&error))?;
        while let Some(next) = rows.next().map_err(|error| self.failed(&error))? {
            each(row(&next)?)?;
        }
        Ok(())
    }

    fn find(&self, table: &Table, keys: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let text = format!(
            "SELECT {} FROM {} JOIN {} AS found ON {}",
            table.names("found."),
            wanted(table),
            table.name,
            is_wanted(table)
        );
        let columns = Columns::of(table.key.iter(), keys)?;
        self.run(&text, &columns.parameters())
    }

    fn put(&self, table: &Table, rows: &[Value<'_>]) -> Result<(), Error> {
        let text = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({}) {}",
            table.name,
            table.names(""),
            arrays(table.columns()),
            table.on_conflict()
        );
        let columns = Columns::of(table.columns(), rows)?;
        let statement = self.prepared(&text)?;
        self.with(|client| client.execute(&statement, &columns.parameters())).map(|_| ())
    }

    fn remove(&self, table: &Table, keys: &[Value<'_>]) -> Result<(), Error> {
        let text = format!(
            "DELETE FROM {} AS found USING {} WHERE {}",
            table.name,
            wanted(table),
            is_wanted(table)
        );
        let columns = Columns::of(table.key.iter(), keys)?;
        let statement = self.prepared(&text)?;
        self.with(|client| client.execute(&statement, &columns.parameters())).map(|_| ())
    }

    fn size(&self) -> Result<Option<u64>, Error> {
        let rows = self.run("SELECT pg_database_size(current_database())", &[])?;
        rows.into_iter().next().map(|mut row| row.take(0)).transpose()
    }

    fn lock_items(&self, item_ids: &[&str]) -> Result<(), Error> {
        let mut wanted: Vec<&str> = item_ids.to_vec();
        wanted.retain(|item_id| !self.locked.borrow().contains_key(*item_id));
        if wanted.is_empty() {
            return Ok(());
        }
        // Items are locked in order, so that two servers never wait for each other.
        let lock =
            "SELECT item_id FROM license_item WHERE item_id = ANY($1) ORDER BY item_id FOR UPDATE";
        self.run(lock, &[&wanted])?;
        let since = self.savepoint.get();
        self.locked
            .borrow_mut()
            .extend(wanted.into_iter().map(|item_id| (item_id.to_owned(), since)));
        Ok(())
    }

    fn lock_devices(&self, uuids: &[&str]) -> Result<(), Error> {
        // A row that does not exist cannot be locked. Without these locks, two servers could bind
        // a UUID that is new to a key each.
        let reserve = "SELECT pg_advisory_xact_lock(wanted.number)::text FROM \
             (SELECT DISTINCT hashtextextended(uuid, 0) AS number FROM unnest($1::text[]) AS uuid \
             ORDER BY number) AS wanted";
        self.run(reserve, &[&uuids])?;
        let lock = "SELECT device_uuid FROM device_identity WHERE device_uuid = ANY($1) ORDER BY \
             device_uuid FOR UPDATE";
        self.run(lock, &[&uuids]).map(|_| ())
    }
}

/// Return the keys that are looked up, as a table with the name `wanted`.
fn wanted(table: &Table) -> String {
    let names = join(table.key.iter().map(|(name, _)| (*name).to_owned()), ", ");
    format!("unnest({}) AS wanted ({names})", arrays(table.key.iter()))
}

/// Return the condition that a row with the name `found` is one of those.
fn is_wanted(table: &Table) -> String {
    table.is_it(|name| format!("found.{name}"), |_, name| format!("wanted.{name}"))
}

/// Replace `?1` by `$1`, and so on.
fn numbered(statement: &str) -> String {
    statement.replace('?', "$")
}

fn arrays<'a>(columns: impl Iterator<Item = &'a (&'static str, Kind)>) -> String {
    let array = |(number, (_, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Integer | Kind::Sum | Kind::Highest | Kind::FirstInteger => {
            format!("${number}::bigint[]")
        }
        Kind::Text | Kind::FirstText => format!("${number}::text[]"),
        Kind::Bytes => format!("${number}::bytea[]"),
    };
    join((1..).zip(columns).map(array), ", ")
}

/// The columns of rows, each as an array.
struct Columns<'a>(Vec<Column<'a>>);

enum Column<'a> {
    Integers(Vec<i64>),
    Texts(Vec<&'a str>),
    Bytes(Vec<&'a [u8]>),
}

impl<'a> Columns<'a> {
    fn of<'k>(
        kinds: impl Iterator<Item = &'k (&'static str, Kind)>,
        rows: &[Value<'a>],
    ) -> Result<Self, Error> {
        let mut columns: Vec<Column<'_>> = kinds
            .map(|(_, kind)| match kind {
                Kind::Integer | Kind::Sum | Kind::Highest | Kind::FirstInteger => {
                    Column::Integers(Vec::new())
                }
                Kind::Text | Kind::FirstText => Column::Texts(Vec::new()),
                Kind::Bytes => Column::Bytes(Vec::new()),
            })
            .collect();
        for row in rows.chunks_exact(columns.len()) {
            for (column, value) in columns.iter_mut().zip(row) {
                match (column, *value) {
                    (Column::Integers(all), Value::Integer(number)) => all.push(number),
                    (Column::Texts(all), Value::Text(text)) => all.push(text),
                    (Column::Bytes(all), Value::Bytes(bytes)) => all.push(bytes),
                    _ => return Err(Error::Internal("a row does not fit its table".to_owned())),
                }
            }
        }
        Ok(Self(columns))
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(Column::parameter).collect()
    }
}

impl Column<'_> {
    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Integers(all) => all,
            Self::Texts(all) => all,
            Self::Bytes(all) => all,
        }
    }
}

fn references<'a>(parameters: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) if *kind == Type::INT4 => {
                i32::try_from(number)?.to_sql(kind, out)
            }
            Self::Integer(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

fn row(row: &postgres::Row) -> Result<Row, Error> {
    let field = |(place, column): (usize, &postgres::Column)| {
        let field = match *column.type_() {
            Type::INT8 => {
                row.try_get::<_, Option<i64>>(place).map(|number| number.map(Field::Integer))
            }
            Type::INT4 => row
                .try_get::<_, Option<i32>>(place)
                .map(|number| number.map(|n| Field::Integer(n.into()))),
            Type::BYTEA => {
                row.try_get::<_, Option<Vec<u8>>>(place).map(|bytes| bytes.map(Field::Bytes))
            }
            _ => row.try_get::<_, Option<String>>(place).map(|text| text.map(Field::Text)),
        };
        let field = field.map_err(|e| {
            Error::Store(format!("column {} of a row is damaged: {e}", column.name()))
        })?;
        Ok::<_, Error>(field.unwrap_or_default())
    };
    Ok(Row(row.columns().iter().enumerate().map(field).collect::<Result<_, _>>()?))
}
