//! The commands `seatmeterd alert`: which alerts there are, and what an operator does about them.

use std::io::Write;

use clap::{Args, Subcommand};

use super::DataOption;
use super::operator::{Operator, actor, carry_out, done};
use super::queries::{Ask, ask};
use crate::alert::percents;
use crate::error::Error;
use crate::operator::commands::Change;
use crate::operator::queries::alerts::{AlertsQuery, DeliveriesQuery};
use crate::utc;

#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List alerts, those that fired last first
    List(Ask<AlertsQuery>),
    /// Tell nothing of an alert for a while
    Mute(MuteArguments),
    /// Let an alert fire again
    Rearm {
        /// The id of the alert, as "alert list" shows it
        alert: String,
        #[command(flatten)]
        data: DataOption,
    },
    /// Tell an alert by mail and webhook, as they are set up, to try them
    Test(DataOption),
    /// Set the thresholds at which alerts about quotas and budgets fire
    Thresholds {
        /// The thresholds in percent with commas between them, such as 60,80,100
        percents: String,
        /// The item; without it, all items without their own thresholds
        #[arg(long, value_name = "ID")]
        item: Option<String>,
        #[command(flatten)]
        data: DataOption,
    },
    /// List the events of alerts, newest first, and how they were told
    Events(Ask<DeliveriesQuery>),
    /// Post events again to a webhook whose receiver has answered 410
    EnableWebhook(DataOption),
    /// Tell an event once more, by mail and webhook
    Replay {
        /// The id of the event, as "alert events" shows it
        event: String,
        #[command(flatten)]
        data: DataOption,
    },
}

#[derive(Args, Debug)]
pub(super) struct MuteArguments {
    /// The id of the alert, as "alert list" shows it
    alert: String,
    /// The end of the time, such as 2026-12-31 or 2026-12-31T18:00:00Z; without it, the alert is
    /// muted until it is re-armed
    #[arg(long, value_name = "TIME", conflicts_with = "off")]
    until: Option<String>,
    /// Unmute the alert
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn run(command: &AlertCommand, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        AlertCommand::List(asked) => ask(asked, output),
        AlertCommand::Events(asked) => ask(asked, output),
        AlertCommand::Mute(arguments) => mute(arguments, output),
        AlertCommand::Rearm { alert, data } => {
            carry_out(data, Change::RearmAlert { alert_id: alert.clone() }, output)
        }
        AlertCommand::Test(data) => carry_out(data, Change::TestAlerts, output),
        AlertCommand::Thresholds { percents: text, item, data } => {
            let operator = Operator::open(data)?;
            let (item, percents) = (item.clone(), percents(text)?);
            operator.wait(operator.licensing.set_thresholds(item, &percents, &actor()))?;
            done(output)
        }
        AlertCommand::EnableWebhook(data) => carry_out(data, Change::EnableWebhook, output),
        AlertCommand::Replay { event, data } => {
            carry_out(data, Change::ReplayEvent { event_id: event.clone() }, output)
        }
    }
}

fn mute(arguments: &MuteArguments, output: &mut dyn Write) -> Result<(), Error> {
    let MuteArguments { alert, until, off, data } = arguments;
    let until = match (off, until) {
        (true, _) => Some(0),
        (false, Some(until)) => Some(utc::seconds(until)?),
        (false, None) => None,
    };
    let operator = Operator::open(data)?;
    operator.wait(operator.licensing.mute_alert(alert.clone(), until, &actor()))?;
    done(output)
}
