//! The command `seatmeterd doctor`: why a device is not licensed, or soon may not be, and what to
//! do about it.
//!
//! The doctor reads the state directory of the device and sends requests to the license server as a
//! program would, stage by stage. It changes nothing, takes no seat, and works while programs run,
//! and while the server does not. Exit code 0 means that nothing is broken, though there may be
//! warnings; 1 means that something is broken.
//!
//! The doctor reports only what it has seen. "ok" means that it checked something and found it
//! good. A warning also stands for what it could not check, and a note for what it cannot know
//! without the operator's help.

mod ask;
mod clock;
mod data;
mod library;
mod network;
mod place;
mod ready;
mod reset;
mod seats;
mod state;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::output_error;
use crate::error::Error;

/// Check a device: its state directory, clock, license, seats, counts that are not reported yet,
/// and the way to the server
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Check a device: its state directory, clock, license, seats, counts that are not reported yet,
/// and the way to the server
///
/// This is "seatmeterd doctor" as a program of its own, for devices without a server.
#[derive(Debug, Parser)]
#[command(name = DEVICE_DOCTOR, version, propagate_version = true)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DeviceDoctor {
    #[command(subcommand)]
    part: Option<DevicePart>,
    #[command(flatten)]
    device: DeviceArguments,
}

/// The name of the doctor as a program of its own.
const DEVICE_DOCTOR: &str = "seatmeter-doctor";

#[derive(Debug, Subcommand)]
enum Part {
    #[command(flatten)]
    Device(DevicePart),
    Data(data::DataArguments),
}

/// The doctor's commands on a device besides the check.
#[derive(Debug, Subcommand)]
enum DevicePart {
    Seats(seats::SeatsArguments),
    Reset(reset::ResetArguments),
}

/// The place of a device's state.
#[derive(Args, Debug)]
struct StateDir {
    /// The state directory of the device, as its programs use it [default: the directory of this
    /// user's programs]
    #[arg(long, value_name = "DIR", env = "SEATMETER_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    fn path(&self) -> Result<PathBuf, Error> {
        match &self.state_dir {
            Some(path) => std::path::absolute(path)
                .map_err(|e| Error::Setup(format!("{} is no path: {e}.", path.display()))),
            None => place::usual(),
        }
    }
}

#[derive(Args, Debug)]
struct DeviceArguments {
    #[command(flatten)]
    state: StateDir,
    /// The license server, as the programs name it
    #[arg(long, value_name = "URL", env = "SEATMETER_SERVER")]
    server: Option<String>,
    /// Certificates to trust in addition to the system's, as the programs do
    #[arg(long, value_name = "FILE", env = "SEATMETER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The library that the programs load, to check what is built into it
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    #[command(flatten)]
    ask: ask::AskArguments,
}

/// The health of what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    /// The health is not known, and nothing may be wrong.
    Note,
    /// The program works now, but may not work forever.
    Warning,
    Broken,
}

/// The findings, reported line by line.
struct Findings<'a> {
    output: &'a mut dyn Write,
    broken: u32,
    warnings: u32,
}

impl Findings<'_> {
    /// Report a finding. `todo` says what to do about it, and is empty where nothing has to be
    /// done.
    fn say(&mut self, health: Health, what: &str, finding: &str, todo: &str) -> Result<(), Error> {
        let mark = match health {
            Health::Good => "ok",
            Health::Note => "note",
            Health::Warning => "warning",
            Health::Broken => "BROKEN",
        };
        self.warnings += u32::from(health == Health::Warning);
        self.broken += u32::from(health == Health::Broken);
        writeln!(self.output, "{mark:<8} {what:<12} {finding}").map_err(output_error)?;
        if !todo.is_empty() {
            writeln!(self.output, "{:<8} {:<12} → {todo}", "", "").map_err(output_error)?;
        }
        Ok(())
    }

    fn good(&mut self, what: &str, finding: &str) -> Result<(), Error> {
        self.say(Health::Good, what, finding, "")
    }
}

/// Return the words that start the program that runs, for advice.
fn command_words() -> &'static str {
    let program = std::env::current_exe().unwrap_or_default();
    match program.file_name().is_some_and(|name| name == DEVICE_DOCTOR) {
        true => DEVICE_DOCTOR,
        false => "seatmeterd doctor",
    }
}

/// Run the command.
///
/// # Errors
/// Fails when something is broken, after all findings are reported.
pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    match &arguments.part {
        Some(Part::Device(part)) => run_part(part, output),
        Some(Part::Data(arguments)) => data::examine(arguments, output),
        None => examine(&arguments.device, output),
    }
}

/// Run the doctor as a program of its own.
///
/// # Errors
/// Fails when something is broken, after all findings are reported.
pub(super) fn run_on_device(doctor: &DeviceDoctor, output: &mut dyn Write) -> Result<(), Error> {
    match &doctor.part {
        Some(part) => run_part(part, output),
        None => examine(&doctor.device, output),
    }
}

fn run_part(part: &DevicePart, output: &mut dyn Write) -> Result<(), Error> {
    match part {
        DevicePart::Seats(arguments) => seats::seats(arguments, output),
        DevicePart::Reset(arguments) => reset::reset(arguments, output),
    }
}

fn examine(device: &DeviceArguments, output: &mut dyn Write) -> Result<(), Error> {
    let DeviceArguments { state, server, ca_file, library, ask } = device;
    let mut findings = Findings { output, broken: 0, warnings: 0 };
    let folder = state.path()?;
    let library = library::examine(library.as_deref(), &mut findings)?;
    let device = match place::examine(&folder, &mut findings)? {
        true => state::examine(&folder, library.as_ref(), &mut findings)?,
        false => state::Device::default(),
    };
    match server {
        Some(url) => {
            let way = network::examine(url, ca_file.as_deref(), &device, &mut findings)?;
            if let Some(way) = way {
                ready::examine(&way, &mut findings)?;
                ask::examine(&way, ask, library.as_ref(), &device, &mut findings)?;
            }
        }
        None => findings.say(
            Health::Warning,
            "server",
            "not checked: its URL is not known",
            "name it with --server, or set SEATMETER_SERVER",
        )?,
    }
    match (findings.broken, findings.warnings) {
        (0, 0) => writeln!(output, "all is well").map_err(output_error),
        (0, warnings) => {
            writeln!(output, "nothing is broken; warnings: {warnings}").map_err(output_error)
        }
        (broken, _) => Err(Error::Setup(format!("broken on this device: {broken}, see above"))),
    }
}
