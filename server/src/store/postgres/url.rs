//! The URL of the database, as an operator writes it: PostgreSQL's own, with the parameters that
//! its own programs know.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::password;
use super::tls::{Files, Proof};
use super::{CONNECT_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, TCP_TIMEOUT};
use crate::error::Error;

/// The parameters that are passed on as they are.
const PASSED_ON: [&str; 19] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "keepalives_count",
];

/// The parameters that this program understands by itself.
const OWN: [&str; 7] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "passfile", "sslcompression", "gssencmode"];

/// The parts of a URL.
pub(super) struct Parsed {
    pub(super) config: Config,
    /// The proof that TLS has to give.
    pub(super) proof: Proof,
    pub(super) files: Files,
    /// Whether a host is beyond this machine.
    pub(super) is_remote: bool,
    /// Whether a commit counts only if a synchronous standby has it, too.
    pub(super) requires_standby: bool,
}

impl FromStr for Parsed {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        if !["postgres://", "postgresql://"].iter().any(|start| url.starts_with(start)) {
            return Err(makes_no_sense("a database URL begins with postgres://"));
        }
        let (url, password_file) = password::split(url);
        let (url, own) = take_own(&url)?;
        let mut config = Config::from_str(&url).map_err(|e| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            makes_no_sense(&cause.unwrap_or_else(|| e.to_string()))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(makes_no_sense("it names no host"));
        }
        password::fill(&mut config, password_file.as_deref(), own.pass_file)?;
        settle(&mut config, &url);
        let is_remote = !is_local(&config);
        let (mode, proof) = tls_mode(own.mode.as_deref(), &own.files, is_remote)?;
        config.ssl_mode(mode);
        Ok(Self {
            config,
            proof,
            files: own.files,
            is_remote,
            requires_standby: own.requires_standby,
        })
    }
}

/// Settings in the URL take precedence; their names are those of PostgreSQL.
fn settle(config: &mut Config, url: &str) {
    config.connect_timeout(*config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT));
    config.tcp_user_timeout(*config.get_tcp_user_timeout().unwrap_or(&TCP_TIMEOUT));
    if !url.contains("keepalives") {
        config.keepalives_idle(KEEPALIVE_IDLE);
        config.keepalives_interval(KEEPALIVE_INTERVAL);
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    // With several hosts, the connection goes to the one that is not a standby.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    if config.get_application_name().is_none() {
        config.application_name("seatmeterd");
    }
}

/// The values of the parameters that this program understands by itself.
#[derive(Default)]
struct Own {
    mode: Option<String>,
    files: Files,
    pass_file: Option<PathBuf>,
    requires_standby: bool,
}

/// The parameter by which the command line says that a synchronous standby is required. It is our
/// own: PostgreSQL never sees it.
const REQUIRE_STANDBY: &str = "require_synchronous";

/// Return the URL with the word that a commit counts only if a synchronous standby has it, too.
pub(in crate::store) fn with_required_standby(url: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{REQUIRE_STANDBY}=on")
}

/// Split a URL into what is passed on, and what this program understands by itself.
fn take_own(url: &str) -> Result<(String, Own), Error> {
    // User and password end with the last @ before the path; both may have a question mark.
    let start = url.find("://").map_or(0, |at| at + 3);
    let hosts = url[start..].find('@').map_or(start, |at| start + at);
    let Some(at) = url[hosts..].find('?').map(|at| hosts + at) else {
        return Ok((url.to_owned(), Own::default()));
    };
    let mut own = Own::default();
    let mut passed_on = Vec::new();
    for pair in url[at + 1..].split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = || {
            decoded(value).ok_or_else(|| makes_no_sense(&format!("the value of {name} is no text")))
        };
        match name {
            "sslmode" => own.mode = Some(text()?),
            "sslrootcert" => own.files.authorities = Some(text()?.into()),
            "sslcert" => own.files.certificate = Some(text()?.into()),
            "sslkey" => own.files.key = Some(text()?.into()),
            "passfile" => own.pass_file = Some(text()?.into()),
            REQUIRE_STANDBY => own.requires_standby = true,
            // There is nothing to switch off.
            "sslcompression" | "gssencmode" => {}
            "keepalives_count" => passed_on.push(format!("keepalives_retries={value}")),
            _ if PASSED_ON.contains(&name) => passed_on.push(pair.to_owned()),
            _ => return Err(unknown(name)),
        }
    }
    let mut rest = url[..at].to_owned();
    if !passed_on.is_empty() {
        rest.push('?');
        rest.push_str(&passed_on.join("&"));
    }
    Ok((rest, own))
}

fn unknown(name: &str) -> Error {
    let known = PASSED_ON.iter().chain(&OWN);
    let like = known
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let like = like.map_or_else(String::new, |like| format!("; did you mean \"{like}\"?"));
    makes_no_sense(&format!("seatmeterd does not know its parameter \"{name}\"{like}"))
}

/// Decode what stands as %XX.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        bytes.extend(hex::decode(after.get(..2)?).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Return the mode of the connection, and what TLS has to prove.
fn tls_mode(mode: Option<&str>, files: &Files, is_remote: bool) -> Result<(SslMode, Proof), Error> {
    Ok(match mode {
        Some("disable") => (SslMode::Disable, Proof::Nothing),
        Some("allow" | "prefer") => (SslMode::Prefer, Proof::Nothing),
        None if !is_remote && files.authorities.is_none() => (SslMode::Prefer, Proof::Nothing),
        // With a file of authorities, PostgreSQL's own programs take `require` for `verify-ca`.
        Some("verify-ca") => (SslMode::Require, Proof::Authority),
        Some("require") if files.authorities.is_some() => (SslMode::Require, Proof::Authority),
        // Without a word, nothing goes over a network in plain text.
        None | Some("require" | "verify-full") => (SslMode::Require, Proof::AuthorityAndName),
        Some(other) => {
            return Err(makes_no_sense(&format!(
                "sslmode \"{other}\" is none of disable, prefer, require, verify-ca and verify-full"
            )));
        }
    })
}

/// Return whether no host is beyond this machine.
fn is_local(config: &Config) -> bool {
    let is_local = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(is_local),
        addresses => addresses.iter().all(std::net::IpAddr::is_loopback),
    }
}

/// The URL is in no message, because it may have a password.
fn makes_no_sense(why: &str) -> Error {
    Error::Setup(format!(
        "the database URL makes no sense: {why}. It is \
         postgres://USER:PASSWORD@HOST:PORT/DATABASE."
    ))
}
