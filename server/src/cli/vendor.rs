//! The vendor's commands: the root key, and license files signed with it. They need no server and
//! no data directory.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseFile, LicenseItem, PRODUCTS_ALL};
use seatmeter_protocol::page_module::PAGE_MODULES;
use seatmeter_protocol::signature::{PublicKey, SignatureError, Signed};

use super::license_settings::Settings;
use super::operator::{ImportArguments, read_draft, read_issued, write_json};
use super::renew::RenewArguments;
use super::{output_error, signed_export};
use crate::clock::{Clock, SystemClock};
use crate::correction::{self, Correction, IssuedCorrection};
use crate::data_dir;
use crate::error::Error;
use crate::licensing::require_sound;
use crate::operator::IssuedFile;
use crate::random::fresh_id;

#[derive(Debug, Subcommand)]
pub(super) enum Vendor {
    /// Make a root key, or show the public half of an existing one
    Keygen {
        /// File of the secret key
        #[arg(long, value_name = "FILE", default_value = "vendor.key")]
        key: PathBuf,
    },
    Correct(CorrectArguments),
    VerifyExport(signed_export::VerifyArguments),
}

/// Sign a correction of what is used of an item, for a total that cannot be right
///
/// The operator imports it with "seatmeterd license-file import". The recorded usage stays. Later
/// reports add to the corrected total.
#[derive(Args, Debug)]
pub(super) struct CorrectArguments {
    /// The id of the licensee
    #[arg(long, value_name = "ID")]
    organization: String,
    /// The id of the item
    #[arg(long, value_name = "ID")]
    item: String,
    /// The module of pages: core, webcam, pdfr or ocr; without it, scans
    #[arg(long, value_name = "MODULE", value_parser = page_module)]
    module: Option<u32>,
    /// What is used of the item from now on
    #[arg(long, value_name = "N")]
    used: u64,
    /// The reason, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// File of the vendor's secret key
    #[arg(long, value_name = "FILE", default_value = "vendor.key")]
    key: PathBuf,
}

fn page_module(name: &str) -> Result<u32, String> {
    let known = PAGE_MODULES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    known.map(|(_, number)| *number).ok_or_else(|| "write core, webcam, pdfr or ocr".to_owned())
}

fn correct(arguments: &CorrectArguments, output: &mut dyn Write) -> Result<(), Error> {
    let correction = Correction {
        version: DOCUMENT_VERSION,
        correction_id: format!("correction-{}", fresh_id()?),
        organization_id: arguments.organization.clone(),
        item_id: arguments.item.clone(),
        module: arguments.module.unwrap_or(0),
        used: arguments.used,
        reason: arguments.reason.clone(),
        issued_at: SystemClock.unix_seconds(),
    };
    correction::require_sound(&correction)
        .map_err(|why| Error::Setup(format!("such a correction makes no sense: {why}.")))?;
    let key = data_dir::read_key(&arguments.key)?;
    let signed = Signed::seal(&correction, &key).map_err(|e| Error::Internal(e.to_string()))?;
    write_json(&IssuedCorrection { root_key: key.public().clone(), correction: signed }, output)
}

#[derive(Debug, Subcommand)]
pub(super) enum LicenseFileCommand {
    New(Box<NewArguments>),
    /// Sign a draft
    Sign {
        /// The draft; "-" for standard input
        draft: PathBuf,
        /// File of the vendor's secret key
        #[arg(long, value_name = "FILE", default_value = "vendor.key")]
        key: PathBuf,
    },
    /// Show the content of a signed file, and whether its signature is right
    Show {
        /// The file; "-" for standard input
        file: PathBuf,
        /// Write only the content, as JSON that can be changed and signed again
        #[arg(long)]
        json: bool,
    },
    Renew(Box<RenewArguments>),
    Import(ImportArguments),
}

