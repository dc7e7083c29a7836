//! SQLite as one of the engines behind [`crate::store::sql`].

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::error::Error;
use crate::store::sql::{Field, Row, Sql, Value};

impl Sql for Connection {
    fn execute(&self, statement: &str, parameters: &[Value<'_>]) -> Result<usize, Error> {
        Ok(self.prepare_cached(statement)?.execute(params_from_iter(parameters))?)
    }

    fn query(&self, statement: &str, parameters: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let mut statement = self.prepare_cached(statement)?;
        let columns = statement.column_count();
        let mut found = statement.query(params_from_iter(parameters))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            rows.push(Row((0..columns)
                .map(|column| field(row.get_ref(column)?))
                .collect::<Result<_, _>>()?));
        }
        Ok(rows)
    }
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
        ValueRef::Real(_) => return Err(Error::Store("a number of the database is not whole".to_owned())),
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
