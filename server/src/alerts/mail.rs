//! Events by e-mail: one mail for what came together, as plain text and HTML.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::deliver::Failure;
use super::host;
use crate::alert::{AlertKind, short_digest};
use crate::error::Error;
use crate::operator::queries::alerts::EventRow;
use crate::operator::secret::Secret;
use crate::utc;

/// The longest time that the mail server may take for each of its answers.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// The number of events of which a mail has the sentences. A mail beyond this says how many there
/// are.
const EVENTS_SHOWN_MAX: usize = 50;

/// The use of TLS with the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MailTls {
    /// The connection begins as plain text, and must become TLS before anything is said
    Starttls,
    /// The connection is TLS from its begin
    Tls,
    /// The connection is plain text, for a mail server on this machine
    None,
}

/// The settings of the way by mail.
#[derive(Debug)]
pub struct MailSettings {
    /// The host of the mail server.
    pub host: String,
    /// The port; `None` for the usual one.
    pub port: Option<u16>,
    /// The use of TLS.
    pub tls: MailTls,
    /// The authorities to trust in addition to the system's, in PEM form.
    pub ca: Vec<Vec<u8>>,
    /// The user with the password, if the mail server wants a login.
    pub login: Option<(String, Secret)>,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
}

/// The way by mail.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    server: String,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Mail {
    /// Return the way by these settings.
    ///
    /// # Errors
    /// Fails when an address is none, or the settings do not fit together.
    pub fn new(settings: MailSettings) -> Result<Self, Error> {
        let MailSettings { host, port, tls, ca, login, from, to } = settings;
        if tls == MailTls::None && login.is_some() {
            return Err(Error::Setup(
                "--smtp-user needs TLS, because others could read the password: choose --smtp-tls \
                 starttls or tls."
                    .to_owned(),
            ));
        }
        if to.is_empty() {
            return Err(Error::Setup(format!(
                "--smtp-server {host} needs --mail-to ADDRESS, the recipient of alerts."
            )));
        }
        let (from, to) =
            (mailbox(&from)?, to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?);
        let (parameters, usual) = match tls {
            MailTls::None => (Tls::None, 25),
            MailTls::Starttls => (Tls::Required(tls_parameters(&host, &ca)?), 587),
            MailTls::Tls => (Tls::Wrapper(tls_parameters(&host, &ca)?), 465),
        };
        let port = port.unwrap_or(usual);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
            .port(port)
            .tls(parameters)
            .hello_name(ClientId::Domain(super::host()))
            .timeout(Some(ANSWER_TIME_MAX));
        if let Some((user, password)) = login {
            builder = builder.credentials(Credentials::new(user, password.expose().to_owned()));
        }
        Ok(Self { transport: builder.build(), server: format!("{host}:{port}"), from, to })
    }

    /// Return the host and port of the mail server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Return the sender.
    #[must_use]
    pub fn sender(&self) -> String {
        self.from.to_string()
    }

    /// Return the recipients.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.to.iter().map(ToString::to_string).collect()
    }

    /// Send one mail about these events to all recipients. If the mail server refuses one of
    /// several recipients, each gets a mail of its own.
    ///
    /// # Errors
    /// Fails when no recipient gets the mail.
    pub async fn send(&self, events: &[EventRow]) -> Result<(), Failure> {
        let outcome = self.send_to(&self.to, events).await;
        if !matches!(outcome, Err(Failure::Never(_))) || self.to.len() == 1 {
            return outcome;
        }
        let (mut has_one, mut why) = (false, Vec::new());
        for to in &self.to {
            match self.send_to(std::slice::from_ref(to), events).await {
                Ok(()) => has_one = true,
                Err(Failure::Later(error) | Failure::Never(error) | Failure::Gone(error)) => {
                    tracing::warn!(recipient = %to.email, "an alert has no mail: {error}");
                    why.push(error);
                }
            }
        }
        if has_one { Ok(()) } else { Err(Failure::Never(why.join("; "))) }
    }

    async fn send_to(&self, to: &[Mailbox], events: &[EventRow]) -> Result<(), Failure> {
        let message = self.message(to, events).map_err(|e| Failure::Never(e.to_string()))?;
        let sent = self.transport.send(message).await;
        sent.map(|_| ()).map_err(|error| {
            let told = format!("{}: {error}", self.server);
            // The operator corrects refused logins, and still wants the mail afterwards.
            let is_login = error.status().is_some_and(|code| {
                ["530", "534", "535", "538"].contains(&code.to_string().as_str())
            });
            if error.is_permanent() && !is_login {
                Failure::Never(told)
            } else {
                Failure::Later(told)
            }
        })
    }

    fn message(
        &self,
        to: &[Mailbox],
        events: &[EventRow],
    ) -> Result<Message, lettre::error::Error> {
        // A mail that is sent again has the same id, by which mail programs recognize it.
        let ids: String = events.iter().map(|event| event.event_id.as_str()).collect();
        let id = format!("<{}@{}>", short_digest(&ids), host());
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(subject(events))
            .message_id(Some(id))
            .date_now();
        for to in to {
            message = message.to(to.clone());
        }
        let html = SinglePart::builder().header(ContentType::TEXT_HTML).body(html(events));
        let plain = SinglePart::builder().header(ContentType::TEXT_PLAIN).body(plain(events));
        message.multipart(MultiPart::alternative().singlepart(plain).singlepart(html))
    }
}

