//! The address of a client behind reverse proxies.
//!
//! To the server, all clients behind a proxy have the address of the proxy. A proxy that the
//! operator has named as trusted (`--trusted-proxy`) says for whom it asks, and nobody else is
//! believed: any client can send these headers.
//!
//! | what the proxy sends | read by |
//! | --- | --- |
//! | `X-Forwarded-For: CLIENT, PROXY` | [`TrustedProxies::source`] |
//! | `Forwarded: for=CLIENT, for=PROXY` (RFC 7239) | the same |
//! | a PROXY protocol header before the first request (`--proxy-protocol`) | [`super::proxy_protocol`] |
//!
//! Every proxy adds the address of its own client at the right. The rightmost address that is not
//! one of a trusted proxy is therefore the client; what stands left of it is whatever the client
//! has sent. If a text on the way there cannot be understood, or if the two headers name different
//! clients, then the request has the address of the proxy itself.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};

use crate::network::Network;

/// The older of the two headers, which most proxies send.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The headers by which a proxy reveals itself, beside those that begin with `x-forwarded`. A
/// program on this machine sends none of them.
const OF_PROXIES: [&str; 8] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "true-client-ip",
    "cf-connecting-ip",
];

/// Return a header by which a proxy reveals itself, if there is one.
pub(super) fn header_of_proxy(headers: &HeaderMap) -> Option<&HeaderName> {
    let is_of_proxy = |name: &str| name.starts_with("x-forwarded") || OF_PROXIES.contains(&name);
    headers.keys().find(|name| is_of_proxy(name.as_str()))
}

/// The length in bits of the part of an IPv6 address that identifies a site. One subscriber usually
/// has a whole network of this size, and chooses the rest of the address.
const SITE_BITS: u32 = 64;

/// The networks of the proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
}

/// The source of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The client's address; IPv4 also where it came as IPv4 in IPv6.
    pub address: IpAddr,
    /// Whether a proxy has forwarded the request, as far as the request says.
    pub is_forwarded: bool,
}

impl TrustedProxies {
    /// Believe the proxies in these networks.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self { networks: networks.into_iter().collect() }
    }

    /// Return whether a proxy at this address is believed.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Return the source of a request that came from `peer` with these headers.
    #[must_use]
    pub fn source(&self, peer: IpAddr, headers: &HeaderMap) -> Source {
        let peer = peer.to_canonical();
        let is_forwarded = header_of_proxy(headers).is_some();
        let told = if is_forwarded && self.trusts(peer) { self.told(headers) } else { None };
        Source { address: told.unwrap_or(peer), is_forwarded }
    }

    /// Return the address that a trusted proxy has reported, if it can be understood.
    fn told(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let older = self.farthest(lines(headers, &X_FORWARDED_FOR), in_list);
        let newer = self.farthest(lines(headers, &FORWARDED), in_elements);
        match (older, newer) {
            (Forwarded::Nothing, Forwarded::Client(client))
            | (Forwarded::Client(client), Forwarded::Nothing) => Some(client),
            // A proxy that knows one of the headers passes on the other as its client sent it.
            (Forwarded::Client(older), Forwarded::Client(newer)) if older == newer => Some(older),
            _ => None,
        }
    }

    /// Return the rightmost address that is not one of a trusted proxy, or the leftmost of all.
    fn farthest<'a>(
        &self,
        lines: impl DoubleEndedIterator<Item = Option<&'a str>>,
        addresses: fn(&'a str) -> Vec<Option<IpAddr>>,
    ) -> Forwarded {
        let mut farthest = Forwarded::Nothing;
        for line in lines.rev() {
            let Some(line) = line else { return Forwarded::Nonsense };
            for address in addresses(line).into_iter().rev() {
                let Some(address) = address else { return Forwarded::Nonsense };
                farthest = Forwarded::Client(address);
                if !self.trusts(address) {
                    return farthest;
                }
            }
        }
        farthest
    }
}

/// The statement of a header about the client.
enum Forwarded {
    Nothing,
    Nonsense,
    Client(IpAddr),
}

/// Return the part of an address by which its requests are limited: IPv4 as it is, of IPv6 the
/// network of the site.
#[must_use]
pub fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - SITE_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Return the name of a site for people.
#[must_use]
pub fn site_name(site: IpAddr) -> String {
    match site {
        IpAddr::V4(address) => format!("address {address}"),
        IpAddr::V6(network) => format!("network {network}/{SITE_BITS}"),
    }
}

