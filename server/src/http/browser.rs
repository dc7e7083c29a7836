//! The part of the client API for browsers: the website of a request, and CORS.
//!
//! A page names its website by nothing that it writes itself. Its browser does that, with the
//! header `Origin`, which no script can set. So the origin replaces whatever website a body names.
//!
//! A script reads an answer of this server only if CORS allows it. That is so for the websites that
//! are licensed here:
//!
//! | what lists the website | |
//! | --- | --- |
//! | an item by domain | its domains |
//! | the validation fields of a handshake code | its website domains |
//! | a handshake code without them, with another item that is for browsers | every website |
//!
//! The rules decide about each request all the same. Whatever is listed may be revoked or expired:
//! its pages must be able to read that. Others ask `GET /v1/origin`, whose answer every page may
//! read: browsers tell a script nothing about a request that CORS has stopped.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options};
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    AUTHORIZATION_CHECKS_PATH, AUTHORIZATIONS_PATH, AuthorizationRequest, ORIGIN_PATH,
    OriginAnswer, USAGE_PATH,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Web;
use super::answer::{answer, source};
use crate::error::{Error, Refusal};
use crate::operator::commands::{CodeRow, ItemRow, Listing, View};
use crate::policy::charge_way::host::Host;
use crate::policy::charge_way::per_client_device::browser_device;
use crate::policy::charge_way::per_domain::Domains;
use crate::policy::select::access::lies_under;
use crate::store::Store;

/// The request headers that a page may send.
const REQUEST_HEADERS: &str = "content-type, seatmeter-nonce, seatmeter-key-id, \
    seatmeter-device-signature, seatmeter-report-key-id, seatmeter-report-tag";

/// The answer headers that a page may read.
const ANSWER_HEADERS: &str = "seatmeter-time, seatmeter-key-id, seatmeter-signature, retry-after";

/// The seconds for which a browser may remember a preflight. No browser keeps one for longer than a
/// day, and some for two hours at most.
const PREFLIGHT_SECONDS: &str = "7200";

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The time for which a list with the website in it is used. What is granted does not depend on it.
const LISTED_GOOD_FOR: Duration = Duration::from_secs(60);

/// The time for which a list without the website is used. It is short for an operator who has just
/// added the website, and long enough that pages of strangers do not cause a query each.
const UNLISTED_GOOD_FOR: Duration = Duration::from_secs(1);

/// The websites that are licensed on this server, as they were read last.
#[derive(Debug, Default)]
pub struct Websites {
    read: Mutex<Option<(Instant, Arc<Listed>)>>,
}

impl Websites {
    /// Return whether pages of this origin may read answers.
    async fn include(&self, origin: &str, store: &dyn Store, now: u64) -> Result<bool, Error> {
        let Some(host) = host_of(origin) else { return Ok(false) };
        let mut read = self.read.lock().await;
        if let Some((at, listed)) = &*read {
            let is_in = listed.include(&host);
            let good_for = if is_in { LISTED_GOOD_FOR } else { UNLISTED_GOOD_FOR };
            if at.elapsed() < good_for {
                return Ok(is_in);
            }
        }
        let listed = Arc::new(Listed::read(store, now).await?);
        *read = Some((Instant::now(), listed.clone()));
        Ok(listed.include(&host))
    }
}

/// Return the host of an origin; `None` where the text is not the origin of a website.
fn host_of(origin: &str) -> Option<Host> {
    browser_device("", origin).ok()?;
    Host::parse(origin).ok()
}

/// The lists of websites, by the table above.
#[derive(Debug, Default)]
struct Listed {
    every: bool,
    domains: Vec<Domains>,
    validated: Vec<String>,
}

impl Listed {
    async fn read(store: &dyn Store, now: u64) -> Result<Self, Error> {
        let lists = (store.look(View::Items, now).await?, store.look(View::Codes, now).await?);
        let (Listing::Items(items), Listing::Codes(codes)) = lists else {
            return Err(Error::Internal("a list was answered otherwise".to_owned()));
        };
        Ok(Self::of(&items, codes))
    }

    fn of(items: &[ItemRow], codes: Vec<CodeRow>) -> Self {
        let items = || items.iter().filter_map(|row| row.item.as_ref());
        let serves_browsers = |id: &String| {
            items().any(|item| {
                item.item_id == *id
                    && item.charge_way != ChargeWay::Domain
                    && item.serves(DeploymentType::Browser)
            })
        };
        let is_open = |code: &CodeRow| {
            code.validation.website_domains.is_empty() && code.item_ids.iter().any(serves_browsers)
        };
        Self {
            every: codes.iter().any(is_open),
            // A domain that was listed once and is no longer accepted lists nothing.
            domains: items().filter_map(|item| Domains::listed(&item.domains).ok()).collect(),
            validated: codes.into_iter().flat_map(|code| code.validation.website_domains).collect(),
        }
    }

    fn include(&self, host: &Host) -> bool {
        self.every
            || self.domains.iter().any(|domains| domains.contain(host))
            || self.validated.iter().any(|domain| lies_under(host.as_text(), domain))
    }
}

/// The preflights, which no page can sign.
pub(super) fn preflights() -> Router<Arc<Web>> {
    [AUTHORIZATIONS_PATH, AUTHORIZATION_CHECKS_PATH, USAGE_PATH]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, options(preflight)))
}

/// The question of a page whether its website is licensed.
pub(super) fn router() -> Router<Arc<Web>> {
    Router::new().route(ORIGIN_PATH, get(origin))
}

