//! What the test vectors are made from: keys by their seeds, documents and messages.

#![allow(dead_code, reason = "each test uses a part")]

use ring::hkdf;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{Generation, LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::{KeyShare, ReportKey};
use seatmeter_protocol::signature::{Signed, SigningKey};
use serde_json::Value;

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 86_400;

/// Secret and share of the device, secret and share of the server, and the agreed secret. They were
/// made with another implementation of X25519; `tests/foreign` checks them again.
pub(crate) const AGREEMENT: [&str; 5] = [
    "2121212121212121212121212121212121212121212121212121212121212121",
    "7d34a4815fa6b982535e60af3bd9b49556816080f1641ff81d2b7c8ae8268a44",
    "2222222222222222222222222222222222222222222222222222222222222222",
    "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20",
    "5b85b79b0f56b4d39cc70dcad9f21744831d02807ebb01f0f766818edff5733f",
];

pub(crate) fn key(byte: &str) -> SigningKey {
    SigningKey::from_seed(&byte.repeat(32)).unwrap()
}

/// Compare a committed vector, or write it if the environment asks for that.
pub(crate) fn vector(name: &str, content: &Value) {
    let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = serde_json::to_string_pretty(content).unwrap() + "\n";
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        committed, text,
        "{name}: run with UPDATE_VECTORS=1 if the wire format is meant to change"
    );
}

pub(crate) fn epoch() -> String {
    "66".repeat(16)
}

pub(crate) fn uuid() -> String {
    "44".repeat(16)
}

pub(crate) fn share(at: usize) -> KeyShare {
    KeyShare::try_from(AGREEMENT[at].to_owned()).unwrap()
}

/// The number of bytes of a report key.
struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        40
    }
}

/// Return the report key of [`AGREEMENT`], derived here a second time.
pub(crate) fn report_key() -> ReportKey {
    let bytes = |at: usize| hex::decode(AGREEMENT[at]).unwrap();
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[bytes(1), bytes(3)].concat());
    let (info, uuid) = (b"seatmeter/1 report key\n", uuid());
    let info = [info.as_slice(), uuid.as_bytes()];
    let mut key = [0; 40];
    salt.extract(&bytes(4)).expand(&info, Length).unwrap().fill(&mut key).unwrap();
    ReportKey::try_from(hex::encode(key)).unwrap()
}

pub(crate) fn seats() -> LicenseItem {
    LicenseItem::new("seats", ChargeWay::ConcurrentInstance, 4, NOW - DAY, NOW + 30 * DAY)
}

pub(crate) fn scans() -> LicenseItem {
    LicenseItem {
        deployment_types: vec![DeploymentType::Desktop],
        strict: true,
        ..LicenseItem::new("scans", ChargeWay::BarcodeScan, 100, NOW - DAY, NOW + 30 * DAY)
    }
}

/// Return the license file that names this server key.
pub(crate) fn file(server: &SigningKey) -> LicenseFile {
    let is_new = server.public() != key("02").public();
    LicenseFile {
        version: 1,
        file_id: "file-1".into(),
        organization_id: "acme".into(),
        organization_name: "Acme".into(),
        server_key: server.public().clone(),
        issued_at: NOW - DAY + u64::from(is_new),
        items: vec![seats(), scans()],
        unknown_items: Vec::new(),
    }
}

pub(crate) fn local() -> LocalLicense {
    LocalLicense {
        version: 1,
        license_id: "33".repeat(16),
        serial: 7,
        item_id: "seats".into(),
        handshake_code: "CODE".into(),
        device_uuid: uuid(),
        charge_way: ChargeWay::ConcurrentInstance,
        seats: 2,
        issued_at: NOW,
        valid_until: NOW + 7 * DAY,
        item_expires_at: NOW + 30 * DAY,
        device_key: key("03").public().clone(),
        generation: Generation { branch: 1, step: 1 },
        epoch: epoch(),
        allowances: Vec::new(),
    }
}

pub(crate) fn meters() -> Vec<Meter> {
    vec![Meter {
        of: Metered::Excess,
        module: 0,
        quota: 4_000,
        used: 0,
        grace: 0,
        state: MeterState::Within,
    }]
}

/// Return an answer that grants this, signed by this server key.
pub(crate) fn grant(local: &LocalLicense, server: &SigningKey) -> AuthorizationAnswer {
    AuthorizationAnswer {
        root_key: key("01").public().clone(),
        license_file: Signed::seal(&file(server), &key("01")).unwrap(),
        local_license: Signed::seal(local, server).unwrap(),
        key_share: share(3),
        epoch: epoch(),
        meters: meters(),
        any_program: true,
        receipt: "receipt".into(),
    }
}

/// Return the request of a device at its first contact.
pub(crate) fn request() -> AuthorizationRequest {
    AuthorizationRequest {
        protocol: 1,
        handshake_code: "CODE".into(),
        organization_id: String::new(),
        session_password: String::new(),
        device: DeviceFacts {
            uuid: uuid(),
            friendly_name: "till".into(),
            library_version: "1.0".into(),
        },
        deployment_type: DeploymentType::Server,
        charge_way: None,
        products: 65_535,
        seats: 2,
        buffer_days: 7,
        modules: Vec::new(),
        product_version: None,
        product_edition: None,
        validation: ValidationFacts { process_name: "till".into(), ..ValidationFacts::default() },
        held_license: None,
        newest_license: None,
        device_key: key("03").public().clone(),
        key_share: share(1),
        first_contact: "88".repeat(16),
        needed: 0,
        lost: Vec::new(),
        receipt: String::new(),
        challenge: None,
    }
}
