//! The addresses of the server, and the certificate that clients see there.
//!
//! | `--listen` | without a certificate | with `--tls-cert` |
//! | --- | --- | --- |
//! | `ADDRESS:PORT` | plain HTTP | TLS |
//! | `https://ADDRESS:PORT` | an error | TLS |
//! | `http://ADDRESS:PORT` | plain HTTP | plain HTTP |

use std::fmt::{self, Display, Formatter};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpSocket;

use crate::error::Error;
use crate::http::listen::Listener;
use crate::http::tls::{Tls, TlsFiles};

/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// The addresses on which the server listens.
#[derive(Args, Debug)]
pub(super) struct ListenerArguments {
    /// Address and port to listen on; port 0 takes any free one. More than one may be given, in the
    /// variable with commas between them. https://ADDRESS or http://ADDRESS chooses TLS or plain
    /// HTTP; otherwise it is TLS if there is a certificate
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SEATMETERD_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:48080"
    )]
    listen: Vec<ListenAddress>,

    /// Address and port at which /metrics alone is served, without a token; more than one may be
    /// given. Without it, /metrics needs a token with the role viewer at the address of the server
    #[arg(long, value_name = "ADDRESS", env = "SEATMETERD_METRICS_LISTEN", value_delimiter = ',')]
    metrics_listen: Vec<ListenAddress>,

    /// Certificate of the server and of its issuers, in PEM form. It is read again when it changes
    #[arg(long, value_name = "FILE", env = "SEATMETERD_TLS_CERT")]
    tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM form
    #[arg(long, value_name = "FILE", env = "SEATMETERD_TLS_KEY")]
    tls_key: Option<PathBuf>,

    /// Let only clients with a certificate of this authority use the admin API
    #[arg(long, value_name = "FILE", env = "SEATMETERD_ADMIN_CLIENT_CA")]
    admin_client_ca: Option<PathBuf>,
}

