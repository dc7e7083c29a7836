//! The command `seatmeterd serve`: the server, which runs until it gets a signal to stop.

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alert_options::AlertArguments;
use super::listeners::{self, ListenerArguments};
use super::log::LogArguments;
use super::{DataOption, OpenData, init, output_error};
use crate::access::SessionLimits;
use crate::alerts::deliver::keep_telling;
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::http::admin::access::AccessControl;
use crate::http::alert_watch::keep_checking;
use crate::http::budget::{BUDGET_BYTES_MIN, BodyBudget};
use crate::http::demo;
use crate::http::limit::{Rate, RateLimits};
use crate::http::listen::ConnectionLimits;
use crate::http::metrics::METRICS_PATH;
use crate::http::proxy::TrustedProxies;
use crate::http::standby::Peer;
use crate::http::tls::Tls;
use crate::http::{self, Web};
use crate::licensing::Licensing;
use crate::network::Network;
use crate::server_time::{self, ServerClock};
use crate::store::Location;

/// The time that running requests may take to end after the signal to stop. A client that sends its
/// request slowly must not keep the server alive.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// The interval at which the store records that the server accepts requests. It is recorded again
/// and again because `new-epoch` may be run while servers run.
const SERVING_INTERVAL: Duration = Duration::from_secs(60);

/// The number of open files that the server needs beside its connections, and the number of
/// connections that it has in any case.
const FILES_OF_ITS_OWN: usize = 64;
const CONNECTIONS_MIN: usize = 16;

/// The least memory for pages of the embedded database: beneath it, a batch would not have its own.
const CACHE_BYTES_MIN: usize = 1 << 20;

/// The interval between two runs that delete data which no rule needs.
const TIDY_INTERVAL: Duration = Duration::from_secs(3_600);

/// The pause between two portions of such a run.
const TIDY_PAUSE: Duration = Duration::from_millis(20);

/// The interval at which the log says how often lines would have been repeated.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Serve devices until SIGTERM or SIGINT
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: DataOption,

    #[command(flatten)]
    listeners: ListenerArguments,

    #[command(flatten)]
    log: LogArguments,

    /// Let programs on this machine use the admin API without a token
    #[arg(long, env = "SEATMETERD_ADMIN_LOOPBACK")]
    admin_loopback: bool,

    #[command(flatten)]
    sessions: SessionArguments,

    #[command(flatten)]
    alerts: AlertArguments,

    /// Requests per second that one source address may send
    #[arg(long, value_name = "N", env = "SEATMETERD_RATE_PER_SOURCE", default_value_t = http::RATE_PER_SOURCE,
          value_parser = clap::value_parser!(u32).range(1..))]
    rate_per_source: u32,

    /// Authorizations per second for one handshake code
    #[arg(long, value_name = "N", env = "SEATMETERD_RATE_PER_CODE", default_value_t = http::RATE_PER_CODE,
          value_parser = clap::value_parser!(u32).range(1..))]
    rate_per_code: u32,

    /// Memory for the bodies of all requests together, such as 64MiB
    #[arg(long, value_name = "SIZE", env = "SEATMETERD_BODY_BUDGET", default_value = "64MiB",
          value_parser = body_budget)]
    body_budget: Size,

    /// Memory for pages of the embedded database, such as 512MiB; by default an eighth of what this
    /// process may have, 16MiB to 192MiB
    #[arg(long, value_name = "SIZE", env = "SEATMETERD_CACHE", value_parser = cache)]
    cache: Option<Size>,

    /// Network of reverse proxies that are believed when they say for whom they ask, by the header
    /// X-Forwarded-For or Forwarded; can be given several times
    #[arg(long, value_name = "CIDR", env = "SEATMETERD_TRUSTED_PROXY", value_delimiter = ',')]
    trusted_proxy: Vec<Network>,

    /// Let these proxies begin each connection with a header of the PROXY protocol (version 1 or 2)
    #[arg(long, env = "SEATMETERD_PROXY_PROTOCOL", requires = "trusted_proxy")]
    proxy_protocol: bool,

    /// Serve devices only while the server at --peer is down
    #[arg(long, env = "SEATMETERD_STANDBY")]
    standby: bool,

    /// URL of the main server, https://HOST:PORT or http://HOST:PORT
    #[arg(long, value_name = "URL", env = "SEATMETERD_PEER")]
    peer: Option<String>,

    /// Serve the files of this folder at /demo/: a page to try a license out in a browser
    #[arg(long, value_name = "FOLDER", env = "SEATMETERD_DEMO")]
    demo: Option<PathBuf>,

    /// Certificates to trust for the main server, in addition to the system's
    #[arg(long, value_name = "FILE", env = "SEATMETER_CA_FILE")]
    peer_ca: Option<PathBuf>,
}

