//! The HTTP server: the module for each path, and the bounds that apply to every request.
//!
//! ```text
//! POST /v1/authorizations, authorization-checks   authorizations.rs ┐ inside `answer`: rate limit,
//! POST /v1/usage                                  usage.rs          │ body and time bounded,
//! GET  /v1/origin                                 browser.rs        ┘ panics caught, signed; CORS
//! OPTIONS of these                                browser.rs          unsigned: for browsers
//! /admin/v1/…                                     admin/              token, session or loopback,
//!                                                                     and a role; described by
//!                                                                     /admin/v1/openapi.json
//! GET  /healthz /readyz                           health.rs           unsigned: for load balancers
//! /dashboard                                      dashboard/          pages for people: a session
//! GET  /demo/…                                    demo.rs             with `serve --demo` alone
//! GET  /problems, /problems/NAME                  problems.rs         unsigned: for people
//! GET  /v1/openapi.json, /v1/schemas/NAME         schemas.rs          unsigned: for programs
//! GET  /metrics                                   metrics.rs          token, or an address of its own
//! anything else                                                       problem 404 or 405
//! ```
//!
//! Requests that are not granted are logged in one place, `answer::log`.

pub mod admin;
pub mod alert_watch;
pub mod answer;
mod authorizations;
mod body;
mod browser;
pub mod budget;
mod connection_slots;
pub mod dashboard;
pub mod demo;
pub mod health;
pub mod limit;
pub mod listen;
pub mod long_work;
pub mod metrics;
mod problems;
mod proof;
pub mod proxy;
pub mod proxy_protocol;
mod schemas;
pub mod standby;
pub mod tls;
mod usage;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use crate::alerts::deliver::Ways;
use crate::data_dir::DataDir;
use crate::error::Error;
use crate::licensing::Licensing;
use crate::log_lines::Lines;
use crate::metrics::Metrics;
use crate::problem::ProblemKind;
use crate::server_time::ServerClock;
use admin::access::{AccessControl, holds_token, nothing_here};
pub use browser::Websites;
use budget::{BUDGET_BYTES, BodyBudget};
use health::Readiness;
use limit::{Left, Rate, RateLimits, TooMany};
use listen::{ConnectionLimits, Listener};
use long_work::LongWork;
use proxy::{Source, TrustedProxies};
use standby::Peer;

/// The number of requests per second that one source address may send, unless the operator sets
/// another. A site behind one address may have thousands of devices, each of which sends a request
/// every three minutes.
pub const RATE_PER_SOURCE: u32 = 2_000;

/// The number of authorizations per second for one handshake code, unless the operator sets
/// another.
pub const RATE_PER_CODE: u32 = 1_000;

/// The number of connections to an address for metrics alone.
const METRICS_CONNECTIONS: usize = 16;

/// The server with its settings for the network.
#[derive(Debug)]
pub struct Web {
    /// The server's side of the protocol.
    pub licensing: Arc<Licensing>,
    /// The rate limits of clients.
    pub limits: RateLimits,
    /// The bounds on connections.
    pub connections: ConnectionLimits,
    /// The memory for the bodies of requests.
    pub bodies: Arc<BodyBudget>,
    /// The proxies that are believed when they say for whom they ask.
    pub proxies: TrustedProxies,
    /// Whether these proxies begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether the admin API accepts requests from this machine without a token.
    pub open_to_loopback: bool,
    /// Whether the admin API requires a client certificate.
    pub admin_needs_certificate: bool,
    /// The settings and the memory of the admin API.
    pub access: AccessControl,
    /// The main server, when this server is its standby.
    pub main_server: Option<Peer>,
    /// The counters for scrapes.
    pub metrics: Arc<Metrics>,
    /// The certificate of the server, if it has one.
    pub tls: Option<Arc<tls::Tls>>,
    /// The lines of the log about requests that were not granted.
    pub lines: Lines,
    /// Whether the store could write at the last check.
    pub readiness: Readiness,
    /// The directory with the server's keys, to be looked at with each check.
    pub key_folder: Option<DataDir>,
    /// The folder of pages to try a license out, if there are any.
    pub demo: Option<PathBuf>,
    /// The websites whose pages may read answers.
    pub websites: Websites,
    /// The data directory to back up and check on request; `None` for PostgreSQL, which has backups
    /// of its own.
    pub backups: Option<DataDir>,
    /// The channels by which events of alerts are delivered.
    pub ways: Arc<Ways>,
    /// The long work that was begun on pages.
    pub long_work: Arc<LongWork>,
    /// The server's time, to be compared with the database at each check.
    pub server_clock: Option<Arc<ServerClock>>,
}

