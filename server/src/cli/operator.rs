//! The operator's commands. They work on the database, even beside a running server: its locks keep
//! the two apart, and each command is one transaction with its line in the audit log.

use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use seatmeter_protocol::license::LicenseFile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::queries::{self, DeviceList};
use super::{DataOption, OpenData, output_error};
use crate::correction::IssuedCorrection;
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::{Change, CodeItems, Listing, View};
use crate::operator::queries::devices::DeviceMeant;
use crate::operator::secret::Secret;
use crate::operator::{Access, IssuedFile};
use crate::policy::select::access::Validation;

/// The greatest number of bytes read from a file or standard input: a license file with the most
/// items is far smaller.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// The greatest number of bytes read as the answer to a question.
const ANSWER_BYTES_MAX: u64 = 64;

/// An open data directory, for an operator's command.
pub(super) struct Operator {
    pub(super) licensing: Licensing,
    runtime: tokio::runtime::Runtime,
}

impl Operator {
    pub(super) fn open(data: &DataOption) -> Result<Self, Error> {
        data.require_initialized()?;
        let OpenData { store, keys, clock } = data.open()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| Error::Setup(format!("the system gives no runtime: {e}")))?;
        Ok(Self { licensing: Licensing { store, keys, clock }, runtime })
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.runtime.block_on(work)
    }
}

