//! A server's answers to a client. The first byte says which parts are signed as they should be;
//! then come the status, and either the two documents of a grant with a zero byte between them, or
//! a report's answer.
#![no_main]

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use seatmeter::clock::{Deadline, SystemClock};
use seatmeter::device::Device;
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
use seatmeter_fuzz::{SERVER, VENDOR};
use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::{AnswerFacts, Signed};
use serde_json::json;

const ID: &str = "00112233445566778899aabbccddeeff";

/// Answers every request with what the input says.
struct Fuzzed<'a> {
    is_signed: bool,
    status: u16,
    content: &'a [u8],
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
                let answer = json!({
                    "root_key": VENDOR.public(),
                    "license_file": Signed::seal(&file, &VENDOR).expect("it is JSON"),
                    "local_license": Signed::seal(&local, &SERVER).expect("it is JSON"),
                });
                answer.to_string().into_bytes()
            }
            _ => self.content.to_vec(),
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
    let transport = Fuzzed {
        is_signed: how & 1 == 0,
        status: 100 + u16::from_le_bytes([*low, *high]) % 500,
        content,
    };
    let clock = SystemClock;
    let urls = ["http://fuzz".to_owned()];
    let known_key = (how & 2 == 0).then(|| SERVER.public().clone());
    let servers =
        Servers { transport: &transport, clock: &clock, urls: &urls, known_key: known_key.clone() };
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
        let device = Device::with_new_key(ID).expect("there are random numbers");
        let credentials = Credentials::of(&parameters);
        let (device, store, credentials) = (&device, &store, &credentials);
        let license_request = LicenseRequest {
            state: &state,
            device,
            store,
            credentials,
            shown: None,
            newest_known: None,
            needed: 0,
            refused_by: Mutex::default(),
        };
        if let Ok(Accepted { grant, .. }) =
            authorize(&servers, &parameters, &license_request, known_key.as_ref(), deadline).value
        {
            assert!(transport.is_signed);
            assert!(grant.local.seats <= u32::try_from(grant.item.quota).unwrap_or(u32::MAX));
        }
    } else {
        let usage = tempfile::tempdir_in("/dev/shm").expect("there is memory");
        let attribution = Attribution {
            license_id: ID.into(),
            device_uuid: ID.into(),
            server: SERVER.public().clone(),
        };
        let segment =
            Arc::new(Segment::create(usage.path(), &attribution, 9).expect("there is memory"));
        let entry = segment.entry(1, UsageKind::Scan, 4).expect("there is room");
        segment.counting(entry).fetch_add(7, Ordering::Relaxed);
        let state = StateDirectory::open(folder().path().to_owned()).expect("there is memory");
        let reporting = Reporting {
            device: &Device::with_new_key(ID).expect("there are random numbers"),
            record: &ServerRecord::of(&state, SERVER.public()),
            servers: &servers,
            folder: usage.path(),
            key: SERVER.public(),
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
        }
    }
});
