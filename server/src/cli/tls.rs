//! The command `seatmeterd tls self-signed`: an authority and a certificate for a trial, or for a
//! company without an authority of its own.
//!
//! ```text
//! DIR/            0700
//!   ca.pem        for devices: SEATMETER_CA_FILE
//!   ca.key        signs further certificates of this authority
//!   server.pem    for --tls-cert
//!   server.key    for --tls-key
//!   client-NAME.pem, client-NAME.key    for a client of the admin API, with --client NAME
//! ```
//!
//! A second call in the same directory renews the certificate under the same authority, so that
//! devices need nothing new. A running server reads the new files by itself.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_cert::Certificate;
use x509_cert::der::DecodePem;

use super::output_error;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::sharing;

/// The name in the authority's certificate. Certificates refer to it, so it never changes.
const AUTHORITY: &str = "seatmeter trial authority";

/// The days for which the authority is valid.
const AUTHORITY_DAYS: u32 = 3_650;

/// The seconds that a certificate is valid before it is made, for devices whose clock is behind.
const EARLIER_SECONDS: u64 = 86_400;

const DAY: u64 = 86_400;

#[derive(Debug, Subcommand)]
pub(super) enum TlsCommand {
    /// Make an authority and a certificate of the server for a trial, or renew that certificate
    SelfSigned(SelfSignedArguments),
}

#[derive(Args, Debug)]
pub(super) struct SelfSignedArguments {
    /// Host name or address by which devices name the server; more than one may be given
    #[arg(long, value_name = "NAME", required = true, num_args = 1..)]
    host: Vec<String>,
    /// The directory of the files
    #[arg(long, value_name = "DIR", default_value = "seatmeterd-tls")]
    out: PathBuf,
    /// The number of days for which the certificate is valid
    #[arg(long, value_name = "N", default_value_t = 365,
          value_parser = clap::value_parser!(u32).range(1..=AUTHORITY_DAYS as i64))]
    days: u32,
    /// Make a certificate for a client of the admin API, too (serve --admin-client-ca)
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
}

/// Run the command.
///
/// # Errors
/// Fails when the files cannot be made.
pub(super) fn run(command: &TlsCommand, output: &mut dyn Write) -> Result<(), Error> {
    let TlsCommand::SelfSigned(arguments) = command;
    let names = arguments.host.iter().map(|host| name(host)).collect::<Result<Vec<_>, _>>()?;
    let out = &arguments.out;
    sharing::make_directory(out).map_err(|e| not_made(out, &e))?;
    let (authority, is_new) = authority(out)?;
    let mut server = params(&arguments.host[0], arguments.days);
    server.subject_alt_names = names;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(&authority, &server, &out.join("server"))?;
    if let Some(client) = &arguments.client {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if client.is_empty() || !client.chars().all(is_plain) {
            return Err(Error::Setup(format!(
                "--client {client:?} cannot be a file's name: write letters, digits, \"-\", \"_\" \
                 and \".\"."
            )));
        }
        let mut params = params(client, arguments.days);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        issue(&authority, &params, &out.join(format!("client-{client}")))?;
    }
    tell(arguments, is_new, output).map_err(output_error)
}

/// Say what to do with the files.
fn tell(
    arguments: &SelfSignedArguments,
    is_new: bool,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let out = arguments.out.display();
    let host = match arguments.host[0].parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => arguments.host[0].clone(),
    };
    let made = match is_new {
        true => "made an authority and a certificate",
        false => {
            "renewed the certificate under the authority that was there; a running server \
                  uses it within seconds"
        }
    };
    writeln!(
        output,
        "{made}, for {}, valid {} days, in {out}",
        arguments.host.join(", "),
        arguments.days
    )?;
    writeln!(output, "\nOn the server:")?;
    writeln!(output, "  seatmeterd serve --listen 0.0.0.0:48080 \\")?;
    writeln!(output, "    --tls-cert {out}/server.pem --tls-key {out}/server.key")?;
    if let Some(client) = &arguments.client {
        writeln!(output, "\nTo let only holders of a client certificate use the admin API, add")?;
        writeln!(output, "    --admin-client-ca {out}/ca.pem")?;
        writeln!(output, "and ask with")?;
        writeln!(
            output,
            "  curl --cacert {out}/ca.pem --cert {out}/client-{client}.pem --key \
             {out}/client-{client}.key https://{host}:48080/admin/v1/items"
        )?;
    }
    writeln!(output, "\nOn each device, copy {out}/ca.pem and set")?;
    writeln!(output, "  SEATMETER_CA_FILE=/path/to/ca.pem")?;
    writeln!(output, "and name the server https://{host}:48080.")?;
    writeln!(output, "\nKeep {out}/ca.key secret: who has it can pose as the server.")
}

