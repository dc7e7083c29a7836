//! The doctor's check of a device's files. A file that this user may not read is reported as such,
//! and never counts as good.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use seatmeter_protocol::built_in::{BuiltIn, root_keys};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::{AuthorizationAnswer, MeterState, Metered, ProblemNumbers};
use seatmeter_protocol::segment_layout::read_segment;
use seatmeter_protocol::signature::{PublicKey, Signed};
use seatmeter_protocol::slot::slot_start;
use seatmeter_protocol::state_frame::{Kind, unframe};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Findings, Health, clock, command_words, seats};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::named_file::read_named;
use crate::sharing::advice_around;
use crate::utc;

/// The greatest number of bytes of a file that is read. The library's largest files are archives
/// of 8 MiB.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;

/// The data of a device that the other checks need.
#[derive(Default)]
pub(super) struct Device {
    /// The UUID of the device, if it has one that can be read.
    pub(super) uuid: Option<String>,
    /// The seed of the device's key; empty if it cannot be read.
    pub(super) key_seed: String,
    /// The licenses of the device.
    pub(super) licenses: Vec<Held>,
    /// The keys of the servers that have granted licenses.
    pub(super) server_keys: Vec<PublicKey>,
    /// The epoch in which each of these servers has acknowledged counts, by the id of its key.
    pub(super) epochs: HashMap<String, String>,
    /// The end of the time for which programs work without a server, Unix seconds; 0 when they do
    /// not.
    pub(super) good_until: u64,
    /// The number of seconds by which the programs' time is ahead of this machine's clock, if a
    /// server has set it.
    pub(super) programs_ahead: Option<i64>,
}

/// A license that the device holds.
pub(super) struct Held {
    /// The name of the scope of requests to which the license belongs.
    pub(super) scope: String,
    /// The license as the server has signed it.
    pub(super) signed: Signed,
    pub(super) local: LocalLicense,
    pub(super) item: LicenseItem,
    pub(super) server_key: PublicKey,
}

/// The reason why the content of a file is not known.
pub(super) enum Unread {
    Missing,
    /// The file could not be read: the finding, and what to do.
    Denied(String, String),
    /// The content is not what it should be, for this reason.
    Unfit(String),
}

impl Unread {
    fn from(path: &Path, cause: &io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            // Programs set it aside.
            io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
                Self::Unfit(cause.to_string())
            }
            _ => {
                let other = "check as a user who may read it";
                let advice = advice_around(path, cause).unwrap_or_else(|| other.to_owned());
                Self::Denied(format!("{} cannot be read: {cause}", path.display()), advice)
            }
        }
    }
}

pub(super) fn examine(
    folder: &Path,
    library: Option<&BuiltIn>,
    findings: &mut Findings<'_>,
) -> Result<Device, Error> {
    let mut device = Device::default();
    let former = identity(folder, &mut device, findings)?;
    device.programs_ahead = clock::examine(folder, findings)?;
    let grants = list(&folder.join("licenses"), "grant", "license", findings)?;
    for path in grants.iter().flatten() {
        license(path, library, &former, &mut device, findings)?;
    }
    if device.server_keys.is_empty() && grants.is_some() {
        findings.say(
            Health::Broken,
            "license",
            "there is none on this device that can be used",
            "run the program while the server can be reached",
        )?;
    }
    for (name, found) in seats::summary(&folder.join("seats")) {
        match found {
            Ok(free) => findings.good("seats", &format!("{name}: {free}"))?,
            Err(why) => {
                let finding = format!("{name}: who holds them is not known: {why}");
                findings.say(
                    Health::Warning,
                    "seats",
                    &finding,
                    &format!("{} seats says more", command_words()),
                )?;
            }
        }
    }
    usage(&folder.join("usage"), &mut device, findings)?;
    set_aside(folder, findings)?;
    Ok(device)
}

/// Return the files with this ending; `None`, with a finding, where the folder cannot be listed. A
/// missing folder has no files.
fn list(
    folder: &Path,
    ending: &str,
    what: &str,
    findings: &mut Findings<'_>,
) -> Result<Option<Vec<PathBuf>>, Error> {
    match entries(folder) {
        Ok(mut files) => {
            files.retain(|path| path.extension().is_some_and(|e| e == ending));
            Ok(Some(files))
        }
        Err(e) => match Unread::from(folder, &e) {
            Unread::Denied(finding, todo) => {
                findings.say(Health::Warning, what, &finding, &todo).map(|()| None)
            }
            _ => Ok(Some(Vec::new())),
        },
    }
}

