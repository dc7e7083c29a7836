//! The command `seatmeterd clock`: the server's time, and how it is set right.

use std::io::Write;

use clap::Subcommand;

use super::operator::{Operator, actor};
use super::{DataOption, output_error};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::operator::commands::{Actor, Change};
use crate::utc;

#[derive(Debug, Subcommand)]
pub(super) enum ClockCommand {
    /// Show the server's time and the machine's clock
    Show(DataOption),
    /// Take the machine's clock as right, after it was ahead and was set right
    ///
    /// The server's time never goes back by itself. This command leaves a line in the audit log.
    /// Running servers follow within a minute.
    Accept(DataOption),
}

pub(super) fn run(command: &ClockCommand, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        ClockCommand::Show(data) => {
            let clock = Operator::open(data)?.licensing.clock;
            let (time, ahead) = (clock.unix_seconds(), clock.ahead_of_machine());
            let what = match ahead {
                0 => "the clock of this machine".to_owned(),
                ahead => format!(
                    "recorded in the database; the clock of this machine is {ahead} s behind"
                ),
            };
            writeln!(output, "{}  {what}", utc::text(time)).map_err(output_error)
        }
        ClockCommand::Accept(data) => {
            let operator = Operator::open(data)?;
            // Not the server's time, which is the one to be set right.
            let by = Actor { name: actor(), now: SystemClock.unix_seconds() };
            let now = utc::text(by.now);
            operator.wait(operator.licensing.store.change(Change::AcceptClock, by))?;
            writeln!(output, "the server's time is {now}; running servers follow within a minute")
                .map_err(output_error)
        }
    }
}