/// Return the author of the commands, for the audit log.
pub(super) fn actor() -> String {
    match nix::unistd::User::from_uid(nix::unistd::Uid::current()) {
        Ok(Some(user)) => format!("command line: {}", user.name),
        _ => format!("command line: uid {}", nix::unistd::Uid::current()),
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Organization {
    /// List licensees
    List(DataOption),
    /// Set the handshake code that an organization uses when it names none
    DefaultCode {
        /// The organization
        organization_id: String,
        /// The code, which must belong to the organization
        handshake_code: String,
        #[command(flatten)]
        data: DataOption,
    },
    /// Delete an organization that has no license files, and its handshake codes
    Delete {
        /// The organization
        organization_id: String,
        #[command(flatten)]
        data: DataOption,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Item {
    /// List license items
    List(DataOption),
    /// Revoke a license item permanently. Devices stop at their next contact
    Revoke {
        /// The item
        item_id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        data: DataOption,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Handshake {
    /// List handshake codes
    List(DataOption),
    /// Make a handshake code
    New(NewCode),
    /// Delete a handshake code that is not the default code of its organization
    Delete {
        /// The code
        handshake_code: String,
        #[command(flatten)]
        data: DataOption,
    },
    /// Set the items of a code
    Items(Items),
    /// Set who may use a code; what is not named is removed
    Access(AccessArguments),
}

#[derive(Args, Debug)]
pub(super) struct NewCode {
    /// The code, for use in an application
    handshake_code: String,
    /// The organization that owns the code
    #[arg(long, value_name = "ID")]
    organization: String,
    #[command(flatten)]
    data: DataOption,
}

#[derive(Args, Debug)]
pub(super) struct Items {
    /// The code
    handshake_code: String,
    /// The ids of the items
    #[arg(required = true)]
    item_ids: Vec<String>,
    /// Use the items in this order, instead of the one that expires soonest first
    #[arg(long)]
    own_order: bool,
    #[command(flatten)]
    data: DataOption,
}

#[derive(Args, Debug)]
pub(super) struct AccessArguments {
    /// The code
    handshake_code: String,
    /// Require a session password, and read it from standard input
    #[arg(long)]
    password: bool,
    /// A website's domain that may use the code; repeat for more
    #[arg(long, value_name = "DOMAIN")]
    website_domain: Vec<String>,
    /// An application's id that may use the code; repeat for more
    #[arg(long, value_name = "ID")]
    application_id: Vec<String>,
    /// The name of an executable file that may use the code; repeat for more
    #[arg(long, value_name = "NAME")]
    process_name: Vec<String>,
    #[command(flatten)]
    data: DataOption,
}

#[derive(Debug, Subcommand)]
pub(super) enum Device {
    /// List devices, by name, UUID, handshake code and state
    List(DeviceList),
    /// End what a device was granted from an item, so that its seats are free
    Release {
        /// The device: its UUID, the beginning of it, or its name
        device: String,
        /// The item
        #[arg(long, value_name = "ID")]
        item: String,
        #[command(flatten)]
        data: DataOption,
    },
    /// Give a device another name
    Rename {
        /// The device: its UUID, the beginning of it, or its name
        device: String,
        /// The new name
        name: String,
        #[command(flatten)]
        data: DataOption,
    },
    /// Take a device out of the lists, and end what it was granted. Its usage stays
    Delete {
        /// The device: its UUID, the beginning of it, or its name
        device: String,
        #[command(flatten)]
        data: DataOption,
    },
}

/// Import a license file, or a correction, that the vendor has signed
#[derive(Args, Debug)]
pub(super) struct ImportArguments {
    /// The file; "-" for standard input
    file: PathBuf,
    /// A handshake code to make for all items of the file. It becomes the default code of an
    /// organization that has none
    #[arg(long, value_name = "CODE")]
    handshake_code: Option<String>,
    /// Make the handshake code the default code, also when there is one
    #[arg(long, requires = "handshake_code")]
    default: bool,
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn organization(command: &Organization, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Organization::List(data) => list(data, View::Organizations, output),
        Organization::DefaultCode { organization_id, handshake_code, data } => {
            let (organization_id, handshake_code) =
                (organization_id.clone(), handshake_code.clone());
            change(data, Change::SetDefaultCode { organization_id, handshake_code })
                .and_then(|()| done(output))
        }
        Organization::Delete { organization_id, data } => {
            let organization_id = organization_id.clone();
            carry_out(data, Change::DeleteOrganization { organization_id }, output)
        }
    }
}

pub(super) fn item(command: &Item, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Item::List(data) => list(data, View::Items, output),
        Item::Revoke { item_id, yes, data } => {
            if !yes {
                require_yes(&format!("Revoke item \"{item_id}\"? No command brings it back"))?;
            }
            carry_out(data, Change::RevokeItem { item_id: item_id.clone() }, output)
        }
    }
}

/// Ask on standard error whether a change is meant, and read the answer from standard input.
fn require_yes(question: &str) -> Result<(), Error> {
    // Without standard error, the question is not seen, and is not answered with yes.
    let _ = write!(std::io::stderr(), "{question} [yes/no] ");
    let mut answer = String::new();
    let read = std::io::BufReader::new(std::io::stdin().take(ANSWER_BYTES_MAX))
        .read_line(&mut answer)
        .map_err(|e| Error::Setup(format!("the answer cannot be read: {e}.")))?;
    if read > 0 && answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Error::Setup("nothing was changed. Answer \"yes\", or add --yes.".to_owned()))
}

pub(super) fn handshake(command: &Handshake, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Handshake::List(data) => list(data, View::Codes, output),
        Handshake::New(NewCode { handshake_code, organization, data }) => {
            let operator = Operator::open(data)?;
            let (code, owner) = (handshake_code.clone(), organization.clone());
            operator.wait(operator.licensing.make_code(code, owner, &actor()))?;
            done(output)
        }
        Handshake::Delete { handshake_code, data } => {
            let handshake_code = handshake_code.clone();
            carry_out(data, Change::DeleteCode { handshake_code }, output)
        }
        Handshake::Items(Items { handshake_code, item_ids, own_order, data }) => {
            let operator = Operator::open(data)?;
            let items = CodeItems { item_ids: item_ids.clone(), own_order: *own_order };
            operator.wait(operator.licensing.set_items(handshake_code.clone(), items, &actor()))?;
            done(output)
        }
        Handshake::Access(arguments) => access(arguments, output),
    }
}

fn access(arguments: &AccessArguments, output: &mut dyn Write) -> Result<(), Error> {
    let operator = Operator::open(&arguments.data)?;
    let session_password = match arguments.password {
        true => Some(read_text(Path::new("-"))?.trim_end_matches(['\r', '\n']).to_owned()),
        false => None,
    };
    let validation = Validation {
        website_domains: arguments.website_domain.clone(),
        application_ids: arguments.application_id.clone(),
        process_names: arguments.process_name.clone(),
    };
    let access = Access { session_password: session_password.map(Secret::from), validation };
    operator.wait(operator.licensing.set_access(
        arguments.handshake_code.clone(),
        access,
        &actor(),
    ))?;
    done(output)
}

pub(super) fn device(command: &Device, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Device::List(list) => queries::devices(list, output),
        Device::Release { device, item, data } => {
            let (item_id, device_uuid) = (item.clone(), meant(data, device)?);
            carry_out(data, Change::ReleaseDevice { item_id, device_uuid }, output)
        }
        Device::Rename { device, name, data } => {
            let (device_uuid, name) = (meant(data, device)?, name.clone());
            let operator = Operator::open(data)?;
            operator.wait(operator.licensing.rename_device(device_uuid, name, &actor()))?;
            done(output)
        }
        Device::Delete { device, data } => {
            let device_uuid = meant(data, device)?;
            carry_out(data, Change::DeleteDevice { device_uuid }, output)
        }
    }
}

/// Return the UUID of the device that a person means.
fn meant(data: &DataOption, device: &str) -> Result<String, Error> {
    // A whole UUID needs no look-up, and the change says whether it is known.
    if device.len() == 32 && device.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(device.to_owned());
    }
    queries::answer(data, &DeviceMeant(device.to_owned()))
}

pub(super) fn epochs(data: &DataOption, output: &mut dyn Write) -> Result<(), Error> {
    list(data, View::Epochs, output)
}

pub(super) fn import(arguments: &ImportArguments, output: &mut dyn Write) -> Result<(), Error> {
    let text = read_text(&arguments.file)?;
    if let Ok(issued) = serde_json::from_str::<IssuedCorrection>(&text) {
        if arguments.handshake_code.is_some() {
            return Err(Error::Setup(format!(
                "{} is a correction, which has no items for a handshake code: leave out \
                 --handshake-code.",
                arguments.file.display()
            )));
        }
        let operator = Operator::open(&arguments.data)?;
        operator.wait(operator.licensing.correct(issued, &actor()))?;
        return done(output);
    }
    let issued = understand_issued(&arguments.file, &text)?;
    let operator = Operator::open(&arguments.data)?;
    let (code, default) = (arguments.handshake_code.clone(), arguments.default);
    let imported =
        operator.wait(operator.licensing.import_issued(issued, code, default, &actor()))?;
    if let Some(code) = &imported.handshake_code {
        let is_default = imported.default_handshake_code.as_ref() == Some(code);
        let of = if is_default { ", the default code of its organization" } else { "" };
        writeln!(output, "made handshake code {code}{of}").map_err(output_error)?;
    }
    for warning in &imported.warnings {
        writeln!(output, "warning: {warning}").map_err(output_error)?;
    }
    done(output)
}

/// Carry out a change that needs no check of its own.
pub(super) fn change(data: &DataOption, change: Change) -> Result<(), Error> {
    let operator = Operator::open(data)?;
    operator.wait(operator.licensing.change(change, &actor()))
}

pub(super) fn carry_out(
    data: &DataOption,
    wanted: Change,
    output: &mut dyn Write,
) -> Result<(), Error> {
    change(data, wanted)?;
    done(output)
}

/// Write a whole list.
pub(super) fn list(data: &DataOption, view: View, output: &mut dyn Write) -> Result<(), Error> {
    write_json(&read_all(data, view)?, output)
}

/// Return a whole list, however many parts it has.
pub(super) fn read_all(data: &DataOption, view: View) -> Result<Listing, Error> {
    let operator = Operator::open(data)?;
    let look = |view: &View| operator.wait(operator.licensing.look(view.clone()));
    let mut listing = look(&view)?;
    let mut rest = listing.rest(&view);
    while let Some(view) = rest {
        let part = look(&view)?;
        rest = part.rest(&view);
        listing.append(part);
    }
    Ok(listing)
}

pub(super) fn done(output: &mut dyn Write) -> Result<(), Error> {
    writeln!(output, "done").map_err(output_error)
}

/// Write JSON in a form that people can read, too.
pub(super) fn write_json(value: &impl Serialize, output: &mut dyn Write) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Internal(format!("something has no JSON form: {e}")))?;
    writeln!(output, "{text}").map_err(output_error)
}

