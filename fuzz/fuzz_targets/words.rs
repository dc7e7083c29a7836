//! Keys, versions, times, signatures: short texts that people and programs write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_fuzz::VENDOR;
use seatmeter_protocol::signature::batch::BatchSignature;
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, SigningKey};
use seatmeter_protocol::version::Version;
use seatmeter_server::{operator, utc};

fuzz_target!(|text: &str| {
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string().parse::<PublicKey>().as_ref(), Ok(&key));
    }
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
    if let Ok(signature) = text.parse::<BatchSignature>() {
        assert_eq!(signature.to_string(), text);
    }
    let _ = SigningKey::from_seed(text);
    let _ = utc::slot_at_or_after(text);
    let _ = operator::commands::require_code(text);
    let id = VENDOR.public().id();
    let facts =
        AnswerFacts { request_body: b"{}", nonce: text, status: 200, server_time: 9, key_id: &id };
    assert!(facts.verify(b"{}", text, VENDOR.public()).is_err());
});
