//! The command `seatmeterd key`: the server's key. The vendor writes its public half into license
//! files.

use std::io::Write;

use clap::Subcommand;

use super::{DataOption, operator, output_error};
use crate::data_dir;
use crate::error::Error;
use crate::operator::commands::Change;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Show the public key that is in use, for the vendor
    Show(DataOption),
    /// Replace the server's key by a new one. The old key stays, for devices and license files that
    /// name it
    Rotate(DataOption),
}

pub(super) fn run(command: &Key, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Key::Show(data) => {
            data.require_initialized()?;
            let key = data_dir::read_key(&data.dir().server_key_path())?;
            writeln!(output, "{}", key.public()).map_err(output_error)
        }
        Key::Rotate(data) => {
            data.require_initialized()?;
            let dir = data.dir();
            let key = dir.prepare_key()?;
            operator::change(data, Change::UseKey { key_id: key.id() })?;
            dir.finish_rotation(Some(&key.id()))?;
            writeln!(
                output,
                "{key}\n\nNext: start the server again; ask your vendor to issue the license \
                 files anew for this key, \
                 and import them. Devices follow when they renew."
            )
            .map_err(output_error)
        }
    }
}
