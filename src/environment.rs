//! The environment variables that the library reads. It reads them once per initialization and only
//! here.
//!
//! An explicit parameter takes precedence over each of them. The HTTP client helps to read the
//! proxy variables.
//!
//! If a program runs with more rights than the user who started it (`AT_SECURE` of `getauxval(3)`),
//! the library ignores the environment. This includes our own variables, HOME, the proxies and the
//! paths of certificates.
//!
//! A relative path means the same file for as long as the process lives, even after it changes its
//! working directory. It is relative to the working directory in which the environment was first
//! read.

#![allow(clippy::disallowed_methods, reason = "this file is the one home of the environment")]

use std::env;
use std::path::{Path, PathBuf};

use seatmeter_protocol::message::TEXT_BYTES_MAX;

use crate::os::{self, PerProcess, is_privileged};

/// The values that the environment gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `SEATMETER_SERVER`: the main server's URL.
    pub server: Option<String>,
    /// `SEATMETER_STANDBY_SERVER`: the standby server's URL.
    pub standby_server: Option<String>,
    /// `SEATMETER_STATE_DIR`: where the device's state is kept.
    pub state_directory: Option<PathBuf>,
    /// `SEATMETER_CA_FILE`: certificates of a company's own authority.
    pub ca_file: Option<PathBuf>,
    /// `SEATMETER_LOG`: a file to which the library writes a line for each of its actions.
    pub log: Option<PathBuf>,
    /// `XDG_STATE_HOME`: the user's folder for state, by the XDG base directory specification.
    pub xdg_state_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// The name of this process's executable file, as the system reports it.
    pub program: String,
}

impl Environment {
    /// Read the variables. An empty variable counts as unset. All count as unset if the program has
    /// more rights than its user.
    pub fn read() -> Self {
        if is_privileged() {
            // The name comes from the system, so it counts here, too.
            return Self { program: program_name(), ..Self::default() };
        }
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let ours = |name| path(name).map(from_the_start);
        Self {
            server: text("SEATMETER_SERVER"),
            standby_server: text("SEATMETER_STANDBY_SERVER"),
            state_directory: ours("SEATMETER_STATE_DIR"),
            ca_file: ours("SEATMETER_CA_FILE"),
            log: ours("SEATMETER_LOG"),
            // The specification says that relative paths are to be ignored.
            xdg_state_home: path("XDG_STATE_HOME").filter(|p| p.is_absolute()),
            home: path("HOME").filter(|p| p.is_absolute()),
            program: program_name(),
        }
    }
}

/// Return the name of this process's executable file. It comes from the system, because a caller
/// could give any name.
fn program_name() -> String {
    let name = String::from_utf8_lossy(&os::program_name()).into_owned();
    // The kernel appends this when an update has replaced the file of a running program.
    let mut name = name.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(name);
    // Linux limits a name to 255 bytes; replaced bytes may make it longer.
    while name.len() > TEXT_BYTES_MAX {
        name.pop();
    }
    name
}

/// The working directory in which the environment was first read; in a forked process, that of its
/// parent. It is the empty path if there was none.
static START: PerProcess<PathBuf> = PerProcess::new();

/// Return the path relative to the working directory in which the environment was first read.
fn from_the_start(path: PathBuf) -> PathBuf {
    let start = START
        .get(|parent| parent.cloned().unwrap_or_else(|| env::current_dir().unwrap_or_default()));
    if path.is_absolute() { path } else { Path::new(start).join(path) }
}

/// Return `SSL_CERT_FILE`: the file from which the platform's verifier takes its authorities, if
/// the user names one.
pub fn authorities_file() -> Option<PathBuf> {
    env::var_os("SSL_CERT_FILE").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Return the folders in `SSL_CERT_DIR`, from which the platform's verifier takes more authorities.
pub fn authorities_folders() -> Vec<PathBuf> {
    let folders = env::var_os("SSL_CERT_DIR").unwrap_or_default();
    env::split_paths(&folders).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// Return the hosts for which the environment asks for no proxy (`NO_PROXY`). If the environment is
/// ignored, these are all hosts.
pub fn hosts_without_proxy() -> String {
    if is_privileged() {
        return "*".to_owned();
    }
    env::var("NO_PROXY").or_else(|_| env::var("no_proxy")).unwrap_or_default()
}
