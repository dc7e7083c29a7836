//! The command `seatmeterd new-epoch`: it informs devices that the database may have forgotten
//! something.

use std::io::Write;

use clap::Args;

use super::{DataOption, output_error};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::random::fresh_id;

/// Begin a new epoch, after the data was put back to an earlier state
///
/// Use it after PostgreSQL was restored from a backup, after the promotion of a standby that was
/// not synchronous, and after the files of an embedded database were put back. "seatmeterd restore"
/// does it by itself. Devices then send all totals again that they remember. For the first 180 s in
/// which the server accepts requests, it grants only what devices show that they hold.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.data.require_initialized()?;
    let epoch = fresh_id()?;
    arguments.data.location().renew_epoch(&epoch, SystemClock.unix_seconds())?;
    writeln!(output, "epoch {epoch} has begun").map_err(output_error)
}