fn lines<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = Option<&'a str>> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    lines.into_iter()
}

/// Read the addresses of one line of `X-Forwarded-For`.
fn in_list(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(|text| address(text.trim())).collect()
}

/// Read the addresses of one line of `Forwarded`.
fn in_elements(line: &str) -> Vec<Option<IpAddr>> {
    let Some(elements) = split(line, ',') else { return vec![None] };
    elements.into_iter().map(of_element).collect()
}

/// Return the address in one element of `Forwarded`: that of its only parameter `for`.
fn of_element(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split(element, ';')? {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name.trim().eq_ignore_ascii_case("for") {
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            if found.replace(address(quoted.unwrap_or(value))?).is_some() {
                return None;
            }
        }
    }
    found
}

/// Split a text at a separator outside of quotes; `None` if a quote has no end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if c == separator && !is_quoted => {
                parts.push(&text[begin..at]);
                begin = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!is_quoted).then_some(parts)
}

/// Read an address, also one in brackets or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let found = text.parse().ok().or_else(in_brackets).or_else(with_port)?;
    Some(found.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "2001:db8:f::/48"].map(|text| text.parse().unwrap()))
    }

    fn client_of(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        trusted().source(peer.parse().unwrap(), &map).address.to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_not_a_trusted_proxy() {
        for (told, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("198.51.100.9, 192.0.2.1", "192.0.2.1"),
            ("198.51.100.9, 192.0.2.1, 10.2.3.4", "192.0.2.1"),
            ("nonsense, 192.0.2.1,10.2.3.4", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]:4711, 2001:db8:f:1::2", "2001:db8::7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("10.9.9.9, 10.2.3.4", "10.9.9.9"),
        ] {
            assert_eq!(client_of("10.0.0.1", &[("x-forwarded-for", told)]), client, "{told}");
        }
        let lines = [("x-forwarded-for", "198.51.100.9"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client_of("::ffff:10.0.0.1", &lines), "192.0.2.1");
    }

    #[test]
    fn a_header_of_rfc_7239_says_the_same() {
        for (told, client) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"192.0.2.60:47011\"", "192.0.2.60"),
            ("for=198.51.100.9, for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.60, FOR = 10.1.1.1", "192.0.2.60"),
            ("proto=\"a,b;for=1.2.3.4\";for=192.0.2.60", "192.0.2.60"),
        ] {
            assert_eq!(client_of("10.0.0.1", &[("forwarded", told)]), client, "{told}");
        }
    }

    #[test]
    fn what_cannot_be_understood_counts_as_the_proxy_itself() {
        for told in ["", "unknown", "192.0.2.1,", "192.0.2.1, 300.1.1.1", "fe80::1%eth0", "a\u{e9}"]
        {
            assert_eq!(client_of("10.0.0.1", &[("x-forwarded-for", told)]), "10.0.0.1", "{told}");
        }
        for told in [
            "for=unknown",
            "for=_hidden",
            "for=\"192.0.2.1",
            "proto=https",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1, for=\"x, for=10.1.1.1",
        ] {
            assert_eq!(client_of("10.0.0.1", &[("forwarded", told)]), "10.0.0.1", "{told}");
        }
    }

    #[test]
    fn headers_that_contradict_each_other_are_not_believed() {
        let of = |newer| {
            client_of("10.0.0.1", &[("x-forwarded-for", "192.0.2.1"), ("forwarded", newer)])
        };
        assert_eq!(of("for=192.0.2.1"), "192.0.2.1");
        assert_eq!(of("for=198.51.100.9"), "10.0.0.1");
        assert_eq!(of("for=_hidden"), "10.0.0.1");
    }

    #[test]
    fn a_client_that_is_not_a_trusted_proxy_is_not_believed() {
        let told = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client_of("203.0.113.5", &told), "203.0.113.5");
        assert_eq!(client_of("::ffff:203.0.113.5", &told), "203.0.113.5");
    }

    #[test]
    fn addresses_of_one_site_are_one_source() {
        let of = |text: &str| site(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_program_on_this_machine_comes_directly() {
        let source = |headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            trusted().source("127.0.0.1".parse().unwrap(), &map)
        };
        assert!(!source(&[]).is_forwarded);
        assert!(source(&[("x-forwarded-for", "127.0.0.1")]).is_forwarded);
        assert!(source(&[("via", "1.1 proxy")]).is_forwarded);
    }
}
