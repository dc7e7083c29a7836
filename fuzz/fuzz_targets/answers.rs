//! A server's answers to a client. The first byte says which parts are signed as they should be;
//! then come the status, and either the two documents of a grant with a zero byte between them, or
//! a report's answer, in which "s" stands for the segment. The seeds are accepted, so that what is
//! behind the checks is reached.
#![no_main]

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use seatmeter::clock::{Deadline, SystemClock};
use seatmeter::environment::Environment;
use seatmeter::license::{Accepted, Credentials, GrantStore, ServerRecord};
use seatmeter::os::locks::Mutex;
use seatmeter::parameters::{Parameters, RawParameters};
use seatmeter::state::StateDirectory;
use seatmeter::sync::{
    LicenseRequest, RawAnswer, RawRequest, Reporting, Servers, Transport, Unreachable, authorize,
    report,
};
use seatmeter::usage::{Attribution, Durable, Segment};
use seatmeter_fuzz::{DEVICE_UUID, SERVER, VENDOR, device};
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::{AuthorizationAnswer, UsageKind};
use seatmeter_protocol::request_auth::{Agreement, KeyShare};
use seatmeter_protocol::signature::{AnswerFacts, Signed};

/// A grant and an answer to a report that are accepted.
const GRANT: &[u8] = include_bytes!("../seeds/answers/grant");
const RECORDED: &[u8] = include_bytes!("../seeds/answers/usage");

/// The server's half of the agreement on a report key.
static KEY_SHARE: LazyLock<KeyShare> =
    LazyLock::new(|| Agreement::begin().expect("there are random numbers").share().clone());

/// Answers every request with what the input says.
struct Fuzzed<'a> {
    is_signed: bool,
    status: u16,
    content: &'a [u8],
    /// The id of the segment that is reported.
    segment_id: String,
}

impl Fuzzed<'_> {
    /// The documents of a grant in their envelopes, if that is what the content is; else the
    /// content.
    fn body(&self, path: &str) -> Vec<u8> {
        let mut parts = self.content.splitn(2, |byte| *byte == 0);
        let mut next = || parts.next().unwrap_or_default();
        let file = serde_json::from_slice::<LicenseFile>(next());
        let local = serde_json::from_slice::<LocalLicense>(next());
        match (file, local) {
            (Ok(mut file), Ok(local)) if path.ends_with("authorizations") => {
                file.server_key = SERVER.public().clone();
                let answer = AuthorizationAnswer {
                    root_key: VENDOR.public().clone(),
                    license_file: Signed::seal(&file, &VENDOR).expect("it is JSON"),
                    local_license: Signed::seal(&local, &SERVER).expect("it is JSON"),
                    key_share: KEY_SHARE.clone(),
                    epoch: String::new(),
                    meters: Vec::new(),
                    any_program: false,
                    receipt: String::new(),
                };
                serde_json::to_vec(&answer).expect("it is JSON")
            }
            _ => match str::from_utf8(self.content) {
                Ok(text) => text.replace("\"s\"", &format!("{:?}", self.segment_id)).into_bytes(),
                Err(_) => self.content.to_vec(),
            },
        }
    }
}

impl Transport for Fuzzed<'_> {
    fn post(&self, request: &RawRequest<'_>) -> Result<RawAnswer, Unreachable> {
        let (body, id) = (self.body(&request.url), SERVER.public().id());
        let facts = AnswerFacts {
            request_body: request.body,
            nonce: request.nonce,
            status: self.status,
            server_time: 1_800_000_000,
            key_id: &id,
        };
        let signature = self.is_signed.then(|| facts.sign(&body, &SERVER));
        Ok(RawAnswer {
            status: self.status,
            server_time: Some(1_800_000_000),
            key_id: Some(id.clone()),
            signature,
            retry_after: None,
            body,
        })
    }
}

fn folder() -> &'static tempfile::TempDir {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").expect("there is memory"))
}

fuzz_target!(|bytes: &[u8]| {
    let [how, low, high, content @ ..] = bytes else { return };
    let mut transport = Fuzzed {
        segment_id: String::new(),
        is_signed: how & 1 == 0,
        status: 100 + u16::from_le_bytes([*low, *high]) % 500,
        content,
    };
    let clock = SystemClock;
    let urls = ["http://fuzz".to_owned()];
    let known_key = (how & 2 == 0).then(|| SERVER.public().clone());
    let deadline = Deadline::after(&clock, Duration::from_secs(5));
    if how & 4 == 0 {
        // What an input before this one was granted must not be in its way.
        let _ = std::fs::remove_dir_all(folder().path().join("licenses"));
        let state = StateDirectory::open(folder().path().to_owned()).expect("there is memory");
        let raw = RawParameters {
            main_server: urls[0].clone(),
            handshake_code: "CODE".into(),
            deployment_type: 1,
            charge_way: 10,
            uuid_generation_method: 1,
            max_buffer_days: 7,
            max_concurrent_instance_count: 4,
            products: 0xffff,
            ..RawParameters::default()
        };
        let parameters =
            Parameters::understand(&raw, &Environment::default()).expect("they are sound");
        let store = GrantStore::new(&state, &parameters.grant_name());
        let servers = Servers {
            transport: &transport,
            clock: &clock,
            urls: &urls,
            known_key: known_key.clone(),
        };
        let device = device();
        let credentials = Credentials::of(&parameters);
        let (device, store, credentials) = (&device, &store, &credentials);
        let license_request = LicenseRequest {
            state: &state,
            device,
            store,
            credentials,
            shown: store.held(),
            newest_known: None,
            needed: 0,
            lost: Vec::new(),
            refused_by: Mutex::default(),
        };
        let answered =
            authorize(&servers, &parameters, &license_request, known_key.as_ref(), deadline).value;
        match answered {
            Ok(Accepted { grant, .. }) => {
                assert!(transport.is_signed);
                assert!(grant.local.seats <= u32::try_from(grant.item.quota).unwrap_or(u32::MAX));
            }
            Err(error) => assert!(bytes != GRANT, "a good license is not accepted: {error}"),
        }
    } else {
        let usage = tempfile::tempdir_in("/dev/shm").expect("there is memory");
        let attribution = Attribution {
            license_id: DEVICE_UUID.into(),
            device_uuid: DEVICE_UUID.into(),
            server: SERVER.public().clone(),
        };
        let segment =
            Arc::new(Segment::create(usage.path(), &attribution, 9).expect("there is memory"));
        let entry = segment.entry(1, UsageKind::Scan, 4).expect("there is room");
        segment.counting(entry).fetch_add(7, Ordering::Relaxed);
        let state = StateDirectory::open(folder().path().to_owned()).expect("there is memory");
        transport.segment_id.clone_from(&segment.header().segment_id);
        let servers = Servers {
            transport: &transport,
            clock: &clock,
            urls: &urls,
            known_key: known_key.clone(),
        };
        let reporting = Reporting {
            device: &device(),
            record: &ServerRecord::of(&state, SERVER.public()),
            servers: &servers,
            folder: usage.path(),
            key: SERVER.public(),
            signer: SERVER.public(),
            epoch: "",
            store: None,
            durable: &Durable::default(),
            is_ours: true,
            deadline,
        };
        let _ = report(&reporting);
        for total in segment.totals() {
            assert!(total.acknowledged <= total.usage.total && total.usage.total == 7);
            assert!(transport.is_signed || total.acknowledged == 0);
            let is_accepted = total.acknowledged == 7;
            assert!(is_accepted || bytes != RECORDED, "a good answer acknowledges nothing");
        }
    }
});
