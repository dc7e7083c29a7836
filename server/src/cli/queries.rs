//! The commands that ask: a table for people, or JSON or CSV for programs. They open the data only
//! to read, also beside a running server.

use std::io::{BufWriter, Write};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::operator::write_json;
use super::{DataOption, output_error};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::operator::queries::day::DayQuery;
use crate::operator::queries::devices::DevicesQuery;
use crate::operator::queries::domains::DomainsQuery;
use crate::operator::queries::explain::ExplainQuery;
use crate::operator::queries::holders::HoldersQuery;
use crate::operator::queries::refusals::RefusalsQuery;
use crate::operator::queries::sheet::{Sheets, write_text};
use crate::operator::queries::status::StatusQuery;
use crate::operator::queries::usage::UsageQuery;
use crate::operator::queries::year::YearQuery;
use crate::store::Question;

/// The form of the output.
#[derive(Args, Debug)]
pub(super) struct Form {
    /// Write JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write CSV instead of a table
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// A question on the command line.
#[derive(Args, Debug)]
pub(super) struct Ask<Q: Args> {
    #[command(flatten)]
    query: Q,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    data: DataOption,
}

/// The questions that are commands of their own.
#[derive(Debug, Subcommand)]
pub(super) enum Query {
    /// Show how each item stands: used, quota, grace, state, seats, expiry, and when it will be
    /// used up
    Status(Ask<StatusQuery>),
    /// List who holds seats now, and who was refused in the current slot
    Holders(Ask<HoldersQuery>),
    /// List who was refused, why, and what to do; newest hour first
    Refusals(Ask<RefusalsQuery>),
    /// Show the slots of a day against N, and the devices of a slot
    Day(Ask<DayQuery>),
    /// Show the peak and the sum of each day of a year
    Year(Ask<YearQuery>),
    /// Explain a device: what it holds, what it was told, and what it would be told now
    Explain(Ask<ExplainQuery>),
}

/// Sum recorded usage by anything, down to the slot
#[derive(Args, Debug)]
pub(super) struct Sum {
    #[command(flatten)]
    ask: Ask<UsageQuery>,
}

pub(super) fn run(query: &Query, output: &mut dyn Write) -> Result<(), Error> {
    match query {
        Query::Status(ask) => show(ask, output),
        Query::Holders(ask) => show(ask, output),
        Query::Refusals(ask) => show(ask, output),
        Query::Day(ask) => show(ask, output),
        Query::Year(ask) => show(ask, output),
        Query::Explain(ask) => show(ask, output),
    }
}

pub(super) fn sum(sum: &Sum, output: &mut dyn Write) -> Result<(), Error> {
    show(&sum.ask, output)
}

pub(super) fn domains(ask: &Ask<DomainsQuery>, output: &mut dyn Write) -> Result<(), Error> {
    show(ask, output)
}

/// List devices, part after part.
pub(super) fn devices(ask: &Ask<DevicesQuery>, output: &mut dyn Write) -> Result<(), Error> {
    let mut query = ask.query.clone();
    let mut found = answer(&ask.data, &query)?;
    // Without a limit, the whole list is wanted.
    let mut part = found.len();
    while ask.query.limit.is_none() && part == crate::operator::commands::ROWS_MAX as usize {
        let Some(last) = found.last() else { break };
        query.after_item = Some(last.item_id.clone());
        query.after_device = Some(last.device_uuid.clone());
        let rest = answer(&ask.data, &query)?;
        part = rest.len();
        found.extend(rest);
    }
    write(&found, &ask.form, output)
}

fn show<Q>(ask: &Ask<Q>, output: &mut dyn Write) -> Result<(), Error>
where
    Q: Question + Args,
    Q::Answer: Serialize + Sheets,
{
    write(&answer(&ask.data, &ask.query)?, &ask.form, output)
}

/// Ask the data.
pub(super) fn answer<Q: Question>(data: &DataOption, query: &Q) -> Result<Q::Answer, Error> {
    data.require_initialized()?;
    data.location().read_usage()?.ask(query, SystemClock.unix_seconds())
}

/// Write an answer in the form that is wanted.
fn write<A: Serialize + Sheets>(
    found: &A,
    form: &Form,
    output: &mut dyn Write,
) -> Result<(), Error> {
    if form.json {
        return write_json(found, output);
    }
    let mut output = BufWriter::new(output);
    let sheets = found.sheets();
    let written = match sheets.first() {
        Some(sheet) if form.csv => sheet.write_csv(&mut output),
        _ => write_text(&sheets, &mut output),
    };
    written.and_then(|()| output.flush()).map_err(output_error)
}