/// An address to listen on, and how clients speak there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListenAddress {
    is_tls: Option<bool>,
    address: SocketAddr,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Some(true), rest),
            Some(("http", rest)) => (Some(false), rest),
            Some(_) => (None, text),
            None => (None, text),
        };
        let address = rest.trim_end_matches('/').parse().map_err(|_| {
            "write an IP address and a port, such as 0.0.0.0:48080 or https://[::]:443".to_owned()
        })?;
        Ok(Self { is_tls, address })
    }
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.is_tls {
            Some(true) => write!(f, "https://{}", self.address),
            Some(false) => write!(f, "http://{}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl ListenerArguments {
    /// Read the certificate, if there is one.
    ///
    /// # Errors
    /// Fails when options do not fit together, or a file cannot be used.
    pub(super) fn tls(&self) -> Result<Option<Arc<Tls>>, Error> {
        let all = self.listen.iter().chain(&self.metrics_listen);
        let https = all.clone().find(|listen| listen.is_tls == Some(true));
        let missing = |given: &str, missing: &str, what: &str| {
            Err(Error::Setup(format!("{given} needs {missing} FILE, {what}.")))
        };
        let (certificate, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => {
                return missing("--tls-cert", "--tls-key", "the private key of the certificate");
            }
            (None, Some(_)) => {
                return missing("--tls-key", "--tls-cert", "the certificate of this key");
            }
            (None, None) if self.admin_client_ca.is_some() => {
                return missing(
                    "--admin-client-ca",
                    "--tls-cert FILE and --tls-key",
                    "because only TLS has client certificates",
                );
            }
            (None, None) => {
                return match https {
                    Some(listen) => missing(
                        &format!("--listen {listen}"),
                        "--tls-cert FILE and --tls-key",
                        "the certificate of this server and its key; for a trial \"seatmeterd \
                         tls self-signed\" makes them",
                    ),
                    None => Ok(None),
                };
            }
        };
        if self.listen.iter().all(|listen| listen.is_tls == Some(false)) {
            return Err(Error::Setup(
                "the certificate of --tls-cert is of no use, because every --listen is http://. \
                 Add one with https://, or remove --tls-cert and --tls-key."
                    .to_owned(),
            ));
        }
        let admin_client_ca = self.admin_client_ca.clone();
        Tls::load(TlsFiles { certificate, key, admin_client_ca }).map(Some)
    }

    /// Return whether the admin API requires a client certificate.
    pub(super) fn admin_needs_certificate(&self) -> bool {
        self.admin_client_ca.is_some()
    }

    /// Listen on every address. Each listener comes with its URL.
    ///
    /// # Errors
    /// Fails when an address cannot be used.
    pub(super) fn bind(&self, tls: Option<&Arc<Tls>>) -> Result<Vec<(Listener, String)>, Error> {
        self.bind_all(&self.listen, tls)
    }

    /// Listen on the addresses for metrics alone.
    ///
    /// # Errors
    /// Fails when an address cannot be used.
    pub(super) fn bind_metrics(
        &self,
        tls: Option<&Arc<Tls>>,
    ) -> Result<Vec<(Listener, String)>, Error> {
        let listeners = self.bind_all(&self.metrics_listen, tls)?;
        for (listener, url) in &listeners {
            let local = listener.socket.local_addr().ok();
            if local.is_some_and(|local| !local.ip().is_loopback()) {
                tracing::warn!(
                    "everybody who reaches {url} can read {url}/metrics without a token: the ids \
                     of items, what is used of them, and when they expire"
                );
            }
        }
        Ok(listeners)
    }

    fn bind_all(
        &self,
        addresses: &[ListenAddress],
        tls: Option<&Arc<Tls>>,
    ) -> Result<Vec<(Listener, String)>, Error> {
        let bind = |listen: &ListenAddress| {
            let tls = tls.filter(|_| listen.is_tls != Some(false)).cloned();
            let scheme = if tls.is_some() { "https" } else { "http" };
            let socket = self.socket(listen.address).map_err(|e| refused(listen, &e))?;
            let local = socket.local_addr().map_err(|e| refused(listen, &e))?;
            Ok((Listener { socket, tls }, format!("{scheme}://{local}")))
        };
        addresses.iter().map(bind).collect()
    }

    fn socket(&self, address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        // By itself, [::] takes the port of 0.0.0.0, too. Somebody who names both wants both.
        let has_port = |other: &ListenAddress| {
            other.address.is_ipv4() && other.address.port() == address.port()
        };
        if address.is_ipv6() && address.port() != 0 && self.listen.iter().any(has_port) {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }
}

fn refused(listen: &ListenAddress, error: &std::io::Error) -> Error {
    let todo = match error.kind() {
        ErrorKind::PermissionDenied => {
            "Ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities), or choose \
             another port with --listen."
        }
        ErrorKind::AddrNotAvailable => "Choose an address of this machine with --listen.",
        _ => "Stop the program that uses the port, or choose another port with --listen.",
    };
    Error::Setup(format!("cannot listen on {}: {error}. {todo}", listen.address))
}

/// Log that strangers can read what clients send to this listener.
pub(super) fn warn_of_plain_http(listener: &Listener) {
    let local = listener.socket.local_addr().ok().filter(|local| !local.ip().is_loopback());
    if let (None, Some(local)) = (&listener.tls, local) {
        tracing::warn!(
            "clients speak plain HTTP at {local}, which is not a loopback address: session \
             passwords and tokens can be read on their way. Give --tls-cert and --tls-key, or put \
             a TLS proxy before the server and listen on 127.0.0.1"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_say_how_clients_speak_there() {
        let parsed = |text: &str| text.parse::<ListenAddress>().map(|l| (l.is_tls, l.to_string()));
        assert_eq!(parsed("0.0.0.0:1"), Ok((None, "0.0.0.0:1".to_owned())));
        assert_eq!(parsed("https://[::]:443"), Ok((Some(true), "https://[::]:443".to_owned())));
        assert_eq!(parsed("http://127.0.0.1:2/"), Ok((Some(false), "http://127.0.0.1:2".into())));
        for bad in ["", "443", "localhost:443", "ftp://1.2.3.4:5", "https://1.2.3.4", "1.2.3.4"] {
            assert!(parsed(bad).unwrap_err().contains("0.0.0.0:48080"), "{bad}");
        }
    }
}
