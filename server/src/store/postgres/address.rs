//! The address of the database, and the connection to the host that can be written, within a
//! bounded time for each host.
//!
//! The bound covers everything up to the first statement: name lookup, TCP, TLS, login. A host
//! whose kernel still accepts connections for a frozen process would otherwise hold up those after
//! it.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::CONNECT_TIMEOUT;
use super::cluster::Cluster;
use super::connection::PgConnection;
use super::link::{Background, Link};
use super::session::Session;
use super::tls;
use super::url::Parsed;
use crate::error::Error;
use crate::log_lines::Pace;

/// The address of the database.
pub(super) struct Address {
    config: Config,
    /// Each host by itself.
    hosts: Vec<Place>,
    tls: Option<MakeRustlsConnect>,
    /// Whether a connection that turns out to be without TLS is worth a warning.
    is_remote: bool,
    /// Whether a commit counts only if a synchronous standby has it, too.
    pub(super) requires_standby: bool,
    /// The number of the host to begin with: the last one that could be written.
    first: AtomicUsize,
    /// The cluster and timeline of the last session.
    seen: Mutex<Option<Cluster>>,
    /// The cluster and timeline that the data is known to name.
    noted: Mutex<Option<Cluster>>,
}

/// A host, as the URL names it.
struct Place {
    host: Option<Host>,
    address: Option<std::net::IpAddr>,
    port: u16,
}

/// The message of tokio-postgres for a database without TLS.
const NO_TLS: &str = "server does not support TLS";

/// The pace of the warning about a connection without TLS.
static PLAIN: Pace = Pace::per_second();

impl FromStr for Address {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let Parsed { config, proof, files, is_remote, requires_standby } = Parsed::from_str(url)?;
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls::configure(proof, &files)?),
        };
        let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
        let port = |n: usize| {
            let ports = config.get_ports();
            ports.get(n).or(ports.first()).copied().unwrap_or(5_432)
        };
        let hosts = (0..hosts.len().max(addresses.len()))
            .map(|n| Place {
                host: hosts.get(n).cloned(),
                address: addresses.get(n).copied(),
                port: port(n),
            })
            .collect();
        Ok(Self {
            config,
            hosts,
            tls,
            is_remote,
            requires_standby,
            first: AtomicUsize::new(0),
            seen: Mutex::default(),
            noted: Mutex::default(),
        })
    }
}

impl Address {
    /// Connect to the first host that can be written, and begin with the one that was it last.
    pub(super) fn session(&self) -> Result<Session, Error> {
        let first = self.first.load(Ordering::Relaxed);
        let mut reasons = Vec::new();
        for n in (0..self.hosts.len()).map(|n| (first + n) % self.hosts.len()) {
            let place = &self.hosts[n];
            match self.session_at(place) {
                Ok(session) => {
                    self.first.store(n, Ordering::Relaxed);
                    return Ok(Session { host: n, ..session });
                }
                Err(Unreached::Setup(error)) => return Err(error),
                Err(Unreached::Why(why)) => reasons.push(format!("{place}: {why}")),
            }
        }
        Err(Error::Store(format!(
            "PostgreSQL cannot be reached ({}). Check that it runs at the address of --database \
             and lets this user in",
            reasons.join("; ")
        )))
    }

