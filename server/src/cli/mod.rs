//! The command line, with one file for each command.
//!
//! Exit code 0 means success, 1 a failure that one sentence on standard error explains, 2 an
//! invalid command line. The result of a command goes to standard output, everything else to
//! standard error.

mod alert;
mod alert_options;
mod audit;
mod backup;
mod check;
mod clock;
pub mod config;
mod doctor;
mod domains;
mod draft;
mod epoch;
mod init;
mod key;
mod license_settings;
mod listeners;
mod log;
mod manual;
mod operator;
mod plan;
pub mod queries;
mod renew;
mod serve;
mod signed_export;
mod tls;
mod token;
mod usage_export;
mod usage_show;
mod user;
mod vendor;

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use seatmeter_protocol::message::UsageKind;

use crate::clock::SystemClock;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::keyring::Keyring;
use crate::operator::queries::domains::DomainsQuery;
use crate::operator::queries::usage::what_name;
use crate::server_time::ServerClock;
use crate::shown::{self, Shown};
use crate::store::{Location, Store};
use doctor::DeviceDoctor;

/// The self-hosted license server of seatmeter.
///
/// To try it out: "seatmeterd init --demo", then "seatmeterd serve".
#[derive(Debug, Parser)]
#[command(name = "seatmeterd", version, propagate_version = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
    Serve(Box<serve::Arguments>),
    #[command(flatten)]
    Query(queries::Query),
    /// Show or export recorded usage
    #[command(subcommand)]
    Usage(Usage),
    Doctor(doctor::Arguments),
    /// For vendors: the root key, and checks of what servers have exported
    #[command(subcommand)]
    Vendor(vendor::Vendor),
    /// For vendors: make and sign license files. For operators: import them
    #[command(subcommand, name = "license-file")]
    LicenseFile(vendor::LicenseFileCommand),
    /// The server's key
    #[command(subcommand)]
    Key(key::Key),
    /// Licensees
    #[command(subcommand)]
    Organization(operator::Organization),
    /// License items
    #[command(subcommand)]
    Item(operator::Item),
    /// Handshake codes
    #[command(subcommand)]
    Handshake(operator::Handshake),
    /// Devices
    #[command(subcommand)]
    Device(operator::Device),
    /// Alerts: what an operator is told, and how
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Tokens of the admin API
    #[command(subcommand)]
    Token(token::Token),
    /// People who log in to the admin API
    #[command(subcommand)]
    User(user::User),
    /// Certificates of the server
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// The configuration file
    #[command(subcommand)]
    Config(config::command::ConfigCommand),
    Audit(audit::Arguments),
    Check(check::Arguments),
    Backup(backup::BackupArguments),
    Restore(backup::RestoreArguments),
    NewEpoch(epoch::Arguments),
    /// List the epochs of the data, newest first: when it was restored, and when the server has
    /// noticed that it was put back
    Epochs(DataOption),
    /// The server's time, which never goes back by itself
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// The domains of websites
    #[command(subcommand)]
    Domains(Domains),
    Plan(plan::Arguments),
    ManPages(manual::ManPagesArguments),
    Completions(manual::CompletionsArguments),
}

#[derive(Debug, Subcommand)]
enum Domains {
    Explain(domains::ExplainArguments),
    /// List the hosts under which items are used, and those that were refused
    List(queries::Ask<DomainsQuery>),
}

#[derive(Debug, Subcommand)]
enum Usage {
    Show(usage_show::Arguments),
    Sum(queries::Sum),
    Export(usage_export::Arguments),
}

/// The place of the server's key and database.
#[derive(Args, Debug)]
struct DataOption {
    /// A configuration file in TOML, with options of "serve" as keys: see "seatmeterd config
    /// sample"
    #[arg(long, value_name = "FILE", env = "SEATMETERD_CONFIG")]
    #[allow(dead_code, reason = "it is read before the other options, whose defaults it has")]
    config: Option<PathBuf>,

    /// The data directory
    #[arg(
        long = "data",
        value_name = "DIR",
        env = "SEATMETERD_DATA",
        default_value = "seatmeterd-data"
    )]
    path: PathBuf,

    /// Store the data in PostgreSQL, postgres://USER:PASSWORD@HOST:PORT/DATABASE, instead of the
    /// data directory
    #[arg(long, value_name = "URL", env = "SEATMETERD_DATABASE", hide_env_values = true)]
    database: Option<Location>,

    /// File with the password of PostgreSQL. Without it, the variables SEATMETERD_DATABASE_PASSWORD
    /// and PGPASSWORD and PostgreSQL's own password file are used
    #[arg(long, value_name = "FILE", env = "SEATMETERD_DATABASE_PASSWORD_FILE")]
    database_password_file: Option<PathBuf>,

    /// Acknowledge nothing while PostgreSQL has no synchronous standby
    #[arg(long, env = "SEATMETERD_REQUIRE_SYNCHRONOUS", requires = "database")]
    require_synchronous: bool,
}

