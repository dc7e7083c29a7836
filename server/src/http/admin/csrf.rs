//! The checks that a request with a session comes from the server's own pages.
//!
//! A browser sends the cookie of a session with whatever request a page makes. `SameSite=Strict`
//! keeps most of them away. Two more checks hold for requests that change something:
//!
//! | check | what it stops |
//! | --- | --- |
//! | `Origin`, where it is there, is the host that the request names; `Sec-Fetch-Site` is `same-origin` or `none` | a page of another site, also of another port or subdomain |
//! | `X-CSRF-Token` is the one that `GET /admin/v1/session` gives | whoever cannot read that answer |

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use crate::error::Error;
use crate::operator::access::digest;
use crate::problem::ProblemKind;

/// The header with the CSRF token of a session.
const CSRF_HEADER: &str = "x-csrf-token";

/// The header in which a browser names the kind of site that caused a request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Return the CSRF token of a session. It follows from the session's id, which a page cannot read,
/// so no server has to keep it.
pub(in crate::http) fn token(session_id: &str) -> String {
    digest(&format!("seatmeter/1 csrf token\n{session_id}"))
}

/// Refuse a request without the CSRF token of its session.
pub(super) fn require_token(headers: &HeaderMap, session_id: &str) -> Result<(), Error> {
    let shown = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    if is_token(shown, session_id) {
        return Ok(());
    }
    let detail = "the header X-CSRF-Token must have the csrf_token of GET /admin/v1/session";
    Err(Error::of(ProblemKind::CsrfToken, detail))
}

/// Return whether this is the CSRF token of the session.
pub(in crate::http) fn is_token(shown: &str, session_id: &str) -> bool {
    // Digests are compared, so that the time of a comparison tells nothing about the token.
    digest(shown) == digest(&token(session_id))
}

/// Refuse a request that a page of another site may have sent.
pub(in crate::http) fn require_own_page(request: &Parts) -> Result<(), Error> {
    let origins: Vec<_> = request.headers.get_all(ORIGIN).iter().collect();
    let own_origin = match origins[..] {
        [] => true,
        [origin] => origin.to_str().is_ok_and(|origin| is_own(origin, request)),
        _ => false,
    };
    let own_site = request
        .headers
        .get(SEC_FETCH_SITE)
        .is_none_or(|site| [&b"same-origin"[..], b"none"].contains(&site.as_bytes()));
    if own_origin && own_site {
        return Ok(());
    }
    let detail = "a page of another site may have sent this request: its Origin is not the host \
        that it names. Behind a proxy, pass the Host header on as it came";
    Err(Error::of(ProblemKind::ForeignPage, detail))
}

/// Return whether an origin is the host that the request names, with the same port.
fn is_own(origin: &str, request: &Parts) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let default_port = match origin.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return false,
    };
    let named = match request.uri.authority() {
        Some(named) => Some(named.clone()),
        None => {
            let host = request.headers.get(HOST).map(|host| host.as_bytes());
            host.and_then(|host| Authority::try_from(host).ok())
        }
    };
    let (Some(own), Some(named)) = (origin.authority(), named) else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    own.host().eq_ignore_ascii_case(named.host()) && port(own) == port(&named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = axum::http::Request::post("/admin/v1/tokens");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_origin_must_be_the_host_that_is_named_with_its_port() {
        let own = |origin: &str, host: &str| {
            require_own_page(&request(&[("origin", origin), ("host", host)])).is_ok()
        };
        assert!(own("https://license.example", "license.example"));
        assert!(own("https://license.example", "license.example:443"));
        assert!(own("http://LICENSE.example:48080", "license.EXAMPLE:48080"));
        assert!(own("http://[::1]:48080", "[::1]:48080"));
        for foreign in [
            "null",
            "",
            "license.example",
            "https://evil.example",
            "https://license.example.evil.example",
            "https://license.example:8443",
            "https://a.license.example",
            "ftp://license.example",
            "http://license.example",
        ] {
            assert!(!own(foreign, "license.example:443"), "{foreign}");
        }
        assert!(require_own_page(&request(&[("host", "license.example")])).is_ok(), "a program");
        let twice = [("origin", "http://a"), ("origin", "http://a"), ("host", "a")];
        assert!(require_own_page(&request(&twice)).is_err());
        for (site, is_own) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            let told = require_own_page(&request(&[("sec-fetch-site", site), ("host", "a")]));
            assert_eq!(told.is_ok(), is_own, "{site}");
        }
    }
}