/// Let the pages of licensed websites read the answer.
pub(super) async fn cors(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        return next.run(request).await;
    };
    let is_for_all = request.uri().path() == ORIGIN_PATH;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if is_for_all {
        allow(headers, ANY_ORIGIN);
    } else if is_licensed(&web, &origin).await {
        allow(headers, origin);
    }
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
}

async fn is_licensed(web: &Web, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let (store, now) = (&*web.licensing.store, web.licensing.clock.unix_seconds());
    web.websites.include(origin, store, now).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the websites of the licenses could not be read");
        false
    })
}

async fn preflight(State(web): State<Arc<Web>>, request: Request) -> Response {
    if let Err(too_many) = web.admit(source(&web, &request)) {
        return Error::from(too_many).into_response();
    }
    let Some(origin) = request.headers().get(ORIGIN).cloned() else {
        let detail = "a preflight must have the header Origin";
        return Error::bad_request(detail).into_response();
    };
    if !is_licensed(&web, &origin).await {
        return Error::Refused(not_licensed(&origin)).into_response();
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow(headers, origin);
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
        (VARY, "origin"),
        // A page of the internet may ask a server of the company's network only with this.
        (PRIVATE_NETWORK, "true"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn not_licensed(origin: &HeaderValue) -> Refusal {
    Refusal::new(
        ErrorCode::DOMAIN_MISMATCH,
        format!(
            "the website {origin:?} is not licensed on this server: no license item and no \
             handshake code lists its domain. Ask your vendor for an item with this domain, or \
             the server's operator to list it: seatmeterd handshake access CODE --website-domain"
        ),
    )
}

async fn origin(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let Some(origin) = headers.get(ORIGIN) else {
        return Error::bad_request("the header Origin is missing: browsers send it for a page")
            .into_response();
    };
    let outcome = match is_licensed(&web, origin).await {
        true => {
            Ok(OriginAnswer { origin: String::from_utf8_lossy(origin.as_bytes()).into_owned() })
        }
        false => Err(Error::Refused(not_licensed(origin))),
    };
    let mut response = answer(outcome);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Take the website of a request from the header that no script can set, whatever its body names.
/// A request without the header is from a program, whose word counts: a program could set the
/// header, too.
///
/// # Errors
/// -20114 when the origin of a browser is none of a website.
pub(super) fn take_website(
    request: &mut AuthorizationRequest,
    headers: &HeaderMap,
) -> Result<(), Error> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
    if request.deployment_type == DeploymentType::Browser {
        browser_device("", &origin)?;
    }
    request.validation.website_domain = origin;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::select::access::Validation;
    use seatmeter_protocol::license::LicenseItem;

    fn item(item_id: &str, way: ChargeWay, types: &[DeploymentType]) -> ItemRow {
        let mut item = LicenseItem::new(item_id, way, 1, 1, 2);
        item.deployment_types = types.to_vec();
        ItemRow {
            item_id: item_id.into(),
            file_id: "file".into(),
            organization_id: "acme".into(),
            revoked_at: None,
            not_ready: None,
            item: Some(item),
        }
    }

    fn code(items: &[&str], websites: &[&str]) -> CodeRow {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        CodeRow {
            handshake_code: "CODE".into(),
            organization_id: "acme".into(),
            has_password: false,
            validation: Validation { website_domains: owned(websites), ..Validation::default() },
            own_order: false,
            item_ids: owned(items),
        }
    }

    fn includes(items: &[ItemRow], codes: Vec<CodeRow>, origin: &str) -> bool {
        host_of(origin).is_some_and(|host| Listed::of(items, codes).include(&host))
    }

    #[test]
    fn a_domain_item_licenses_its_registrable_domain_and_no_other_tenant() {
        let mut site = item("site", ChargeWay::Domain, &[DeploymentType::Browser]);
        site.item.as_mut().unwrap().domains =
            vec!["company.com".into(), "a.github.io".into(), "localhost".into()];
        let items = [site];
        for (origin, expected) in [
            ("https://company.com", true),
            ("https://shop.company.com:8443", true),
            ("http://COMPANY.com", true),
            ("https://company.com.evil.org", false),
            ("https://mycompany.com", false),
            ("https://a.github.io", true),
            ("https://b.github.io", false),
            ("http://localhost:3000", true),
            ("null", false),
            ("company.com", false),
            ("chrome-extension://company.com", false),
            ("", false),
        ] {
            assert_eq!(includes(&items, vec![code(&["site"], &[])], origin), expected, "{origin}");
        }
    }

    #[test]
    fn a_handshake_code_licenses_what_it_lists_and_everybody_only_without_a_list() {
        let items = [item("scans", ChargeWay::BarcodeScan, &[DeploymentType::Browser])];
        let listed = || vec![code(&["scans"], &["company.com"])];
        assert!(includes(&items, listed(), "https://a.company.com"));
        assert!(!includes(&items, listed(), "https://other.example"));
        assert!(includes(&items, vec![code(&["scans"], &[])], "https://other.example"));
    }

    #[test]
    fn items_that_no_page_may_use_license_no_website() {
        let desktop = [item("scans", ChargeWay::BarcodeScan, &[DeploymentType::Desktop])];
        assert!(!includes(&desktop, vec![code(&["scans"], &[])], "https://other.example"));
        let browser = [item("scans", ChargeWay::BarcodeScan, &[DeploymentType::Browser])];
        assert!(!includes(&browser, vec![], "https://other.example"), "no code leads to it");
    }
}
