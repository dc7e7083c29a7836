//! The statements that every SQL store runs for a request, and the narrow interface to the engine.
//!
//! Each function here runs within a transaction that its store has begun and will make durable. The
//! statements are plain SQL: numbered parameters, `INSERT … ON CONFLICT`, `RETURNING`; 64-bit
//! integers, texts and bytes, with 0 and 1 for no and yes. Thus all stores decide alike, because
//! they run the same code.

pub(super) mod access;
mod ahead;
pub(super) mod alerts;
pub(super) mod audit;
mod authorization;
mod batch;
mod bill;
mod booked_alerts;
pub(super) mod by_day;
pub(super) mod catalog;
mod codes;
mod correction;
pub(super) mod deliveries;
mod epoch;
pub(super) mod files;
mod held;
mod holders;
mod identity;
mod import;
mod operation;
mod queries;
mod ready;
mod recorded;
pub(super) mod refusals;
mod retention;
mod segments;
mod sequence;
pub(super) mod table;
pub(super) mod time;
mod usage;

use std::cell::RefCell;

use crate::error::Error;
use catalog::Catalog;

pub(super) use batch::{Answer, Request, run};
pub use bill::BillFrame;
pub(super) use bill::frame as bill_frame;
pub(super) use epoch::{Cause, renew as renew_epoch, renew_after_move, serving};
pub(super) use import::organization;
pub use operation::Keys;
pub(super) use operation::{change, keys, look};
pub(super) use ready::ready;
pub(super) use recorded::{for_each as for_each_recorded, segment_totals};
pub(super) use retention::tidy;
pub(super) use sequence::{Acknowledged, Sequence};
pub(super) use table::{Kind, Table, join};

/// A connection within a transaction.
pub(super) trait Sql {
    /// Return what is known of the rows that the operator has defined; `None` on a connection that
    /// cannot tell when they change.
    fn catalog(&self) -> Option<&RefCell<Catalog>> {
        None
    }

    /// Run a statement. Return the number of changed rows.
    fn execute(&self, statement: &str, parameters: &[Value<'_>]) -> Result<usize, Error>;

    /// Run a statement. Return its rows.
    fn query(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<Row>, Error>;

    /// Run a statement, and pass its rows to `each` one after another.
    fn for_each(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Say which rows will be looked up next, so that an engine on another machine can send them
    /// together. A row that was not named is looked up all the same.
    fn expect<'a>(&self, _: &dyn Fn() -> Vec<Wanted<'a>>) -> Result<(), Error> {
        Ok(())
    }

    /// Return the items that are locked, in order. An engine without locks returns none.
    fn locked_items(&self) -> Vec<String> {
        Vec::new()
    }

    /// Begin a transaction that sees the data of one instant, and only reads.
    fn begin_reading(&self) -> Result<(), Error> {
        self.execute("BEGIN", &[]).map(|_| ())
    }

    /// End such a transaction.
    fn end_reading(&self) -> Result<(), Error> {
        self.execute("COMMIT", &[]).map(|_| ())
    }

    /// Wait until everything is written, so that a write that fails does so here.
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Look up rows; see [`Table::find`].
    fn find(&self, table: &Table, keys: &[Value<'_>]) -> Result<Vec<Row>, Error>;

    /// Delete rows; see [`Table::remove`].
    fn remove(&self, table: &Table, keys: &[Value<'_>]) -> Result<(), Error>;

    /// Write rows; see [`Table::put`].
    fn put(&self, table: &Table, rows: &[Value<'_>]) -> Result<(), Error>;

    /// Return the size of the database in bytes; `None` when the engine does not report it.
    fn size(&self) -> Result<Option<u64>, Error>;

    /// Keep other transactions from deciding about these items until this one ends. `item_ids` must
    /// be sorted.
    fn lock_items(&self, item_ids: &[&str]) -> Result<(), Error>;

    /// Keep other transactions from changing who these devices are until this one ends. `uuids`
    /// must be sorted.
    fn lock_devices(&self, uuids: &[&str]) -> Result<(), Error>;
}

/// A lookup that is announced; see [`Sql::expect`].
pub(super) enum Wanted<'a> {
    /// Rows of a table, by their keys; see [`Table::find`].
    Rows(&'static Table, Vec<Value<'a>>),
    /// The rows of a statement.
    Query(&'static str, Vec<Value<'a>>),
}

impl dyn Sql + '_ {
    /// Return the first row, if there is one.
    pub(super) fn row(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(statement, parameters)?.into_iter().next())
    }

    /// Return the first column of the first row, if there is one.
    pub(super) fn value<T: Column>(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
    ) -> Result<Option<T>, Error> {
        self.row(statement, parameters)?.map(|mut row| row.take(0)).transpose()
    }

    /// Return whether there is a row.
    pub(super) fn exists(&self, statement: &str, parameters: &[Value<'_>]) -> Result<bool, Error> {
        Ok(!self.query(statement, parameters)?.is_empty())
    }
}

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// The value in a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The field has no value.
    #[default]
    Null,
    /// The field is a whole number.
    Integer(i64),
    /// The field is a text.
    Text(String),
    /// The field is bytes.
    Bytes(Vec<u8>),
}

/// A row of a result.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) Vec<Field>);

impl Row {
    /// Take the value out of a column.
    pub(super) fn take<T: Column>(&mut self, column: usize) -> Result<T, Error> {
        let field = self.0.get_mut(column).map(std::mem::take).unwrap_or_default();
        T::from_field(field)
            .ok_or_else(|| Error::Store(format!("column {column} of a row is damaged")))
    }
}

/// A type that can be read from a column.
pub(super) trait Column: Sized {
    /// Read the value; `None` when the field has another type.
    fn from_field(field: Field) -> Option<Self>;
}

impl Column for i64 {
    fn from_field(field: Field) -> Option<Self> {
        if let Field::Integer(number) = field { Some(number) } else { None }
    }
}

impl Column for u64 {
    fn from_field(field: Field) -> Option<Self> {
        i64::from_field(field)?.try_into().ok()
    }
}

impl Column for u32 {
    fn from_field(field: Field) -> Option<Self> {
        i64::from_field(field)?.try_into().ok()
    }
}

impl Column for u8 {
    fn from_field(field: Field) -> Option<Self> {
        i64::from_field(field)?.try_into().ok()
    }
}

impl Column for bool {
    fn from_field(field: Field) -> Option<Self> {
        Some(i64::from_field(field)? != 0)
    }
}

impl Column for String {
    fn from_field(field: Field) -> Option<Self> {
        if let Field::Text(text) = field { Some(text) } else { None }
    }
}

impl Column for Vec<u8> {
    fn from_field(field: Field) -> Option<Self> {
        if let Field::Bytes(bytes) = field { Some(bytes) } else { None }
    }
}

impl<T: Column> Column for Option<T> {
    fn from_field(field: Field) -> Option<Self> {
        if let Field::Null = field { Some(None) } else { T::from_field(field).map(Some) }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

/// Instants beyond the year 292 277 026 596 are all stored as the same number.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value<'_> {
    fn from(yes: bool) -> Self {
        Self::Integer(yes.into())
    }
}

/// Make the parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::sql::Value::from($value)),*] };
}
pub(super) use values;
