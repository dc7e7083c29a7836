//! The command `seatmeterd usage show`: recorded usage for people; with `--json`, for programs.
//!
//! An account here is one device under one item and handshake code: first its totals, then its
//! slots one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use clap::Args;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::slot::slot_start;
use serde::Serialize;

use super::{DataOption, kind_noun, output_error, what_name};
use crate::error::Error;
use crate::store::{UsageFilter, UsageRow};
use crate::utc;

/// Show recorded usage, in total and slot by slot
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,

    /// Write JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Counters by kind, and by symbology or module.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<(UsageKind, u32), u128>);

#[derive(Debug)]
struct Account {
    handshake_code: String,
    item_id: String,
    device_uuid: String,
    friendly_name: String,
    total: Counts,
    slots: Vec<(u32, Counts)>,
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.data.require_initialized()?;
    let mut accounts = Vec::new();
    arguments.data.location().read_usage()?.for_each(UsageFilter::ALL, |row| {
        add(&mut accounts, row);
        Ok(())
    })?;
    let mut output = BufWriter::new(output);
    let written = if arguments.json {
        write_json(&accounts, &mut output)
    } else {
        write_text(&accounts, &mut output)
    };
    written.and_then(|()| output.flush()).map_err(output_error)
}

/// Add a row. Rows come in the order of accounts and slots, so a row belongs to the last of each or
/// to a new one.
fn add(accounts: &mut Vec<Account>, row: UsageRow) {
    let same = accounts.last().is_some_and(|last| {
        last.handshake_code == row.handshake_code
            && last.item_id == row.item_id
            && last.device_uuid == row.device_uuid
    });
    if !same {
        accounts.push(Account {
            handshake_code: row.handshake_code,
            item_id: row.item_id,
            device_uuid: row.device_uuid,
            friendly_name: row.friendly_name,
            total: Counts::default(),
            slots: Vec::new(),
        });
    }
    let Some(account) = accounts.last_mut() else { return };
    account.total.add(row.kind, row.what, row.total);
    if account.slots.last().is_none_or(|(slot, _)| *slot != row.slot) {
        account.slots.push((row.slot, Counts::default()));
    }
    if let Some((_, counts)) = account.slots.last_mut() {
        counts.add(row.kind, row.what, row.total);
    }
}

impl Counts {
    pub(super) fn add(&mut self, kind: UsageKind, what: u32, total: u128) {
        let counter = self.0.entry((kind, what)).or_default();
        *counter = counter.saturating_add(total);
    }

    /// Return one kind: its sum, and its parts with the greatest first.
    fn of_kind(&self, kind: UsageKind) -> (u128, Vec<(String, u128)>) {
        let of_kind = self.0.iter().filter(|((k, _), total)| *k == kind && **total > 0);
        let mut parts: Vec<_> =
            of_kind.map(|((_, what), total)| (what_name(kind, *what), *total)).collect();
        parts.sort_by_key(|(_, total)| std::cmp::Reverse(*total));
        (parts.iter().map(|(_, total)| total).sum(), parts)
    }

    /// Return one text for each kind that was counted, such as `4 scans (QR_CODE 3, EAN_13 1)`.
    pub(super) fn texts(&self) -> Vec<String> {
        [UsageKind::Scan, UsageKind::Page, UsageKind::Image]
            .into_iter()
            .map(|kind| (kind, self.of_kind(kind)))
            .filter(|(_, (sum, _))| *sum > 0)
            .map(|(kind, (sum, parts))| {
                let named: Vec<_> = parts
                    .iter()
                    .filter(|(name, _)| !name.is_empty())
                    .map(|(name, total)| format!("{name} {total}"))
                    .collect();
                let noun = kind_noun(kind, sum);
                if named.is_empty() {
                    format!("{sum} {noun}")
                } else {
                    format!("{sum} {noun} ({})", named.join(", "))
                }
            })
            .collect()
    }
}

