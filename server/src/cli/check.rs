//! The command `seatmeterd check`: whether the data of a server is whole.

use std::io::Write;

use clap::Args;

use super::{DataOption, output_error};
use crate::error::Error;
use crate::store::faults;

/// Check the data of a server: every page of the database, references, license files, sums, the
/// audit log and the server's keys
///
/// It changes nothing, and works while the server runs. A large database takes minutes.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    let data = &arguments.data;
    data.require_initialized()?;
    let faults = faults(&data.location(), &data.dir())?;
    for fault in &faults {
        writeln!(output, "BROKEN   {fault}").map_err(output_error)?;
    }
    match faults.len() {
        0 => writeln!(output, "the data is whole").map_err(output_error),
        count => Err(Error::Setup(format!(
            "broken in the data: {count}, see above. Keep a copy of the data, then restore a \
             backup with \"seatmeterd restore\", or ask the vendor about a license file."
        ))),
    }
}
