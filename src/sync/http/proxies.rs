//! The proxies that the environment names. They are read only when a program requests a license,
//! because a thread of the library may send a request while the host changes its environment.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::{ClientBuilder, Proxy};
use seatmeter_protocol::no_proxy::names;

use super::super::transport::Unreachable;
use crate::environment;
use crate::error::Stage;

/// The proxy settings of the environment.
#[derive(Debug)]
pub(super) struct Proxies {
    matcher: Matcher,
    /// The hosts without a proxy.
    excepted: String,
}

impl Proxies {
    /// Read the environment's proxies at this moment.
    pub(super) fn read() -> Self {
        Self { matcher: Matcher::from_env(), excepted: environment::hosts_without_proxy() }
    }

    /// Return the proxy for this URL; `None` if no proxy is used, or if the URL is invalid.
    fn of(&self, url: &str) -> Option<Intercept> {
        let parsed = reqwest::Url::parse(url).ok()?;
        if names(&self.excepted, parsed.host_str()?, parsed.port_or_known_default()?) {
            return None;
        }
        self.matcher.intercept(&url.parse().ok()?)
    }

    /// Return the URL of the proxy for this URL, without its login.
    pub(super) fn name_for(&self, url: &str) -> Option<String> {
        Some(self.of(url)?.uri().to_string().trim_end_matches('/').to_owned())
    }

    /// Make a client for this URL use its proxy, and no other.
    pub(super) fn lead(
        &self,
        url: &str,
        client: ClientBuilder,
    ) -> Result<ClientBuilder, Unreachable> {
        let client = client.no_proxy();
        let Some(found) = self.of(url) else { return Ok(client) };
        let mut proxy = Proxy::all(found.uri().to_string()).map_err(|e| Unreachable {
            stage: Stage::Proxy,
            detail: format!("the proxy {} cannot be used: {}", found.uri(), super::chain(&e)),
        })?;
        if let Some(login) = found.basic_auth() {
            proxy = proxy.custom_http_auth(login.clone());
        }
        Ok(client.proxy(proxy))
    }
}
