//! The doctor's check of the state directory itself: which user runs the check, whether this user
//! can write the directory, and whether all its users can use its files.

#![allow(
    clippy::disallowed_methods,
    reason = "the places of a user are named in the environment, and nowhere else"
)]

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::statfs;
use nix::unistd::{geteuid, getgroups};
use seatmeter_protocol::file_system::refusal;
use seatmeter_protocol::sharing::{
    Denied, Place, advice, is_shared_by_all, is_shared_by_group, is_sticky_and_shared, quoted,
};

use super::{Findings, Health, command_words};
use crate::error::Error;
use crate::random::fresh_id;
use crate::sharing::{self, advice_about, holds_others_alone, owned, owner_of};

/// The size in bytes of a file of counts, which is the largest file that a program creates at a
/// start.
const PROBE_BYTES: usize = 68 << 10;

/// The number of free bytes below which programs may soon have no room for their files.
const ROOM_BYTES_MIN: u64 = 4 << 20;

/// The greatest depth of nested folders; the library creates no deeper ones.
const DEPTH_MAX: usize = 4;

/// Return the directory in which this user's programs have their state, unless another is
/// configured.
pub(super) fn usual() -> Result<PathBuf, Error> {
    let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/seatmeter"));
    }
    let home =
        path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")));
    home.map(|home| home.join("seatmeter")).ok_or_else(|| {
        Error::Setup(
            "HOME is not set. Name the state directory of the programs with --state-dir."
                .to_owned(),
        )
    })
}

/// Check the directory. Return whether its content can be checked.
pub(super) fn examine(folder: &Path, findings: &mut Findings<'_>) -> Result<bool, Error> {
    log(findings)?;
    let shown = folder.display();
    let of = match fs::metadata(folder).and_then(|of| fs::read_dir(folder).map(|_| of)) {
        Ok(of) => of,
        Err(e) => {
            let usual =
                "name the directory that the programs use with --state-dir, or run a program first";
            let todo = advice_about(folder, folder, &e).unwrap_or_else(|| usual.to_owned());
            findings.say(
                Health::Broken,
                "state",
                &format!("{shown} cannot be looked at: {e}"),
                &todo,
            )?;
            return Ok(false);
        }
    };
    who_looks(folder, &of, findings)?;
    permissions(folder, &of, findings)?;
    let mut found = Found::default();
    found.look_into(folder, &of, 0);
    files(folder, &of, &found, findings)?;
    write_into(folder, &found.folders, findings)?;
    file_system(folder, findings)?;
    Ok(true)
}

fn log(findings: &mut Findings<'_>) -> Result<(), Error> {
    let Some(path) = std::env::var_os("SEATMETER_LOG").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let shown = path.display();
    let exists = path.symlink_metadata();
    let opened = match &exists {
        Ok(of) if of.is_symlink() => {
            Err(io::Error::other("it is a symbolic link, which is not followed"))
        }
        Ok(_) => OpenOptions::new().append(true).open(&path).map(drop),
        Err(_) => probe(sharing::directory_of(&path), 0),
    };
    match opened {
        Ok(()) => {
            findings.good("log", &format!("{shown} (SEATMETER_LOG) can be written by this user"))
        }
        Err(e) => {
            let whose =
                owner_of(&path, &e).map(|whose| format!(". {}", whose.trim_end_matches('.')));
            let finding = format!(
                "{shown} (SEATMETER_LOG) cannot be written: {e}{}",
                whose.unwrap_or_default()
            );
            let todo = "set SEATMETER_LOG to a file that the programs' user can write";
            findings.say(Health::Warning, "log", &finding, todo)
        }
    }
}

/// Report which user runs the check, because the findings are what this user can see.
fn who_looks(folder: &Path, of: &Metadata, findings: &mut Findings<'_>) -> Result<(), Error> {
    let (me, names) = (geteuid().as_raw(), sharing::names());
    let (i, owner) = (names.user_for_people(me), names.user_for_people(of.uid()));
    let is_member = getgroups()
        .is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == of.gid()))
        || nix::unistd::getegid().as_raw() == of.gid();
    if me == of.uid() {
        return findings.good("user", &format!("checked as {i}, who owns the directory"));
    }
    if me != 0 && is_shared_by_group(of.mode()) && is_member {
        let group = names.group(of.gid());
        return findings.good(
            "user",
            &format!("checked as {i}, who shares the directory of {owner} by group {group}"),
        );
    }
    let todo = format!(
        "check again as the programs' user: sudo -u {} {} --state-dir {}",
        names.user(of.uid()),
        command_words(),
        quoted(&folder.to_string_lossy())
    );
    let finding = match me {
        0 => format!(
            "checked as {i}, who may do everything; the directory belongs to {owner}, who may not"
        ),
        _ => format!(
            "checked as {i}; the directory belongs to {owner}, and the findings are those that \
            programs of {i} see"
        ),
    };
    findings.say(Health::Warning, "user", &finding, &todo)
}

