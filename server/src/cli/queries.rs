//! The commands that ask: a table for people, or JSON or CSV for programs. They open the data only
//! to read, also beside a running server.

use std::io::{BufWriter, Write};

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use super::operator::write_json;
use super::{DataOption, output_error};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::operator::commands::ROWS_MAX;
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
use crate::store::{Location, Question};

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

/// The data that is asked, at an instant.
struct Source {
    location: Location,
    now: u64,
}

impl Source {
    fn of(data: &DataOption) -> Result<Self, Error> {
        data.require_initialized()?;
        Ok(Self { location: data.location(), now: SystemClock.unix_seconds() })
    }

    fn answer<Q: Question>(&self, query: &Q) -> Result<Q::Answer, Error> {
        self.location.read_usage()?.ask(query, self.now)
    }
}

/// List devices, as JSON unless another form is wanted: programs read this list.
#[derive(Args, Debug)]
pub(super) struct DeviceList {
    #[command(flatten)]
    ask: Ask<DevicesQuery>,
    /// Write a table for people
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    table: bool,
}

pub(super) fn run(query: &Query, output: &mut dyn Write) -> Result<(), Error> {
    run_on(query, Source::of, output)
}

fn run_on(
    query: &Query,
    source: impl Fn(&DataOption) -> Result<Source, Error>,
    output: &mut dyn Write,
) -> Result<(), Error> {
    match query {
        Query::Status(ask) => show(ask, &source(&ask.data)?, output),
        Query::Holders(ask) => show(ask, &source(&ask.data)?, output),
        Query::Refusals(ask) => show(ask, &source(&ask.data)?, output),
        Query::Day(ask) => show(ask, &source(&ask.data)?, output),
        Query::Year(ask) => show(ask, &source(&ask.data)?, output),
        Query::Explain(ask) => show(ask, &source(&ask.data)?, output),
    }
}

/// A command line with one of these commands.
#[derive(Debug, Parser)]
#[command(name = "seatmeterd")]
struct Line {
    #[command(subcommand)]
    query: Query,
}

/// Run one of these commands on a database, at an instant that is not now: scenarios and
/// simulations have a time of their own.
///
/// # Errors
/// Fails when the words are not such a command, or as the command does.
pub fn run_at(
    words: &[&str],
    location: &Location,
    now: u64,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let words = std::iter::once("seatmeterd").chain(words.iter().copied());
    let line = Line::try_parse_from(words).map_err(|e| Error::Setup(e.to_string()))?;
    run_on(&line.query, |_| Ok(Source { location: location.clone(), now }), output)
}

pub(super) fn sum(sum: &Sum, output: &mut dyn Write) -> Result<(), Error> {
    show(&sum.ask, &Source::of(&sum.ask.data)?, output)
}

pub(super) fn domains(ask: &Ask<DomainsQuery>, output: &mut dyn Write) -> Result<(), Error> {
    show(ask, &Source::of(&ask.data)?, output)
}

/// List devices, part after part.
pub(super) fn devices(list: &DeviceList, output: &mut dyn Write) -> Result<(), Error> {
    let DeviceList { ask, table } = list;
    let source = Source::of(&ask.data)?;
    let mut query = ask.query.clone();
    let mut found = source.answer(&query)?;
    // Without a limit, the whole list is wanted.
    let mut part = found.len();
    while ask.query.limit.is_none() && part == ROWS_MAX as usize {
        let Some(last) = found.last() else { break };
        query.after_item = Some(last.item_id.clone());
        query.after_device = Some(last.device_uuid.clone());
        let rest = source.answer(&query)?;
        part = rest.len();
        found.extend(rest);
    }
    let form = Form { json: !table && !ask.form.csv, csv: ask.form.csv };
    write(&found, &form, output)
}

pub(super) fn ask<Q>(ask: &Ask<Q>, output: &mut dyn Write) -> Result<(), Error>
where
    Q: Question + Args,
    Q::Answer: Serialize + Sheets,
{
    show(ask, &Source::of(&ask.data)?, output)
}

fn show<Q>(ask: &Ask<Q>, source: &Source, output: &mut dyn Write) -> Result<(), Error>
where
    Q: Question + Args,
    Q::Answer: Serialize + Sheets,
{
    write(&source.answer(&ask.query)?, &ask.form, output)
}

/// Ask the data now.
pub(super) fn answer<Q: Question>(data: &DataOption, query: &Q) -> Result<Q::Answer, Error> {
    Source::of(data)?.answer(query)
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
