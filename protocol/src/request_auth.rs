//! Which device sends a request.
//!
//! A device is a key pair (Ed25519). What is rare is signed with it: each authorization. What is
//! frequent is cheap: each authorization agrees on a fresh *report key* (X25519, ephemeral on both
//! sides), and a report carries an HMAC-SHA-256 under it. A report can be signed, too: a device
//! whose report key is lost, or is not known to the server, does that. No secret is ever sent.
//!
//! ```text
//! device ── its share, signed ──▶ server
//! device ◀── the other share, signed ── server       both derive: HKDF-SHA-256
//! device ── report, HMAC under the report key ──▶ server
//! ```
//!
//! Signature and HMAC cover the method, the path, the nonce and the digest of the body: a request
//! cannot be changed, and is worthless at another address. The device's UUID is in the body.

use std::fmt;

use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::SystemRandom;
use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};

use crate::signature::{PublicKey, SignatureError, SigningKey, digest_hex, read_hex};

const SIGNED: &str = "request";
const TAGGED: &str = "report";
const DERIVED: &[u8] = b"seatmeter/1 report key\n";

/// The facts of a request that its signature or HMAC covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    bytes: Vec<u8>,
}

impl RequestFacts {
    /// Describe a request with this path, nonce and body. Its method is POST.
    #[must_use]
    pub fn new(path: &str, nonce: &str, body: &[u8]) -> Self {
        Self { bytes: format!("POST\n{path}\n{nonce}\n{}\n", digest_hex(body)).into_bytes() }
    }

    /// Sign the request with the key of the device: 128 hexadecimal digits.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        key.sign(SIGNED, &self.bytes)
    }

    /// Check the signature of the device with this key.
    ///
    /// # Errors
    /// Fails when the signature is malformed, or belongs to another key or request.
    pub fn verify(&self, signature_hex: &str, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(SIGNED, &self.bytes, signature_hex)
    }

    /// Return the HMAC of the request under this key: 64 hexadecimal digits.
    #[must_use]
    pub fn tag(&self, key: &ReportKey) -> String {
        hex::encode(hmac::sign(&key.hmac(), &self.tagged()))
    }

    /// Return whether the HMAC belongs to this request and key.
    #[must_use]
    pub fn has_tag(&self, tag_hex: &str, key: &ReportKey) -> bool {
        let mut tag = [0; 32];
        read_hex(tag_hex, &mut tag).is_some()
            && hmac::verify(&key.hmac(), &self.tagged(), &tag).is_ok()
    }

    fn tagged(&self) -> Vec<u8> {
        crate::signature::with_context(TAGGED, &self.bytes)
    }
}

/// The proof of who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A signature by the key of the device, 128 hexadecimal digits.
    Signature(String),
    /// An HMAC under a report key.
    Tag {
        /// The id of the report key.
        key_id: String,
        /// 64 hexadecimal digits.
        tag: String,
    },
}

/// The secret by which a device and a server recognize reports. Both keep it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReportKey {
    id: [u8; 8],
    secret: [u8; 32],
}

impl ReportKey {
    /// Return the id by which a report names the key: 16 hexadecimal digits. It tells nothing of
    /// the secret.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.secret)
    }
}

impl fmt::Debug for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportKey({})", self.id())
    }
}

impl From<ReportKey> for String {
    fn from(key: ReportKey) -> Self {
        hex::encode([key.id.as_slice(), &key.secret].concat())
    }
}

impl TryFrom<String> for ReportKey {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        let mut bytes = [0; 40];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| SignatureError::Malformed("a report key"))?;
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        id.copy_from_slice(&bytes[..8]);
        secret.copy_from_slice(&bytes[8..]);
        Ok(Self { id, secret })
    }
}

/// The public half of one side of an agreement: 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyShare([u8; 32]);

impl From<KeyShare> for String {
    fn from(share: KeyShare) -> Self {
        hex::encode(share.0)
    }
}

impl TryFrom<String> for KeyShare {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        let mut bytes = [0; 32];
        read_hex(&text, &mut bytes).ok_or(SignatureError::Malformed("a key share"))?;
        Ok(Self(bytes))
    }
}

/// One side of an agreement on a report key. It is used once.
pub struct Agreement {
    secret: EphemeralPrivateKey,
    share: KeyShare,
}

