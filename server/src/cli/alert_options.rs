//! The options of `serve` for the delivery of alerts: mail and webhook.
//!
//! Secrets come from a file or a variable. The command line, which every user of the machine can
//! read, has only the names of files.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::alerts::deliver::Ways;
use crate::alerts::mail::{Mail, MailSettings, MailTls};
use crate::alerts::summary::Period;
use crate::alerts::webhook::{Signer, Webhook};
use crate::error::Error;
use crate::http::tls::trust;
use crate::named_file::read_named;
use crate::network::Network;
use crate::operator::secret::Secret;

/// The variables that hold secrets.
const SMTP_PASSWORD: &str = "SEATMETERD_SMTP_PASSWORD";
const WEBHOOK_SECRET: &str = "SEATMETERD_WEBHOOK_SECRET";

/// The greatest size of a file with a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The options for the delivery of alerts.
#[derive(Args, Debug)]
pub(super) struct AlertArguments {
    /// Mail server that sends alerts, HOST or HOST:PORT
    #[arg(long, value_name = "HOST", env = "SEATMETERD_SMTP_SERVER")]
    smtp_server: Option<String>,

    /// How the mail server is spoken to: starttls (usually port 587), tls (465), or none (25) for
    /// one on this machine
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        env = "SEATMETERD_SMTP_TLS",
        default_value = "starttls"
    )]
    smtp_tls: MailTls,

    /// Certificates to trust for the mail server, in addition to the system's
    #[arg(long, value_name = "FILE", env = "SEATMETERD_SMTP_CA")]
    smtp_ca: Option<PathBuf>,

    /// User of the mail server, if it wants a login
    #[arg(long, value_name = "NAME", env = "SEATMETERD_SMTP_USER")]
    smtp_user: Option<String>,

    /// File with the password of this user. Without it, the variable SEATMETERD_SMTP_PASSWORD is
    /// used
    #[arg(long, value_name = "FILE", env = "SEATMETERD_SMTP_PASSWORD_FILE")]
    smtp_password_file: Option<PathBuf>,

    /// Sender of the mails, such as seatmeterd@example.com; without it, the user of the mail server
    #[arg(long, value_name = "ADDRESS", env = "SEATMETERD_MAIL_FROM")]
    mail_from: Option<String>,

    /// Recipient of alerts; can be given several times
    #[arg(long, value_name = "ADDRESS", env = "SEATMETERD_MAIL_TO", value_delimiter = ',')]
    mail_to: Vec<String>,

    /// Mail a summary of each organization to these recipients: weekly on Mondays, or monthly
    #[arg(long, value_enum, value_name = "HOW-OFTEN", env = "SEATMETERD_SUMMARY")]
    summary: Option<Period>,

    /// URL that gets alerts as Standard Webhooks, https://HOST/PATH
    #[arg(long, value_name = "URL", env = "SEATMETERD_WEBHOOK_URL", hide_env_values = true)]
    webhook_url: Option<String>,

    /// File with what signs alerts: a secret (whsec_...), an Ed25519 key (whsk_...), or both, one a
    /// line. Without it, the variable SEATMETERD_WEBHOOK_SECRET is used
    #[arg(long, value_name = "FILE", env = "SEATMETERD_WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<PathBuf>,

    /// Certificates to trust for the webhook, in addition to the system's
    #[arg(long, value_name = "FILE", env = "SEATMETERD_WEBHOOK_CA")]
    webhook_ca: Option<PathBuf>,

    /// Network to which alerts may go although it is not public, or without TLS; can be given
    /// several times
    #[arg(long, value_name = "CIDR", env = "SEATMETERD_WEBHOOK_NETWORK", value_delimiter = ',')]
    webhook_network: Vec<Network>,

    /// Leave UUIDs of devices out of mails and webhooks
    #[arg(long, env = "SEATMETERD_ALERT_HIDE_DEVICES")]
    alert_hide_devices: bool,
}

