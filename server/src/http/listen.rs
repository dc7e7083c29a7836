//! Connections: how many there may be, and how long a client may take to send the head of a
//! request.
//!
//! A client that is slow, or opens many connections and sends nothing, must not starve the others.
//! The head of a request has a time limit, and idle connections end with it. When all connection
//! slots are taken, the connection that has waited longest for its client makes room
//! ([`super::connection_slots`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::connection_slots::{Place, Places, WatchedBody};
use crate::error::Error;

/// The bounds on connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// The greatest number of connections at one time.
    pub count_max: usize,
    /// The longest time that the head of a request may take and that a connection may be idle;
    /// `None` for no bound, for tests that stop the time.
    pub head_time_max: Option<Duration>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { count_max: 4_096, head_time_max: Some(Duration::from_secs(15)) }
    }
}

/// The wait after the system refused a connection, for example because all file descriptors are in
/// use.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serve until `stop` is ready, then let the running requests finish.
///
/// # Errors
/// Returns none yet; the caller's own bound ends requests that do not finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let places = Places::new(limits.count_max);
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let stream = listener.accept().await?;
            Ok::<_, std::io::Error>((stream, places.take().await))
        };
        let (stream, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => match accepted {
                Ok((stream, Some(place))) => (stream, Arc::new(place)),
                Ok((_, None)) => break,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        tokio::spawn(connection(stream, router.clone(), limits, place, connections.watcher()));
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

async fn connection(
    (stream, address): (TcpStream, SocketAddr),
    router: Router,
    limits: ConnectionLimits,
    place: Arc<Place>,
    watcher: Watcher,
) {
    let (asking, answering) = (place.clone(), place.clone());
    let service = router
        .map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(address));
            request.map(|body| axum::body::Body::new(WatchedBody::new(body, asking.clone())))
        })
        .map_response(move |answer| {
            answering.waits();
            answer
        });
    let mut builder = http1::Builder::new();
    if let Some(time) = limits.head_time_max {
        builder.timer(TokioTimer::new()).header_read_timeout(time);
    } else {
        builder.header_read_timeout(None);
    }
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let ended = tokio::select! {
        ended = watcher.watch(served) => ended,
        () = place.wanted() => {
            tracing::debug!(%address, "a connection that waits makes room");
            return;
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %address, "a connection broke off");
    }
}
