//! Values and columns of values as parameters of PostgreSQL's statements, and rows as fields.

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::link::Parameter;
use crate::error::Error;
use crate::store::sql::{Field, Kind, Row, Value};

type Boxed = Box<dyn std::error::Error + Sync + Send>;

/// The columns of rows, each as an array.
pub(super) struct Columns<'a>(Vec<Column<'a>>);

enum Column<'a> {
    Integers(Vec<i64>),
    Texts(Vec<&'a str>),
    Bytes(Vec<&'a [u8]>),
}

impl<'a> Columns<'a> {
    /// Turn rows into columns of these kinds.
    pub(super) fn of<'k>(
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

    /// Return them as parameters.
    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        self.0.iter().map(Column::parameter).collect()
    }

    /// Return them as the bytes that are sent, for a statement that is sent later.
    pub(super) fn encoded(&self) -> Result<Vec<Encoded>, Error> {
        self.parameters().iter().map(|(value, kind)| Encoded::of(*value, kind)).collect()
    }
}

impl Column<'_> {
    fn parameter(&self) -> Parameter<'_> {
        match self {
            Self::Integers(all) => (all, Type::INT8_ARRAY),
            Self::Texts(all) => (all, Type::TEXT_ARRAY),
            Self::Bytes(all) => (all, Type::BYTEA_ARRAY),
        }
    }
}

/// A parameter as the bytes that are sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    kind: Type,
    bytes: BytesMut,
}

impl Encoded {
    /// Encode a list of texts.
    pub(super) fn of_texts(texts: &[&str]) -> Result<Self, Error> {
        Self::of(&texts, &Type::TEXT_ARRAY)
    }

    /// Encode a value that is not null.
    pub(super) fn of(value: &(dyn ToSql + Sync), kind: &Type) -> Result<Self, Error> {
        let mut bytes = BytesMut::new();
        value
            .to_sql_checked(kind, &mut bytes)
            .map_err(|e| Error::Internal(format!("a value has no form for PostgreSQL: {e}")))?;
        Ok(Self { kind: kind.clone(), bytes })
    }

    /// Return it as a parameter.
    pub(super) fn parameter(&self) -> Parameter<'_> {
        (self, self.kind.clone())
    }
}

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Return these values as parameters.
pub(super) fn parameters<'a>(values: &'a [Value<'a>]) -> Vec<Parameter<'a>> {
    let parameter = |value: &'a Value<'a>| {
        let kind = match value {
            // The database finds out what has no value here.
            Value::Null => Type::UNKNOWN,
            Value::Integer(_) => Type::INT8,
            Value::Text(_) => Type::TEXT,
            Value::Bytes(_) => Type::BYTEA,
        };
        (value as &(dyn ToSql + Sync), kind)
    };
    values.iter().map(parameter).collect()
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
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
        let known = [Type::INT8, Type::INT4, Type::TEXT, Type::VARCHAR, Type::BYTEA, Type::UNKNOWN];
        known.contains(kind)
    }

    to_sql_checked!();
}

/// Return the fields of a row.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let field = |(place, column): (usize, &tokio_postgres::Column)| {
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
