//! What browsers need: the website of a request comes from its origin, and only the pages of
//! licensed websites read answers.

use crate::support::*;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::*;
use seatmeter_server::http::Web;
use seatmeter_server::operator::commands::Change;
use seatmeter_server::policy::select::access::Validation;

const PATHS: [&str; 3] = [AUTHORIZATIONS_PATH, AUTHORIZATION_CHECKS_PATH, USAGE_PATH];
const ALLOWED: &str = "access-control-allow-origin";

fn item_of(way: ChargeWay) -> LicenseItem {
    let mut item = item("site", if way == ChargeWay::Domain { 0 } else { 10 });
    item.charge_way = way;
    item.deployment_types = vec![DeploymentType::Browser];
    if way == ChargeWay::Domain {
        item.domains = vec!["company.com".into(), "a.github.io".into()];
    }
    item
}

fn of_browser(uuid: &str) -> AuthorizationRequest {
    AuthorizationRequest { deployment_type: DeploymentType::Browser, ..request(uuid, 1) }
}

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,seatmeter-nonce")
}

/// Ask from a page of this origin; without one, as a program.
fn ask(
    server: &TestServer,
    request: &AuthorizationRequest,
    origin: Option<&str>,
) -> (Answer, Result<(), ErrorCode>) {
    let (body, nonce) = (serde_json::to_vec(request).unwrap(), id());
    let mut posted = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce);
    if let Some(origin) = origin {
        posted = posted.header("origin", origin);
    }
    let answer = posted.send(server.address);
    answer.verify(&body, &nonce, server_key().public()).unwrap();
    let outcome = if answer.status == 200 { Ok(()) } else { Err(answer.problem().code) };
    (answer, outcome)
}

#[test]
fn the_website_is_taken_from_the_origin_and_not_from_the_body() {
    let server = TestServer::with_items(vec![item_of(ChargeWay::Domain)]);
    let mut lying = of_browser(&id());
    lying.validation.website_domain = "https://company.com".into();
    let (answer, outcome) = ask(&server, &lying, Some("https://evil.example"));
    assert_eq!(outcome, Err(ErrorCode::VALIDATION_FIELD_MISMATCH));
    assert_eq!(answer.header(ALLOWED), None, "its page cannot read even that");
    lying.validation.website_domain = "https://evil.example".into();
    let (answer, outcome) = ask(&server, &lying, Some("https://shop.company.com"));
    assert_eq!(outcome, Ok(()));
    assert_eq!(answer.header(ALLOWED), Some("https://shop.company.com"));
}

#[test]
fn a_browser_with_an_origin_of_no_website_is_refused_and_a_program_names_its_own() {
    let server = TestServer::with_items(vec![item_of(ChargeWay::BarcodeScan)]);
    let mut request = of_browser(&id());
    request.validation.website_domain = "https://company.com".into();
    assert_eq!(ask(&server, &request, None).1, Ok(()), "a program that is no browser");
    for origin in ["null", "company.com", "file://", "https://company.com/page"] {
        let outcome = ask(&server, &request, Some(origin)).1;
        assert_eq!(outcome, Err(ErrorCode::VALIDATION_FIELD_MISMATCH), "{origin}");
    }
    assert_eq!(ask(&server, &request, Some("https://company.com")).1, Ok(()));
}

#[test]
fn a_browser_device_is_a_profile_on_one_origin() {
    let mut item = item_of(ChargeWay::ClientDevice);
    item.quota = 2;
    let server = TestServer::with_items(vec![item]);
    for origin in ["https://a.example", "https://b.example"] {
        assert_eq!(ask(&server, &of_browser(&id()), Some(origin)).1, Ok(()), "{origin}");
    }
    // The grace of 2 devices is 0.
    let third = ask(&server, &of_browser(&id()), Some("https://a.example")).1;
    assert_eq!(third, Err(ErrorCode::USED_UP));
    let held = server.number(
        "SELECT COUNT(*) FROM seat_holder WHERE holder LIKE '%@https://a.example:443' \
         OR holder LIKE '%@https://b.example:443'",
    );
    assert_eq!(held, 2);
}

