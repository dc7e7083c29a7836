//! The proxies that the environment names, read when a program asks for a license and at no other
//! time: a request may be sent by a thread of the library's while the host changes its environment.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::{ClientBuilder, Proxy};
use seatmeter_protocol::no_proxy::names;

use super::super::transport::Unreachable;
use crate::environment;
use crate::error::Stage;

/// What the environment says of proxies.
#[derive(Debug)]
pub(super) struct Proxies {
    matcher: Matcher,
    /// Hosts for which there is none.
    excepted: String,
}

impl Proxies {
    /// Those of the environment at this moment.
    pub(super) fn read() -> Self {
        Self { matcher: Matcher::from_env(), excepted: environment::hosts_without_proxy() }
    }

    /// The one for this URL; none where the way is direct, or the URL is none.
    fn of(&self, url: &str) -> Option<Intercept> {
        let parsed = reqwest::Url::parse(url).ok()?;
        if names(&self.excepted, parsed.host_str()?, parsed.port_or_known_default()?) {
            return None;
        }
        self.matcher.intercept(&url.parse().ok()?)
    }

    /// The URL of the one for this URL, without its login.
    pub(super) fn name_for(&self, url: &str) -> Option<String> {
        Some(self.of(url)?.uri().to_string().trim_end_matches('/').to_owned())
    }

    /// Lets a client for this URL go through its proxy, and through no other.
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