/// The data of a server, open to be used.
struct OpenData {
    store: Arc<dyn Store>,
    keys: Keyring,
    clock: Arc<ServerClock>,
}

impl DataOption {
    fn dir(&self) -> DataDir {
        DataDir::new(&self.path)
    }

    /// Return the location of the database.
    fn location(&self) -> Location {
        let Some(url) = &self.database else {
            return Location::File(self.dir().database_path());
        };
        let url = match self.require_synchronous {
            true => url.clone().with_required_standby(),
            false => url.clone(),
        };
        // The name of the file comes last in the URL.
        match &self.database_password_file {
            Some(file) => url.with_password_file(file),
            None => url,
        }
    }

    /// Refuse a directory that `init` has not finished.
    fn require_initialized(&self) -> Result<(), Error> {
        self.require_finished()?;
        match self.database {
            Some(_) => Ok(()),
            None => self.dir().require_private(),
        }
    }

    /// Refuse a directory that `init` has not finished, and change nothing in it.
    fn require_finished(&self) -> Result<(), Error> {
        match self.database {
            Some(_) => self.dir().require_key(),
            None => self.dir().require_initialized(),
        }
    }

    /// Refuse PostgreSQL for a command that works only on the embedded database.
    fn require_embedded(&self) -> Result<(), Error> {
        match self.database {
            None => Ok(()),
            Some(_) => Err(Error::Setup(
                "PostgreSQL has backups of its own. Use pg_dump or pg_basebackup, keep a copy of \
                 the key files beside it, \
                 and run \"seatmeterd new-epoch\" after a restore."
                    .to_owned(),
            )),
        }
    }

    /// Open the store, and read the keys and the recorded time.
    fn open(&self) -> Result<OpenData, Error> {
        self.open_with_cache(None)
    }

    /// Open the store with this size of its cache in bytes, if it is embedded.
    fn open_with_cache(&self, cache: Option<u64>) -> Result<OpenData, Error> {
        let (dir, opened) = (self.dir(), self.location().open_with_cache(cache)?);
        dir.finish_rotation(opened.keys.in_use.as_deref())?;
        let keys = dir.keyring()?;
        if let Some(missing) = opened.keys.of_files.iter().find(|id| keys.with_id(id).is_none()) {
            return Err(Error::Setup(format!(
                "the database has license files for a server with key {missing}, which is not in \
                 {}. Copy the key files \
                 of a server that uses this database there.",
                dir.path().display()
            )));
        }
        self.require_same_key(&keys, opened.keys.in_use)?;
        let clock = ServerClock::new(Arc::new(SystemClock), opened.time);
        Ok(OpenData { store: opened.store, keys, clock: Arc::new(clock) })
    }
}

impl DataOption {
    /// Refuse a database that servers with another key use. The first server puts its key's id
    /// there.
    fn require_same_key(&self, keys: &Keyring, in_use: Option<String>) -> Result<(), Error> {
        let of_database = match (self.location(), in_use) {
            (Location::File(_), _) => return Ok(()),
            (Location::Url(_), Some(id)) => id,
            (location, None) => location.claim_key(&keys.current().public().id())?,
        };
        if keys.with_id(&of_database).is_some() {
            return Ok(());
        }
        Err(Error::Setup(format!(
            "the database is used by servers with key {of_database}, which is not in {}. Copy the \
             key files of a server that uses this database there.",
            self.dir().path().display()
        )))
    }
}

/// Ignore environment variables that are set but empty, as a template leaves them.
#[allow(
    clippy::disallowed_methods,
    reason = "the variables are those that this command line names"
)]
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env().is_some_and(is_empty) {
            true => argument.env(Resettable::Reset),
            false => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// Read the command line. If it names a configuration file, read it again with the values of the
/// file as defaults.
fn command_line() -> Result<CommandLine, Error> {
    let asked = without_empty_variables(CommandLine::command()).get_matches();
    let asked = match config::ConfigFile::named_by(&asked)? {
        Some(file) => without_empty_variables(file.feed(CommandLine::command())).get_matches(),
        None => asked,
    };
    Ok(CommandLine::from_arg_matches(&asked).unwrap_or_else(|e| e.exit()))
}

/// Run the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let output = &mut Shown::new(std::io::stdout());
    let outcome = command_line().and_then(|command_line| run(command_line.command, output));
    exit_code("seatmeterd", outcome)
}

