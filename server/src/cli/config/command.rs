//! The commands `seatmeterd config check` and `seatmeterd config sample`.

use std::io::Write;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Subcommand};

use super::{ConfigFile, Kind, options, serve};
use crate::cli::{CommandLine, output_error, without_empty_variables};
use crate::error::Error;

/// The text that is shown instead of a value with a password.
const HIDDEN: &str = "(hidden)";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    Check(CheckArguments),
    /// Print a configuration file with every key, its meaning and its default
    Sample,
}

/// Check a configuration file and the files that it names, and print what the server would use
#[derive(Args, Debug)]
pub(in crate::cli) struct CheckArguments {
    /// The configuration file, in TOML
    #[arg(long, value_name = "FILE", env = "SEATMETERD_CONFIG")]
    config: Option<PathBuf>,
}

/// Run the command.
///
/// # Errors
/// Fails when the configuration cannot be used.
pub(in crate::cli) fn run(command: &ConfigCommand, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        ConfigCommand::Sample => {
            write!(output, "{}", super::sample::sample(&serve())).map_err(output_error)
        }
        ConfigCommand::Check(CheckArguments { config: None }) => Err(Error::Setup(
            "name the file to check: seatmeterd config check --config FILE.".to_owned(),
        )),
        ConfigCommand::Check(CheckArguments { config: Some(path) }) => {
            check(&ConfigFile::read(path)?, output)
        }
    }
}

fn check(file: &ConfigFile, output: &mut dyn Write) -> Result<(), Error> {
    let command = without_empty_variables(file.feed(CommandLine::command()));
    let refused = |e: clap::Error| {
        let text = e.to_string();
        let sentence = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Error::Setup(format!("{sentence}."))
    };
    let asked = command.try_get_matches_from(["seatmeterd", "serve"]).map_err(refused)?;
    let Some((_, asked)) = asked.subcommand() else {
        return Err(Error::Internal("the command line has no command".to_owned()));
    };
    let arguments = crate::cli::serve::Arguments::from_arg_matches(asked).map_err(refused)?;
    arguments.check()?;
    for option in options(&serve()) {
        let (id, key) = (option.get_id().as_str(), option.get_long().unwrap_or_default());
        let setting = file.settings.iter().find(|setting| setting.key == key);
        let source = match (asked.value_source(id), setting) {
            (Some(ValueSource::EnvVariable), _) => {
                option.get_env().unwrap_or_default().to_string_lossy().into_owned()
            }
            (_, Some(setting)) => format!("line {}", setting.line),
            _ => "default".to_owned(),
        };
        let values: Vec<String> = asked
            .get_raw(id)
            .map(|raw| raw.map(|value| value.to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        let shown = match values.is_empty() {
            true => "not set".to_owned(),
            false if option.is_hide_env_values_set() => HIDDEN.to_owned(),
            false => Kind::of(option).write(&values),
        };
        writeln!(output, "{key:<20} {shown}  # {source}").map_err(output_error)?;
    }
    writeln!(output, "the configuration is good").map_err(output_error)
}
