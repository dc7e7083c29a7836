//! The configuration file: the options of `seatmeterd serve`, as keys of a TOML file.
//!
//! The file has no list of keys of its own. A key is the name of an option, its type and its bounds
//! are those of the option, and the values become the defaults of the options. So a flag comes
//! before a variable, a variable before the file, and a new option is a new key.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | which file, and how its values get into the command line |
//! | `parse.rs` | the text, checked key by key |
//! | `sample.rs` | a file in which every key is explained |
//! | `command.rs` | `seatmeterd config check` and `sample` |

pub(super) mod command;
mod parse;
mod sample;

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{ArgAction, ArgMatches, Command, CommandFactory};

use super::CommandLine;
use crate::error::Error;
use crate::named_file::read_named;
use parse::Setting;

/// The greatest size of a file in bytes. A sample with every key has some thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that was read, with values that the options can have.
pub(super) struct ConfigFile {
    path: PathBuf,
    settings: Vec<Setting>,
}

impl ConfigFile {
    /// Read the file that this command line names, if it names one.
    ///
    /// # Errors
    /// Fails when the file cannot be read or has errors; the sentence has the line of each.
    pub(super) fn named_by(asked: &ArgMatches) -> Result<Option<Self>, Error> {
        let mut asked = asked;
        while let Some((_, inner)) = asked.subcommand() {
            asked = inner;
        }
        match asked.try_get_one::<PathBuf>("config") {
            Ok(Some(path)) => Self::read(path).map(Some),
            _ => Ok(None),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let unreadable =
            |why: String| Error::Setup(format!("the configuration {shown} cannot be read: {why}."));
        // A pipe or a device would keep the command waiting.
        let bytes = read_named(path, FILE_BYTES_MAX).map_err(|e| unreadable(e.to_string()))?;
        let text = String::from_utf8(bytes)
            .map_err(|e| unreadable(format!("it is not text in UTF-8: {e}")))?;
        let settings = parse::parse(&text, &serve()).map_err(|faults| {
            let lines = faults.iter().map(|fault| format!("\n  {shown}, {fault}"));
            Error::Setup(format!("the configuration cannot be used.{}", lines.collect::<String>()))
        })?;
        let file = Self { path: path.to_owned(), settings };
        file.warn_of_secrets();
        Ok(file)
    }

    /// Say that others can read a password. This is no line of the log, because the file says how
    /// the log is written.
    fn warn_of_secrets(&self) {
        let Some(secret) = self.settings.iter().find(|setting| setting.is_secret) else { return };
        let is_open = |facts: Metadata| facts.permissions().mode() & 0o007 != 0;
        if std::fs::metadata(&self.path).is_ok_and(is_open) {
            let (path, key) = (self.path.display(), &secret.key);
            // Without standard error, there is no way to report this.
            let _ = writeln!(
                std::io::stderr(),
                "seatmeterd: warning: everybody on this machine can read the password of {key} in \
                 {path}: run chmod o= {path}"
            );
        }
    }

    /// Make the values of the file the defaults of this command line's options.
    pub(super) fn feed(&self, command: Command) -> Command {
        command
            .mut_args(|argument| {
                let setting = self.settings.iter().find(|setting| {
                    // The variable identifies an option in every command that has it.
                    argument.get_env().is_some_and(|name| name == setting.variable.as_str())
                });
                match setting {
                    Some(setting) => argument.default_values(setting.values.clone()),
                    None => argument,
                }
            })
            .mut_subcommands(|command| self.feed(command))
    }
}

/// Return the definitions of the options that a file can set.
fn serve() -> Command {
    let command = CommandLine::command();
    command.find_subcommand("serve").expect("it is a command of this program").clone()
}

/// Return the options among these definitions that a file can set: those with a variable, without
/// the name of the file itself.
fn options(serve: &Command) -> impl Iterator<Item = &clap::Arg> {
    serve.get_arguments().filter(|argument| {
        argument.get_env().is_some()
            && argument.get_long().is_some()
            && argument.get_id() != "config"
    })
}

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Switch,
    Number,
    Text,
    Texts,
}

impl Kind {
    fn of(argument: &clap::Arg) -> Self {
        use std::any::TypeId;
        let parsed = argument.get_value_parser().type_id();
        let numbers =
            [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
        match argument.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => Self::Switch,
            ArgAction::Append => Self::Texts,
            _ if numbers.iter().any(|number| parsed == *number) => Self::Number,
            _ => Self::Text,
        }
    }

    /// Write values of this type as TOML.
    fn write(self, values: &[String]) -> String {
        let first = values.first().map_or("", String::as_str);
        match self {
            Self::Switch | Self::Number => first.to_owned(),
            Self::Text => quoted(first),
            Self::Texts => {
                let all: Vec<_> = values.iter().map(|value| quoted(value)).collect();
                format!("[{}]", all.join(", "))
            }
        }
    }
}

/// Write a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Check the text of a file as `seatmeterd config check` does, without reading other files. This
/// is for fuzzing. Return the values as a file that says the same.
///
/// # Errors
/// Returns the sentences about what is wrong.
pub fn check_text(text: &str) -> Result<String, Vec<String>> {
    let serve = serve();
    let settings = parse::parse(text, &serve)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let written = settings.iter().filter_map(|setting| {
        let argument = options(&serve).find(|option| option.get_long() == Some(&setting.key))?;
        Some(format!("{} = {}\n", setting.key, Kind::of(argument).write(&setting.values)))
    });
    Ok(written.collect())
}
