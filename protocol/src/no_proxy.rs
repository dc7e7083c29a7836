//! The variable `NO_PROXY`, as the library and `seatmeterd doctor` read it in addition to the HTTP
//! client. The client's matcher knows names, addresses and networks. Lists written for curl also
//! have a star for all hosts, blanks between entries, IPv6 addresses in brackets, ports, and names
//! that end with a dot.

use std::net::IpAddr;

/// Return whether the list names this host at this port. The host is written as in a URL: an IPv6
/// address may be in brackets.
#[must_use]
pub fn names(list: &str, host: &str, port: u16) -> bool {
    let host = plain(host);
    let entries =
        list.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| entry == "*" || matches(entry, host, port))
}

fn matches(entry: &str, host: &str, port: u16) -> bool {
    let (name, only) = split_port(entry);
    if only.is_some_and(|only| only != port) {
        return false;
    }
    let name = plain(name.trim_start_matches('.'));
    if let (Ok(name), Ok(host)) = (name.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        return name == host;
    }
    let is_under = || {
        let rest = host
            .len()
            .checked_sub(name.len())
            .and_then(|at| host.is_char_boundary(at).then_some(at));
        rest.is_some_and(|at| {
            host[at..].eq_ignore_ascii_case(name) && (at == 0 || host[..at].ends_with('.'))
        })
    };
    !name.is_empty() && is_under()
}

/// Split an entry into the host and the port. An IPv6 address has more than one colon, and a port
/// only after brackets.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let is_bare_address = !entry.starts_with('[') && entry.matches(':').count() > 1;
    match entry.rsplit_once(':') {
        Some((name, port)) if !is_bare_address && !entry.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

/// Remove brackets, and the dot at the end of a full name.
fn plain(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_list_names_hosts_as_curl_reads_it() {
        let named = [
            ("*", "license.example"),
            ("localhost, *", "10.0.0.1"),
            ("license.example", "LICENSE.example"),
            (".example", "license.example"),
            ("example.", "license.example"),
            ("example", "license.example."),
            ("other.example license.example", "license.example"),
            ("license.example:48080", "license.example"),
            ("10.0.0.1:48080", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:48080", "[::1]"),
            ("::1", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
        ];
        for (list, host) in named {
            assert!(names(list, host, 48080), "{list} names {host}");
        }
        let others = [
            ("", "license.example"),
            ("nse.example", "license.example"),
            ("*.example", "license.example"),
            ("license.example:80", "license.example"),
            ("[::1]:80", "[::1]"),
            ("::2", "[::1]"),
            (":48080", "license.example"),
            (".", "license.example"),
            ("license.example:port", "license.example"),
        ];
        for (list, host) in others {
            assert!(!names(list, host, 48080), "{list} does not name {host}");
        }
    }
}
