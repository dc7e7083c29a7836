//! The commands `seatmeterd backup` and `seatmeterd restore`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{DataOption, operator, output_error};
use crate::backup;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::operator::commands::Change;

/// Write database and key into one file, also while the server runs
#[derive(Args, Debug)]
pub(super) struct BackupArguments {
    /// The file to write. It contains the server's key: keep it secret
    file: PathBuf,
    #[command(flatten)]
    data: DataOption,
}

/// Create a data directory from a backup
#[derive(Args, Debug)]
pub(super) struct RestoreArguments {
    /// The backup file
    file: PathBuf,
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn backup(arguments: &BackupArguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.data.require_embedded()?;
    backup::backup(&arguments.data.dir(), &arguments.file)?;
    // The status of the server tells how old the newest backup is.
    let file = arguments.file.display().to_string();
    operator::change(&arguments.data, Change::NoteBackup { file })?;
    writeln!(output, "made {}: it holds the server's key, keep it secret", arguments.file.display())
        .map_err(output_error)
}

pub(super) fn restore(arguments: &RestoreArguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.data.require_embedded()?;
    let dir = arguments.data.dir();
    dir.require_private()?;
    backup::restore(&arguments.file, &dir, SystemClock.unix_seconds())?;
    writeln!(
        output,
        "restored into {0}\n\nThe server that the backup was taken from must not serve any \
         more.\nNext: seatmeterd \
         serve --data {0}",
        dir.path().display()
    )
    .map_err(output_error)
}
