//! The command `seatmeterd plan`: the outcome of recorded usage under another license option or
//! another N.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use seatmeter_protocol::slot::slot_start;

use super::operator::{open, write_json};
use super::{DataOption, output_error, queries};
use crate::error::Error;
use crate::operator::queries::plan::{Plan, PlanQuery};
use crate::planner::history::History;
use crate::planner::{Outcome, usage_file};
use crate::utc;

/// Replay recorded usage against a license option
///
/// Reports what would have been refused, when an overuse budget would have run out, and which N
/// would have been enough. Reads the data, or with --usage the output of "seatmeterd usage export",
/// row by row.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// An export as CSV or JSON instead of the data; "-" for standard input
    #[arg(long, value_name = "FILE")]
    usage: Option<PathBuf>,

    #[command(flatten)]
    query: PlanQuery,

    /// Write JSON instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOption,
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    let plan = match &arguments.usage {
        Some(file) => {
            let (history, rows) = read(&arguments.query, file)?;
            arguments.query.replay(&history, rows)?
        }
        None => queries::answer(&arguments.data, &arguments.query)?,
    };
    if arguments.json {
        return write_json(&plan, output);
    }
    let mut output = BufWriter::new(output);
    write_text(&plan, &mut output).and_then(|()| output.flush()).map_err(output_error)
}

fn read(query: &PlanQuery, path: &Path) -> Result<(History, u64), Error> {
    let cannot =
        |why: String| Error::Setup(format!("usage cannot be read from {}: {why}.", path.display()));
    let from = query.from.as_deref().map_or(Ok(0), utc::slot_at_or_after)?;
    let to = query.to.as_deref().map_or(Ok(u32::MAX), utc::slot_at_or_after)?;
    let file = open(path).map_err(|e| cannot(e.to_string()))?;
    let (mut history, mut rows) = (History::default(), 0);
    usage_file::for_each(file, |row| {
        let is_meant = query.item.as_ref().is_none_or(|item| *item == row.item_id);
        if is_meant && (from..to).contains(&row.slot) {
            rows += 1;
            history.add(&row)?;
        }
        Ok(())
    })
    .map_err(cannot)?;
    Ok((history, rows))
}

fn write_text(plan: &Plan, output: &mut impl Write) -> std::io::Result<()> {
    let (Some(first), Some(last)) = (plan.first_slot, plan.last_slot) else {
        return writeln!(output, "there is no usage that could be replayed");
    };
    let Plan { devices, rows, .. } = plan;
    writeln!(
        output,
        "usage          {devices} devices, {rows} rows, {} to {}",
        slot_text(first),
        slot_text(last)
    )?;
    for outcome in &plan.outcomes {
        writeln!(output, "\n{}, N = {} {}", plan.option, outcome.quota, outcome.what)?;
        write_outcome(plan, outcome, output)?;
    }
    Ok(())
}

fn write_outcome(plan: &Plan, outcome: &Outcome, output: &mut impl Write) -> std::io::Result<()> {
    let Outcome { what, peak, refused, smallest_quota, .. } = outcome;
    let is_metered = plan.option == "per-barcode-scan" || plan.option == "per-page";
    match outcome.peak_slot {
        Some(_) if is_metered => writeln!(output, "used           {peak} {what}")?,
        Some(slot) => writeln!(output, "peak           {peak} {what} at {}", slot_text(slot))?,
        None => return writeln!(output, "used           nothing"),
    }
    for year in &outcome.years {
        let ran_out = match year.ran_out_after_slot {
            Some(slot) => format!("runs out at {}", slot_text(slot.saturating_add(1))),
            None => "is enough".to_owned(),
        };
        let number = year.year.saturating_add(1);
        writeln!(
            output,
            "license year {number} excess {} of a budget of {}: {ran_out}",
            year.excess, year.budget
        )?;
    }
    match (outcome.first_refused_slot, is_metered) {
        (None, _) => writeln!(output, "refused        nothing")?,
        (Some(slot), true) => {
            writeln!(output, "refused        {refused} {what} from {} on", slot_text(slot))?;
        }
        (Some(slot), false) => writeln!(
            output,
            "refused        {refused} times a device in a slot, first at {}",
            slot_text(slot)
        )?,
    }
    writeln!(output, "smallest N     {smallest_quota}, with no refusal")
}

