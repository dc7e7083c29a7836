//! SQLite as one of the engines behind [`crate::store::sql`].

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Statement, params_from_iter};

use crate::error::Error;
use crate::store::sql::{Field, Row, Sql, Table, Value};
use crate::store::statements;

use super::texts::{self, Verb};

impl Sql for Connection {
    fn execute(&self, statement: &str, parameters: &[Value<'_>]) -> Result<usize, Error> {
        Ok(prepare(self, statement)?.execute(params_from_iter(parameters))?)
    }

    fn query(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.for_each(statement, parameters, &mut |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    fn for_each(
        &self,
        statement: &str,
        parameters: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        hand_over(&mut *prepare(self, statement)?, parameters, each)
    }

    fn begin_reading(&self) -> Result<(), Error> {
        // A current snapshot replaces an earlier one.
        if !self.is_autocommit() {
            self.end_reading()?;
        }
        Ok(self.execute_batch("BEGIN")?)
    }

    fn find(&self, table: &Table, keys: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let mut statement = prepare(self, &texts::of(Verb::Find, table))?;
        let mut rows = Vec::with_capacity(keys.len() / table.key.len());
        for key in keys.chunks_exact(table.key.len()) {
            hand_over(&mut statement, key, &mut |row| {
                rows.push(row);
                Ok(())
            })?;
        }
        Ok(rows)
    }

    fn put(&self, table: &Table, rows: &[Value<'_>]) -> Result<(), Error> {
        let mut statement = prepare(self, &texts::of(Verb::Put, table))?;
        for row in rows.chunks_exact(table.columns().count()) {
            statement.execute(params_from_iter(row))?;
        }
        Ok(())
    }

    fn remove(&self, table: &Table, keys: &[Value<'_>]) -> Result<(), Error> {
        let mut statement = prepare(self, &texts::of(Verb::Remove, table))?;
        for key in keys.chunks_exact(table.key.len()) {
            statement.execute(params_from_iter(key))?;
        }
        Ok(())
    }

    fn size(&self) -> Result<Option<u64>, Error> {
        let number = |pragma| self.query_row(pragma, [], |row| row.get::<_, u64>(0));
        Ok(Some(number("PRAGMA page_count")? * number("PRAGMA page_size")?))
    }

    /// Do nothing: there is only one writer.
    fn lock_items(&self, _item_ids: &[&str]) -> Result<(), Error> {
        Ok(())
    }

    /// Do nothing, for the same reason.
    fn lock_devices(&self, _uuids: &[&str]) -> Result<(), Error> {
        Ok(())
    }
}

/// Prepare a statement, or take it from the cache.
fn prepare<'c>(connection: &'c Connection, statement: &str) -> Result<CachedStatement<'c>, Error> {
    statements::note("SQLite", statement);
    Ok(connection.prepare_cached(statement)?)
}

fn hand_over(
    statement: &mut Statement<'_>,
    parameters: &[Value<'_>],
    each: &mut dyn FnMut(Row) -> Result<(), Error>,
) -> Result<(), Error> {
    let columns = statement.column_count();
    let mut found = statement.query(params_from_iter(parameters))?;
    while let Some(row) = found.next()? {
        let mut fields = Vec::with_capacity(columns);
        for column in 0..columns {
            fields.push(field(row.get_ref(column)?)?);
        }
        each(Row(fields))?;
    }
    Ok(())
}

fn field(value: ValueRef<'_>) -> Result<Field, Error> {
    Ok(match value {
        ValueRef::Null => Field::Null,
        ValueRef::Integer(number) => Field::Integer(number),
        ValueRef::Text(text) => match str::from_utf8(text) {
            Ok(text) => Field::Text(text.to_owned()),
            Err(_) => return Err(Error::Store("a text of the database is no UTF-8".to_owned())),
        },
        ValueRef::Blob(bytes) => Field::Bytes(bytes.to_vec()),
        ValueRef::Real(_) => {
            return Err(Error::Store("a number of the database is not whole".to_owned()));
        }
    })
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
