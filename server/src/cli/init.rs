//! The command `seatmeterd init`: it makes the server's key and database, and on request a license
//! to try out.
//!
//! Each step first checks whether its result exists, and an interrupted step leaves nothing half
//! done. Thus the command can be run again at any time, even beside a running server.

use std::io::Write;

use clap::Args;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseFile, LicenseItem, SEATS_MAX};
use seatmeter_protocol::signature::{Signed, SigningKey};

use super::operator::Operator;
use super::{DataOption, output_error};
use crate::data_dir::{self, DataDir};
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator;
use crate::random::fresh_id;
use crate::store::Location;
use crate::utc;

const DEMO_ORGANIZATION_ID: &str = "demo";
const DEMO_ORGANIZATION_NAME: &str = "Demo organization";
const DEMO_DAYS: u64 = 365;

/// Make the server's key and database
///
/// Existing files are not changed, so the command can be run again.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,

    /// Make a vendor, an organization and a license to try out, too
    #[arg(long)]
    demo: bool,

    /// Number of seats of the demo license
    #[arg(long, value_name = "N", default_value_t = 4, requires = "demo",
          value_parser = clap::value_parser!(u64).range(1..=u64::from(SEATS_MAX)))]
    demo_quota: u64,

    /// Handshake code of the demo license, for use in an application
    #[arg(long, value_name = "CODE", default_value = "DEMO-4-SEATS", requires = "demo",
          value_parser = handshake_code)]
    handshake_code: String,
}

fn handshake_code(text: &str) -> Result<String, String> {
    operator::commands::require_code(text).map(|()| text.to_owned()).map_err(|e| e.to_string())
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    let dir = arguments.data.dir();
    let keys = make(&arguments.data)?;
    tell(&keys, &dir, output)?;
    if arguments.demo {
        let operator = Operator::open(&arguments.data)?;
        operator.wait(make_demo(arguments, &dir, &operator.licensing, output))?;
    }
    let database =
        if matches!(arguments.data.location(), Location::Url(_)) { " --database URL" } else { "" };
    writeln!(output, "\nNext: seatmeterd serve --data {}{database}", dir.path().display())
        .map_err(output_error)
}

/// The files that exist now, and which of them are new.
struct Made {
    key_id: String,
    key_is_new: bool,
    database_is_new: bool,
    database: String,
}

/// Make key and database where there are none, for a first start without `init`. Then print what to
/// do next.
pub(super) fn prepare(data: &DataOption, output: &mut dyn Write) -> Result<(), Error> {
    let dir = data.dir();
    if !dir.is_empty()? {
        return data.require_initialized();
    }
    let made = make(data)?;
    tell(&made, &dir, output)?;
    writeln!(
        output,
        "\nNext: ask your vendor for a license file for the key that \"seatmeterd key show --data \
        {0}\" shows, and import it with \"seatmeterd license-file import FILE --handshake-code \
        CODE --data {0}\". \"seatmeterd init --demo --data {0}\" makes one to try out.",
        dir.path().display()
    )
    .map_err(output_error)
}

fn make(data: &DataOption) -> Result<Made, Error> {
    let (dir, location) = (data.dir(), data.location());
    if matches!(location, Location::File(_)) {
        dir.require_private()?;
    }
    dir.create()?;
    if matches!(location, Location::File(_)) {
        dir.refuse_half_restored()?;
    }
    let has_key = data_dir::exists(&dir.server_key_path())?;
    let (database_is_new, database) = match &location {
        Location::File(path) => (!data_dir::exists(path)?, path.display().to_string()),
        // The tables are created at the first opening; whether they existed makes no difference.
        Location::Url(_) => (false, "that of --database".to_owned()),
    };
    if matches!(location, Location::File(_)) && !database_is_new && !has_key {
        return Err(dir.lost_key());
    }
    // The embedded database is created last: a key without a database is an unfinished start, but a
    // database without a key is a loss.
    if matches!(location, Location::Url(_)) && !has_key {
        let keys = location.open()?.keys;
        let named: std::collections::BTreeSet<String> =
            keys.of_files.into_iter().chain(keys.in_use).collect();
        if !named.is_empty() {
            let named: Vec<String> = named.into_iter().collect();
            return Err(Error::Setup(format!(
                "the database belongs to servers with key {}. Copy the key files of a \
                 server that uses \
                 this database to {}.",
                named.join(", "),
                dir.path().display()
            )));
        }
    }
    let (key, key_is_new) = data_dir::read_or_make_key(&dir.server_key_path())?;
    location.open()?;
    Ok(Made { key_id: key.public().id(), key_is_new, database_is_new, database })
}