fn name(host: &str) -> Result<SanType, Error> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Ok(SanType::IpAddress(address));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
    let ascii = idna::domain_to_ascii(host).unwrap_or_default();
    match ascii.try_into() {
        Ok(name) if !host.is_empty() && (!host.is_ascii() || host.chars().all(is_plain)) => {
            Ok(SanType::DnsName(name))
        }
        _ => Err(Error::Setup(format!(
            "--host {host:?} is not a host: write a name or an address without scheme and port, \
             such as license.example."
        ))),
    }
}

fn params(common_name: &str, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = SystemClock.unix_seconds();
    let at = |seconds| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = at(now - EARLIER_SECONDS);
    params.not_after = at(now + u64::from(days) * DAY);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// Return the authority in this directory, and whether it was made now.
fn authority(out: &Path) -> Result<(Issuer<'static, KeyPair>, bool), Error> {
    let (certificate, key) = (out.join("ca.pem"), out.join("ca.key"));
    let mut params = params(AUTHORITY, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let stored = match (read(&certificate)?, read(&key)?) {
        (None, None) => {
            let pair = KeyPair::generate().map_err(internal)?;
            let made = params.self_signed(&pair).map_err(internal)?;
            write(&key, &pair.serialize_pem())?;
            write(&certificate, &made.pem())?;
            return Ok((Issuer::new(params, pair), true));
        }
        (Some(stored), Some(key)) => KeyPair::from_pem(&key).ok().filter(|pair| {
            Certificate::from_pem(stored.as_bytes()).is_ok_and(|stored| {
                let tbs = stored.tbs_certificate;
                tbs.subject_public_key_info.subject_public_key.raw_bytes() == pair.public_key_raw()
                    && tbs.subject.to_string() == format!("CN={AUTHORITY}")
                    && tbs.validity.not_after.to_unix_duration().as_secs()
                        > SystemClock.unix_seconds()
            })
        }),
        _ => None,
    };
    let pair = stored.ok_or_else(|| {
        Error::Setup(format!(
            "ca.pem and ca.key in {} are not an authority that this command has made, or it has \
             ended. Choose another directory with --out.",
            out.display()
        ))
    })?;
    Ok((Issuer::new(params, pair), false))
}

/// Make a key and its certificate.
fn issue(
    authority: &Issuer<'static, KeyPair>,
    params: &CertificateParams,
    path: &Path,
) -> Result<(), Error> {
    let pair = KeyPair::generate().map_err(internal)?;
    let certificate = params.signed_by(&pair, authority).map_err(internal)?;
    let named = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    write(&named(".key"), &pair.serialize_pem())?;
    write(&named(".pem"), &certificate.pem())
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::Setup(format!("{} cannot be read: {e}.", path.display()))),
    }
}

/// Write a file that only its owner can read, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let draft = path.with_extension("draft");
    let written = || {
        let _ = fs::remove_file(&draft);
        let mut file = sharing::new_file(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    written().map_err(|e| not_made(path, &e))
}

fn not_made(path: &Path, error: &std::io::Error) -> Error {
    Error::Setup(format!("{} cannot be written: {error}.", path.display()))
}

fn internal(error: rcgen::Error) -> Error {
    Error::Internal(format!("a certificate cannot be made: {error}"))
}
