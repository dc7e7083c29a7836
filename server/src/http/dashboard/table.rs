//! A sheet of a question as a table of a page: the same rows as the command line shows, with links.

use askama::Template;

use super::frame::{encode, grouped, minute};
use super::messages::{Messages, column, word};
use crate::operator::queries::sheet::{Cell, Sheet};
use crate::shown::line;
use crate::utc;

/// A table with its links to CSV and JSON.
#[derive(Debug, Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    /// The name of the table, for everybody.
    caption: String,
    heads: Vec<Head>,
    rows: Vec<Vec<Shown>>,
    total: Vec<Shown>,
    /// The sentence that stands in place of an empty table.
    empty: &'static str,
    /// The address of the same question in the admin API.
    source: Option<String>,
    has_csv: bool,
}

// A table is made of escaped parts, so it is not escaped again.
impl askama::filters::HtmlSafe for Table {}

/// The head of a column.
#[derive(Debug)]
struct Head {
    text: String,
    is_number: bool,
}

/// The content of a cell.
#[derive(Debug)]
enum Shown {
    Empty,
    /// A text of people, which may run from right to left.
    Text(String),
    /// A sentence of the server, which is English.
    Sentence(String),
    Link {
        to: String,
        text: String,
        is_code: bool,
    },
    Number(String),
    Time {
        machine: String,
        text: String,
    },
}

/// The columns with sentences of the server.
const SENTENCES: &[&str] =
    &["detail", "first_detail", "last_detail", "what_to_do", "basis", "assumption", "value"];

impl Table {
    /// Make the table of a sheet.
    pub(super) fn new(t: &'static Messages, caption: impl Into<String>, sheet: &Sheet) -> Self {
        let is_number = |column: usize| {
            let mut cells = sheet.rows.iter().filter_map(|row| row.get(column)).peekable();
            cells.peek().is_some()
                && cells.all(|cell| matches!(cell, Cell::Number(_) | Cell::Empty))
                && sheet.rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number(_))))
        };
        let heads = sheet
            .columns
            .iter()
            .enumerate()
            .map(|(number, name)| Head { text: column(t, name), is_number: is_number(number) });
        let row = |row: &Vec<Cell>| {
            let cells = row.iter().zip(&sheet.columns);
            cells.map(|(cell, column)| shown(t, column, cell)).collect()
        };
        let total = sheet.total.iter().map(|cell| match cell {
            Cell::Text(text) if text == "total" => Shown::Text(t.total.to_owned()),
            cell => shown(t, "", cell),
        });
        Self {
            caption: caption.into(),
            heads: heads.collect(),
            rows: sheet.rows.iter().map(row).collect(),
            total: total.collect(),
            empty: t.nothing,
            source: None,
            has_csv: true,
        }
    }

    /// Say this sentence when there are no rows.
    pub(super) fn or_else(self, empty: &'static str) -> Self {
        Self { empty, ..self }
    }

    /// Link to this list of the admin API, which has no CSV form.
    pub(super) fn only_json(self, source: impl Into<String>) -> Self {
        Self { has_csv: false, ..self.from(source) }
    }

    /// Link to this question of the admin API: its path below `/admin/v1`, with parameters.
    pub(super) fn from(self, source: impl Into<String>) -> Self {
        let source = source.into();
        let joint = if source.contains('?') { "" } else { "?" };
        Self { source: Some(format!("/admin/v1{source}{joint}")), ..self }
    }

    /// Return the address of the CSV form.
    fn csv(&self, source: &str) -> String {
        let joint = if source.ends_with('?') { "" } else { "&" };
        format!("{source}{joint}format=csv")
    }

    /// Return the address of the JSON form.
    fn json(&self, source: &str) -> String {
        source.trim_end_matches('?').to_owned()
    }
}

fn shown(t: &'static Messages, column: &str, cell: &Cell) -> Shown {
    let link = |path: &str, text: &str, is_code: bool| Shown::Link {
        to: format!("/dashboard/{path}{}", encode(text)),
        text: text.to_owned(),
        is_code,
    };
    match cell {
        Cell::Empty => Shown::Empty,
        Cell::Instant(at) => Shown::Time { machine: utc::text(*at), text: minute(*at) },
        // The number of an error has no groups.
        Cell::Number(number) if column == "code" => Shown::Link {
            to: format!("/dashboard/refusals?number={number}"),
            text: number.to_string(),
            is_code: true,
        },
        Cell::Number(number) if column == "slot" || column == "audit_id" => {
            Shown::Number(number.to_string())
        }
        Cell::Number(number) => Shown::Number(grouped(*number)),
        Cell::Text(text) if text.is_empty() => Shown::Empty,
        Cell::Text(text) => match column {
            "item_id" => link("items/", text, false),
            "device_uuid" => link("devices/", text, true),
            "handshake_code" => link("codes?code=", text, true),
            "state" | "option" | "of" | "kind" | "unit" => Shown::Text(word(t, text)),
            // A reader must see what would turn text around or hide it.
            column if SENTENCES.contains(&column) => Shown::Sentence(line(text).into_owned()),
            _ => Shown::Text(line(text).into_owned()),
        },
    }
}
