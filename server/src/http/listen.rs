//! Connections: how many there may be, and how long a client may take to send the head of a
//! request.
//!
//! A client that is slow, or opens many connections and sends nothing, must not starve the others.
//! The handshake of TLS and the head of a request have a time limit, and idle connections end with
//! it. When all connection slots are taken, the connection that has waited longest for its client
//! makes room ([`super::connection_slots`]).
//!
//! ```text
//! accept → a slot → PROXY protocol, if a trusted proxy connects
//!                 → TLS handshake, if the listener has a certificate → HTTP/1.1
//!                                                          └ or HTTP/2, if the client offers it
//!                                                            and the budget has room for it
//! ```

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::budget::{BodyBudget, HTTP2_WINDOW_BYTES};
use super::connection_slots::{Exchange, Place, Places, WatchedBody};
use super::proxy::TrustedProxies;
use super::proxy_protocol::{self, ProxyHeader};
use super::tls::{self, Tls};
use crate::error::Error;

/// The bounds on connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// The greatest number of connections at one time.
    pub count_max: usize,
    /// The longest time that a TLS handshake or the head of a request may take and that a
    /// connection may be idle; `None` for no bound, for tests that stop the time.
    pub head_time_max: Option<Duration>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { count_max: 4_096, head_time_max: Some(Duration::from_secs(15)) }
    }
}

/// The wait after the system refused a connection, for example because all file descriptors are in
/// use.
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// The number of requests that one HTTP/2 connection may have under way. A device has one.
const STREAMS_MAX: u32 = 64;

/// The size of the buffer of an HTTP/1 connection, and so of the longest head. Whatever arrives
/// beyond it waits in the network until there is memory for the body.
const BUFFER_BYTES: usize = 16 << 10;

/// The time that an idle HTTP/2 connection has to end after the server has announced its end.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);

/// A place where clients connect.
#[derive(Debug)]
pub struct Listener {
    /// The socket that accepts connections.
    pub socket: TcpListener,
    /// The certificate that clients see; `None` for plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// The client of a connection, as the server knows it. Each request has it as an extension.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address of the client.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// Whether the client has shown a certificate of the authority that admin clients need.
    pub has_certificate: bool,
    /// Whether a trusted proxy has connected, and named the client by the PROXY protocol.
    pub is_announced: bool,
}

/// The state that the connections of a server share.
struct Shared {
    router: Router,
    limits: ConnectionLimits,
    bodies: Arc<BodyBudget>,
    /// The proxies that begin each connection with a header of the PROXY protocol, if any do.
    announcing: Option<TrustedProxies>,
    places: Arc<Places>,
    /// Becomes true when the server stops. Each connection has a receiver while it lives.
    stopping: watch::Sender<bool>,
}

/// Serve until `stop` is ready, then let the running requests finish.
///
/// # Errors
/// Returns none yet; the caller's own bound ends requests that do not finish.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    limits: ConnectionLimits,
    bodies: Arc<BodyBudget>,
    announcing: Option<TrustedProxies>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let places = Places::new(limits.count_max);
    let stopping = watch::Sender::new(false);
    let shared = Arc::new(Shared { router, limits, bodies, announcing, places, stopping });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, shared.clone()));
    }
    stop.await;
    // Close the sockets, so that new clients are refused at once.
    accepting.shutdown().await;
    shared.stopping.send_replace(true);
    shared.stopping.closed().await;
    Ok(())
}

