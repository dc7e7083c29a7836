//! The command `seatmeterd usage export`: every counter as a row, for spreadsheets and programs. It
//! works row by row, so that years of usage need no more memory than a day.

use std::borrow::Cow;
use std::io::{BufWriter, Write};

use clap::{Args, ValueEnum};
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::slot::slot_start;
use serde::Serialize;

use super::{DataOption, output_error, what_name};
use crate::error::Error;
use crate::store::{SeatsOfDevices, UsageReader};
use crate::store::{UsageFilter, UsageRow};
use crate::utc;

/// Export recorded usage: one row for each handshake code, item, device, slot, kind and symbology
/// or module
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,

    /// The format of the export
    #[arg(long, value_enum, required_unless_present = "signed", conflicts_with = "signed")]
    format: Option<Format>,

    /// Write totals for each handshake code and item, signed by the server's key, for the vendor's
    /// bill
    #[arg(long)]
    signed: bool,

    /// Sign only the usage of this organization
    #[arg(long, value_name = "ID", requires = "signed")]
    organization: Option<String>,

    /// Also write as how many instances each device counts in its slots, for concurrent instances
    #[arg(long, conflicts_with = "signed")]
    seats: bool,

    /// Only slots that begin at or after this time: 2026-11-25 or 2026-11-25T06:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Only slots that begin before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Comma-separated values with a heading (RFC 4180)
    Csv,
    /// A JSON array of objects
    Json,
}

/// A row of the export; the names are those of the CSV heading.
#[derive(Serialize)]
struct ExportRow {
    handshake_code: String,
    item_id: String,
    device_uuid: String,
    kind: UsageKind,
    what: u32,
    what_name: String,
    slot: u32,
    slot_start: String,
    total: u128,
    /// As how many instances the device counts in the slot; for concurrent instances alone, and if
    /// it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<u32>,
}

const CSV_HEADING: &str =
    "handshake_code,item_id,device_uuid,kind,what,what_name,slot,slot_start,total";

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.data.require_initialized()?;
    let filter = UsageFilter {
        from_slot: arguments.from.as_deref().map_or(Ok(0), utc::slot_at_or_after)?,
        until_slot: arguments.to.as_deref().map(utc::slot_at_or_after).transpose()?,
    };
    if filter.until_slot.is_some_and(|until| until < filter.from_slot) {
        return Err(Error::Setup(
            "--to is before --from: there is no slot between them.".to_owned(),
        ));
    }
    let Some(format) = arguments.format else {
        let organization = arguments.organization.as_deref();
        return super::signed_export::write(&arguments.data, filter, organization, output);
    };
    let reader = arguments.data.location().read_usage()?;
    let mut output = BufWriter::new(output);
    match format {
        Format::Csv => write_csv(&reader, filter, arguments.seats, &mut output)?,
        Format::Json => write_json(&reader, filter, arguments.seats, &mut output)?,
    }
    output.flush().map_err(output_error)
}

fn write_csv(
    reader: &UsageReader,
    filter: UsageFilter,
    with_seats: bool,
    output: &mut impl Write,
) -> Result<(), Error> {
    let more = if with_seats { ",seats" } else { "" };
    write!(output, "{CSV_HEADING}{more}\r\n").map_err(output_error)?;
    let seats = seats_of(reader, with_seats)?;
    reader.for_each(filter, |row| {
        let row = ExportRow::new(row, &seats);
        let kind = super::kind_noun(row.kind, 1);
        let more = match (with_seats, row.seats) {
            (false, _) => String::new(),
            (true, None) => ",".to_owned(),
            (true, Some(seats)) => format!(",{seats}"),
        };
        write!(
            output,
            "{},{},{},{kind},{},{},{},{},{}{more}\r\n",
            csv_field(&row.handshake_code),
            csv_field(&row.item_id),
            row.device_uuid,
            row.what,
            row.what_name,
            row.slot,
            row.slot_start,
            row.total
        )
        .map_err(output_error)
    })
}

fn write_json(
    reader: &UsageReader,
    filter: UsageFilter,
    with_seats: bool,
    output: &mut impl Write,
) -> Result<(), Error> {
    let mut before = "[\n";
    let seats = seats_of(reader, with_seats)?;
    reader.for_each(filter, |row| {
        let row = serde_json::to_string(&ExportRow::new(row, &seats))
            .map_err(|e| Error::Internal(format!("a row has no JSON form: {e}")))?;
        write!(output, "{before}{row}").map_err(output_error)?;
        before = ",\n";
        Ok(())
    })?;
    let end = if before == "[\n" { "[]\n" } else { "\n]\n" };
    output.write_all(end.as_bytes()).map_err(output_error)
}

fn seats_of(reader: &UsageReader, with_seats: bool) -> Result<SeatsOfDevices, Error> {
    if with_seats { reader.seats() } else { Ok(SeatsOfDevices::default()) }
}

fn csv_field(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\r', '\n']) {
        return Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")));
    }
    Cow::Borrowed(text)
}

impl ExportRow {
    fn new(row: UsageRow, seats: &SeatsOfDevices) -> Self {
        Self {
            seats: seats.in_slot(&row.item_id, &row.device_uuid, row.slot),
            handshake_code: row.handshake_code,
            item_id: row.item_id,
            device_uuid: row.device_uuid,
            kind: row.kind,
            what: row.what,
            what_name: what_name(row.kind, row.what),
            slot: row.slot,
            slot_start: utc::text(slot_start(row.slot)),
            total: row.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_where_they_must_be() {
        assert_eq!(csv_field("PLAIN-1"), "PLAIN-1");
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn the_heading_has_the_names_of_the_json_fields() {
        let row = UsageRow {
            handshake_code: String::new(),
            item_id: String::new(),
            device_uuid: String::new(),
            friendly_name: String::new(),
            slot: 0,
            kind: UsageKind::Scan,
            what: 0,
            total: u128::MAX,
        };
        let row = ExportRow::new(row, &SeatsOfDevices::default());
        let json = serde_json::to_string(&row).unwrap();
        let mut from = 0;
        for name in CSV_HEADING.split(',') {
            from += json[from..].find(&format!("\"{name}\":")).expect(name);
        }
    }
}