fn slot_text(slot: u32) -> String {
    utc::text(slot_start(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    const HEADING: &str =
        "handshake_code,item_id,device_uuid,kind,what,what_name,slot,slot_start,total";

    /// Return an export of ten servers, each with two scans and a core page in every slot of 200.
    fn export() -> String {
        let mut text = format!("{HEADING}\r\n");
        for server in 0..10 {
            for slot in 10_000_000..10_000_200 {
                for (kind, what, total) in [("scan", 4, 2), ("page", 1, 1)] {
                    text.push_str(&format!(
                        "C,item,s{server},{kind},{what},X,{slot},T,{total}\r\n"
                    ));
                }
            }
        }
        text.push_str("C,other,x,image,0,,9999999,T,1\r\n");
        text
    }

    fn plan(export: &str, words: &[&str]) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("usage");
        std::fs::write(&file, export).unwrap();
        let words =
            ["plan", "--usage", file.to_str().unwrap()].into_iter().chain(words.iter().copied());
        let arguments = Line::try_parse_from(words).unwrap().arguments;
        let mut output = Vec::new();
        run(&arguments, &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn the_worked_example_is_told_to_a_person() {
        let words = [
            "--option",
            "per-concurrent-instance",
            "--quota",
            "10",
            "--seats-per-device",
            "10",
            "--item",
            "item",
        ];
        let expected = "\
usage          10 devices, 4000 rows, 2027-01-15T08:00:00Z to 2027-01-15T17:57:00Z

per-concurrent-instance, N = 10 instances
peak           100 instances at 2027-01-15T08:00:00Z
license year 1 excess 10080 of a budget of 10000: runs out at 2027-01-15T13:36:00Z
refused        792 times a device in a slot, first at 2027-01-15T13:36:00Z
smallest N     17, with no refusal
";
        assert_eq!(plan(&export(), &words).unwrap(), expected);
    }

    #[test]
    fn every_option_can_be_tried_and_read_by_a_program() {
        for (option, peak, smallest) in [
            ("per-barcode-scan", 4_000, 3_791),
            ("per-page", 2_000, 1_896),
            ("per-client-device", 10, 9),
            ("per-server", 10, 10),
            ("per-concurrent-device", 10, 2),
            ("per-domain", 10, 0),
        ] {
            let words = ["--option", option, "--quota", "1", "--item", "item", "--json"];
            let json: serde_json::Value =
                serde_json::from_str(&plan(&export(), &words).unwrap()).unwrap();
            assert_eq!(json["option"], option);
            assert_eq!(json["devices"], 10);
            let outcome = &json["outcomes"][0];
            assert_eq!(
                (&outcome["peak"], &outcome["smallest_quota"]),
                (&peak.into(), &smallest.into()),
                "{json}"
            );
        }
    }

    #[test]
    fn usage_that_cannot_be_read_or_tried_is_explained() {
        let scans = ["--option", "per-barcode-scan", "--quota", "1"];
        assert!(plan(HEADING, &scans).unwrap().contains("no usage"));
        let why = |export: &str, words: &[&str]| plan(export, words).unwrap_err().to_string();
        assert!(why("nothing", &scans).contains("device_uuid"));
        let with = |more: &[&'static str]| [&scans[..], more].concat();
        assert!(
            why(HEADING, &with(&["--seats-per-device", "2"])).contains("per-concurrent-instance")
        );
        assert!(
            why(HEADING, &with(&["--window-days", "30"])).contains("belongs to items charged by")
        );
        assert!(why(HEADING, &with(&["--overuse-budget", "3"])).contains("concurrent"));
        assert!(why(HEADING, &with(&["--starts", "soon"])).contains("\"soon\""));
    }
}