    /// Begin the next search with another host than this one, which does not answer. If another
    /// connection has left it already, nothing changes.
    pub(super) fn leave(&self, host: usize) {
        let next = (host + 1) % self.hosts.len();
        // An error means that the search begins with another host already.
        let _ = self.first.compare_exchange(host, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn session_at(&self, place: &Place) -> Result<Session, Unreached> {
        let session = Session::open(self.link_to(place)?).map_err(|error| match error {
            Error::Store(why) => Unreached::Why(why),
            other => Unreached::Setup(other),
        })?;
        if let Some(cluster) = &session.cluster {
            let mut seen = self.seen.lock();
            if let Some(before) = &*seen {
                cluster.require_after(before).map_err(Unreached::Why)?;
            }
            *seen = Some(cluster.clone());
        }
        Ok(session)
    }

    /// Compare the cluster of this connection with what its data says, if it is another one than at
    /// the last connect.
    pub(super) fn note_cluster(&self, connection: &PgConnection) -> Result<(), Error> {
        let Some(cluster) = connection.cluster() else { return Ok(()) };
        let mut noted = self.noted.lock();
        if noted.as_ref() != Some(&cluster) {
            cluster.note(connection)?;
            *noted = Some(cluster);
        }
        Ok(())
    }

    fn link_to(&self, place: &Place) -> Result<Link, Unreached> {
        let limit = *self.config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
        let runtime = Background::new().map_err(Unreached::Setup)?;
        let addresses = runtime.block_on(place.addresses(limit))?;
        let mut why = Unreached::Why("the name has no address".to_owned());
        for address in addresses {
            // Each attempt has a runtime of its own, which the link keeps.
            let runtime = Background::new().map_err(Unreached::Setup)?;
            match self.link_in(runtime, &place.config(&self.config, address), limit) {
                Ok(link) => return Ok(link),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn link_in(
        &self,
        runtime: Background,
        config: &Config,
        limit: Duration,
    ) -> Result<Link, Unreached> {
        let is_socket = matches!(config.get_hosts(), [Host::Unix(_)]);
        let tls = self.tls.clone().filter(|_| !is_socket);
        let (mut secure, mut plain) = (config.clone(), config.clone());
        secure.ssl_mode(SslMode::Require);
        plain.ssl_mode(SslMode::Disable);
        if let Some(tls) = tls {
            match runtime.block_on(in_time(limit, secure.connect(tls))) {
                Ok((client, connection)) => return Ok(Link::new(runtime, client, connection)),
                Err(Unreached::Why(why))
                    if self.config.get_ssl_mode() == SslMode::Prefer && why.contains(NO_TLS) => {}
                Err(why) => return Err(self.hint(why)),
            }
            if self.is_remote && PLAIN.due().is_some() {
                tracing::warn!(
                    "the connection to PostgreSQL goes over the network without TLS, which the \
                     database does not have: write sslmode=disable if this network is trusted"
                );
            }
        }
        let (client, connection) = runtime.block_on(in_time(limit, plain.connect(NoTls)))?;
        Ok(Link::new(runtime, client, connection))
    }

    /// Add what to do where TLS is what failed.
    fn hint(&self, why: Unreached) -> Unreached {
        match why {
            Unreached::Why(why) if why.contains("TLS") || why.contains("certificate") => {
                Unreached::Why(format!(
                    "{why}. Name the authority of its certificate by sslrootcert=FILE in the URL, \
                     or write sslmode=disable if this network is trusted"
                ))
            }
            other => other,
        }
    }
}

/// The reason why a host was not reached.
enum Unreached {
    /// The connection cannot be tried from this machine.
    Setup(Error),
    /// The host did not let us in.
    Why(String),
}

/// Wait for a connection no longer than this.
async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Unreached> {
    let late = |_| Unreached::Why(format!("no answer within {} s", limit.as_secs_f32()));
    let done = tokio::time::timeout(limit, work).await.map_err(late)?;
    done.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Unreached::Why(format!("{error}{}", cause.unwrap_or_default()))
    })
}

impl Place {
    /// Look up the addresses of the host. A name with several is as several hosts.
    async fn addresses(&self, limit: Duration) -> Result<Vec<Option<std::net::IpAddr>>, Unreached> {
        let Some(Host::Tcp(name)) = &self.host else { return Ok(vec![self.address]) };
        if self.address.is_some() {
            return Ok(vec![self.address]);
        }
        let late = |_| Unreached::Why(format!("no address within {} s", limit.as_secs_f32()));
        let found = tokio::time::timeout(limit, tokio::net::lookup_host((&**name, self.port)));
        let found = found.await.map_err(late)?;
        let found = found.map_err(|e| Unreached::Why(format!("its name has no address: {e}")))?;
        Ok(found.map(|address| Some(address.ip())).collect())
    }

    /// Return the configuration for this host alone.
    fn config(&self, all: &Config, address: Option<std::net::IpAddr>) -> Config {
        let mut config = Config::new();
        match &self.host {
            Some(Host::Tcp(name)) => drop(config.host(name)),
            Some(Host::Unix(path)) => drop(config.host_path(path)),
            None => {}
        }
        // An address beside a socket's path would be taken for that of the path.
        if let (Some(address), false) = (address, matches!(self.host, Some(Host::Unix(_)))) {
            config.hostaddr(address);
        }
        config.port(self.port);
        if let Some(user) = all.get_user() {
            config.user(user);
        }
        if let Some(password) = all.get_password() {
            config.password(password);
        }
        if let Some(name) = all.get_dbname() {
            config.dbname(name);
        }
        if let Some(options) = all.get_options() {
            config.options(options);
        }
        if let Some(name) = all.get_application_name() {
            config.application_name(name);
        }
        if let Some(limit) = all.get_connect_timeout() {
            config.connect_timeout(*limit);
        }
        if let Some(limit) = all.get_tcp_user_timeout() {
            config.tcp_user_timeout(*limit);
        }
        if let Some(interval) = all.get_keepalives_interval() {
            config.keepalives_interval(interval);
        }
        if let Some(retries) = all.get_keepalives_retries() {
            config.keepalives_retries(retries);
        }
        config
            .keepalives(all.get_keepalives())
            .keepalives_idle(all.get_keepalives_idle())
            .ssl_mode(all.get_ssl_mode())
            .ssl_negotiation(all.get_ssl_negotiation())
            .channel_binding(all.get_channel_binding())
            .target_session_attrs(all.get_target_session_attrs());
        config
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.host, self.address) {
            (Some(Host::Tcp(name)), _) => write!(f, "{name}:{}", self.port),
            (Some(Host::Unix(path)), _) => write!(f, "{}", path.display()),
            (None, Some(address)) => write!(f, "{address}:{}", self.port),
            (None, None) => f.write_str("no host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(url: &str) -> Config {
        let address = Address::from_str(url).unwrap();
        address.hosts[0].config(&address.config, None)
    }

    #[test]
    fn a_host_that_has_vanished_is_noticed_within_seconds_unless_the_url_says_otherwise() {
        let usual = config_of("postgres://user@one:5432,two:5432/licenses?sslmode=disable");
        let (idle, interval) =
            (usual.get_keepalives_idle(), usual.get_keepalives_interval().unwrap());
        assert!(usual.get_keepalives());
        assert!(
            idle + interval * usual.get_keepalives_retries().unwrap() <= Duration::from_secs(10)
        );
        let own = config_of("postgres://user@one/licenses?keepalives_idle=60");
        assert_eq!(own.get_keepalives_idle(), Duration::from_secs(60));
        assert!(!config_of("postgres://user@one/licenses?keepalives=0").get_keepalives());
    }

    #[test]
    fn nothing_goes_over_a_network_in_plain_text_unless_the_url_says_so() {
        for (url, mode) in [
            ("postgres://u@db.example/l", SslMode::Require),
            ("postgres://u@10.0.0.1,localhost/l", SslMode::Require),
            ("postgres://u@localhost/l", SslMode::Prefer),
            ("postgres://u@127.0.0.1/l", SslMode::Prefer),
            ("postgres://u@[::1]/l", SslMode::Prefer),
            ("postgres://u@%2Frun%2Fpostgresql/l", SslMode::Prefer),
            ("postgres://u@db.example/l?sslmode=prefer", SslMode::Prefer),
            ("postgres://u@db.example/l?sslmode=disable", SslMode::Disable),
            ("postgres://u@db.example/l?sslmode=verify-ca", SslMode::Require),
            ("postgres://u@db.example/l?sslmode=verify-full", SslMode::Require),
        ] {
            assert_eq!(config_of(url).get_ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn a_parameter_that_is_not_known_is_named() {
        let error = |url: &str| Address::from_str(url).err().unwrap().to_string();
        let wrong = error("postgres://u:p?w@host/l?connect_timeout=3&sslmod=require");
        assert!(wrong.contains("\"sslmod\"") && wrong.contains("\"sslmode\""), "{wrong}");
        assert!(!wrong.contains("p?w"), "{wrong}");
        assert!(error("postgres://u@host/l?sslmode=verify").contains("verify-full"));
        assert!(error("postgres://u@host/l?sslcert=/none").contains("sslkey"));
        let missing = error("postgres://u@host/l?sslmode=verify-ca&sslrootcert=%2Fnone%2Fca.pem");
        assert!(missing.contains("/none/ca.pem of sslrootcert"), "{missing}");
    }
}