/// Return the content of a framed file.
pub(super) fn content<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<T, Unread> {
    let bytes = read_named(path, FILE_BYTES_MAX).map_err(|e| Unread::from(path, &e))?;
    let json = unframe(&bytes, kind).map_err(Unread::Unfit)?;
    serde_json::from_slice(json).map_err(|e| Unread::Unfit(e.to_string()))
}

/// The identity of the device, now and formerly, as in the file.
#[derive(Deserialize)]
struct Identity {
    uuid: String,
    /// The seed of the device's key.
    #[serde(default)]
    key: String,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    former: Vec<Former>,
}

/// A UUID that the device had before.
#[derive(Deserialize)]
struct Former {
    uuid: String,
}

/// Report the identity of the device. Return its former UUIDs.
fn identity(
    folder: &Path,
    device: &mut Device,
    findings: &mut Findings<'_>,
) -> Result<Vec<String>, Error> {
    let mut former = Vec::new();
    match content::<Identity>(&folder.join("device"), Kind::Device) {
        Ok(found) => {
            let copies = match found.generation {
                0 => String::new(),
                fresh => format!(", a copy of another ({fresh})"),
            };
            findings.good("device", &format!("{}{copies}", found.uuid))?;
            device.key_seed = found.key;
            former = found.former.into_iter().map(|former| former.uuid).collect();
            device.uuid = Some(found.uuid);
        }
        Err(Unread::Denied(finding, todo)) => {
            findings.say(Health::Warning, "device", &finding, &todo)?
        }
        Err(Unread::Missing) => findings.say(
            Health::Warning,
            "device",
            "it has no UUID: no program has been licensed here, or its file was removed",
            "the next program gives it one; if it had one before, it is then another device",
        )?,
        Err(Unread::Unfit(why)) => findings.say(
            Health::Warning,
            "device",
            &format!("it has no UUID: {why}"),
            "the next program gives it one; it is then another device than before",
        )?,
    }
    Ok(former)
}

const DAY: u64 = 86_400;

fn license(
    path: &Path,
    library: Option<&BuiltIn>,
    former: &[String],
    device: &mut Device,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    let (held, root) = match read_grant(path, library) {
        Ok(grant) => grant,
        Err(Unread::Denied(finding, todo)) => {
            return findings.say(Health::Warning, "license", &finding, &todo);
        }
        Err(Unread::Missing) => return Ok(()),
        Err(Unread::Unfit(why)) => {
            let finding = format!("{} cannot be used: {why}", path.display());
            return findings.say(
                Health::Warning,
                "license",
                &finding,
                "the next program asks for a new one",
            );
        }
    };
    let local = &held.local;
    let seats = if local.seats > 0 { format!(", {} seats", local.seats) } else { String::new() };
    let what = format!("{} (code {}{seats})", local.item_id, local.handshake_code);
    let is_own = device.uuid.iter().chain(former).any(|uuid| *uuid == local.device_uuid);
    if device.uuid.is_some() && !is_own {
        let finding = format!("{what} is for another device, {}", local.device_uuid);
        let todo = "programs do not use it, and ask for one of their own; put the device's file \
            back if it was removed";
        return findings.say(Health::Broken, "license", &finding, todo);
    }
    let (health, how, todo) = validity(&held.item, local);
    let signed = root.map_or_else(
        || "; whether its vendor has signed it was not checked".to_owned(),
        |root| format!(", under {root}"),
    );
    findings.say(health, "license", &format!("{what} {how}{signed}"), todo)?;
    let is_refused = told(path, &held, &what, findings)?;
    if health != Health::Broken && !is_refused {
        device.good_until = device.good_until.max(local.valid_until);
    }
    device.server_keys.push(held.server_key.clone());
    device.licenses.push(held);
    Ok(())
}

fn validity(item: &LicenseItem, local: &LocalLicense) -> (Health, String, &'static str) {
    let now = SystemClock.unix_seconds();
    let until = utc::text(local.valid_until);
    if now >= item.grace_ends_at() {
        let how = format!("has expired, with its grace, {}", utc::text(item.grace_ends_at()));
        (Health::Broken, how, "renew it")
    } else if now >= local.valid_until {
        (Health::Broken, format!("was to be renewed by {until}"), "let a program reach the server")
    } else if now >= item.expires_at {
        (Health::Warning, format!("has expired, and works until {until}"), "renew it")
    } else if now + DAY >= local.valid_until {
        let how = format!("is good until {until} without the server");
        (Health::Warning, how, "let a program reach the server")
    } else {
        (Health::Good, format!("is good until {until} without the server"), "")
    }
}

