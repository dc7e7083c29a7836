//! Answers that are ready at the same moment share a signature. The requests come without a network
//! and one thread serves them, so that the moment is always the same.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::RequestFacts;
use seatmeter_protocol::signature::{AnswerFacts, Signed};
use seatmeter_server::http::limit::{Rate, RateLimits};
use seatmeter_server::http::{Web, router};
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::Licensing;
use seatmeter_server::store::sqlite::InlineStore;
use tower::ServiceExt;

use super::support::*;

/// Serve these requests at the same moment, by one thread.
fn serve_at_once(web: Web, requests: Vec<Asked>) -> Vec<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let envelope =
            Signed::seal(&license_file("acme", vec![item("item", 4)]), &vendor()).unwrap();
        let import =
            web.licensing.import(envelope, vendor().public().clone(), Some(CODE.into()), "test");
        import.await.unwrap();
        let router = router(Arc::new(web));
        let served = requests.into_iter().map(|asked| {
            let router = router.clone();
            tokio::spawn(async move {
                let answer = router.oneshot(asked.http()).await.unwrap();
                let (parts, body) = answer.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
                Told { asked, status: parts.status.as_u16(), headers: parts.headers, body }
            })
        });
        let served: Vec<_> = served.collect();
        let mut told = Vec::new();
        for one in served {
            told.push(one.await.unwrap());
        }
        told
    })
}

fn web() -> Web {
    let store = Arc::new(InlineStore::new().unwrap());
    let clock = ManualClock::at(START);
    Web::new(Arc::new(Licensing { store, keys: Keyring::new(server_key(), vec![]), clock }))
}

#[derive(Clone)]
struct Asked {
    uuid: String,
    nonce: String,
    body: Vec<u8>,
}

impl Asked {
    /// Ask for a license as a device of its own does.
    fn with_code(code: &str) -> Self {
        let uuid = id();
        let request = AuthorizationRequest { handshake_code: code.into(), ..request(&uuid, 1) };
        Self { uuid, nonce: id(), body: serde_json::to_vec(&request).unwrap() }
    }

    /// Ask what is no request.
    fn nonsense() -> Self {
        Self { uuid: id(), nonce: id(), body: b"{}".to_vec() }
    }

    fn http(&self) -> axum::http::Request<Body> {
        let facts = RequestFacts::new(AUTHORIZATIONS_PATH, &self.nonce, &self.body);
        axum::http::Request::post(AUTHORIZATIONS_PATH)
            .header("content-type", "application/json")
            .header(NONCE_HEADER, &self.nonce)
            .header(DEVICE_SIGNATURE_HEADER, facts.sign(&device_key(&self.uuid)))
            .body(Body::from(self.body.clone()))
            .unwrap()
    }
}

struct Told {
    asked: Asked,
    status: u16,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Told {
    /// Check the signature of the answer, and return it.
    fn signature(&self) -> &str {
        let header = |name| self.headers.get(name).unwrap().to_str().unwrap();
        let facts = AnswerFacts {
            request_body: &self.asked.body,
            nonce: &self.asked.nonce,
            status: self.status,
            server_time: header(TIME_HEADER).parse().unwrap(),
            key_id: header(KEY_ID_HEADER),
        };
        let signature = header(SIGNATURE_HEADER);
        facts.verify(&self.body, signature, server_key().public()).unwrap();
        signature
    }

    /// Check the local license in the answer, and return its signature.
    fn license_signature(&self) -> String {
        let answer: AuthorizationAnswer = serde_json::from_slice(&self.body).unwrap();
        let local: LocalLicense = answer.local_license.open(server_key().public()).unwrap();
        assert_eq!(local.device_uuid, self.asked.uuid);
        answer.local_license.signature
    }
}

/// Check that these are the places of one batch, in this order.
fn assert_one_batch(signatures: &[&str]) {
    let first = signatures[0].split('.').next().unwrap();
    for (index, signature) in signatures.iter().enumerate() {
        let start = format!("{first}.{index}.{}", signatures.len());
        assert!(signature.starts_with(&start), "{signature} is not {start}");
    }
}

#[test]
fn grants_of_one_moment_share_one_signature_and_their_licenses_another() {
    let told = serve_at_once(web(), vec![Asked::with_code(CODE); 1]);
    assert_one_batch(&[told[0].signature()]);
    assert_one_batch(&[&told[0].license_signature()]);

    let told = serve_at_once(web(), (0..3).map(|_| Asked::with_code(CODE)).collect());
    assert!(told.iter().all(|told| told.status == 200));
    assert_one_batch(&told.iter().map(Told::signature).collect::<Vec<_>>());
    let licenses: Vec<_> = told.iter().map(Told::license_signature).collect();
    assert_one_batch(&licenses.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn refusals_share_a_signature_also_those_that_wait_for_no_commit() {
    let requests =
        vec![Asked::with_code("NO-SUCH-CODE"), Asked::nonsense(), Asked::with_code("NONE-EITHER")];
    let told = serve_at_once(web(), requests);
    assert_eq!(told.iter().map(|told| told.status).collect::<Vec<_>>(), [404, 400, 404]);
    assert_one_batch(&told.iter().map(Told::signature).collect::<Vec<_>>());
}

#[test]
fn a_flood_that_is_refused_by_its_rate_is_no_load_of_signatures() {
    let limits = RateLimits::new(Rate::per_second(u32::MAX), Rate::per_second(1));
    let flood = (0..100).map(|_| Asked::with_code(CODE)).collect();
    let told = serve_at_once(Web { limits, ..web() }, flood);
    let mut signatures: Vec<_> = told.iter().map(|told| &told.signature()[..128]).collect();
    assert!(told.iter().any(|told| told.status == 429));
    signatures.sort_unstable();
    signatures.dedup();
    assert!(signatures.len() <= 3, "{} signatures for 100 answers", signatures.len());
}