#[test]
fn a_preflight_is_granted_to_licensed_websites_alone_and_remembered() {
    let server = TestServer::with_items(vec![item_of(ChargeWay::Domain)]);
    for path in PATHS {
        for origin in ["https://company.com", "https://a.b.company.com:8443", "https://a.github.io"]
        {
            let answer = preflight(path, origin).send(server.address);
            assert_eq!((answer.status, answer.header(ALLOWED)), (204, Some(origin)), "{path}");
            assert_eq!(answer.header("vary"), Some("origin"));
            assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
            let seconds: u32 = answer.header("access-control-max-age").unwrap().parse().unwrap();
            assert!(seconds >= 600, "each report would need a preflight");
            let headers = answer.header("access-control-allow-headers").unwrap();
            for header in [
                "content-type",
                NONCE_HEADER,
                KEY_ID_HEADER,
                DEVICE_SIGNATURE_HEADER,
                REPORT_KEY_ID_HEADER,
                REPORT_TAG_HEADER,
            ] {
                assert!(headers.split(", ").any(|allowed| allowed == header), "{header}");
            }
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
        for origin in ["https://b.github.io", "https://company.com.evil.example", "null", "*"] {
            let answer = preflight(path, origin).send(server.address);
            assert_eq!((answer.status, answer.header(ALLOWED)), (403, None), "{path} {origin}");
            assert!(answer.problem().detail.contains("is not licensed on this server"));
        }
    }
}

#[test]
fn the_headers_that_a_device_must_check_are_exposed_to_the_page() {
    let server = TestServer::with_items(vec![item_of(ChargeWay::Domain)]);
    let (answer, _) = ask(&server, &of_browser(&id()), Some("https://company.com"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    let headers = answer.headers().filter(|name| name.starts_with("seatmeter-"));
    assert!(headers.clone().count() >= 3);
    for header in headers.chain(["retry-after"]) {
        assert!(exposed.split(", ").any(|name| name == header), "{header} in {exposed}");
    }
}

#[test]
fn a_page_that_is_not_licensed_learns_why_from_a_signed_answer() {
    let server = TestServer::with_items(vec![item_of(ChargeWay::Domain)]);
    let nonce = id();
    let asked = |origin: &str| {
        Request::new("GET", &format!("{ORIGIN_PATH}?nonce={nonce}"))
            .header("origin", origin)
            .send(server.address)
    };
    let answer = asked("https://evil.example");
    assert_eq!((answer.status, answer.header(ALLOWED)), (403, Some("*")));
    let problem = answer.problem();
    assert_eq!(problem.code, ErrorCode::DOMAIN_MISMATCH);
    assert!(problem.detail.contains("https://evil.example"), "{}", problem.detail);
    answer.verify(b"", &nonce, server_key().public()).unwrap();
    let answer = asked("https://company.com");
    assert_eq!((answer.status, answer.header(ALLOWED)), (200, Some("*")));
    assert_eq!(answer.json::<OriginAnswer>().origin, "https://company.com");
    answer.verify(b"", &nonce, server_key().public()).unwrap();
}

#[test]
fn a_website_that_an_operator_lists_is_licensed_and_one_that_is_taken_away_is_refused_by_the_rules()
{
    let server = TestServer::with_items(vec![item_of(ChargeWay::BarcodeScan)]);
    let list = |website: &str| {
        let validation =
            Validation { website_domains: vec![website.into()], ..Validation::default() };
        let change =
            Change::SetAccess { handshake_code: CODE.into(), password_hash: None, validation };
        server.wait(server.licensing.change(change, "test")).unwrap();
    };
    list("company.com");
    let evil = preflight(USAGE_PATH, "https://evil.example").send(server.address);
    assert_eq!(evil.status, 403);
    let shop = preflight(USAGE_PATH, "https://shop.company.com").send(server.address);
    assert_eq!(shop.status, 204);
    list("other.example");
    let outcome = ask(&server, &of_browser(&id()), Some("https://shop.company.com")).1;
    assert_eq!(outcome, Err(ErrorCode::DOMAIN_MISMATCH));
}

#[test]
fn a_program_without_an_origin_names_its_website_itself_and_gets_no_cors() {
    let mut item = item_of(ChargeWay::Domain);
    item.deployment_types = vec![DeploymentType::Server];
    let server = TestServer::with_items(vec![item]);
    let mut request = request(&id(), 1);
    request.validation.website_domain = "company.com".into();
    let (answer, outcome) = ask(&server, &request, None);
    assert_eq!((outcome, answer.header(ALLOWED)), (Ok(()), None));
}

#[test]
fn pages_to_try_out_are_served_from_their_folder_alone_and_only_where_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("pages");
    std::fs::create_dir(&pages).unwrap();
    std::fs::write(pages.join("index.html"), "<p>page").unwrap();
    std::fs::write(folder.path().join("secret.html"), "secret").unwrap();
    let server = TestServer::with_web(|web| Web { demo: Some(pages.clone()), ..web });
    let get = |server: &TestServer, path: &str| Request::new("GET", path).send(server.address);
    for path in ["/demo/", "/demo/index.html"] {
        let answer = get(&server, path);
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"<p>page".as_slice()), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(answer.header("content-security-policy").unwrap().contains("default-src 'self'"));
    }
    for path in [
        "/demo/../secret.html",
        "/demo/..%2fsecret.html",
        "/demo/%2e%2e%2fsecret.html",
        "/demo/missing.html",
        "/demo/.html",
    ] {
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
    assert_eq!(get(&TestServer::empty(), "/demo/").status, 404);
}
