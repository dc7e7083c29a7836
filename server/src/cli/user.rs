//! The commands `seatmeterd user`: people who log in to the admin API with a password.
//!
//! A password never stands on the command line, where other users of the machine can read it. It is
//! asked for on a terminal, twice and without an echo, or read from a file or standard input.

use std::io::{IsTerminal, Read, Write, stdin};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use super::operator::{Operator, actor, carry_out, done, list, open};
use super::{DataOption, output_error};
use crate::access::Role;
use crate::error::Error;
use crate::operator::access::{PASSWORD_CHARACTERS_MIN, require_password};
use crate::operator::commands::{Change, View};
use crate::operator::secret::Secret;

/// The greatest number of bytes that are read as a password.
const PASSWORD_BYTES_MAX: u64 = 4_096;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make a user of the admin API
    Create {
        /// The name with which the user logs in
        name: String,
        /// The role: viewer reads everything but secrets, operator changes handshake codes and
        /// devices, admin changes license files, keys, tokens and users
        #[arg(long, value_enum)]
        role: Role,
        /// The organization to which the user is bound: the user sees and changes nothing of
        /// others. Without it, the user is good for all organizations
        #[arg(long, value_name = "ORGANIZATION")]
        organization: Option<String>,
        #[command(flatten)]
        password: PasswordOption,
        #[command(flatten)]
        data: DataOption,
    },
    /// List users
    List(DataOption),
    /// Set the password of a user, and end the user's sessions
    Password {
        /// The name of the user
        name: String,
        #[command(flatten)]
        password: PasswordOption,
        #[command(flatten)]
        data: DataOption,
    },
    /// Give a user another role, also in the sessions that the user has now
    Role {
        /// The name of the user
        name: String,
        /// The new role of the user
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        data: DataOption,
    },
    /// Remove a user, and end the user's sessions
    Remove {
        /// The name of the user
        name: String,
        #[command(flatten)]
        data: DataOption,
    },
}

#[derive(Args, Debug)]
pub(super) struct PasswordOption {
    /// Read the password from the first line of this file; "-" for standard input. Without it, the
    /// password is asked for on the terminal, or read from standard input if that is no terminal
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) fn run(command: &User, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        User::Create { name, role, organization, password, data } => {
            let operator = Operator::open(data)?;
            let password = password.read()?;
            let (name, bound, by) = (name.clone(), organization.clone(), &actor());
            operator.wait(operator.licensing.make_user(name, *role, bound, password, by))?;
            done(output)
        }
        User::List(data) => list(data, View::Users, output),
        User::Password { name, password, data } => {
            let operator = Operator::open(data)?;
            let password = password.read()?;
            operator.wait(operator.licensing.set_password(name.clone(), password, &actor()))?;
            done(output)
        }
        User::Role { name, role, data } => {
            carry_out(data, Change::SetRole { name: name.clone(), role: *role }, output)
        }
        User::Remove { name, data } => {
            carry_out(data, Change::RemoveUser { name: name.clone() }, output)
        }
    }
}

impl PasswordOption {
    fn read(&self) -> Result<Secret, Error> {
        match &self.password_file {
            Some(path) => first_line(path),
            None if stdin().is_terminal() => ask_twice(),
            None => first_line(Path::new("-")),
        }
    }
}

/// Return the first line of a file. The end of the line is no part of the password.
fn first_line(path: &Path) -> Result<Secret, Error> {
    let cannot = |why: String| {
        Error::Setup(format!("cannot read a password from {}: {why}.", path.display()))
    };
    let mut bytes = Vec::new();
    open(path)
        .and_then(|source| source.take(PASSWORD_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|e| cannot(e.to_string()))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => Err(cannot("its first line is empty".to_owned())),
        Ok(line) => Ok(Secret::from(line)),
        Err(_) => Err(cannot("its first line is not UTF-8".to_owned())),
    }
}

/// Ask for a password on the terminal, twice.
fn ask_twice() -> Result<Secret, Error> {
    let password = ask(&format!("Password (at least {PASSWORD_CHARACTERS_MIN} characters): "))?;
    require_password(&password)?;
    if ask("The same password again: ")? != password {
        return Err(Error::Setup("the two passwords differ. Try again.".to_owned()));
    }
    Ok(password)
}

/// Ask for a line on the terminal that is not shown while it is typed.
fn ask(question: &str) -> Result<Secret, Error> {
    let silent = SilentTerminal::new()?;
    let mut terminal = std::io::stderr();
    write!(terminal, "{question}").and_then(|()| terminal.flush()).map_err(output_error)?;
    let line = read_line();
    drop(silent);
    writeln!(terminal).map_err(output_error)?;
    line
}

/// Read what is typed up to the Enter key, byte by byte. The terminal is not in the mode in which
/// it edits lines, so that Ctrl-C arrives here and the echo can be put back.
fn read_line() -> Result<Secret, Error> {
    let given_up = || Error::Setup("no password was typed.".to_owned());
    let mut line = Vec::new();
    for byte in stdin().lock().bytes() {
        match byte.map_err(|_| given_up())? {
            b'\r' | b'\n' => {
                return String::from_utf8(line)
                    .map(Secret::from)
                    .map_err(|_| Error::Setup("the password is not UTF-8.".to_owned()));
            }
            // Ctrl-C, and Ctrl-D.
            3 | 4 => return Err(given_up()),
            // Backspace removes a whole character.
            8 | 127 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            byte if (line.len() as u64) < PASSWORD_BYTES_MAX => line.push(byte),
            _ => {}
        }
    }
    Err(given_up())
}

/// The terminal without an echo. Dropping it puts the terminal back as it was.
struct SilentTerminal(Termios);

impl SilentTerminal {
    fn new() -> Result<Self, Error> {
        let cannot = |e: nix::Error| Error::Setup(format!("the terminal cannot be set: {e}."));
        let before = termios::tcgetattr(stdin()).map_err(cannot)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        // Input that was typed ahead is kept.
        termios::tcsetattr(stdin(), SetArg::TCSADRAIN, &silent).map_err(cannot)?;
        Ok(Self(before))
    }
}

impl Drop for SilentTerminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(stdin(), SetArg::TCSADRAIN, &self.0);
    }
}