impl Arguments {
    /// Check what can be checked without the data directory: whether the options fit together, and
    /// the files that they name.
    ///
    /// # Errors
    /// Fails with the first thing that is wrong.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.listeners.tls()?;
        self.demo.as_deref().map(demo::require_folder).transpose()?;
        self.alerts.ways()?;
        self.main_server().map(|_| ())
    }

    /// Return the main server, if this is its standby.
    fn main_server(&self) -> Result<Option<Peer>, Error> {
        match (self.standby, &self.peer) {
            (true, Some(url)) => Peer::new(url, self.peer_ca.as_deref()).map(Some),
            (false, None) => Ok(None),
            (true, None) => Err(Error::Setup(
                "--standby needs --peer URL, the main server of this standby.".to_owned(),
            )),
            (false, Some(url)) => Err(Error::Setup(format!(
                "--peer {url} has no effect without --standby: add it, or remove --peer."
            ))),
        }
    }
}

/// The sessions of users who log in to the admin API.
#[derive(Args, Debug)]
struct SessionArguments {
    /// Minutes without a request after which the session of a user ends
    #[arg(long, value_name = "MINUTES", env = "SEATMETERD_SESSION_IDLE_MINUTES", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=1_440))]
    session_idle_minutes: u64,

    /// Hours after the login at which the session of a user ends in any case
    #[arg(long, value_name = "HOURS", env = "SEATMETERD_SESSION_HOURS", default_value_t = 12,
          value_parser = clap::value_parser!(u64).range(1..=720))]
    session_hours: u64,

    /// Mark the cookies of sessions as good for TLS alone, because a proxy before this server
    /// speaks it
    #[arg(long, env = "SEATMETERD_SECURE_COOKIES")]
    secure_cookies: bool,
}

impl SessionArguments {
    fn access_control(&self) -> AccessControl {
        let sessions = SessionLimits {
            idle_seconds: self.session_idle_minutes * 60,
            total_seconds: self.session_hours * 3_600,
        };
        AccessControl::new(sessions, self.secure_cookies)
    }
}

/// A number of bytes, which a configuration file has as a text with its unit.
#[derive(Clone, Copy, Debug)]
struct Size(usize);

fn body_budget(text: &str) -> Result<Size, String> {
    let what = "of at least 1MiB, which one request may have, such as 64MiB";
    size(text, BUDGET_BYTES_MIN, what)
}

fn cache(text: &str) -> Result<Size, String> {
    size(text, CACHE_BYTES_MIN, "of at least 1MiB, such as 512MiB")
}

