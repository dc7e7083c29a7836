//! The command `seatmeterd doctor data`: whether a server can work with its data directory.

use std::io::Write;

use clap::Args;

use super::place::{self, Found};
use super::{Findings, Health};
use crate::cli::{DataOption, output_error};
use crate::error::Error;
use crate::sharing;
use crate::store::check;

/// The room that a server should have on its disk.
const ROOM_BYTES: u64 = 64 << 20;

/// Check the data directory of a server: where it is, whose its files are, its keys, and the room
/// on its disk
///
/// It changes nothing, and works while the server runs. "seatmeterd check" reads the whole
/// database.
#[derive(Args, Debug)]
pub(super) struct DataArguments {
    #[command(flatten)]
    data: DataOption,
    /// Read the whole database, too, as "seatmeterd check" does
    #[arg(long)]
    full: bool,
}

pub(super) fn examine(arguments: &DataArguments, output: &mut dyn Write) -> Result<(), Error> {
    let mut findings = Findings { output, broken: 0, warnings: 0 };
    let dir = arguments.data.dir();
    let shown = dir.path().display();
    match dir.path().metadata() {
        Err(e) => {
            let todo = sharing::advice_about(dir.path(), dir.path(), &e)
                .unwrap_or_else(|| format!("run \"seatmeterd init --data {shown}\" first"));
            let finding = format!("{shown} cannot be looked at: {e}");
            findings.say(Health::Broken, "data", &finding, &todo)?;
        }
        Ok(of) => {
            permissions(arguments, &mut findings)?;
            let mut found = Found::default();
            found.look_into(dir.path(), &of, 0);
            place::files(dir.path(), &of, &found, &mut findings)?;
            room(arguments, &mut findings)?;
            server(arguments, &mut findings)?;
            keys(arguments, &mut findings)?;
        }
    }
    let (broken, warnings) = (findings.broken, findings.warnings);
    match (broken, warnings) {
        (0, 0) => writeln!(output, "all is well").map_err(output_error),
        (0, _) => writeln!(output, "nothing is broken; warnings: {warnings}").map_err(output_error),
        _ => Err(Error::Setup(format!("broken in the data directory: {broken}, see above"))),
    }
}

fn permissions(arguments: &DataArguments, findings: &mut Findings<'_>) -> Result<(), Error> {
    let dir = arguments.data.dir();
    let shown = dir.path().display();
    if let Some(fault) = dir.place_fault()? {
        return findings.say(Health::Broken, "permissions", &fault, "");
    }
    match dir.open_mode()? {
        None => findings.good("permissions", &format!("{shown} is open to its users alone")),
        Some(mode) => findings.say(
            Health::Warning,
            "permissions",
            &format!("{shown} has mode {mode:o}: every user may look into it"),
            &format!("run \"chmod {:o} {shown}\"; the next command does it, too", mode & 0o7770),
        ),
    }
}

fn room(arguments: &DataArguments, findings: &mut Findings<'_>) -> Result<(), Error> {
    let mib = ROOM_BYTES >> 20;
    match sharing::require_room(&arguments.data.dir().database_path(), ROOM_BYTES) {
        Ok(()) => findings.good("disk", &format!("there is room for another {mib} MiB")),
        Err(e) => findings.say(
            Health::Broken,
            "disk",
            &format!("there is no room for another {mib} MiB: {e}"),
            "make room on the disk, or move the data directory to a larger one",
        ),
    }
}

fn server(arguments: &DataArguments, findings: &mut Findings<'_>) -> Result<(), Error> {
    match arguments.data.dir().is_locked() {
        Ok(true) => findings.good("server", "one serves from here"),
        Ok(false) => findings.say(Health::Note, "server", "none serves from here now", ""),
        Err(e) => findings.say(Health::Warning, "server", &e.to_string(), ""),
    }
}

fn keys(arguments: &DataArguments, findings: &mut Findings<'_>) -> Result<(), Error> {
    let data = &arguments.data;
    let keys = match data.require_finished().and_then(|()| data.dir().keyring()) {
        Ok(keys) => keys,
        Err(e) => return findings.say(Health::Broken, "keys", &e.to_string(), ""),
    };
    let ids: Vec<String> = keys.ids().collect();
    findings.good("keys", &format!("{} (the first one is in use)", ids.join(", ")))?;
    if !arguments.full {
        let todo = "\"seatmeterd check\" reads all of it";
        return findings.say(Health::Note, "database", "not read", todo);
    }
    match check(&data.location()) {
        Err(e) => findings.say(Health::Broken, "database", &e.to_string(), ""),
        Ok(checked) => {
            let missing = checked.keys_named.iter().filter(|id| keys.with_id(id).is_none());
            let missing = missing.map(|id| format!("the server key {id} of license files is gone"));
            let faults: Vec<_> = missing.chain(checked.faults).collect();
            for fault in &faults {
                findings.say(Health::Broken, "database", fault, "restore it from a backup")?;
            }
            if faults.is_empty() { findings.good("database", "it is whole") } else { Ok(()) }
        }
    }
}
