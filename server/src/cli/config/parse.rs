//! The text of a configuration file, checked key by key. Every fault has its line, and says what to
//! write.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::{self, Display, Formatter};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Kind, options};
use crate::cli::draft::nearest;

/// The number of faults of a file that are named. A file of another kind has one in each line.
const FAULTS_MAX: usize = 20;

/// A key with its value.
#[derive(Debug)]
pub(super) struct Setting {
    /// The key, which is the name of the option.
    pub(super) key: String,
    /// The environment variable of the option.
    pub(super) variable: String,
    /// The values, as they would stand on the command line.
    pub(super) values: Vec<String>,
    pub(super) line: usize,
    /// Whether the value has a password.
    pub(super) is_secret: bool,
}

/// An error in a line of the file.
#[derive(Debug)]
pub(super) struct Fault {
    line: usize,
    what: String,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Return what this text sets of the options of `serve`, in the order of its lines.
pub(super) fn parse(text: &str, serve: &Command) -> Result<Vec<Setting>, Vec<Fault>> {
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line_of =
        |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        let what = format!("it is not TOML: {}. Write key = value", error.message().trim_end());
        vec![Fault { line, what }]
    })?;
    let checker = without_variables(serve.clone());
    let (mut settings, mut faults) = (Vec::new(), Vec::new());
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        match setting(key.get_ref(), value, serve, &checker) {
            Ok(setting) => settings.push(Setting { line, ..setting }),
            Err(what) => faults.push(Fault { line, what }),
        }
    }
    settings.sort_by_key(|setting| setting.line);
    faults.sort_by_key(|fault| fault.line);
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

fn setting(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    serve: &Command,
    checker: &Command,
) -> Result<Setting, String> {
    let argument = options(serve)
        .find(|option| option.get_long() == Some(key))
        .ok_or_else(|| unknown(key, value.get_ref(), serve))?;
    let kind = Kind::of(argument);
    let values = values(value.get_ref(), kind).ok_or_else(|| {
        format!("{key} = {} {}: {}", shown(value.get_ref()), wrong(kind), example(argument, kind))
    })?;
    accept(key, kind, &values, checker)
        .map_err(|why| format!("{key} = {}: {why}", kind.write(&values)))?;
    Ok(Setting {
        key: key.to_owned(),
        variable: argument.get_env().unwrap_or_default().to_string_lossy().into_owned(),
        is_secret: argument.is_hide_env_values_set() && values.iter().any(|v| has_password(v)),
        values,
        line: 0,
    })
}

/// Return the values as they would stand on the command line, if they are of this type.
fn values(value: &DeValue<'_>, kind: Kind) -> Option<Vec<String>> {
    let text = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(is_on)) => Some(vec![is_on.to_string()]),
        (Kind::Number, DeValue::Integer(number)) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(vec![parsed.to_string()])
        }
        (Kind::Text, value) => Some(vec![text(value)?]),
        (Kind::Texts, DeValue::Array(values)) if !values.is_empty() => {
            values.iter().map(|value| text(value.get_ref())).collect()
        }
        (Kind::Texts, value) => Some(vec![text(value)?]),
        _ => None,
    }
}

/// Let the option's own parser say whether it accepts the values.
fn accept(key: &str, kind: Kind, values: &[String], checker: &Command) -> Result<(), String> {
    if kind == Kind::Switch {
        return Ok(());
    }
    if let Some(bad) = values.iter().find(|value| value.is_empty() || value.contains('\0')) {
        return Err(format!("{bad:?} is no value; remove the key, or write one"));
    }
    let words = values.iter().map(|value| format!("--{key}={value}"));
    let asked = std::iter::once("serve".to_owned()).chain(words);
    let Err(error) = checker.clone().try_get_matches_from(asked) else { return Ok(()) };
    if let Some(why) = error.source() {
        return Err(why.to_string());
    }
    match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(valid))) => {
            Err(format!("write one of {}", valid.join(", ")))
        }
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, _) => {
            Err("it is not a possible value".to_owned())
        }
        // The value by itself is good. Whether the options fit together is seen later.
        _ => Ok(()),
    }
}

/// Return the command without variables, so that the environment does not matter.
fn without_variables(command: Command) -> Command {
    command.mut_args(|argument| argument.env(Resettable::Reset))
}

fn unknown(key: &str, value: &DeValue<'_>, serve: &Command) -> String {
    let known: BTreeSet<&str> = options(serve).filter_map(Arg::get_long).collect();
    let with_dashes = key.replace('_', "-");
    let like = nearest(&with_dashes, known.iter().copied());
    let key = if key.len() > 64 { "this long key" } else { key };
    match (like, value) {
        (Some(like), _) => format!("there is no key {key:?}: write {like}"),
        (None, DeValue::Table(_)) => {
            format!("there is no section [{key}]: write all keys without sections")
        }
        (None, _) => {
            format!("there is no key {key:?}: \"seatmeterd config sample\" shows all keys")
        }
    }
}

fn wrong(kind: Kind) -> &'static str {
    match kind {
        Kind::Switch => "is neither true nor false",
        Kind::Number => "is not a whole number without quotes",
        Kind::Text => "is not a text in quotes",
        Kind::Texts => "is not a list of texts in quotes",
    }
}

/// Return a line that could stand in the file.
fn example(argument: &Arg, kind: Kind) -> String {
    let values: Vec<String> =
        argument.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    let name = argument.get_value_names().and_then(|names| names.first());
    let values = match (values.is_empty(), kind) {
        (_, Kind::Switch) => vec!["true".to_owned()],
        (false, _) => values,
        (true, Kind::Number) => vec!["1000".to_owned()],
        (true, _) => vec![name.map_or_else(|| "VALUE".to_owned(), ToString::to_string)],
    };
    format!("write {} = {}", argument.get_long().unwrap_or_default(), kind.write(&values))
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 64 => super::quoted(text),
        DeValue::String(_) => "a long text".to_owned(),
        DeValue::Integer(number) if number.as_str().len() <= 40 => number.to_string(),
        DeValue::Boolean(is_on) => is_on.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Integer(_) | DeValue::Float(_) => "this number".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
    }
}

/// Return whether a secret value really has one: a URL may be without a password.
fn has_password(value: &str) -> bool {
    match value.split_once("://") {
        Some((_, rest)) => {
            let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
            user.contains(':') || rest.contains("password=")
        }
        None => true,
    }
}