fn permissions(folder: &Path, of: &Metadata, findings: &mut Findings<'_>) -> Result<(), Error> {
    let names = sharing::names();
    let (mode, owner) = (of.mode() & 0o7777, names.user_for_people(of.uid()));
    if is_shared_by_all(mode) {
        let finding = format!(
            "{} belongs to {owner} and has mode {mode:o}: everybody may write in it, so programs \
             of other users refuse it",
            folder.display()
        );
        let todo = match holds_others_alone(folder) {
            // This is the case of /tmp, for example: no command may change what belongs to others.
            true => {
                let own = folder.join("seatmeter");
                format!("use a directory of its own: {}, for example", own.display())
            }
            false => "chmod 700, or for several users with a group in common: chgrp GROUP, and \
                      chmod 2770"
                .to_owned(),
        };
        return findings.say(Health::Warning, "permissions", &finding, &todo);
    }
    if is_sticky_and_shared(mode) {
        let finding = format!(
            "{} belongs to {owner} and has mode {mode:o}: with the sticky bit, its users cannot \
             replace the files of one another, so programs of other users refuse it",
            folder.display()
        );
        let todo = format!("run sudo chmod -t {}", quoted(&folder.to_string_lossy()));
        return findings.say(Health::Warning, "permissions", &finding, &todo);
    }
    let shared = match is_shared_by_group(mode) {
        true => format!(": shared by group {}", names.group(of.gid())),
        false => String::new(),
    };
    findings.good("permissions", &format!("{owner}, mode {mode:o}{shared}"))
}

/// The content of a state directory, by what programs can do with it.
#[derive(Default)]
pub(super) struct Found {
    folders: Vec<PathBuf>,
    files: usize,
    /// The files that programs cannot use, each with the reason.
    unfit: Vec<(PathBuf, String)>,
    unlisted: Vec<(PathBuf, io::Error)>,
}

impl Found {
    pub(super) fn look_into(&mut self, folder: &Path, of: &Metadata, depth: usize) {
        self.folders.push(folder.to_owned());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) => return self.unlisted.push((folder.to_owned(), e)),
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            // A file that has vanished in the meantime is ignored.
            let Ok(has) = path.symlink_metadata() else { continue };
            if let Some(why) = why_unfit(&path, &has, of) {
                self.unfit.push((path, why));
            } else if has.is_dir() && depth < DEPTH_MAX {
                self.look_into(&path, &has, depth + 1);
            } else {
                self.files += 1;
            }
        }
    }
}

/// Return why programs of the folder's users cannot use this path, by its owner, group and mode.
fn why_unfit(path: &Path, has: &Metadata, folder: &Metadata) -> Option<String> {
    let shown = path.display();
    if has.is_symlink() {
        return Some(format!("{shown} is a symbolic link, which programs do not follow"));
    }
    let bits = if has.is_dir() { 0o700 } else { 0o600 };
    let is_linked = has.is_file()
        && has.nlink() > 1
        && (has.uid() != folder.uid() || folder.mode() & 0o022 != 0);
    if is_linked {
        return Some(format!(
            "{shown} has another name elsewhere (a hard link), so programs do not use it"
        ));
    }
    // The check makes no exception for the user who created the file: what matters is who can use
    // it.
    let is_owners = owned(has).is_of_use_in(&owned(folder), 0) && has.mode() & bits == bits;
    let for_group =
        has.gid() == folder.gid() && has.mode() & 0o060 == 0o060 || has.mode() & 0o006 == 0o006;
    // A folder in which everybody may write is only for its owner, because programs of others
    // refuse it.
    let is_shared = is_shared_by_group(folder.mode()) && !is_shared_by_all(folder.mode());
    if is_owners && (for_group || !is_shared) {
        return None;
    }
    let names = sharing::names();
    Some(format!(
        "{shown} belongs to {}, with mode {:o}",
        names.user_for_people(has.uid()),
        has.mode() & 0o7777
    ))
}

