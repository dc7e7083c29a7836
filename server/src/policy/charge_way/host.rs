//! The domain that a host counts as: it shares this domain with other hosts.
//!
//! | host | counts as |
//! | --- | --- |
//! | `a.company.com` | `company.com`, its registrable domain by the Public Suffix List |
//! | `a.github.io` | itself: `github.io` is in the list's private section, each tenant has its own domain |
//! | `x.force.com` | itself: see [`ADDED_SUFFIXES`] |
//! | `a.unlisted` | itself: where the list has no rule, the last label is the suffix |
//! | `co.uk`, `github.io` | nothing: a bare public suffix belongs to nobody |
//! | `127.0.0.1`, `[::1]`, `localhost`, `intranet` | itself, exactly |
//!
//! Before that, a host is normalized: without scheme, path, port and trailing dot, in lower case,
//! and in punycode.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::verify_dns_length;
use psl::Type;
use seatmeter_protocol::message::TEXT_BYTES_MAX;

/// Suffixes under which each name belongs to another tenant, although the Public Suffix List does
/// not have them. The source is this vendor's own help pages about the host names that it gives its
/// customers ("My Domain URL Formats").
pub const ADDED_SUFFIXES: [&str; 4] =
    ["force.com", "lightning.force.com", "my.salesforce.com", "secure.force.com"];

/// Characters that no name may have: those that the URL standard forbids in hosts, and the star of
/// a pattern.
const NOT_IN_NAMES: AsciiDenyList = AsciiDenyList::new(true, "%#/:<>?@[\\]^|*");

/// The place where a suffix is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// The list's section of registries.
    Icann,
    /// The list's private section: the hosts below the suffix belong to many tenants.
    Private,
    /// The constant [`ADDED_SUFFIXES`].
    Added,
    /// No list: the last label is taken as the suffix.
    Nowhere,
}

/// The domain or the host itself, as which a host counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountsAs {
    /// Every host with this registrable domain counts as the same.
    Domain {
        /// The suffix and one label more.
        registrable: String,
        /// The public suffix.
        suffix: String,
        /// The place where the suffix is listed.
        listed: Listed,
    },
    /// The host is a public suffix itself, thus it counts as nothing.
    Suffix(Listed),
    /// Itself alone, as an IP address.
    IpAddress,
    /// Itself alone: `localhost`.
    Localhost,
    /// Itself alone: one label that is no public suffix, such as a machine in a company's network.
    OneLabel,
}

/// A host, in the one form in which hosts are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    text: String,
    counts_as: CountsAs,
}

/// The reason why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHost {
    /// The text is empty.
    Empty,
    /// The text has a user name.
    UserName,
    /// The text after the colon is not a port.
    Port,
    /// The text in brackets is not an IPv6 address.
    Ipv6,
    /// The text ends in a number, but is not an IPv4 address.
    Ipv4,
    /// The text has a character or a label that no name may have.
    Name,
    /// The name or one of its labels is empty or too long.
    Length,
}

impl fmt::Display for NoHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it names no host",
            Self::UserName => "it has a user name before the host",
            Self::Port => {
                "what follows the colon is not a port; an IPv6 address stands in brackets"
            }
            Self::Ipv6 => "what stands in brackets is not an IPv6 address",
            Self::Ipv4 => {
                "it ends in a number, and is not an IPv4 address of four numbers from 0 to 255"
            }
            Self::Name => "it has a character or a label that no host name can have",
            Self::Length => "a label is empty or longer than 63 bytes, or the name longer than 253",
        })
    }
}

impl Host {
    /// Read the host from a text: a name or an address, perhaps within a URL.
    ///
    /// # Errors
    /// Returns the reason why the text is not a host.
    pub fn parse(text: &str) -> Result<Self, NoHost> {
        let text = text.trim();
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        Self::parse_with_port(authority).map(|(host, _)| host)
    }