/// Read a size in bytes, KiB, MiB or GiB.
fn size(text: &str, bytes_min: usize, what: &str) -> Result<Size, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => 0,
    };
    match digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit)) {
        Some(bytes) if bytes >= bytes_min => Ok(Size(bytes)),
        _ => Err(format!("write a size {what}")),
    }
}

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Error> {
    arguments.log.begin();
    let tls = arguments.listeners.tls()?;
    let main_server = arguments.main_server()?;
    arguments.demo.as_deref().map(demo::require_folder).transpose()?;
    let ways = Arc::new(arguments.alerts.ways()?);
    init::prepare(&arguments.data, output)?;
    let _lock = arguments.data.dir().lock()?;
    warn_of_password();
    let cache = arguments.cache.map(|size| size.0 as u64);
    let OpenData { store, keys, clock } = arguments.data.open_with_cache(cache)?;
    store.look_for_damage()?;
    let licensing = Arc::new(Licensing { store: store.clone(), keys, clock: clock.clone() });
    let limits = RateLimits::new(
        Rate::per_second(arguments.rate_per_source),
        Rate::per_second(arguments.rate_per_code),
    );
    let open_to_loopback = arguments.admin_loopback;
    let connections = ConnectionLimits::default();
    let count_max = connections_max(raise_file_limit(), connections.count_max);
    let web = Arc::new(Web {
        connections: ConnectionLimits { count_max, ..connections },
        bodies: BodyBudget::new(arguments.body_budget.0, count_max),
        proxies: TrustedProxies::new(arguments.trusted_proxy.iter().copied()),
        proxy_protocol: arguments.proxy_protocol,
        limits,
        open_to_loopback,
        admin_needs_certificate: arguments.listeners.admin_needs_certificate(),
        access: arguments.sessions.access_control(),
        main_server,
        demo: arguments.demo.clone(),
        tls: tls.clone(),
        server_clock: Some(clock.clone()),
        key_folder: Some(arguments.data.dir()),
        backups: backups(&arguments.data),
        ways,
        ..Web::new(licensing)
    });

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Setup(format!("the system gives no threads for the server: {e}")))?;
    let outcome = runtime.block_on(listen(&arguments.listeners, tls, web, clock, output));
    // Requests that did not end in time are dropped here; the work that they had queued is still
    // recorded below.
    runtime.shutdown_background();
    drop(store);
    tracing::info!("stopped");
    outcome
}

/// Return the data directory if a request may back it up.
fn backups(data: &DataOption) -> Option<DataDir> {
    data.require_embedded().ok()?;
    Some(data.dir())
}