pub(super) fn files(
    folder: &Path,
    of: &Metadata,
    found: &Found,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    for (path, cause) in &found.unlisted {
        let finding = format!("{} cannot be listed: {cause}", path.display());
        let todo = advice_about(path, folder, cause)
            .unwrap_or_else(|| "check whether the disk is damaged".to_owned());
        findings.say(Health::Warning, "files", &finding, &todo)?;
    }
    let Some((path, why)) = found.unfit.first() else {
        if found.unlisted.is_empty() {
            let who = if is_shared_by_group(of.mode()) {
                "all who share the directory"
            } else {
                "its owner"
            };
            findings.good(
                "files",
                &format!("{}, each of which is for {who} by owner, group and mode", found.files),
            )?;
        }
        return Ok(());
    };
    let more = match found.unfit.len() {
        1 => String::new(),
        n => format!(", and so are {} others in there", n - 1),
    };
    let finding = format!("not for those who use the directory: {why}{more}");
    let todo = path.symlink_metadata().map_or_else(
        |_| String::new(),
        |has| {
            let denied = Denied {
                path: &path.display().to_string(),
                of: owned(&has),
                folder: &folder.display().to_string(),
                place: Place::Ours(owned(of)),
                me: of.uid(),
            };
            match has.is_symlink() || has.nlink() > 1 && has.is_file() {
                true => "put a file or directory of its own in its place".to_owned(),
                false => command_in(&advice(&denied, &sharing::names())),
            }
        },
    );
    findings.say(Health::Broken, "files", &finding, &todo)
}

/// Return the command from a sentence of advice that first names the file's owner.
fn command_in(advice: &str) -> String {
    advice
        .find("Run \"")
        .map_or_else(|| advice.to_owned(), |at| format!("run {}", &advice[at + 4..]))
}

/// Write a file into every folder, make it durable and remove it, with as many bytes as a program
/// writes at its start.
fn write_into(
    folder: &Path,
    folders: &[PathBuf],
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    for each in folders {
        let Err(e) = probe(each, PROBE_BYTES) else { continue };
        let advice = advice_about(each, folder, &e);
        let todo = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room on its disk, or move it to another disk"
            }
            _ => "make it writable for the programs' user, and see that the disk has room",
        };
        let finding = format!("{} cannot be written: {e}", each.display());
        findings.say(Health::Broken, "state", &finding, advice.as_deref().unwrap_or(todo))?;
        return Ok(());
    }
    let who = if geteuid().is_root() { "root" } else { "this user" };
    let finding = format!(
        "{} can be written by {who}: {} KiB went into each of its {} folders, onto the disk, and \
         were removed again",
        folder.display(),
        PROBE_BYTES >> 10,
        folders.len()
    );
    findings.good("state", &finding)
}

fn probe(folder: &Path, bytes: usize) -> io::Result<()> {
    let id = fresh_id().map_err(|e| io::Error::other(e.to_string()))?;
    let path = folder.join(format!(".doctor-{id}"));
    let write = |mut file: File| file.write_all(&vec![0x5a; bytes]).and_then(|()| file.sync_all());
    let written = sharing::new_file(&path).and_then(write);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => written.and(Err(e)),
        _ => written,
    }
}

fn file_system(folder: &Path, findings: &mut Findings<'_>) -> Result<(), Error> {
    let shown = folder.display();
    let Ok(about) = statfs(folder) else {
        return findings.say(Health::Note, "file system", &format!("not known of {shown}"), "");
    };
    if let Some(kind) = refusal(about.filesystem_type().0 as u32) {
        findings.say(
            Health::Broken,
            "file system",
            &format!("{shown} is on {kind}"),
            "choose a state directory on a local disk, with SEATMETER_STATE_DIR or \
             SM_SetStateDirectory",
        )?;
    }
    // Root may use the space that is reserved for it, so a successful write by root does not show
    // that the programs' user has room.
    let left =
        about.blocks_available().saturating_mul(u64::try_from(about.block_size()).unwrap_or(0));
    let has_files = about.files() == 0 || about.files_free() > 0;
    if left >= ROOM_BYTES_MIN && has_files {
        return findings.good("disk", &format!("{} MiB are free for every user", left >> 20));
    }
    let finding = match has_files {
        true => format!("{} KiB are free for users other than root", left >> 10),
        false => "there is no room for another file".to_owned(),
    };
    findings.say(
        Health::Warning,
        "disk",
        &finding,
        "make room on its disk: programs count nothing on a full disk",
    )
}
