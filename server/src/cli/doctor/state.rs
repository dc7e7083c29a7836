//! What the state directory of a device says.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::statfs;
use seatmeter_protocol::file_system::refusal;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::AuthorizationAnswer;
use seatmeter_protocol::segment_layout::read_segment;
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::slot::slot_start;
use seatmeter_protocol::state_frame::{Kind, unframe};
use serde::de::DeserializeOwned;

use super::{Findings, Health, seats};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::utc;

/// What of a device the other examinations need.
pub(super) struct Device {
    /// Keys of the servers that have granted.
    pub(super) server_keys: Vec<PublicKey>,
    /// Until when its programs work without a server, Unix seconds; 0: not at all.
    pub(super) good_until: u64,
}

pub(super) fn examine(folder: &Path, findings: &mut Findings<'_>) -> Result<Device, Error> {
    let mut device = Device { server_keys: Vec::new(), good_until: 0 };
    if !examine_folder(folder, findings)? {
        return Ok(device);
    }
    identity(folder, findings)?;
    for path in files(&folder.join("licenses"), "grant") {
        licence(&path, &mut device, findings)?;
    }
    if device.server_keys.is_empty() {
        findings.say(
            Health::Broken,
            "licence",
            "there is none on this device",
            "run the program while the server can be reached",
        )?;
    }
    for (name, free) in seats::summary(&folder.join("seats")) {
        findings.good("seats", &format!("{name}: {free}"))?;
    }
    usage(&folder.join("usage"), findings)?;
    set_aside(folder, findings)?;
    Ok(device)
}

fn examine_folder(folder: &Path, findings: &mut Findings<'_>) -> Result<bool, Error> {
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(e) => {
            let todo = "name the directory that the programs use with --state-dir, or run a program first";
            findings.say(Health::Broken, "state", &format!("{shown} cannot be looked at: {e}"), todo)?;
            return Ok(false);
        }
    };
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&probe);
    match made.and_then(|_| fs::remove_file(&probe)) {
        Ok(()) => findings.good("state", &format!("{shown} can be written"))?,
        Err(e) => findings.say(
            Health::Broken,
            "state",
            &format!("{shown} cannot be written: {e}"),
            "make it writable for the programs' user, and see that the disk has room",
        )?,
    }
    let file_system = statfs(folder).ok().map(|about| about.filesystem_type().0 as u32);
    if let Some(kind) = file_system.and_then(refusal) {
        findings.say(
            Health::Broken,
            "file system",
            &format!("{shown} is on {kind}"),
            "choose a state directory on a local disk, with SEATMETER_STATE_DIR or SM_SetStateDirectory",
        )?;
    }
    let (mode, owner) = (metadata.permissions().mode() & 0o777, metadata.uid());
    if mode & 0o022 != 0 {
        findings.say(
            Health::Warning,
            "permissions",
            &format!("{shown} belongs to user {owner} and has mode {mode:o}: others may write in it"),
            "chmod 700, unless programs of several users are to share it",
        )?;
    } else {
        findings.good("permissions", &format!("user {owner}, mode {mode:o}"))?;
    }
    Ok(true)
}

/// The content of a framed file; the reason, if it is no such file.
fn content<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<T, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    serde_json::from_slice(unframe(&bytes, kind)?).map_err(|e| e.to_string())
}

fn identity(folder: &Path, findings: &mut Findings<'_>) -> Result<(), Error> {
    match content::<serde_json::Value>(&folder.join("device"), Kind::Device) {
        Ok(device) => {
            let fresh = device["generation"].as_u64().unwrap_or(0);
            let copies = if fresh == 0 { String::new() } else { format!(", a copy of another ({fresh})") };
            findings.good("device", &format!("{}{copies}", device["uuid"].as_str().unwrap_or("?")))?;
        }
        Err(why) => findings.say(
            Health::Warning,
            "device",
            &format!("it has no UUID: {why}"),
            "the next program gives it one; it is then another device than before",
        )?,
    }
    let clock = content::<serde_json::Value>(&folder.join("clock"), Kind::Clock).unwrap_or_default();
    let highest = clock["highest_ms"].as_u64().unwrap_or(0) / 1000;
    if highest > SystemClock.unix_seconds() + DAY {
        let finding = format!("it was {} here already, says the state", utc::text(highest));
        let todo = "set this machine's clock right; the next contact with the server sets the state right";
        findings.say(Health::Warning, "clock", &finding, todo)?;
    }
    Ok(())
}

const DAY: u64 = 86_400;