/// The server notice: what a server has said about a license since it granted it. Fields that are
/// not listed here do not matter to the doctor.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ServerNotice {
    at: u64,
    meters: Vec<seatmeter_protocol::message::Meter>,
    refusal: Option<ErrorCode>,
    refused_because: String,
    refused_with: Option<ProblemNumbers>,
    /// The name of the license that the notice is about.
    grant_name: String,
    license_id: String,
}

/// Report a refusal with its code and its sentence. Return whether programs do not work under the
/// license until a server answers: because of a refusal, because the scans are used up, or because
/// the notice is lost.
fn told(grant: &Path, held: &Held, what: &str, findings: &mut Findings<'_>) -> Result<bool, Error> {
    let path = grant.with_extension("notice");
    let is_about = |told: &ServerNotice| {
        told.grant_name == held.scope && told.license_id == held.local.license_id
    };
    let told = match content::<ServerNotice>(&path, Kind::ServerNotice) {
        Ok(told) if is_about(&told) => Ok(told),
        Ok(_) => Err(Unread::Unfit("it is about another license".to_owned())),
        Err(why) => Err(why),
    };
    let told = match told {
        Ok(told) => told,
        Err(why) => {
            // Programs use no grant without its notice. What is only denied to the doctor is there.
            let is_lost = !matches!(why, Unread::Denied(..));
            let (finding, todo) = match why {
                Unread::Denied(finding, todo) => (finding, todo),
                Unread::Missing => (format!("{} is missing", path.display()), String::new()),
                Unread::Unfit(why) => {
                    (format!("{} cannot be used: {why}", path.display()), String::new())
                }
            };
            let finding = format!(
                "it is not known what the server has said about {what} since then: \
                {finding}"
            );
            let todo = if todo.is_empty() {
                "let a program reach the server: it says it again"
            } else {
                &todo
            };
            return findings.say(Health::Warning, "refusal", &finding, todo).map(|()| is_lost);
        }
    };
    let since = utc::text(told.at);
    if let Some(code) = told.refusal {
        let finding = format!(
            "the server refuses {what} with {code} since {since}: {}",
            told.refused_because
        );
        let numbers = told.refused_with.map_or_else(String::new, |n| numbers(&n));
        let todo = "do what the sentence says, then let a program reach the server";
        return findings
            .say(Health::Broken, "refusal", &format!("{finding}{numbers}"), todo)
            .map(|()| true);
    }
    let gone: Vec<_> =
        told.meters.iter().filter(|meter| meter.state == MeterState::UsedUp).collect();
    for meter in &gone {
        let module = if meter.module > 0 {
            format!(" of page module {}", meter.module)
        } else {
            String::new()
        };
        let finding = format!(
            "{what} is used up ({}), says the server at {since}: {} of {} and {} of grace{module}",
            ErrorCode::USED_UP,
            meter.used,
            meter.quota,
            meter.grace
        );
        let todo = "ask the vendor for more, then let a program reach the server";
        findings.say(Health::Broken, "refusal", &finding, todo)?;
    }
    if gone.is_empty() {
        findings
            .good("refusal", &format!("none for {what}, by the server's last answer at {since}"))?;
    }
    Ok(gone.iter().any(|meter| meter.of == Metered::Scans))
}

/// Return the numbers behind a refusal.
pub(super) fn numbers(of: &ProblemNumbers) -> String {
    if of.quota == 0 && of.used == 0 {
        return String::new();
    }
    let next = of
        .next_free_at
        .map_or_else(String::new, |at| format!(", the next is free {}", utc::text(at)));
    format!(" ({} in use of {}, grace {}{next})", of.used, of.quota, of.grace)
}

/// Return a license, and in words the root key under which it was verified to be the vendor's.
fn read_grant(path: &Path, library: Option<&BuiltIn>) -> Result<(Held, Option<String>), Unread> {
    let answer: AuthorizationAnswer = content(path, Kind::Grant)?;
    let unfit = |why: String| Unread::Unfit(why);
    let built_in =
        library.and_then(|library| root_keys(&library.root_key).ok()).unwrap_or_default();
    let signer = built_in.iter().find(|key| key.id() == answer.license_file.key_id);
    let root = match signer.or(built_in.first()) {
        Some(built_in) => Some((built_in.clone(), "that is built into the library")),
        // A library with a vendor's key built in stores no root key.
        None => match content::<PublicKey>(&path.with_extension("root-key"), Kind::RootKey) {
            Ok(stored) => Some((stored, "that came with the first answer")),
            Err(Unread::Missing) => None,
            Err(Unread::Unfit(why)) => {
                return Err(unfit(format!("the root key beside it is damaged: {why}")));
            }
            Err(denied) => return Err(denied),
        },
    };
    let file = match &root {
        Some((root, _)) => answer.license_file.open::<LicenseFile>(root),
        None => answer.license_file.peek(),
    };
    let file =
        file.map_err(|e| unfit(format!("the license file in it is not the vendor's: {e}")))?;
    let local: LocalLicense =
        answer.local_license.open(&file.server_key).map_err(|e| unfit(e.to_string()))?;
    let item = file.items.into_iter().find(|item| item.item_id == local.item_id);
    let item =
        item.ok_or_else(|| unfit("it names an item that the vendor did not issue".to_owned()))?;
    let scope = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let held =
        Held { scope, signed: answer.local_license, local, item, server_key: file.server_key };
    Ok((held, root.map(|(root, whose)| format!("root key {} {whose}", root.id()))))
}

