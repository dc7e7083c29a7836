//! The log of the server on standard error: the levels and the form of its lines.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::shown::Shown;

/// The levels, from the fewest lines to the most.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The level and the form of the log.
#[derive(Args, Debug)]
pub(super) struct LogArguments {
    /// Level of the log on standard error: error, warn, info, debug or trace; off for none. A
    /// module may have a level of its own, as in info,seatmeter_server::http=debug
    #[arg(long, value_name = "LEVEL", env = "SEATMETERD_LOG", default_value = "info",
          value_parser = levels)]
    log: String,

    /// Form of the log: lines of text, or a JSON object in each line
    #[arg(long, value_name = "FORMAT", env = "SEATMETERD_LOG_FORMAT", default_value = "text")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Accept levels, each for all modules or for one. The filter itself would take any other word for
/// a module, and then log nothing of all others.
fn levels(text: &str) -> Result<String, String> {
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let is_module = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
    };
    let is_good = |part: &str| match part.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(part),
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let filter = parts.join(",");
    if parts.into_iter().all(is_good) && EnvFilter::try_new(&filter).is_ok() {
        return Ok(filter);
    }
    Err(format!(
        "write one of {}; a module may have its own, as in info,seatmeter_server::http=debug",
        LEVELS.join(", ")
    ))
}

impl LogArguments {
    /// Begin the log.
    pub(super) fn begin(&self) {
        // The levels were checked when the command line was read.
        let filter = EnvFilter::try_new(&self.log).unwrap_or_default();
        // A log that cannot be written, for example because it goes to a file on a full disk, must
        // not end the thread that logs. Reporting the failure on standard error would do that.
        // Names that devices chose must not move a terminal. Colors are for a terminal: in a file,
        // they are garbage that hinders searching.
        let is_colored = matches!(self.log_format, Format::Text) && std::io::stderr().is_terminal();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || match is_colored {
                true => Shown::with_colors(std::io::stderr()),
                false => Shown::new(std::io::stderr()),
            })
            .log_internal_errors(false);
        match self.log_format {
            Format::Json => log.json().flatten_event(true).with_ansi(false).init(),
            Format::Text => log.with_ansi(is_colored).init(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_of_the_list_and_a_module_may_have_its_own() {
        for good in
            ["info", "WARN", "off", "seatmeter_server=debug", "warn,a::b=trace", "info, a=off"]
        {
            assert_eq!(levels(good), Ok(good.replace(' ', "")));
        }
        for bad in ["", "verbose", "info,verbose", "a=verbose", "=info", "a=", "info,", "in fo"] {
            let told = levels(bad).unwrap_err();
            assert!(told.contains("off, error, warn, info, debug, trace"), "{bad}: {told}");
        }
    }
}
