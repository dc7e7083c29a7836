//! The progress of requests. The HTTP library has one kind of error for everything that happens
//! before there is a connection, and one for everything that takes too long. The parts that are
//! called on the way know more: the connector, the resolver within it, and the session store that
//! is queried when a handshake begins.
//!
//! The marks belong to the transport, not to a request. So two simultaneous requests may read each
//! other's marks, and a message then names the stage of the other request.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use tower_layer::Layer;
use tower_service::Service;

use crate::os::locks::Mutex;
use crate::os::{StandardDescriptors, with_signals_blocked};

/// The number of sessions that are kept for a quicker handshake: one server, its standby, and some
/// to spare.
const SESSIONS: usize = 8;

/// The known lookups and handshakes.
#[derive(Debug)]
pub(super) struct Progress {
    /// The time at which the last connection was begun, and below, the time at which the last one
    /// was made. A count of those in progress would not do: when a request learns that it took too
    /// long, its connection may have been given up already.
    begun: Mutex<Option<Instant>>,
    made: Mutex<Option<Instant>>,
    /// The names whose lookup has begun and not ended.
    lookups: Mutex<HashMap<String, u32>>,
    /// The time at which the last handshake with each host began.
    handshakes: Mutex<HashMap<String, Instant>>,
    sessions: ClientSessionMemoryCache,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Mutex::default(),
            made: Mutex::default(),
            lookups: Mutex::default(),
            handshakes: Mutex::default(),
            sessions: ClientSessionMemoryCache::new(SESSIONS),
        })
    }

    /// Return whether a connection was begun since then and is not made yet: it may be anywhere
    /// from its lookup to its handshake.
    pub(super) fn has_not_connected(&self, since: Instant) -> bool {
        let begun = self.begun.lock().filter(|begun| *begun >= since);
        begun.is_some_and(|begun| self.made.lock().is_none_or(|made| made < begun))
    }

    /// Return whether a lookup is in progress: that of the server's name, or of a proxy's.
    pub(super) fn is_looking_up(&self) -> bool {
        !self.lookups.lock().is_empty()
    }

    /// Return whether a handshake with this host has begun since then.
    pub(super) fn has_begun_handshake(&self, host: &str, since: Instant) -> bool {
        self.handshakes.lock().get(host).is_some_and(|begun| *begun >= since)
    }
}

/// A connector that marks the connections in progress.
#[derive(Clone)]
pub(super) struct MarkingConnector<S> {
    progress: Arc<Progress>,
    inner: S,
}

/// The layer that turns a connector into a marking one.
#[derive(Clone)]
pub(super) struct Marks(pub(super) Arc<Progress>);

impl<S> Layer<S> for Marks {
    type Service = MarkingConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MarkingConnector { progress: self.0.clone(), inner }
    }
}

impl<S, R> Service<R> for MarkingConnector<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        *self.progress.begun.lock() = Some(Instant::now());
        let progress = self.progress.clone();
        // A connection must not get the number of a descriptor to which the host prints.
        let standard = StandardDescriptors::hold();
        let connection = self.inner.call(request);
        Box::pin(async move {
            let made = connection.await;
            drop(standard);
            let made = made?;
            *progress.made.lock() = Some(Instant::now());
            Ok(made)
        })
    }
}

/// A function that finds the addresses of a name.
pub type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Look up a name with the system's functions.
pub(super) fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    // The port is the URL's: 0 leaves it open.
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// A resolver that looks up names and marks the lookups in progress.
pub(super) struct MarkingResolver {
    pub(super) progress: Arc<Progress>,
    pub(super) look_up: Arc<LookUp>,
}

/// A lookup in progress.
struct Lookup {
    progress: Arc<Progress>,
    name: String,
}

/// The most simultaneous lookups. None can be canceled: each keeps its thread until the system
/// gives up, which may be half a minute after the request that needed it.
const LOOKUPS_MAX: u32 = 8;

impl Lookup {
    fn begin(progress: Arc<Progress>, name: String) -> io::Result<Self> {
        let mut lookups = progress.lookups.lock();
        if lookups.values().sum::<u32>() >= LOOKUPS_MAX {
            let message = format!("{LOOKUPS_MAX} lookups of names have had no answer yet");
            return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
        }
        *lookups.entry(name.clone()).or_default() += 1;
        drop(lookups);
        Ok(Self { progress, name })
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        let mut lookups = self.progress.lookups.lock();
        if let Some(count) = lookups.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                lookups.remove(&self.name);
            }
        }
    }
}

impl Resolve for MarkingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = Lookup::begin(self.progress.clone(), name.as_str().to_owned());
        let look_up = self.look_up.clone();
        Box::pin(async move {
            // A lookup blocks and cannot be canceled: it ends by itself, on a thread of its own.
            let lookup = lookup?;
            let found =
                with_signals_blocked(|| tokio::task::spawn_blocking(move || look_up(&lookup.name)));
            Ok(Box::new(found.await??.into_iter()) as Addrs)
        })
    }
}

/// The store keeps sessions in memory. A query for a session means that a handshake begins.
impl ClientSessionStore for Progress {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.sessions.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.handshakes.lock().insert(server.to_str().into_owned(), Instant::now());
        self.sessions.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.sessions.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.sessions.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions.take_tls13_ticket(server)
    }
}