fn mailbox(text: &str) -> Result<Mailbox, Error> {
    text.parse().map_err(|e| {
        Error::Setup(format!(
            "\"{text}\" is not a mail address ({e}): write ops@example.com, or Ops \
             <ops@example.com>."
        ))
    })
}

fn tls_parameters(host: &str, ca: &[Vec<u8>]) -> Result<TlsParameters, Error> {
    let unfit = |e: lettre::transport::smtp::Error| {
        Error::Setup(format!("the certificates of --smtp-ca cannot be used: {e}."))
    };
    let mut builder = TlsParameters::builder(host.to_owned());
    for der in ca {
        builder = builder.add_root_certificate(Certificate::from_der(der.clone()).map_err(unfit)?);
    }
    builder.build_rustls().map_err(unfit)
}

/// Return the subject: the first alert, and how many more there are.
fn subject(events: &[EventRow]) -> String {
    let fired = events.iter().find(|event| event.event != "recovered");
    let Some(first) = fired.or(events.first()) else { return "[seatmeter]".to_owned() };
    if first.kind == AlertKind::Summary {
        let subject = crate::shown::line(&first.subject);
        return format!("[seatmeter] summary of {subject}, {}", first.what);
    }
    let level = match (first.level, first.kind.is_in_days()) {
        (0, _) => String::new(),
        (level, true) => format!(" {level} d"),
        (level, false) => format!(" {level} %"),
    };
    let kind = first.kind.name().replace('_', " ");
    let more = match events.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let prefix = if first.event == "recovered" { "recovered: " } else { "" };
    let subject = crate::shown::line(&first.subject);
    format!("[seatmeter] {prefix}{kind} of {subject}{level}{more}")
}

fn words(event: &EventRow) -> &'static str {
    match event.event.as_str() {
        "recovered" => "recovered",
        "test" => "test",
        _ => "alert",
    }
}

fn plain(events: &[EventRow]) -> String {
    if let [summary] = events
        && summary.kind == AlertKind::Summary
    {
        return format!("{}\n{}", crate::shown::lines(&summary.detail), footer());
    }
    let mut text = String::new();
    for event in events.iter().take(EVENTS_SHOWN_MAX) {
        let detail = crate::shown::line(&event.detail);
        text.push_str(&format!("{} {}: {detail}.\n\n", utc::text(event.at), words(event)));
    }
    text + &rest(events) + &footer()
}

fn html(events: &[EventRow]) -> String {
    if let [summary] = events
        && summary.kind == AlertKind::Summary
    {
        let text = escaped(&crate::shown::lines(&summary.detail));
        return format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>Summary</title></head><body>\n<pre>{text}</pre>\n<p>{}</p>\n</body></html>\n",
            escaped(&footer())
        );
    }
    let rows: String = events
        .iter()
        .take(EVENTS_SHOWN_MAX)
        .map(|event| {
            let detail = escaped(&crate::shown::line(&event.detail));
            let (at, words) = (utc::text(event.at), words(event));
            format!("<tr><td>{at}</td><td>{words}</td><td>{detail}.</td></tr>\n")
        })
        .collect();
    let (rest, footer) = (escaped(&rest(events)), escaped(&footer()));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Alerts</title></head>\
         <body>\n<table cellpadding=\"6\">\n<tr><th>Time (UTC)</th><th></th><th>What</th></tr>\n\
         {rows}</table>\n<p>{rest}</p>\n<p>{footer}</p>\n</body></html>\n"
    )
}

fn rest(events: &[EventRow]) -> String {
    match events.len().saturating_sub(EVENTS_SHOWN_MAX) {
        0 => String::new(),
        more => format!("There are {more} more: see \"seatmeterd alert events\".\n\n"),
    }
}

fn footer() -> String {
    format!(
        "This mail is from seatmeterd on {}. \"seatmeterd alert list\" shows all alerts, and \
         \"seatmeterd alert mute\" silences one.\n",
        host()
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