    /// Read the host and the port from `host` or `host:port`.
    ///
    /// # Errors
    /// Returns the reason why the text is not a host with an optional port.
    pub fn parse_with_port(authority: &str) -> Result<(Self, Option<u16>), NoHost> {
        if authority.is_empty() {
            return Err(NoHost::Empty);
        }
        if authority.len() > TEXT_BYTES_MAX {
            return Err(NoHost::Length);
        }
        if authority.contains('@') {
            return Err(NoHost::UserName);
        }
        if let Ok(address) = authority.parse::<Ipv6Addr>() {
            return Ok((Self::of_ipv6(address), None));
        }
        if let Some(rest) = authority.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(NoHost::Ipv6)?;
            let address = address.parse().map_err(|_| NoHost::Ipv6)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if rest.is_empty() => None,
                None => return Err(NoHost::Port),
            };
            return Ok((Self::of_ipv6(address), port));
        }
        let (name, port) = match authority.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port)?)),
            None => (authority, None),
        };
        Ok((Self::of_name(name)?, port))
    }

    fn of_ipv6(address: Ipv6Addr) -> Self {
        Self { text: format!("[{address}]"), counts_as: CountsAs::IpAddress }
    }

    fn of_name(name: &str) -> Result<Self, NoHost> {
        let ascii =
            idna::domain_to_ascii_cow(name.as_bytes(), NOT_IN_NAMES).map_err(|_| NoHost::Name)?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        if !verify_dns_length(ascii, false) {
            return Err(NoHost::Length);
        }
        let counts_as = if ascii.parse::<Ipv4Addr>().is_ok() {
            CountsAs::IpAddress
        } else if ends_in_number(ascii) {
            return Err(NoHost::Ipv4);
        } else if ascii == "localhost" {
            CountsAs::Localhost
        } else {
            of_domain(ascii)
        };
        Ok(Self { text: ascii.to_owned(), counts_as })
    }

    /// Return the normalized text of the host.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Return what the host counts as.
    #[must_use]
    pub fn counts_as(&self) -> &CountsAs {
        &self.counts_as
    }

    /// Return the text that is equal for all hosts of one domain and for no others; `None` for a
    /// bare public suffix.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        match &self.counts_as {
            CountsAs::Domain { registrable, .. } => Some(registrable),
            CountsAs::Suffix(_) => None,
            CountsAs::IpAddress | CountsAs::Localhost | CountsAs::OneLabel => Some(&self.text),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, NoHost> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(NoHost::Port)
}

/// Return whether the last label is a number. Browsers hold that such a host can only be an IPv4
/// address, perhaps in an old form.
fn ends_in_number(ascii: &str) -> bool {
    let last = ascii.rsplit('.').next().unwrap_or(ascii);
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|digit| digit.is_ascii_digit())
}

fn of_domain(ascii: &str) -> CountsAs {
    let (suffix, listed) = suffix(ascii);
    if suffix.len() == ascii.len() {
        return match listed {
            Listed::Nowhere => CountsAs::OneLabel,
            _ => CountsAs::Suffix(listed),
        };
    }
    let before = &ascii[..ascii.len() - suffix.len() - 1];
    let label = before.rsplit('.').next().unwrap_or(before);
    CountsAs::Domain { registrable: format!("{label}.{suffix}"), suffix: suffix.to_owned(), listed }
}