/// Read a draft of a license file, in which every setting is known.
pub(super) fn read_draft(path: &Path) -> Result<LicenseFile, Error> {
    let text = read_text(path)?;
    let is_signed = ("root_key", " It is signed already.");
    let written: Value = understand(path, &text, is_signed)?;
    // A signed file has other names, and is reported as a signed file below.
    if written.get(is_signed.0).is_none() {
        super::draft::require_known(&written)
            .map_err(|why| Error::Setup(format!("{} cannot be signed: {why}.", path.display())))?;
    }
    parsed(path, &text, is_signed, LicenseFile::from_draft)
}

/// Read a license file that the vendor has signed.
pub(super) fn read_issued(path: &Path) -> Result<IssuedFile, Error> {
    understand_issued(path, &read_text(path)?)
}

/// Read the content of a license file: of a signed one, of what "license-file show" has written of
/// it, or of a draft.
pub(super) fn read_license(path: &Path) -> Result<LicenseFile, Error> {
    let text = read_text(path)?;
    if let Ok(IssuedFile { root_key, license_file }) = serde_json::from_str(&text) {
        return license_file
            .open(&root_key)
            .map_err(|e| Error::Setup(format!("{} cannot be trusted: {e}.", path.display())));
    }
    // Below what is shown of a signed file stands a line about its signature.
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let first = values.next().and_then(Result::ok).map(|written| written.to_string());
    let text = first.unwrap_or(text);
    let is_signed = ("root_key", " It is a signed file with a damaged envelope.");
    let written: Value = understand(path, &text, is_signed)?;
    super::draft::require_known(&written)
        .map_err(|why| Error::Setup(format!("{} cannot be renewed: {why}.", path.display())))?;
    parsed(path, &text, is_signed, LicenseFile::from_draft)
}