fn write_text(accounts: &[Account], output: &mut impl Write) -> std::io::Result<()> {
    if accounts.is_empty() {
        return writeln!(output, "nothing recorded yet");
    }
    for (position, account) in accounts.iter().enumerate() {
        if position > 0 {
            writeln!(output)?;
        }
        writeln!(output, "handshake code {}, item {}", account.handshake_code, account.item_id)?;
        let name = account.friendly_name.escape_debug();
        let name =
            if account.friendly_name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        writeln!(output, "device {}{name}", account.device_uuid)?;
        for text in account.total.texts() {
            writeln!(output, "  {text}")?;
        }
        writeln!(output, "  by slot (UTC):")?;
        for (slot, counts) in &account.slots {
            let start = utc::text(slot_start(*slot));
            writeln!(output, "    {start}  slot {slot}  {}", counts.texts().join(", "))?;
        }
    }
    let mut all = Counts::default();
    for ((kind, what), total) in accounts.iter().flat_map(|account| &account.total.0) {
        all.add(*kind, *what, *total);
    }
    let devices: BTreeSet<&str> =
        accounts.iter().map(|account| account.device_uuid.as_str()).collect();
    writeln!(output, "\ntotal of {} devices", devices.len())?;
    all.texts().iter().try_for_each(|text| writeln!(output, "  {text}"))
}

#[derive(Serialize)]
struct JsonCounter {
    kind: UsageKind,
    what: u32,
    what_name: String,
    total: u128,
}

#[derive(Serialize)]
struct JsonSlot {
    slot: u32,
    slot_start: String,
    counters: Vec<JsonCounter>,
}

#[derive(Serialize)]
struct JsonAccount<'a> {
    handshake_code: &'a str,
    item_id: &'a str,
    device_uuid: &'a str,
    friendly_name: &'a str,
    total: Vec<JsonCounter>,
    slots: Vec<JsonSlot>,
}

fn write_json(accounts: &[Account], output: &mut impl Write) -> std::io::Result<()> {
    let accounts: Vec<_> = accounts
        .iter()
        .map(|account| JsonAccount {
            handshake_code: &account.handshake_code,
            item_id: &account.item_id,
            device_uuid: &account.device_uuid,
            friendly_name: &account.friendly_name,
            total: json_counters(&account.total),
            slots: account
                .slots
                .iter()
                .map(|(slot, counts)| JsonSlot {
                    slot: *slot,
                    slot_start: utc::text(slot_start(*slot)),
                    counters: json_counters(counts),
                })
                .collect(),
        })
        .collect();
    serde_json::to_writer_pretty(&mut *output, &accounts)?;
    writeln!(output)
}

fn json_counters(counts: &Counts) -> Vec<JsonCounter> {
    counts
        .0
        .iter()
        .map(|((kind, what), total)| JsonCounter {
            kind: *kind,
            what: *what,
            what_name: what_name(*kind, *what),
            total: *total,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(device: &str, slot: u32, kind: UsageKind, what: u32, total: u128) -> UsageRow {
        UsageRow {
            handshake_code: "CODE".into(),
            item_id: "item".into(),
            device_uuid: device.into(),
            friendly_name: "till \u{1b}[31m7".into(),
            slot,
            kind,
            what,
            total,
        }
    }

    fn text(rows: Vec<UsageRow>) -> String {
        let mut accounts = Vec::new();
        rows.into_iter().for_each(|row| add(&mut accounts, row));
        let mut output = Vec::new();
        write_text(&accounts, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn totals_come_first_and_slots_after_them() {
        let shown = text(vec![
            row("aa", 0, UsageKind::Scan, 0x20, 1),
            row("aa", 0, UsageKind::Scan, 0x400_0000, 2),
            row("aa", 0, UsageKind::Image, 0, 1),
            row("aa", 1, UsageKind::Scan, 0x20, 1),
            row("bb", 1, UsageKind::Page, 2, 1),
            row("bb", 1, UsageKind::Scan, 0x2, 1),
        ]);
        let expected = r#"handshake code CODE, item item
device aa "till \u{1b}[31m7"
  4 scans (EAN_13 2, QR_CODE 2)
  1 image
  by slot (UTC):
    1970-01-01T00:00:00Z  slot 0  3 scans (QR_CODE 2, EAN_13 1), 1 image
    1970-01-01T00:03:00Z  slot 1  1 scan (EAN_13 1)

handshake code CODE, item item
device bb "till \u{1b}[31m7"
  1 scan (CODE_128 1)
  1 page (WEBCAM 1)
  by slot (UTC):
    1970-01-01T00:03:00Z  slot 1  1 scan (CODE_128 1), 1 page (WEBCAM 1)

total of 2 devices
  5 scans (EAN_13 2, QR_CODE 2, CODE_128 1)
  1 page (WEBCAM 1)
  1 image
"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn without_usage_that_is_said() {
        assert_eq!(text(vec![]), "nothing recorded yet\n");
    }
}
