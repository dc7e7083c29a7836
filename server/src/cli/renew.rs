//! The command `seatmeterd license-file renew`: the next issue of a license file.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::signature::Signed;

use super::license_settings::Settings;
use super::operator::{read_license, write_json};
use super::output_error;
use crate::clock::{Clock, SystemClock};
use crate::data_dir;
use crate::error::Error;
use crate::licensing::require_sound;
use crate::operator::IssuedFile;

/// Write the next issue of a license file: with another end, quota or other settings
///
/// The file may be a signed one, what "license-file show" has written of it, or a draft. The result
/// is a draft, or with --key a signed file. The operator imports it; what was used stays.
#[derive(Args, Debug)]
pub(super) struct RenewArguments {
    /// The file; "-" for standard input
    file: PathBuf,
    /// The item to change. Without it, all items get another end; other settings need a file with
    /// one item
    #[arg(long, value_name = "ID")]
    item: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Sign the result with the vendor's secret key in this file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Write the result into this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &RenewArguments, output: &mut dyn Write) -> Result<(), Error> {
    let now = SystemClock.unix_seconds();
    let file = renewed(arguments, read_license(&arguments.file)?, now)?;
    let mut text = Vec::new();
    match &arguments.key {
        None => write_json(&file, &mut text)?,
        Some(key) => {
            let key = data_dir::read_key(key)?;
            let license_file =
                Signed::seal(&file, &key).map_err(|e| Error::Internal(e.to_string()))?;
            write_json(&IssuedFile { root_key: key.public().clone(), license_file }, &mut text)?;
        }
    }
    match &arguments.output {
        None => output.write_all(&text).map_err(output_error),
        Some(path) => write_file(path, &text, output),
    }
}

fn write_file(path: &Path, text: &[u8], output: &mut dyn Write) -> Result<(), Error> {
    std::fs::write(path, text)
        .map_err(|e| Error::Setup(format!("cannot write {}: {e}.", path.display())))?;
    writeln!(output, "made {}", path.display()).map_err(output_error)
}

/// Return the next issue of a file.
fn renewed(
    arguments: &RenewArguments,
    mut file: LicenseFile,
    now: u64,
) -> Result<LicenseFile, Error> {
    let settings = &arguments.settings;
    let chosen = |id: &str| arguments.item.as_ref().is_none_or(|wanted| wanted == id);
    if let Some(item) = &arguments.item
        && !file.items.iter().any(|known| known.item_id == *item)
    {
        let known: Vec<&str> = file.items.iter().map(|item| item.item_id.as_str()).collect();
        return Err(Error::Setup(format!(
            "the file has no item \"{item}\": it has {}.",
            known.join(", ")
        )));
    }
    if arguments.item.is_none() && file.items.len() > 1 && !settings.is_only_the_end() {
        return Err(Error::Setup(format!(
            "the file has {} items: name the one to change with --item.",
            file.items.len()
        )));
    }
    for item in file.items.iter_mut().filter(|item| chosen(&item.item_id)) {
        settings.apply(item, now)?;
    }
    // A server takes only an issue that is later than the one it has.
    file.issued_at = now.max(file.issued_at.saturating_add(1));
    require_sound(&file)
        .map_err(|why| Error::Setup(format!("such a license file makes no sense: {why}.")))?;
    Ok(file)
}
