//! Answers as tables: aligned columns for people, and CSV for spreadsheets.

use std::io::Write;

use crate::shown::line;
use crate::utc;

/// The content of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// There is nothing to say.
    Empty,
    /// A text.
    Text(String),
    /// A number.
    Number(i128),
    /// An instant, Unix seconds.
    Instant(u64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<u128> for Cell {
    fn from(number: u128) -> Self {
        Self::Number(i128::try_from(number).unwrap_or(i128::MAX))
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    /// Make a cell with an instant, if there is one.
    #[must_use]
    pub fn instant(at: Option<u64>) -> Self {
        at.map_or(Self::Empty, Self::Instant)
    }

    fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Instant(at) => utc::text(*at),
        }
    }

    /// Return the content for people. Control characters must not reach a terminal.
    fn shown(&self) -> String {
        line(&self.text()).into_owned()
    }

    /// Return the content for a spreadsheet. A text that begins like a formula is not one.
    fn field(&self) -> String {
        let text = self.text();
        let is_text = matches!(self, Self::Text(_));
        if is_text && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            return format!("'{text}");
        }
        text
    }
}

/// A table of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// The title for people; empty for none.
    pub title: String,
    /// The names of the columns, as in the JSON form.
    pub columns: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// The last row for people, with sums; empty for none.
    pub total: Vec<Cell>,
    /// Sentences below the table, for people.
    pub notes: Vec<String>,
}

/// An answer that can be shown as tables.
pub trait Sheets {
    /// Return the tables. The first one is the answer as CSV.
    fn sheets(&self) -> Vec<Sheet>;
}

/// Write tables for people.
///
/// # Errors
/// Fails when the output cannot be written.
pub fn write_text(sheets: &[Sheet], output: &mut dyn Write) -> std::io::Result<()> {
    for (number, sheet) in sheets.iter().enumerate() {
        if number > 0 {
            writeln!(output)?;
        }
        sheet.write_text(output)?;
    }
    Ok(())
}

impl Sheet {
    fn write_text(&self, output: &mut dyn Write) -> std::io::Result<()> {
        if !self.title.is_empty() {
            writeln!(output, "{}", Cell::from(&self.title).shown())?;
        }
        if !self.rows.is_empty() {
            self.write_rows(output)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(output, "{}", Cell::from(note).shown()))
    }

    fn write_rows(&self, output: &mut dyn Write) -> std::io::Result<()> {
        let heading = self.columns.iter().map(|name| Cell::from(name.replace('_', " "))).collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&heading)
            .chain(&self.rows)
            .chain((!self.total.is_empty()).then_some(&self.total))
            .collect();
        let shown: Vec<Vec<String>> =
            lines.iter().map(|line| line.iter().map(Cell::shown).collect()).collect();
        let width = |column: usize| {
            let cells = shown.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let is_number = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let mut cells = cells.filter(|cell| **cell != Cell::Empty).peekable();
            cells.peek().is_some() && cells.all(|cell| matches!(cell, Cell::Number(_)))
        };
        let numbers: Vec<bool> = (0..self.columns.len()).map(is_number).collect();
        for line in shown {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let pad = " ".repeat(widths[column] - cell.chars().count());
                let (before, after) = if numbers[column] { (&*pad, "") } else { ("", &*pad) };
                text.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(output, "{}", text.trim_end())?;
        }
        Ok(())
    }

    /// Write the rows as CSV with a heading (RFC 4180).
    ///
    /// # Errors
    /// Fails when the output cannot be written.
    pub fn write_csv(&self, output: &mut dyn Write) -> std::io::Result<()> {
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(output);
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Cell::field))?;
        }
        writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        Sheet {
            title: "items".into(),
            columns: vec!["item_id", "used", "at"],
            rows: vec![
                vec!["a".into(), 5_u64.into(), Cell::Instant(0)],
                vec!["=b,\"c\u{1b}".into(), 1_000_u64.into(), Cell::Empty],
            ],
            total: vec!["total".into(), 1_005_u64.into()],
            notes: vec!["that is all".into()],
        }
    }

    #[test]
    fn people_get_aligned_columns_totals_and_no_control_characters() {
        let mut output = Vec::new();
        write_text(&[sheet()], &mut output).unwrap();
        let expected = "\
items
item id      used  at
a               5  1970-01-01T00:00:00Z
=b,\"c\\u001b  1000
total        1005
that is all
";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn a_spreadsheet_gets_all_rows_and_no_formula() {
        let mut output = Vec::new();
        sheet().write_csv(&mut output).unwrap();
        let expected = "item_id,used,at\r\na,5,1970-01-01T00:00:00Z\r\n\
                        \"'=b,\"\"c\u{1b}\",1000,\r\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