fn licence(path: &Path, device: &mut Device, findings: &mut Findings<'_>) -> Result<(), Error> {
    let (item, local, key) = match read_grant(path) {
        Ok(grant) => grant,
        Err(why) => {
            let finding = format!("{} cannot be used: {why}", path.display());
            return findings.say(Health::Warning, "licence", &finding, "the next program asks for a new one");
        }
    };
    let now = SystemClock.unix_seconds();
    let seats = if local.seats > 0 { format!(", {} seats", local.seats) } else { String::new() };
    let what = format!("{} (code {}{seats})", local.item_id, local.handshake_code);
    let until = utc::text(local.valid_until);
    device.server_keys.push(key);
    let (health, how, todo) = if now >= item.grace_ends_at() {
        (
            Health::Broken,
            format!("has expired, with its grace, {}", utc::text(item.grace_ends_at())),
            "renew it",
        )
    } else if now >= local.valid_until {
        (Health::Broken, format!("was to be renewed by {until}"), "let a program reach the server")
    } else if now >= item.expires_at {
        (Health::Warning, format!("has expired, and works until {until}"), "renew it")
    } else if now + DAY >= local.valid_until {
        (
            Health::Warning,
            format!("is good until {until} without the server"),
            "let a program reach the server",
        )
    } else {
        (Health::Good, format!("is good until {until} without the server"), "")
    };
    if health != Health::Broken {
        device.good_until = device.good_until.max(local.valid_until);
    }
    findings.say(health, "licence", &format!("{what} {how}"), todo)
}

fn read_grant(path: &Path) -> Result<(LicenseItem, LocalLicense, PublicKey), String> {
    let answer: AuthorizationAnswer = content(path, Kind::Grant)?;
    let file = match content::<PublicKey>(&path.with_extension("root-key"), Kind::RootKey) {
        Ok(root) => answer.license_file.open::<LicenseFile>(&root),
        // A library with a vendor's key built in stores none.
        Err(_) => answer.license_file.peek(),
    };
    let file = file.map_err(|e| format!("the licence file in it is not the vendor's: {e}"))?;
    let local: LocalLicense = answer.local_license.open(&file.server_key).map_err(|e| e.to_string())?;
    let item = file.items.into_iter().find(|item| item.item_id == local.item_id);
    Ok((item.ok_or("it names an item that the vendor did not issue")?, local, file.server_key))
}

fn usage(folder: &Path, findings: &mut Findings<'_>) -> Result<(), Error> {
    let (mut unsent, mut oldest, mut unread) = (0, u32::MAX, 0);
    for path in subfolders(folder).iter().flat_map(|folder| files(folder, "segment")) {
        let Some(counted) = fs::read(path).ok().and_then(|bytes| read_segment(&bytes).ok()) else {
            unread += 1;
            continue;
        };
        for counter in counted.iter().filter(|counter| counter.acknowledged < counter.usage.total) {
            unsent += counter.usage.total - counter.acknowledged;
            oldest = oldest.min(counter.usage.slot);
        }
    }
    if unread > 0 {
        let finding = format!("{unread} files of counts cannot be read by this version");
        findings.say(Health::Warning, "usage", &finding, "run the programs that wrote them once more")?;
    }
    if unsent == 0 {
        return findings.good("usage", "the server has everything");
    }
    let age = SystemClock.unix_seconds().saturating_sub(slot_start(oldest));
    let finding = format!(
        "{unsent} counts are not reported yet, the oldest since {}: they are kept",
        utc::text(slot_start(oldest))
    );
    let (health, todo) = match age {
        0..=3600 => (Health::Good, ""),
        _ => (Health::Warning, "let a program reach the server: it reports for all of them"),
    };
    findings.say(health, "usage", &finding, todo)
}

fn set_aside(folder: &Path, findings: &mut Findings<'_>) -> Result<(), Error> {
    let folders = ["", "licenses", "seats"].map(|name| folder.join(name));
    let usage = subfolders(&folder.join("usage"));
    let is_aside = |path: &PathBuf| path.to_string_lossy().contains(".damaged-");
    let aside: Vec<PathBuf> =
        folders.iter().chain(&usage).flat_map(|folder| entries(folder)).filter(is_aside).collect();
    let Some(first) = aside.first() else { return Ok(()) };
    let finding = format!("{} damaged files were set aside, such as {}", aside.len(), first.display());
    findings.say(Health::Warning, "damage", &finding, "see whether the disk is sound, then delete them")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = entries(folder);
    files.retain(|path| path.extension().is_some_and(|e| e == ending));
    files
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let mut folders = entries(folder);
    folders.retain(|path| path.is_dir());
    folders
}
