//! The command `seatmeterd doctor reset`: a device begins anew as another device, and nothing of
//! the old one is deleted.
//!
//! ```text
//! DIR/device, clock, licenses/, seats/, usage/, …  ─▶  DIR/reset-<time>/
//! ```
//!
//! The UUID is moved last. A reset that is interrupted leaves a device that has lost its licenses,
//! which programs can repair, and the next reset moves the rest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use seatmeter_protocol::sharing::{STATE_FOLDERS, is_name_of_state, quoted};
use seatmeter_protocol::slot::slot_start;
use seatmeter_protocol::state_frame::{Kind, unframe};

use super::super::output_error;
use super::state::{FILE_BYTES_MAX, Unsent};
use super::{StateDir, seats};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::named_file::read_named;
use crate::sharing::{advice_about, advice_around, make_folder};
use crate::utc;

/// The prefix of a folder with the state that was reset.
const ASIDE: &str = "reset-";

/// The number of resets within one second that find a free name.
const NAMES_MAX: u32 = 100;

/// Make a device begin anew as another device. Its old state is moved aside, not deleted
///
/// Refused while programs use the directory, and while counts wait to be reported. The new device
/// needs a seat of its own where licenses are per device: release the old device on the server.
#[derive(Args, Debug)]
pub(super) struct ResetArguments {
    #[command(flatten)]
    state: StateDir,
    /// Reset the device even if counts wait to be reported: they are moved aside, too, and can be
    /// reported from there
    #[arg(long)]
    with_unreported: bool,
}

pub(super) fn reset(arguments: &ResetArguments, output: &mut dyn Write) -> Result<(), Error> {
    let folder = arguments.state.path()?;
    let names = ours_in(&folder)?;
    if names.is_empty() {
        return Err(Error::Setup(format!(
            "{} has no state of a device: there is nothing to reset.",
            folder.display()
        )));
    }
    require_unused(&folder, &names)?;
    let unsent = Unsent::in_usage(&folder.join("usage"));
    require_reported(&folder, &unsent, arguments.with_unreported)?;
    let uuid = uuid_of(&folder);
    let aside = new_aside(&folder)?;
    for name in &names {
        let (from, to) = (folder.join(name), aside.join(name));
        fs::rename(&from, &to).map_err(|e| cannot("move", &from, &e))?;
    }
    // A program that began in between uses the old files.
    let late = users_of(&aside, &names);
    tell(&folder, &aside, uuid.as_deref(), &unsent, output).map_err(output_error)?;
    match late {
        Some(who) => Err(Error::Setup(format!(
            "a program began to use the old state during the reset: {who}. End the program and \
            start it again."
        ))),
        None => Ok(()),
    }
}

/// Return the names of the library's files and folders in a state directory, with the UUID's file
/// last.
fn ours_in(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(folder).map_err(|e| {
        let advice = advice_about(folder, folder, &e).unwrap_or_default();
        Error::Setup(format!("cannot list {}: {e}. {advice}", folder.display()))
    })?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| is_name_of_state(name))
        .collect();
    // Other programs have folders and files with such names, too, so one alone does not make a
    // state directory.
    let folders = STATE_FOLDERS.iter().filter(|name| folder.join(name).is_dir()).count();
    if folders < 2 && uuid_of(folder).is_none() {
        return Ok(Vec::new());
    }
    names.sort_by_key(|name| (name.starts_with("device"), name.clone()));
    // Empty folders do not count as state.
    let has_content = |name: &String| {
        let path = folder.join(name);
        !path.is_dir() || fs::read_dir(&path).map_or(true, |mut entries| entries.next().is_some())
    };
    let is_something = names.iter().any(has_content);
    Ok(if is_something { names } else { Vec::new() })
}

/// Make a folder for what is reset, named by the time. A second folder of the same second gets a
/// number behind the time.
fn new_aside(folder: &Path) -> Result<PathBuf, Error> {
    let time = utc::text(SystemClock.unix_seconds()).replace([':', '-'], "");
    for number in 1.. {
        let name =
            if number == 1 { format!("{ASIDE}{time}") } else { format!("{ASIDE}{time}-{number}") };
        let aside = folder.join(name);
        match make_folder(&aside) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < NAMES_MAX => {}
            made => return made.map(|()| aside.clone()).map_err(|e| cannot("make", &aside, &e)),
        }
    }
    unreachable!("the last number returns")
}

