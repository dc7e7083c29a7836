//! The check that a request from this machine without a token comes from a program, and neither
//! from a web page nor through a proxy.
//!
//! A reverse proxy on this machine forwards requests of others, and the server sees them come from
//! this machine. A proxy names itself or its client in a header, which a program has no reason to
//! send: `Forwarded`, `Via`, `X-Forwarded-For` and others.
//!
//! A browser on this machine sends whatever requests a page makes, and the server sees them come
//! from this machine, too. Two things reveal such a request, and a program such as `curl` does
//! neither:
//!
//! | the page | what reveals it |
//! | --- | --- |
//! | of another site, which sends a form or a script's request | `Origin`, or `Sec-Fetch-Site` other than `none` |
//! | of a site with a name that resolves to this machine (DNS rebinding) | `Host`: that name, and not one of this machine's own |

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::Version;
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;

use crate::error::Error;
use crate::http::proxy::header_of_proxy;
use crate::problem::ProblemKind;

/// The header in which a browser names the kind of site that caused a request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The value of this header when a person caused the request by the address bar or a bookmark.
const BY_A_PERSON: &[u8] = b"none";

/// Refuse a request that a web page may have sent, or that a proxy has forwarded.
pub(super) fn require_program(request: &Parts, is_forwarded: bool) -> Result<(), Error> {
    if is_forwarded {
        // A proxy that has announced its client by the PROXY protocol may send no such header.
        return Err(refused(&match header_of_proxy(&request.headers) {
            Some(name) => {
                format!("its header {name} says that a proxy has forwarded it from elsewhere")
            }
            None => "a proxy has forwarded it from elsewhere".to_owned(),
        }));
    }
    let names: Vec<_> = request.headers.get_all(HOST).iter().collect();
    let is_own = |name: &[u8]| Authority::try_from(name).is_ok_and(|name| is_own_name(&name));
    let own_host = match names[..] {
        [name] => is_own(name.as_bytes()),
        // HTTP/2 has the host in the URI, which is checked below.
        [] => request.version == Version::HTTP_2 && request.uri.authority().is_some(),
        _ => false,
    };
    if !own_host || request.uri.authority().is_some_and(|name| !is_own_name(name)) {
        return Err(refused("it asks for another host than localhost or a loopback address"));
    }
    let of_a_page = |site: &axum::http::HeaderValue| site.as_bytes() != BY_A_PERSON;
    if request.headers.contains_key(ORIGIN)
        || request.headers.get(SEC_FETCH_SITE).is_some_and(of_a_page)
    {
        return Err(refused("a web page in a browser has sent it"));
    }
    Ok(())
}

/// Return whether the name is `localhost` or a loopback address, with any port.
fn is_own_name(name: &Authority) -> bool {
    if name.as_str().contains('@') {
        return false;
    }
    let host = name.host();
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn refused(why: &str) -> Error {
    let detail = format!(
        "without a token only this machine's own programs may use the admin API, and this request \
         is not known to come from one: {why}. Show a token of \"seatmeterd token create\" as \
         Authorization: Bearer TOKEN"
    );
    Error::of(ProblemKind::NotThisMachine, detail)
}