/// Return the public suffix of a name, and the place where it is listed.
fn suffix(ascii: &str) -> (&str, Listed) {
    let by_list = psl::suffix(ascii.as_bytes());
    let length = by_list.map_or(0, |suffix| suffix.as_bytes().len());
    let added = ADDED_SUFFIXES.into_iter().filter(|added| {
        ascii.strip_suffix(added).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    });
    match added.map(str::len).max() {
        Some(longer) if longer > length => (&ascii[ascii.len() - longer..], Listed::Added),
        _ => {
            let listed = match by_list.and_then(|suffix| suffix.typ()) {
                Some(Type::Icann) => Listed::Icann,
                Some(Type::Private) => Listed::Private,
                None => Listed::Nowhere,
            };
            (&ascii[ascii.len() - length..], listed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn domain(text: &str) -> Option<String> {
        Host::parse(text).unwrap().domain().map(str::to_owned)
    }

    /// Case 40: these hosts have been split wrongly in practice.
    #[test]
    fn every_host_counts_as_its_registrable_domain() {
        for (host, expected) in [
            ("company.com", "company.com"),
            ("a.company.com", "company.com"),
            ("b.company.com", "company.com"),
            ("deep.er.company.com", "company.com"),
            ("shop.example.co.uk", "example.co.uk"),
            ("www.example.co.uk", "example.co.uk"),
            ("service.department.gov.uk", "department.gov.uk"),
            ("a.github.io", "a.github.io"),
            ("www.a.github.io", "a.github.io"),
            ("b.github.io", "b.github.io"),
            ("x.force.com", "x.force.com"),
            ("y.force.com", "y.force.com"),
            ("acme.my.salesforce.com", "acme.my.salesforce.com"),
            ("www.salesforce.com", "salesforce.com"),
            ("enforce.com", "enforce.com"),
            ("a.enforce.com", "enforce.com"),
            // The list has a rule with a star here, and an exception to it.
            ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
            ("www.city.kawasaki.jp", "city.kawasaki.jp"),
            // The list does not have this top-level domain.
            ("a.machine.corp-intern", "machine.corp-intern"),
            // Unicode names are equal in every spelling.
            ("www.bücher.example", "xn--bcher-kva.example"),
            ("WWW.BÜCHER.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("shop.例子.公司.cn", "xn--fsqu00a.xn--55qx5d.cn"),
            ("shop.xn--fsqu00a.xn--55qx5d.cn", "xn--fsqu00a.xn--55qx5d.cn"),
            ("www。company。com", "company.com"),
            // Everything around the host is dropped.
            ("A.Company.COM", "company.com"),
            ("a.company.com.", "company.com"),
            ("a.company.com:8443", "company.com"),
            ("https://a.company.com:8443/path?query#part", "company.com"),
            ("https://a.company.com", "company.com"),
            ("  a.company.com ", "company.com"),
            // The following hosts match only exactly.
            ("localhost", "localhost"),
            ("LOCALHOST:3000", "localhost"),
            ("intranet", "intranet"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("http://192.168.1.20/", "192.168.1.20"),
            ("[::1]:8080", "[::1]"),
            ("::1", "[::1]"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(domain(host).as_deref(), Some(expected), "{host}");
        }
    }

    #[test]
    fn a_bare_public_suffix_counts_as_nothing() {
        for (host, listed) in [
            ("com", Listed::Icann),
            ("co.uk", Listed::Icann),
            ("gov.uk", Listed::Icann),
            ("c.kawasaki.jp", Listed::Icann),
            ("公司.cn", Listed::Icann),
            ("github.io", Listed::Private),
            ("GitHub.IO.", Listed::Private),
            ("force.com", Listed::Added),
        ] {
            assert_eq!(*Host::parse(host).unwrap().counts_as(), CountsAs::Suffix(listed), "{host}");
            assert_eq!(domain(host), None);
        }
    }

    #[test]
    fn what_is_no_host_is_said() {
        for (text, expected) in [
            ("", NoHost::Empty),
            ("https://", NoHost::Empty),
            ("user@company.com", NoHost::UserName),
            ("company.com:http", NoHost::Port),
            ("company.com:+80", NoHost::Port),
            ("company.com:65536", NoHost::Port),
            ("[::1]80", NoHost::Port),
            ("[::g]", NoHost::Ipv6),
            ("[::1", NoHost::Ipv6),
            ("127.1", NoHost::Ipv4),
            ("0x7f.0x1", NoHost::Ipv4),
            ("1.2.3.256", NoHost::Ipv4),
            ("2130706433", NoHost::Ipv4),
            ("a b.com", NoHost::Name),
            ("*.company.com", NoHost::Name),
            ("xn--a.com", NoHost::Name),
            ("a..com", NoHost::Length),
            (".com", NoHost::Length),
            (".", NoHost::Length),
        ] {
            assert_eq!(Host::parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(Host::parse(&format!("{}.com", "a".repeat(64))), Err(NoHost::Length));
        assert_eq!(Host::parse(&"a.".repeat(300)), Err(NoHost::Length));
    }

    #[test]
    fn a_text_is_read_up_to_the_length_that_a_field_can_have() {
        // A soft hyphen of two bytes is not part of a name.
        let filled = |name: &str, length: usize| {
            let text = "\u{ad}".repeat((length - name.len()) / 2) + name;
            Host::parse(&text).map(|host| host.domain().map(str::to_owned))
        };
        assert_eq!(filled("shop.company.com", TEXT_BYTES_MAX), Ok(Some("company.com".to_owned())));
        assert_eq!(filled("company.com", TEXT_BYTES_MAX + 1), Err(NoHost::Length));
        assert_eq!(filled("shop.company.com", 2 * TEXT_BYTES_MAX), Err(NoHost::Length));
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_or_not_and_its_form_is_its_own(text in "\\PC{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(host.as_text()), Ok(host.clone()), "{}", text);
                if let Some(domain) = host.domain() {
                    prop_assert!(host.as_text().ends_with(domain));
                    let again = Host::parse(domain).unwrap();
                    prop_assert_eq!(again.domain(), Some(domain));
                }
            }
        }

        #[test]
        fn a_name_below_a_domain_counts_as_it(labels in "([a-z][a-z0-9]{0,8}\\.){0,3}") {
            prop_assert_eq!(domain(&format!("{labels}company.com")), Some("company.com".to_owned()));
            prop_assert_eq!(domain(&format!("{labels}x.force.com")), Some("x.force.com".to_owned()));
        }
    }
}