fn require_unused(folder: &Path, names: &[String]) -> Result<(), Error> {
    let Some(who) = users_of(folder, names) else { return Ok(()) };
    Err(Error::Setup(format!(
        "programs use {}: {who}. End them first; nothing was changed.",
        folder.display()
    )))
}

/// Return which programs use these files, by the locks that the kernel keeps for each running
/// program.
fn users_of(folder: &Path, names: &[String]) -> Option<String> {
    let holders = seats::holders(&folder.join("seats"));
    if !holders.is_empty() {
        return Some(holders.join(", "));
    }
    names.iter().find_map(|name| locked_in(&folder.join(name)))
}

/// Return a file here that a running program has locked, or for which this cannot be determined.
fn locked_in(path: &Path) -> Option<String> {
    let of = path.symlink_metadata().ok()?;
    if !of.is_file() && !of.is_dir() {
        return None;
    }
    match File::open(path).and_then(|file| is_locked(&file)) {
        Ok(true) => return Some(format!("{} is locked", path.display())),
        Ok(false) => {}
        Err(e) => {
            let advice = advice_around(path, &e).unwrap_or_default();
            return Some(format!("{} cannot be looked at: {e}. {advice}", path.display()));
        }
    }
    let entries = if of.is_dir() { fs::read_dir(path).ok() } else { None };
    entries.into_iter().flatten().flatten().find_map(|entry| locked_in(&entry.path()))
}

fn is_locked(file: &File) -> io::Result<bool> {
    // The request covers the whole file, up to the greatest possible length.
    let mut request = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut request))?;
    Ok(request.l_type != libc::F_UNLCK as libc::c_short)
}

fn require_reported(folder: &Path, unsent: &Unsent, is_accepted: bool) -> Result<(), Error> {
    if let Some((finding, todo)) = &unsent.denied {
        return Err(Error::Setup(format!(
            "it is not known whether all counts are reported: {finding}. {todo}"
        )));
    }
    if is_accepted || unsent.counts == 0 && unsent.unread == 0 {
        return Ok(());
    }
    let what = match unsent.counts {
        0 => format!("{} files of counts cannot be read by this version", unsent.unread),
        n => format!(
            "{n} counts wait to be reported, the oldest since {}",
            utc::text(slot_start(unsent.oldest))
        ),
    };
    Err(Error::Setup(format!(
        "{}: {what}. Let a program reach the license server first: it reports them. Or repeat \
         this with --with-unreported: \
         they are kept aside. Nothing was changed.",
        folder.display()
    )))
}

fn uuid_of(folder: &Path) -> Option<String> {
    let bytes = read_named(&folder.join("device"), FILE_BYTES_MAX).ok()?;
    let device: serde_json::Value =
        serde_json::from_slice(unframe(&bytes, Kind::Device).ok()?).ok()?;
    device["uuid"].as_str().map(str::to_owned)
}

fn tell(
    folder: &Path,
    aside: &Path,
    uuid: Option<&str>,
    unsent: &Unsent,
    output: &mut dyn Write,
) -> io::Result<()> {
    writeln!(output, "reset {}: the next program makes it a new device", folder.display())?;
    writeln!(output, "its old state is in {}", aside.display())?;
    if unsent.counts > 0 || unsent.unread > 0 {
        writeln!(
            output,
            "{} counts in there are not reported: a program with SEATMETER_STATE_DIR={} and the \
             server in reach reports them",
            unsent.counts,
            quoted(&aside.to_string_lossy())
        )?;
    }
    if let Some(uuid) = uuid {
        writeln!(
            output,
            "where licenses are per device, the old one keeps its seat until its time is over, or \
             until the operator frees \
             it: seatmeterd device release {uuid} --item ITEM"
        )?;
    }
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    let advice = advice_around(path, error).unwrap_or_default();
    Error::Setup(format!("cannot {what} {}: {error}. {advice}", path.display()))
}
