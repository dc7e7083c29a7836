//! `seatmeterd key`: the public half of the server's key, which the vendor writes into licence files.

use std::io::Write;

use clap::Args;

use super::{DataOption, output_error};
use crate::data_dir;
use crate::error::Error;

/// Show this server's public key, for the vendor
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    let dir = arguments.data.dir();
    dir.require_initialised()?;
    let key = data_dir::read_key(&dir.server_key_path())?;
    writeln!(output, "{}", key.public()).map_err(output_error)
}