fn understand_issued(path: &Path, text: &str) -> Result<IssuedFile, Error> {
    let is_draft = ("items", " It is a draft: \"seatmeterd license-file sign\" signs it.");
    understand(path, text, is_draft)
}

/// Read a file of JSON.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    understand(path, &read_text(path)?, ("", ""))
}

/// Parse a text as the JSON that is expected there. Drafts and signed files are easily confused: a
/// text with this field is the other kind.
fn understand<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    other: (&str, &str),
) -> Result<T, Error> {
    parsed(path, text, other, |text| serde_json::from_str(text))
}

fn parsed<T>(
    path: &Path,
    text: &str,
    (field, hint): (&str, &str),
    parse: impl FnOnce(&str) -> serde_json::Result<T>,
) -> Result<T, Error> {
    // Some editors put a byte order mark before the text.
    let text = text.trim_start_matches('\u{feff}');
    parse(text).map_err(|e| {
        let is_other =
            serde_json::from_str::<Value>(text).is_ok_and(|written| written.get(field).is_some());
        let hint = if is_other { hint } else { "" };
        Error::Setup(format!("{} is not what is expected here: {e}.{hint}", path.display()))
    })
}

fn read_text(path: &Path) -> Result<String, Error> {
    let cannot = |e: std::io::Error| Error::Setup(format!("cannot read {}: {e}.", path.display()));
    let mut text = String::new();
    open(path)
        .and_then(|source| source.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(cannot)?;
    Ok(text)
}

/// Open a file to read, or standard input when the path is "-".
pub(super) fn open(path: &Path) -> std::io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    Ok(Box::new(std::fs::File::open(path)?))
}