/// The counts that no server has acknowledged.
#[derive(Default)]
pub(super) struct Unsent {
    pub(super) counts: u64,
    /// The slot of the oldest count.
    pub(super) oldest: u32,
    pub(super) files: usize,
    /// The number of files that this version cannot read.
    pub(super) unread: usize,
    /// The first path that could not be read, and what to do.
    pub(super) denied: Option<(String, String)>,
}

impl Unsent {
    pub(super) fn in_usage(usage: &Path) -> Self {
        let mut found = Self { oldest: u32::MAX, ..Self::default() };
        match entries(usage) {
            Ok(folders) => {
                folders.iter().filter(|path| path.is_dir()).for_each(|folder| found.add(folder))
            }
            Err(e) => found.deny(usage, &e),
        }
        found
    }

    fn add(&mut self, folder: &Path) {
        let files = match entries(folder) {
            Ok(files) => files,
            Err(e) => return self.deny(folder, &e),
        };
        for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "segment")) {
            let bytes = match read_named(path, FILE_BYTES_MAX) {
                Ok(bytes) => bytes,
                // The file is no segment: programs set it aside.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => Vec::new(),
                Err(e) => {
                    self.deny(path, &e);
                    continue;
                }
            };
            self.files += 1;
            let Ok(counted) = read_segment(&bytes) else {
                self.unread += 1;
                continue;
            };
            for counter in
                counted.iter().filter(|counter| counter.acknowledged < counter.usage.total)
            {
                self.counts += counter.usage.total - counter.acknowledged;
                self.oldest = self.oldest.min(counter.usage.slot);
            }
        }
    }

    fn deny(&mut self, path: &Path, cause: &io::Error) {
        if let Unread::Denied(finding, todo) = Unread::from(path, cause) {
            self.denied.get_or_insert((finding, todo));
        }
    }
}

fn usage(folder: &Path, device: &mut Device, findings: &mut Findings<'_>) -> Result<(), Error> {
    for name in entries(folder).unwrap_or_default() {
        for path in entries(&name).unwrap_or_default() {
            let key = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_prefix("epoch-"));
            if let (Some(key), Ok(epoch)) = (key, content::<String>(&path, Kind::Epoch)) {
                device.epochs.insert(key.to_owned(), epoch);
            }
        }
    }
    let Unsent { counts: unsent, oldest, files, unread, denied } = Unsent::in_usage(folder);
    let is_whole = denied.is_none() && unread == 0;
    if let Some((finding, todo)) = denied {
        let finding = format!("{finding}: counts in it are reported by a program that may read it");
        findings.say(Health::Warning, "usage", &finding, &todo)?;
    }
    if unread > 0 {
        let finding = format!("{unread} files of counts cannot be read by this version");
        findings.say(
            Health::Warning,
            "usage",
            &finding,
            "run the programs that wrote them once more",
        )?;
    }
    if unsent == 0 {
        return match (is_whole, files) {
            (true, 0) => findings.good("usage", "no counts wait to be reported"),
            (true, _) => findings
                .good("usage", &format!("the server has acknowledged all counts of {files} files")),
            (false, _) => Ok(()),
        };
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
    let mut folders = ["", "licenses", "seats"].map(|name| folder.join(name)).to_vec();
    folders.extend(entries(&folder.join("usage")).unwrap_or_default());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(".damaged-") || name.contains(".pool.aside-")
    };
    // Folders that cannot be listed were reported already.
    let listed = folders.iter().flat_map(|folder| entries(folder).unwrap_or_default());
    let aside: Vec<PathBuf> = listed.filter(is_aside).collect();
    let Some(first) = aside.first() else { return Ok(()) };
    let finding =
        format!("{} damaged files were set aside, such as {}", aside.len(), first.display());
    findings.say(
        Health::Warning,
        "damage",
        &finding,
        "check whether the disk is damaged, then delete them",
    )
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}