impl AlertArguments {
    /// Return the channels by which alerts are delivered.
    ///
    /// # Errors
    /// Fails when options do not fit together, or a file cannot be used.
    pub(super) fn ways(&self) -> Result<Ways, Error> {
        Ok(Ways {
            mail: self.mail()?,
            webhook: self.webhook()?,
            summary: self.summary,
            hides_devices: self.alert_hide_devices,
        })
    }

    fn mail(&self) -> Result<Option<Mail>, Error> {
        let Some(server) = &self.smtp_server else {
            if self.summary.is_some() {
                return Err(Error::Setup(
                    "--summary needs --smtp-server HOST, which sends the mail.".to_owned(),
                ));
            }
            return match self.mail_to.first() {
                None => Ok(None),
                Some(to) => Err(Error::Setup(format!(
                    "--mail-to {to} needs --smtp-server HOST, which sends the mail."
                ))),
            };
        };
        let bad = || {
            Error::Setup(format!(
                "\"{server}\" is not a mail server: write HOST or HOST:PORT, an address of IPv6 as \
                 [ADDRESS]:PORT."
            ))
        };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| bad())?))
            }
            _ => (server.as_str(), None),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let login = match &self.smtp_user {
            None => None,
            Some(user) => {
                let password = secret(self.smtp_password_file.as_deref(), SMTP_PASSWORD)?;
                let password = password.ok_or_else(|| {
                    Error::Setup(format!(
                        "--smtp-user {user} needs a password: --smtp-password-file FILE, or the \
                         variable {SMTP_PASSWORD}."
                    ))
                })?;
                Some((user.clone(), password))
            }
        };
        let from = self.mail_from.clone().or_else(|| self.smtp_user.clone());
        let from = from.ok_or_else(|| {
            Error::Setup(format!("--smtp-server {server} needs --mail-from ADDRESS, the sender."))
        })?;
        let ca = self.smtp_ca.as_deref().map_or(Ok(Vec::new()), trust::certificates);
        let ca = ca.map_err(|why| Error::Setup(format!("--smtp-ca: {why}.")))?;
        let ca = ca.iter().map(|certificate| certificate.to_vec()).collect();
        let to = self.mail_to.clone();
        Mail::new(MailSettings { host, port, tls: self.smtp_tls, ca, login, from, to }).map(Some)
    }

    fn webhook(&self) -> Result<Option<Webhook>, Error> {
        let Some(url) = &self.webhook_url else { return Ok(None) };
        let secrets = secret(self.webhook_secret_file.as_deref(), WEBHOOK_SECRET)?;
        let secrets = secrets.as_ref().map_or("", Secret::expose);
        let signers: Vec<Signer> =
            secrets.split_whitespace().map(Signer::read).collect::<Result<_, _>>()?;
        for public in signers.iter().filter_map(Signer::public) {
            tracing::info!("the receiver of webhooks checks signatures with the key {public}");
        }
        let extra = self.webhook_ca.as_deref().map_or(Ok(Vec::new()), trust::certificates);
        let config = extra.and_then(trust::client_config);
        let config = config.map_err(|why| Error::Setup(format!("--webhook-ca: {why}.")))?;
        Webhook::new(url, signers, self.webhook_network.clone(), config).map(Some)
    }
}

/// Return the secret in a file, or in a variable without a file.
#[allow(clippy::disallowed_methods, reason = "a secret may come by a variable, and by no option")]
fn secret(file: Option<&Path>, variable: &str) -> Result<Option<Secret>, Error> {
    let Some(path) = file else {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
        return Ok(value.map(Secret::from));
    };
    let unreadable = |why: String| {
        Error::Setup(format!("the secret in {} cannot be read: {why}.", path.display()))
    };
    let bytes = read_named(path, SECRET_BYTES_MAX).map_err(|e| unreadable(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not text".to_owned()))?;
    match text.trim() {
        "" => Err(unreadable("it is empty".to_owned())),
        text => Ok(Some(Secret::from(text))),
    }
}