async fn listen(
    addresses: &ListenerArguments,
    tls: Option<Arc<Tls>>,
    web: Arc<Web>,
    clock: Arc<ServerClock>,
    output: &mut dyn Write,
) -> Result<(), Error> {
    // The handlers are installed before the address is known to anybody, so that a stop right after
    // the start is an orderly one, too.
    let mut signals =
        [stop_signal(SignalKind::terminate())?, stop_signal(SignalKind::interrupt())?];
    let renewing = tls.clone().map(renew).transpose()?;
    let listeners = addresses.bind(tls.as_ref())?;
    let for_metrics = addresses.bind_metrics(tls.as_ref())?;
    let key_id = web.licensing.keys.current().public().id();
    for (listener, _) in &listeners {
        listeners::warn_of_plain_http(listener);
    }
    for (_, url) in &listeners {
        tracing::info!(key_id, "listening on {url}");
        writeln!(output, "seatmeterd listening on {url}").map_err(output_error)?;
    }
    for (_, url) in &for_metrics {
        writeln!(output, "metrics at {url}{METRICS_PATH}").map_err(output_error)?;
    }
    output.flush().map_err(output_error)?;

    let listeners = listeners.into_iter().map(|(listener, _)| listener).collect();
    let (stop, stopped) = watch::channel(false);
    let tidying = tokio::spawn(tidy(web.licensing.clone()));
    let serving = tokio::spawn(say_serving(web.licensing.clone(), clock));
    let telling = tokio::spawn(tell(web.clone()));
    let watching = tokio::spawn(keep_checking(web.clone()));
    let alerting = tokio::spawn(keep_telling(web.licensing.clone(), web.ways.clone()));
    let for_metrics = for_metrics.into_iter().map(|(listener, _)| listener).collect();
    let measuring = http::serve_metrics(for_metrics, web.clone(), until_set(stopped.clone()));
    tokio::spawn(measuring);
    let told = web.clone();
    let server = tokio::spawn(http::serve_all(listeners, web, until_set(stopped)));
    let mut end = pin!(async {
        server
            .await
            .unwrap_or_else(|e| Err(Error::Internal(format!("the server ended unexpectedly: {e}"))))
    });
    let [terminate, interrupt] = &mut signals;
    tokio::select! {
        outcome = &mut end => return outcome,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new requests");
    tidying.abort();
    serving.abort();
    telling.abort();
    watching.abort();
    alerting.abort();
    renewing.inspect(|task| task.abort());
    stop.send_replace(true);
    let outcome = tokio::time::timeout(DRAIN_TIME_MAX, end).await.unwrap_or_else(|_| {
        tracing::warn!("some requests did not end within {} s", DRAIN_TIME_MAX.as_secs());
        Ok(())
    });
    told.lines.write_due(true);
    outcome
}

/// Record in the store that the server accepts requests, and its time, at once and then at each
/// interval.
async fn say_serving(licensing: Arc<Licensing>, clock: Arc<ServerClock>) {
    let mut minutes = tokio::time::interval(SERVING_INTERVAL);
    let mut was_right = true;
    loop {
        minutes.tick().await;
        // The time comes first: after an acceptance, the other step must not use the old one.
        let noted = crate::store::exchange_time(&*licensing.store, &clock).await;
        let right = server_time::require_right(&*clock);
        match &right {
            Err(error) if was_right => tracing::error!("{error}"),
            Ok(()) if !was_right => tracing::info!("the server's time is right again"),
            _ => {}
        }
        was_right = right.is_ok();
        let serving = licensing.store.serving(clock.unix_seconds()).await;
        if let Err(error) = noted.and(serving) {
            tracing::warn!(%error, "the database did not record that this server accepts requests; \
            the next attempt is in a minute");
        }
    }
}

/// Log once a second how often lines would have been repeated.
async fn tell(web: Arc<Web>) {
    let mut seconds = tokio::time::interval(TELL_INTERVAL);
    loop {
        seconds.tick().await;
        web.lines.write_due(false);
    }
}

/// Let the store delete data that no rule needs any more, once an hour.
async fn tidy(licensing: Arc<Licensing>) {
    let mut hours = tokio::time::interval(TIDY_INTERVAL);
    loop {
        hours.tick().await;
        loop {
            match licensing.store.tidy(licensing.clock.unix_seconds()).await {
                // The store deletes a little at a time, so that other requests do not wait.
                Ok(true) => tokio::time::sleep(TIDY_PAUSE).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "old data was not deleted from the database; the next \
                    attempt is in an hour");
                    break;
                }
            }
        }
    }
}

/// Warn of a password that every user of the machine can read.
fn warn_of_password() {
    if std::env::args().any(|argument| Location::has_password(&argument)) {
        tracing::warn!(
            "the password of the database is on the command line, where every user of this machine \
             can read it (/proc/{}/cmdline): use --database-password-file or PGPASSFILE, and change \
             the password",
            std::process::id()
        );
    }
}

/// Raise the limit of open files, and return it. Each connection takes a file descriptor, and a
/// process usually starts with fewer than it may have.
fn raise_file_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, "the number of open files stays as it is");
            soft
        }
    }
}

/// Return how many connections there may be when so many files may be open. Some descriptors stay
/// free for the database, the log and the main server.
fn connections_max(files_max: u64, wanted: usize) -> usize {
    let files_max = usize::try_from(files_max).unwrap_or(usize::MAX);
    let count = wanted.min(files_max.saturating_sub(FILES_OF_ITS_OWN).max(CONNECTIONS_MIN));
    if count < wanted {
        tracing::warn!(
            "this process may open {files_max} files, so there are {count} connections at most \
             instead of {wanted}: raise the limit (ulimit -n, LimitNOFILE in systemd)"
        );
    }
    count
}

/// Read the files of the certificate again when they change, and at SIGHUP.
fn renew(tls: Arc<Tls>) -> Result<JoinHandle<()>, Error> {
    let asked = stop_signal(SignalKind::hangup())?;
    Ok(tokio::spawn(tls.keep_renewed(asked)))
}

fn stop_signal(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|e| Error::Setup(format!("the system gives no signal handler: {e}")))
}

async fn until_set(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the reason to continue.
    let _ = stopped.wait_for(|stop| *stop).await;
}
