//! The command `seatmeterd doctor seats`: the holders of a device's seats.
//!
//! The command reads the pool files of a state directory, and learns from the lock of each entry
//! which processes live. It changes nothing, and works while the pools are in use and while no
//! server runs.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use seatmeter_protocol::seat_layout::{EntryReport, LOCK_BASE, PoolReport, parse};

use super::super::output_error;
use super::StateDir;
use super::state::FILE_BYTES_MAX;
use crate::error::Error;
use crate::named_file::{open_named, read_named};
use crate::utc;

/// Show which programs hold the seats of this device
#[derive(Args, Debug)]
pub(super) struct SeatsArguments {
    #[command(flatten)]
    state: StateDir,
}

pub(super) fn seats(arguments: &SeatsArguments, output: &mut dyn Write) -> Result<(), Error> {
    let folder = arguments.state.path()?.join("seats");
    let entries = std::fs::read_dir(&folder).map_err(|e| {
        Error::Setup(format!(
            "{} cannot be read: {e}. Name the state directory of the programs with --state-dir",
            folder.display()
        ))
    })?;
    let mut pools: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    pools.retain(|path| path.extension().is_some_and(|ending| ending == "pool"));
    pools.sort();
    if pools.is_empty() {
        writeln!(output, "no program of this device has had a seat yet").map_err(output_error)?;
    }
    for path in pools {
        show(&path, output).map_err(output_error)?;
    }
    Ok(())
}

/// Return the name of each pool, and how many seats are in use, or why this is not known.
pub(super) fn summary(folder: &Path) -> Vec<(String, Result<String, String>)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![(folder.display().to_string(), Err(e.to_string()))],
    };
    let pools = entries.filter(|path| path.extension().is_some_and(|ending| ending == "pool"));
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    pools.map(|path| (name(&path), in_use(&path))).collect()
}

fn in_use(path: &Path) -> Result<String, String> {
    let file = open_named(path).map_err(|e| e.to_string())?;
    let bytes = read_named(path, FILE_BYTES_MAX).map_err(|e| e.to_string())?;
    let report = parse(&bytes).map_err(|unfit| unfit.to_string())?;
    let held = report.entries.iter().filter(|entry| entry.held > 0 && lives(&file, entry));
    let used: u32 = held.map(|entry| entry.held).sum();
    Ok(format!("{used} of {} in use", report.grant.seats))
}

/// Return the programs that hold seats, by name and process id.
pub(super) fn holders(folder: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let pools = entries.filter(|path| path.extension().is_some_and(|ending| ending == "pool"));
    let of_pool = |path: PathBuf| {
        let (file, bytes) = (open_named(&path).ok()?, read_named(&path, FILE_BYTES_MAX).ok()?);
        let living = parse(&bytes)
            .ok()?
            .entries
            .into_iter()
            .filter(|entry| entry.held > 0 && lives(&file, entry));
        Some(living.map(|entry| format!("{} (pid {})", entry.name, entry.pid)).collect::<Vec<_>>())
    };
    pools.filter_map(of_pool).flatten().collect()
}

fn show(path: &Path, output: &mut dyn Write) -> std::io::Result<()> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let file = open_named(path)?;
    let report = match read_named(path, FILE_BYTES_MAX).map(|bytes| parse(&bytes))? {
        Ok(report) => report,
        Err(unfit) => return writeln!(output, "{name}: not a seat pool of this version: {unfit}"),
    };
    let holders: Vec<(&EntryReport, bool)> = report
        .entries
        .iter()
        .filter(|entry| entry.held > 0)
        .map(|entry| (entry, lives(&file, entry)))
        .collect();
    write_pool(&name, &report, &holders, output)
}

fn write_pool(
    name: &str,
    report: &PoolReport,
    holders: &[(&EntryReport, bool)],
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let dead: u32 = holders.iter().filter(|(_, lives)| !lives).map(|(entry, _)| entry.held).sum();
    let used = report.used.saturating_sub(dead);
    writeln!(
        output,
        "{name}: {used} of {} seats in use, {} free",
        report.grant.seats,
        report.grant.seats.saturating_sub(used)
    )?;
    for (entry, lives) in holders {
        let seats = if entry.held == 1 { "seat" } else { "seats" };
        let (held, who, pid) = (entry.held, &entry.name, entry.pid);
        let since = utc::text(entry.since);
        if *lives {
            writeln!(output, "  {held} {seats}  {who} (pid {pid}), since {since}")?;
        } else {
            writeln!(
                output,
                "  {held} {seats}  {who} (pid {pid}) has died: free for the next program that asks"
            )?;
        }
    }
    Ok(())
}

/// Return whether the owner of an entry lives: the kernel keeps the entry's lock exactly as long.
fn lives(file: &File, entry: &EntryReport) -> bool {
    let mut request = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: LOCK_BASE + i64::from(entry.entry),
        l_len: 1,
        l_pid: 0,
    };
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut request));
    // If the kernel gives no answer, the mark of the entry's guardian is the next best evidence.
    if asked.is_err() { !entry.died } else { request.l_type != libc::F_UNLCK as libc::c_short }
}