impl Web {
    /// Make a main server with the usual limits and an admin API that requires a token from
    /// everybody.
    #[must_use]
    pub fn new(licensing: Arc<Licensing>) -> Self {
        let limits =
            RateLimits::new(Rate::per_second(RATE_PER_SOURCE), Rate::per_second(RATE_PER_CODE));
        let connections = ConnectionLimits::default();
        Self {
            licensing,
            limits,
            connections,
            bodies: BodyBudget::new(BUDGET_BYTES, connections.count_max),
            proxies: TrustedProxies::default(),
            proxy_protocol: false,
            open_to_loopback: false,
            admin_needs_certificate: false,
            access: AccessControl::default(),
            main_server: None,
            metrics: Arc::default(),
            tls: None,
            lines: Lines::default(),
            readiness: Readiness::default(),
            key_folder: None,
            backups: None,
            demo: None,
            websites: Websites::default(),
            ways: Arc::default(),
            long_work: Arc::default(),
            server_clock: None,
        }
    }

    /// Accept a request from this source, unless its rate limit is reached. Return what is left.
    fn admit(&self, source: Option<Source>) -> Result<Option<Left>, TooMany> {
        source.map(|source| self.limits.source(source.address)).transpose()
    }

    /// Refuse a client while another server is in charge.
    async fn require_in_charge(&self) -> Result<(), Error> {
        match &self.main_server {
            Some(main) => main.require_down().await,
            None => Ok(()),
        }
    }

    /// Refuse a report that another server must book.
    async fn require_to_book(&self) -> Result<(), Error> {
        match &self.main_server {
            Some(main) => main.require_down_or_other(&self.licensing.keys).await,
            None => Ok(()),
        }
    }
}

/// Return the whole server as one service.
pub fn router(web: Arc<Web>) -> Router {
    let client_api = authorizations::router()
        .merge(usage::router())
        .merge(browser::router())
        .layer(answer::catch_panics())
        .layer(axum::middleware::from_fn_with_state(web.clone(), answer::sign))
        .layer(axum::middleware::from_fn_with_state(web.clone(), browser::cors));
    let certified =
        axum::middleware::from_fn_with_state(web.clone(), tls::require_client_certificate);
    let dashboard = dashboard::router(&web).layer(certified.clone());
    let admin_api = admin::router(&web).merge(metrics::router()).layer(certified);
    let pages = if web.demo.is_some() { demo::router() } else { Router::new() };
    client_api
        .merge(browser::preflights())
        .merge(pages)
        .merge(health::router())
        .merge(problems::router())
        .merge(schemas::router())
        .merge(admin_api)
        .merge(dashboard)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(web.clone(), answer::log))
        .with_state(web)
}

/// Serve until `stop` is ready, then let the running requests finish.
///
/// # Errors
/// Fails when the listener fails.
pub async fn serve(
    listener: TcpListener,
    web: Arc<Web>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    serve_all(vec![listener.into()], web, stop).await
}

/// Serve on all of these until `stop` is ready, then let the running requests finish.
///
/// # Errors
/// Fails when a listener fails.
pub async fn serve_all(
    listeners: Vec<Listener>,
    web: Arc<Web>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let connections = web.connections;
    let bodies = web.bodies.clone();
    let announcing = web.proxy_protocol.then(|| web.proxies.clone());
    listen::serve(listeners, router(web), connections, bodies, announcing, stop).await
}

/// Serve metrics alone on these until `stop` is ready.
///
/// # Errors
/// Fails when a listener fails.
pub async fn serve_metrics(
    listeners: Vec<Listener>,
    web: Arc<Web>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    // Few connections, so that scrapers take none from devices.
    let limits = ConnectionLimits { count_max: METRICS_CONNECTIONS, ..web.connections };
    let bodies = web.bodies.clone();
    listen::serve(listeners, metrics::open_router(web), limits, bodies, None, stop).await
}

async fn not_found(uri: Uri) -> Response {
    let detail = format!(
        "there is nothing at {}. A program names this server without a path, \
         http://HOST:PORT; operators find {}/openapi.json",
        told(&uri),
        admin::ADMIN_PATH
    );
    no_operation(&uri, Error::not_found(detail))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let detail = format!("{method} is not possible at {}", told(&uri));
    no_operation(&uri, Error::of(ProblemKind::MethodNotAllowed, detail))
}

/// Return the path for a message, which is logged. A token in it must not get there.
fn told(uri: &Uri) -> &str {
    if holds_token(uri.path()) { "this path" } else { uri.path() }
}

fn no_operation(uri: &Uri, error: Error) -> Response {
    match uri.path().starts_with(admin::ADMIN_PATH) {
        true => nothing_here(error),
        false => error.into_response(),
    }
}