/// Write a draft with one item to standard output. Edit it, add items, and sign it
#[derive(Args, Debug)]
pub(super) struct NewArguments {
    /// The id of the licensee
    #[arg(long, value_name = "ID")]
    organization: String,
    /// The name of the licensee
    #[arg(long, value_name = "NAME")]
    organization_name: Option<String>,
    /// Public key of the license server, as "seatmeterd key show" shows it
    #[arg(long, value_name = "HEX")]
    server_key: PublicKey,
    /// The charge way of the item
    #[arg(long, value_enum)]
    charge_way: ChargeWay,
    #[command(flatten)]
    settings: Settings,
}

/// The days for which a new item is valid, unless the vendor says otherwise.
const DAYS: u64 = 365;

pub(super) fn vendor(command: &Vendor, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Vendor::Keygen { key } => keygen(key, output),
        Vendor::Correct(arguments) => correct(arguments, output),
        Vendor::VerifyExport(arguments) => signed_export::verify(arguments, output),
    }
}

fn keygen(path: &Path, output: &mut dyn Write) -> Result<(), Error> {
    let (key, new) = data_dir::read_or_make_key(path)?;
    let how = if new { "made  " } else { "exists" };
    writeln!(
        output,
        "{how} {}: keep it secret, and a copy of it safe\nroot key {}",
        path.display(),
        key.public()
    )
    .map_err(output_error)
}

pub(super) fn license_file(
    command: &LicenseFileCommand,
    output: &mut dyn Write,
) -> Result<(), Error> {
    match command {
        LicenseFileCommand::New(arguments) => write_json(&draft(arguments)?, output),
        LicenseFileCommand::Sign { draft, key } => {
            let file = read_draft(draft)?;
            require_sound(&file)
                .and_then(|()| super::draft::check(&file, SystemClock.unix_seconds()))
                .map_err(|why| {
                    Error::Setup(format!("{} cannot be signed: {why}.", draft.display()))
                })?;
            let key = data_dir::read_key(key)?;
            let license_file =
                Signed::seal(&file, &key).map_err(|e| Error::Internal(e.to_string()))?;
            write_json(&IssuedFile { root_key: key.public().clone(), license_file }, output)
        }
        LicenseFileCommand::Show { file, json } => show(&read_issued(file)?, *json, output),
        LicenseFileCommand::Renew(arguments) => super::renew::run(arguments, output),
        LicenseFileCommand::Import(arguments) => super::operator::import(arguments, output),
    }
}

fn draft(arguments: &NewArguments) -> Result<LicenseFile, Error> {
    let now = SystemClock.unix_seconds();
    let item_id = format!("item-{}", fresh_id()?);
    let until = now + DAYS * DAY_SECONDS;
    let mut item = LicenseItem::new(&item_id, arguments.charge_way, 0, now, until);
    item.deployment_types = arguments.charge_way.usual_deployment_types().to_vec();
    item.products = PRODUCTS_ALL;
    arguments.settings.apply(&mut item, now)?;
    let name = arguments.organization_name.as_ref().unwrap_or(&arguments.organization);
    let file = LicenseFile {
        version: DOCUMENT_VERSION,
        file_id: format!("file-{}", fresh_id()?),
        organization_id: arguments.organization.clone(),
        organization_name: name.clone(),
        server_key: arguments.server_key.clone(),
        issued_at: now,
        items: vec![item],
        unknown_items: Vec::new(),
    };
    require_sound(&file)
        .map_err(|why| Error::Setup(format!("such a license file makes no sense: {why}.")))?;
    Ok(file)
}

fn show(issued: &IssuedFile, is_alone: bool, output: &mut dyn Write) -> Result<(), Error> {
    let unreadable = |e: SignatureError| {
        Error::Setup(format!("the file cannot be trusted: {e}. Ask your vendor for it again."))
    };
    let file: LicenseFile = issued.license_file.open(&issued.root_key).map_err(unreadable)?;
    write_json(&file, output)?;
    if is_alone {
        return Ok(());
    }
    writeln!(
        output,
        "signed by root key {} (id {}), for the server with key id {}",
        issued.root_key,
        issued.root_key.id(),
        file.server_key.id()
    )
    .map_err(output_error)
}