fn tell(made: &Made, dir: &DataDir, output: &mut dyn Write) -> Result<(), Error> {
    let key = format!("server key {}, id {}", dir.server_key_path().display(), made.key_id);
    say(output, made.key_is_new, &key)?;
    say(output, made.database_is_new, &format!("database   {}", made.database))
}

fn say(output: &mut dyn Write, new: bool, what: &str) -> Result<(), Error> {
    let how = if new { "made  " } else { "exists" };
    writeln!(output, "{how} {what}").map_err(output_error)
}

async fn make_demo(
    arguments: &Arguments,
    dir: &DataDir,
    licensing: &Licensing,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let vendor_path = dir.demo_vendor_key_path();
    let (vendor, vendor_is_new) = data_dir::read_or_make_key(&vendor_path)?;
    say(output, vendor_is_new, &format!("demo vendor's root key {}", vendor_path.display()))?;
    if let Some(there) = licensing.store.organization(DEMO_ORGANIZATION_ID.to_owned()).await? {
        let code = there.default_handshake_code.as_deref().unwrap_or("none");
        return say(
            output,
            false,
            &format!(
                "organization \"{DEMO_ORGANIZATION_ID}\" ({}), handshake code {code}",
                there.name
            ),
        );
    }
    let file = demo_file(arguments.demo_quota, licensing)?;
    let expires_at = file.items.iter().map(|item| item.expires_at).max().unwrap_or_default();
    let (envelope, root_key) = seal(&file, &vendor)?;
    licensing
        .import(
            envelope,
            root_key,
            Some(arguments.handshake_code.clone()),
            "command line: init --demo",
        )
        .await?;
    say(
        output,
        true,
        &format!("organization \"{DEMO_ORGANIZATION_ID}\" ({DEMO_ORGANIZATION_NAME})"),
    )?;
    say(
        output,
        true,
        &format!(
            "license: {} concurrent instances, on servers and on desktops, until {}",
            arguments.demo_quota,
            utc::text(expires_at)
        ),
    )?;
    say(output, true, &format!("handshake code {}", arguments.handshake_code))
}

fn seal(
    file: &LicenseFile,
    vendor: &SigningKey,
) -> Result<(Signed, seatmeter_protocol::signature::PublicKey), Error> {
    let envelope = Signed::seal(file, vendor).map_err(|e| Error::Internal(e.to_string()))?;
    Ok((envelope, vendor.public().clone()))
}

fn demo_file(quota: u64, licensing: &Licensing) -> Result<LicenseFile, Error> {
    let now = licensing.clock.unix_seconds();
    Ok(LicenseFile {
        version: DOCUMENT_VERSION,
        file_id: format!("demo-{}", fresh_id()?),
        organization_id: DEMO_ORGANIZATION_ID.to_owned(),
        organization_name: DEMO_ORGANIZATION_NAME.to_owned(),
        server_key: licensing.keys.current().public().clone(),
        issued_at: now,
        items: vec![LicenseItem::new(
            &format!("demo-instances-{}", fresh_id()?),
            ChargeWay::ConcurrentInstance,
            quota,
            now,
            now + DEMO_DAYS * DAY_SECONDS,
        )],
        unknown_items: Vec::new(),
    })
}