impl Agreement {
    /// Begin an agreement with a fresh secret; `None` when the system has no random numbers.
    #[must_use]
    pub fn begin() -> Option<Self> {
        let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).ok()?;
        let public = secret.compute_public_key().ok()?;
        let share = KeyShare(public.as_ref().try_into().ok()?);
        Some(Self { secret, share })
    }

    /// Return the half for the other side.
    #[must_use]
    pub fn share(&self) -> &KeyShare {
        &self.share
    }

    /// Derive the report key of the device that began the agreement, from the server's share.
    ///
    /// # Errors
    /// Fails when the share is no point that can be agreed with.
    pub fn of_device(self, server: &KeyShare, uuid: &str) -> Result<ReportKey, SignatureError> {
        let salt = [self.share.0, server.0].concat();
        self.agree(server, &salt, uuid)
    }

    /// Derive the same key on the server, from the device's share.
    ///
    /// # Errors
    /// Fails when the share is no point that can be agreed with.
    pub fn of_server(self, device: &KeyShare, uuid: &str) -> Result<ReportKey, SignatureError> {
        let salt = [device.0, self.share.0].concat();
        self.agree(device, &salt, uuid)
    }

    fn agree(self, other: &KeyShare, salt: &[u8], uuid: &str) -> Result<ReportKey, SignatureError> {
        let wrong = SignatureError::Malformed("a key share");
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
        let derived =
            agree_ephemeral(self.secret, &UnparsedPublicKey::new(&X25519, other.0), |key| {
                let mut bytes = [0; 40];
                let info = [DERIVED, uuid.as_bytes()];
                let expanded = salt.extract(key);
                let filled = expanded.expand(&info, Length).and_then(|okm| okm.fill(&mut bytes));
                filled.map(|()| bytes)
            });
        let bytes = derived.ok().and_then(Result::ok).ok_or(wrong)?;
        ReportKey::try_from(hex::encode(bytes))
    }
}

impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreement").finish_non_exhaustive()
    }
}

/// The number of bytes of a report key.
struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        40
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "00112233445566778899aabbccddeeff";

    fn agreed() -> (ReportKey, ReportKey) {
        let (device, server) = (Agreement::begin().unwrap(), Agreement::begin().unwrap());
        let (of_device, of_server) = (device.share().clone(), server.share().clone());
        (device.of_device(&of_server, UUID).unwrap(), server.of_server(&of_device, UUID).unwrap())
    }

    #[test]
    fn both_sides_derive_one_key_and_each_agreement_another() {
        let (device, server) = agreed();
        assert!(device == server);
        assert_eq!(device.id().len(), 16);
        let (another, _) = agreed();
        assert!(device != another && device.id() != another.id());
        let kept = serde_json::to_string(&device).unwrap();
        assert!(serde_json::from_str::<ReportKey>(&kept).unwrap() == device);
    }

    #[test]
    fn another_device_derives_another_key() {
        let (device, server) = (Agreement::begin().unwrap(), Agreement::begin().unwrap());
        let (of_device, of_server) = (device.share().clone(), server.share().clone());
        let key = device.of_device(&of_server, UUID).unwrap();
        let other = server.of_server(&of_device, &UUID.replace('0', "1")).unwrap();
        assert!(key != other);
    }

    #[test]
    fn a_share_and_a_tag_have_one_spelling() {
        let share = String::from(KeyShare([0xab; 32]));
        assert!(KeyShare::try_from(share.clone()).is_ok());
        assert!(KeyShare::try_from(share.to_uppercase()).is_err());
        let (key, facts) = (agreed().0, RequestFacts::new("/v1/usage", "ab", b"{}"));
        let tag = facts.tag(&key);
        assert!(facts.has_tag(&tag, &key));
        assert!(!facts.has_tag(&tag.to_uppercase(), &key), "{tag}");
    }

    #[test]
    fn a_share_that_gives_no_secret_is_refused() {
        let zero = KeyShare([0; 32]);
        assert!(Agreement::begin().unwrap().of_device(&zero, UUID).is_err());
        for text in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
            assert!(KeyShare::try_from(text.to_owned()).is_err(), "{text}");
            assert!(ReportKey::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proof_is_bound_to_path_nonce_and_body() {
        let (key, report_key) = (SigningKey::from_seed(&"17".repeat(32)).unwrap(), agreed().0);
        let facts = RequestFacts::new("/v1/usage", "ab", b"{}");
        let (signature, tag) = (facts.sign(&key), facts.tag(&report_key));
        assert_eq!(facts.verify(&signature, key.public()), Ok(()));
        assert!(facts.has_tag(&tag, &report_key));
        let others = [
            RequestFacts::new("/v1/authorizations", "ab", b"{}"),
            RequestFacts::new("/v1/usage", "ac", b"{}"),
            RequestFacts::new("/v1/usage", "ab", b"[]"),
        ];
        for other in others {
            assert!(other.verify(&signature, key.public()).is_err());
            assert!(!other.has_tag(&tag, &report_key));
        }
        assert!(!facts.has_tag(&tag, &agreed().0));
        assert!(!facts.has_tag("no hex", &report_key));
        let another = SigningKey::from_seed(&"18".repeat(32)).unwrap();
        assert!(facts.verify(&signature, another.public()).is_err());
    }
}
