//! The commands `seatmeterd man-pages` and `seatmeterd completions`.
//!
//! Pages and completions are made from the definitions of the options, as the help is, by the
//! program that was built. So an installation needs no further tool, and they never disagree.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::{CommandLine, DeviceDoctor, output_error};
use crate::error::Error;

/// Write the manual pages of seatmeterd and seatmeter-doctor, one for each command
#[derive(Args, Debug)]
pub(super) struct ManPagesArguments {
    /// The folder for the pages. A missing one is made
    folder: PathBuf,
}

/// Print the completions for a shell
#[derive(Args, Debug)]
pub(super) struct CompletionsArguments {
    shell: Shell,
    /// The program to complete
    #[arg(long, value_name = "NAME", default_value = "seatmeterd")]
    program: Program,
}

/// A program that is made from this crate.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Program {
    Seatmeterd,
    SeatmeterDoctor,
}

impl Program {
    fn command(self) -> clap::Command {
        match self {
            Self::Seatmeterd => CommandLine::command(),
            Self::SeatmeterDoctor => DeviceDoctor::command(),
        }
    }
}

pub(super) fn man_pages(arguments: &ManPagesArguments) -> Result<(), Error> {
    let folder = &arguments.folder;
    let refused =
        |e| Error::Setup(format!("the pages cannot be written into {}: {e}.", folder.display()));
    std::fs::create_dir_all(folder).map_err(refused)?;
    for program in Program::value_variants() {
        clap_mangen::generate_to(program.command(), folder).map_err(refused)?;
    }
    Ok(())
}

pub(super) fn completions(
    arguments: &CompletionsArguments,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let mut command = arguments.program.command();
    let name = command.get_name().to_owned();
    // The generator panics when it cannot write, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    output.write_all(&script).map_err(output_error)
}
