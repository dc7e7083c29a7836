//! Charge way 6: unlimited use under the domains that an item lists.
//!
//! A website may use the item when its host is in the same domain as one of the listed domains.
//! This is so when both have the same registrable domain by the Public Suffix List, its private
//! section included ([`crate::policy::charge_way::host`]).
//!
//! | listed | means |
//! | --- | --- |
//! | `company.com`, `*.company.com`, `www.company.com` | `company.com` and every host below it |
//! | an IP address, `localhost`, a name of one label | exactly that host |
//! | a bare public suffix, such as `co.uk` or `github.io` | refused when the item is made: it would be everybody |
//!
//! | host of the website | outcome |
//! | --- | --- |
//! | of a listed domain | may use it, without a limit |
//! | another, or none | -20114 |

use std::collections::HashSet;

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Refusal;
use crate::policy::charge_way::host::{CountsAs, Host};

/// The domains of an item, ready for lookups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domains {
    same_as: HashSet<String>,
}

impl Domains {
    /// Read the domains that an item lists.
    ///
    /// # Errors
    /// Returns the first text that cannot be listed, and the reason, as a clause for a sentence.
    pub fn listed(texts: &[String]) -> Result<Self, String> {
        let same_as = texts.iter().map(|text| listed(text)).collect::<Result<_, _>>()?;
        Ok(Self { same_as })
    }

    /// Return whether a host is in one of these domains.
    #[must_use]
    pub fn contain(&self, host: &Host) -> bool {
        host.domain().is_some_and(|domain| self.same_as.contains(domain))
    }
}

/// Return what one listed domain stands for, by the table above.
fn listed(text: &str) -> Result<String, String> {
    let name = text.trim().strip_prefix("*.");
    let host = Host::parse(name.unwrap_or(text))
        .map_err(|why| format!("lists {text:?} as a domain: {why}"))?;
    match host.counts_as() {
        CountsAs::Suffix(_) => Err(format!(
            "lists {text:?} as a domain, which is a public suffix: everybody can have a name \
             below it. List the \
             licensee's own domain, such as example.{}",
            host.as_text()
        )),
        CountsAs::IpAddress | CountsAs::Localhost | CountsAs::OneLabel if name.is_some() => {
            Err(format!(
                "lists {text:?} as a domain, but nothing is below {}; list it without the star",
                host.as_text()
            ))
        }
        _ => Ok(host.domain().unwrap_or(host.as_text()).to_owned()),
    }
}

/// Decide whether a website on this host may use the item.
///
/// # Errors
/// Returns -20114 when it may not.
pub fn decide(item_id: &str, domains: &Domains, host: &str) -> Result<(), Refusal> {
    let no = |why: String| {
        Err(Refusal::new(
            ErrorCode::VALIDATION_FIELD_MISMATCH,
            format!("item \"{item_id}\" is not for the website {host:?}: {why}"),
        ))
    };
    match Host::parse(host) {
        Err(why) => no(why.to_string()),
        Ok(parsed) if domains.contain(&parsed) => Ok(()),
        Ok(parsed) => match parsed.domain() {
            Some(domain) => no(format!(
                "it counts as {domain}, which the item does not list; ask your vendor to add it"
            )),
            None => no("it is a public suffix, which no item can list".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_use(listed: &str, host: &str) -> bool {
        let domains = Domains::listed(&[listed.to_owned()]).unwrap();
        match decide("item", &domains, host) {
            Ok(()) => true,
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::VALIDATION_FIELD_MISMATCH);
                false
            }
        }
    }

    #[test]
    fn hosts_of_a_listed_domain_may_use_the_item_and_others_may_not() {
        for (listed, host, expected) in [
            ("company.com", "a.company.com", true),
            ("company.com", "company.com", true),
            ("company.com", "https://WWW.Company.com.:443/x", true),
            ("*.company.com", "company.com", true),
            ("*.company.com", "a.company.com", true),
            ("www.company.com", "shop.company.com", true),
            ("COMPANY.com.", "company.com", true),
            ("company.com", "company.com.example", false),
            ("company.com", "mycompany.com", false),
            ("company.com", "company.org", false),
            ("x.force.com", "x.force.com", true),
            ("x.force.com", "y.force.com", false),
            ("a.github.io", "b.github.io", false),
            ("a.github.io", "www.a.github.io", true),
            ("shop.example.co.uk", "www.example.co.uk", true),
            ("example.co.uk", "other.co.uk", false),
            ("bücher.example", "www.xn--bcher-kva.example", true),
            ("localhost", "localhost:3000", true),
            ("localhost", "a.localhost", false),
            ("localhost", "127.0.0.1", false),
            ("127.0.0.1", "http://127.0.0.1:8080", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("::1", "[::1]:80", true),
            ("company.com", "co.uk", false),
            ("company.com", "127.0.0.1", false),
            ("company.com", "", false),
        ] {
            assert_eq!(may_use(listed, host), expected, "{host} under {listed}");
        }
    }

    #[test]
    fn what_cannot_be_listed_is_refused_with_the_reason() {
        for (text, reason) in [
            ("co.uk", "public suffix"),
            ("*.co.uk", "public suffix"),
            ("github.io", "public suffix"),
            ("force.com", "public suffix"),
            ("com", "public suffix"),
            ("*.localhost", "without the star"),
            ("*.127.0.0.1", "without the star"),
            ("a.*.com", "no host name"),
            ("*", "no host name"),
            ("", "no host"),
        ] {
            let why = Domains::listed(&["fine.example".to_owned(), text.to_owned()]).unwrap_err();
            assert!(why.contains(reason) && why.contains(&format!("{text:?}")), "{text}: {why}");
        }
    }
}