async fn accept(listener: Listener, shared: Arc<Shared>) {
    loop {
        match listener.socket.accept().await {
            Ok((stream, address)) => {
                let Some(place) = shared.places.take().await else { return };
                let tls = listener.tls.clone();
                tokio::spawn(connection(stream, address, tls, Arc::new(place), shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                if is_out_of_files(&error) {
                    shared.places.close_oldest();
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Return whether the process, or the whole machine, has as many open files as it may have. A
/// connection that is closed makes room for the next one.
fn is_out_of_files(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    error
        .raw_os_error()
        .is_some_and(|number| [Errno::EMFILE, Errno::ENFILE].contains(&Errno::from_raw(number)))
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    place: Arc<Place>,
    shared: Arc<Shared>,
) {
    let ended = tokio::select! {
        ended = converse(stream, address, tls, &place, &shared) => ended,
        () = place.wanted() => {
            tracing::debug!(%address, "a connection that waits makes room");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %address, "a connection broke off");
    }
}

/// A reason why a connection ended early.
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Speak with a client until its connection ends.
async fn converse(
    mut stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<Tls>>,
    place: &Arc<Place>,
    shared: &Shared,
) -> Result<(), Broken> {
    let mut stopping = shared.stopping.subscribe();
    let announced = tokio::select! {
        announced = announced_client(&mut stream, peer, shared) => announced?,
        _ = stopping.wait_for(|stops| *stops) => return Ok(()),
    };
    let (address, is_announced) = (announced.unwrap_or(peer), announced.is_some());
    let mut client = Client { address, is_tls: false, has_certificate: false, is_announced };
    let Some(tls) = tls else {
        drop(stopping);
        return serve_http(stream, client, false, place, shared).await;
    };
    let handshake = tls.accept(stream, address, &shared.bodies, shared.limits.head_time_max);
    // The room is held as long as the connection lives.
    let (stream, _http2) = tokio::select! {
        accepted = handshake => accepted?,
        // A client that has not finished its handshake has no request that is under way.
        _ = stopping.wait_for(|stops| *stops) => return Ok(()),
    };
    drop(stopping);
    client.is_tls = true;
    client.has_certificate = tls::has_certificate(&stream);
    let is_http2 = tls::speaks_http2(&stream);
    // The state of TLS is on the heap, so that a plain connection has no room for it.
    Box::pin(serve_http(stream, client, is_http2, place, shared)).await
}

/// Return the client that a proxy connects for, if it is one that must say so. Its header has the
/// time of a request's head.
async fn announced_client(
    stream: &mut TcpStream,
    peer: SocketAddr,
    shared: &Shared,
) -> Result<Option<SocketAddr>, Broken> {
    if !shared.announcing.as_ref().is_some_and(|proxies| proxies.trusts(peer.ip())) {
        return Ok(None);
    }
    let time = shared.limits.head_time_max.unwrap_or(Duration::MAX);
    match tokio::time::timeout(time, proxy_protocol::read(stream)).await? {
        Ok(ProxyHeader::Client(client)) => Ok(Some(client)),
        Ok(ProxyHeader::ItsOwn) => Ok(Some(peer)),
        Err(error) => {
            // A proxy that checks whether the port is open sends nothing at all.
            if error.kind() != ErrorKind::UnexpectedEof {
                tracing::warn!(%error, %peer, "a trusted proxy was refused: let it send the PROXY \
                    protocol, or start this server without --proxy-protocol");
            }
            Err(error.into())
        }
    }
}

/// Answer the requests of a connection.
async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: Client,
    is_http2: bool,
    place: &Arc<Place>,
    shared: &Shared,
) -> Result<(), Broken> {
    let service = {
        let (router, place) = (shared.router.clone(), place.clone());
        hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let exchange = Exchange::begin(place.clone());
            request.extensions_mut().insert(ConnectInfo(client.address));
            request.extensions_mut().insert(client);
            let watched = |body| axum::body::Body::new(WatchedBody::new(body, exchange.clone()));
            let answer = router.clone().oneshot(request.map(watched));
            async move {
                let answer = answer.await;
                exchange.answered();
                answer
            }
        })
    };
    let builder = builder(is_http2, shared.limits.head_time_max);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopping = shared.stopping.subscribe();
    let idle = async {
        match shared.limits.head_time_max.filter(|_| is_http2) {
            Some(time) => place.idle(time).await,
            // HTTP/1.1 has the time limit of a request's head.
            None => std::future::pending().await,
        }
    };
    let is_idle = tokio::select! {
        ended = served.as_mut() => return ended,
        _ = stopping.wait_for(|stops| *stops) => false,
        () = idle => true,
    };
    served.as_mut().graceful_shutdown();
    loop {
        let time = if is_idle { LEAVE_TIME_MAX } else { Duration::MAX };
        match tokio::time::timeout(time, served.as_mut()).await {
            Ok(ended) => return ended,
            // The client keeps a connection open that it does not use.
            Err(_) if place.is_idle() => return Ok(()),
            // A request came together with the announcement of the end.
            Err(_) => {}
        }
    }
}

fn builder(is_http2: bool, head_time_max: Option<Duration>) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES);
    builder.http1().max_buf_size(BUFFER_BYTES);
    match head_time_max {
        Some(time) => builder.http1().timer(TokioTimer::new()).header_read_timeout(time),
        None => builder.http1().header_read_timeout(None),
    };
    builder
}