/// Run the doctor as a program of its own, which is for devices and knows nothing of a server's
/// data.
#[must_use]
pub fn device_doctor() -> ExitCode {
    let output = &mut Shown::new(std::io::stdout());
    let asked = without_empty_variables(DeviceDoctor::command()).get_matches();
    let asked = DeviceDoctor::from_arg_matches(&asked).unwrap_or_else(|e| e.exit());
    exit_code("seatmeter-doctor", doctor::run_on_device(&asked, output))
}

/// Return the exit code of a program that ends with this outcome, and print its error.
fn exit_code(program: &str, outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        // The reader of the output has seen enough, as in `seatmeterd usage export | head`.
        Ok(()) | Err(Error::Output(std::io::ErrorKind::BrokenPipe)) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error, there is no way to report this.
            let _ = writeln!(std::io::stderr(), "{program}: {}", shown::line(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Run a command.
fn run(command: Command, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Command::Init(arguments) => init::run(&arguments, output),
        Command::Serve(arguments) => serve::run(&arguments, output),
        Command::Query(query) => queries::run(&query, output),
        Command::Usage(Usage::Sum(sum)) => queries::sum(&sum, output),
        Command::Usage(Usage::Show(arguments)) => usage_show::run(&arguments, output),
        Command::Usage(Usage::Export(arguments)) => usage_export::run(&arguments, output),
        Command::Doctor(arguments) => doctor::run(&arguments, output),
        Command::Vendor(command) => vendor::vendor(&command, output),
        Command::LicenseFile(command) => vendor::license_file(&command, output),
        Command::Key(arguments) => key::run(&arguments, output),
        Command::Organization(command) => operator::organization(&command, output),
        Command::Item(command) => operator::item(&command, output),
        Command::Handshake(command) => operator::handshake(&command, output),
        Command::Device(command) => operator::device(&command, output),
        Command::Alert(command) => alert::run(&command, output),
        Command::Token(command) => token::run(&command, output),
        Command::User(command) => user::run(&command, output),
        Command::Config(command) => config::command::run(&command, output),
        Command::Tls(command) => tls::run(&command, output),
        Command::Backup(arguments) => backup::backup(&arguments, output),
        Command::Restore(arguments) => backup::restore(&arguments, output),
        Command::NewEpoch(arguments) => epoch::run(&arguments, output),
        Command::Epochs(data) => operator::epochs(&data, output),
        Command::Clock(command) => clock::run(&command, output),
        Command::Audit(arguments) => audit::run(&arguments, output),
        Command::Check(arguments) => check::run(&arguments, output),
        Command::Domains(Domains::Explain(arguments)) => domains::explain(&arguments, output),
        Command::Domains(Domains::List(ask)) => queries::domains(&ask, output),
        Command::Plan(arguments) => plan::run(&arguments, output),
        Command::ManPages(arguments) => manual::man_pages(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments, output),
    }
}

/// Convert an error of writing to standard output; use with `?`.
fn output_error(error: std::io::Error) -> Error {
    Error::Output(error.kind())
}

/// Return the word for a kind of work, in the singular or plural to match `count`.
fn kind_noun(kind: UsageKind, count: u128) -> &'static str {
    match (kind, count) {
        (UsageKind::Scan, 1) => "scan",
        (UsageKind::Scan, _) => "scans",
        (UsageKind::Page, 1) => "page",
        (UsageKind::Page, _) => "pages",
        (UsageKind::Image, 1) => "image",
        (UsageKind::Image, _) => "images",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::admin::roles::{COMMANDS, ROUTES};

    #[test]
    fn the_command_line_is_sound() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
        <DeviceDoctor as clap::CommandFactory>::command().debug_assert();
    }

    /// Collect the commands that work on the data of a server, by their names.
    fn on_data(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        let is_on_data = |argument: &clap::Arg| argument.get_long() == Some("data");
        if !command.has_subcommands() && command.get_arguments().any(is_on_data) {
            found.push(name.to_owned());
        }
        for command in command.get_subcommands() {
            on_data(command, format!("{name} {}", command.get_name()).trim(), found);
        }
    }

    #[test]
    fn each_command_has_a_role_in_the_table() {
        let mut found = Vec::new();
        on_data(&CommandLine::command(), "", &mut found);
        assert!(found.len() > 25, "{found:?}");
        let routed = ROUTES.iter().map(|route| route.command).filter(|name| !name.is_empty());
        let known: BTreeSet<&str> = routed.chain(COMMANDS.iter().map(|(name, _)| *name)).collect();
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, known);
    }
}
