//! `seatmeterd init`: makes the server's key and database, and on request a licence to try out.
//!
//! Each step looks first whether its thing is there, and a step that was cut off leaves nothing half made:
//! the command can be run again at any time, also beside a running server.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseFile, LicenseItem, SEATS_MAX};
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use seatmeter_protocol::signature::{Signed, SigningKey};

use super::{DataOption, output_error};
use crate::clock::SystemClock;
use crate::data_dir::{self, DataDir};
use crate::error::Error;
use crate::licensing::{Licensing, fresh_id};
use crate::store::sqlite::SqliteStore;
use crate::utc;

const DEMO_ORGANIZATION_ID: &str = "demo";
const DEMO_ORGANIZATION_NAME: &str = "Demo organization";
const DEMO_DAYS: u64 = 365;

/// Make the server's key and database
///
/// What exists already is left as it is, so the command can be run again.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,

    /// Also make a vendor, an organization and a licence to try out
    #[arg(long)]
    demo: bool,

    /// Seats of the demo licence
    #[arg(long, value_name = "N", default_value_t = 4, requires = "demo",
          value_parser = clap::value_parser!(u64).range(1..=u64::from(SEATS_MAX)))]
    demo_quota: u64,

    /// Handshake code of the demo licence: what an application is given
    #[arg(long, value_name = "CODE", default_value = "DEMO-4-SEATS", requires = "demo",
          value_parser = handshake_code)]
    handshake_code: String,
}

fn handshake_code(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("a handshake code has 1 to {TEXT_BYTES_MAX} visible ASCII characters and no spaces"))
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    let dir = arguments.data.dir();
    dir.create()?;
    let database = dir.database_path();
    let database_is_new = !data_dir::exists(&database)?;
    if !database_is_new && !data_dir::exists(&dir.server_key_path())? {
        return Err(dir.lost_key());
    }
    let (key, key_is_new) = data_dir::read_or_make_key(&dir.server_key_path())?;
    let store = Arc::new(SqliteStore::open(&database)?);
    let server_key = key.public().clone();
    say(
        output,
        key_is_new,
        &format!("server key {}, id {}", dir.server_key_path().display(), server_key.id()),
    )?;
    say(output, database_is_new, &format!("database   {}", database.display()))?;
    if arguments.demo {
        let licensing = Licensing { store, key, clock: Arc::new(SystemClock) };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| Error::Setup(format!("the system gives no runtime: {e}")))?;
        runtime.block_on(make_demo(arguments, &dir, &licensing, output))?;
    }
    writeln!(output, "\nNext: seatmeterd serve --data {}", dir.path().display()).map_err(output_error)
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
            &format!("organization \"{DEMO_ORGANIZATION_ID}\" ({}), handshake code {code}", there.name),
        );
    }
    let file = demo_file(arguments.demo_quota, licensing)?;
    let expires_at = file.items.iter().map(|item| item.expires_at).max().unwrap_or_default();
    let (envelope, root_key) = seal(&file, &vendor)?;
    licensing.import(envelope, root_key, Some(arguments.handshake_code.clone())).await?;
    say(output, true, &format!("organization \"{DEMO_ORGANIZATION_ID}\" ({DEMO_ORGANIZATION_NAME})"))?;
    say(
        output,
        true,
        &format!(
            "licence: {} concurrent instances, deployment type server, until {}",
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
        server_key: licensing.key.public().clone(),
        issued_at: now,
        items: vec![LicenseItem::new(
            &format!("demo-instances-{}", fresh_id()?),
            ChargeWay::ConcurrentInstance,
            quota,
            now,
            now + DEMO_DAYS * DAY_SECONDS,
        )],
    })
}
