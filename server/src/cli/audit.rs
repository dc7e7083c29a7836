//! The command `seatmeterd audit`: the lines of the audit log, and whether its chain is whole.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{DataOption, operator, output_error};
use crate::error::Error;
use crate::operator::commands::{AuditRow, Listing, View};
use crate::store::AuditReader;
use crate::usage_bill::{SignedExport, UsageExport};
use crate::utc;

/// Show the audit log, newest lines first; or check its chain
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Audit>,
    #[command(flatten)]
    data: DataOption,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// List the lines, newest first
    List {
        /// Write JSON instead of a line for each change
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        data: DataOption,
    },
    Verify(VerifyArguments),
}

/// Check every line of the log, and name the first one that was changed, removed or inserted
///
/// Somebody who can write to the database can write the whole log anew. Compare it with a head that
/// is kept elsewhere: one that this command has shown before, that of a backup, or that of an
/// export.
#[derive(Args, Debug)]
#[group(id = "noted", multiple = false)]
pub(super) struct VerifyArguments {
    /// The hash of a line that must be in the log
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<String>,
    /// A backup: the log must have the last line of its log
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// A signed export: the log must have the last line that it names
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    #[command(flatten)]
    data: DataOption,
}

fn hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(text.to_lowercase());
    }
    Err("a hash has 64 hexadecimal digits".to_owned())
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    match &arguments.command {
        None => list(&arguments.data, false, output),
        Some(Audit::List { json, data }) => list(data, *json, output),
        Some(Audit::Verify(arguments)) => verify(arguments, output),
    }
}

fn list(data: &DataOption, json: bool, output: &mut dyn Write) -> Result<(), Error> {
    let listing = operator::read_all(data, View::Audit { before: None })?;
    match listing {
        Listing::Audit(lines) if !json => {
            lines.iter().try_for_each(|line| show(line, output)).map_err(output_error)
        }
        listing => operator::write_json(&listing, output),
    }
}

fn show(line: &AuditRow, output: &mut dyn Write) -> std::io::Result<()> {
    let AuditRow { audit_id, at, actor, action, subject, detail, hash, .. } = line;
    // Names come from devices and operators. Control characters in them must not reach a terminal.
    let [actor, subject, detail] = [actor, subject, detail].map(|text| text.escape_debug());
    write!(output, "{audit_id}  {}  {actor}  {action} {subject}", utc::text(*at))?;
    if !line.detail.is_empty() {
        write!(output, " ({detail})")?;
    }
    writeln!(output, "  {hash}")
}

fn verify(arguments: &VerifyArguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.data.require_initialized()?;
    let wanted = match (&arguments.backup, &arguments.export) {
        (Some(backup), _) => Some(AuditReader::of_file(backup)?.head()?.hash),
        (None, Some(export)) => Some(head_of_export(export)?),
        (None, None) => arguments.head.clone(),
    };
    let has_wanted = wanted.is_some();
    let head = AuditReader::open(&arguments.data.location())?.verify(wanted)?;
    writeln!(output, "the audit log is whole: {} lines, head {}", head.audit_id, head.hash)
        .map_err(output_error)?;
    let next = match has_wanted {
        true => "It has the line that was noted.",
        false => {
            "Keep the head elsewhere: a later \"audit verify --head\" then notices a log that \
            was cut or written anew."
        }
    };
    writeln!(output, "{next}").map_err(output_error)
}

/// Return the head in an export. Its signature is not checked: a wrong head is found by the log.
fn head_of_export(path: &Path) -> Result<String, Error> {
    let signed: SignedExport = operator::read_json(path)?;
    let export: UsageExport = serde_json::from_str(&signed.usage_export)
        .map_err(|e| Error::Setup(format!("{} is not an export: {e}.", path.display())))?;
    Ok(export.audit_head.hash)
}
