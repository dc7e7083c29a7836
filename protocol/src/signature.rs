//! Signatures: which key vouches for which document.
//!
//! ```text
//! vendor's root key ──signs──▶ license file   (names the server's key and the items)
//! server's key      ──signs──▶ local license  (names device, item, seats, validity)
//! server's key      ──signs──▶ every answer   (request digest, nonce, status, time, key id, body)
//! ```
//!
//! What a server signs for devices, it signs in batches: one signature for all that leaves it
//! together ([`batch`]). A vendor signs each document by itself.
//!
//! A document is signed as the exact text that was sent, which is kept as a string inside its
//! envelope. There is no second way to write it, so no canonical form is needed. Each kind of
//! document has its own context in front of the signed bytes, so a signature for one kind is
//! worthless for another. Ed25519 (RFC 8032), digests by SHA-256 (FIPS 180-4).

pub mod batch;

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use batch::{BatchSignature, Leaf};

/// The reason why a signed text is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A key or signature is not written as the hexadecimal digits of the right number of bytes.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The signing key is not the one that was expected.
    #[error("signed by key {found}, expected key {expected}")]
    OtherKey {
        /// Id of the key that was expected.
        expected: String,
        /// Id of the key that was found.
        found: String,
    },
    /// The signature does not belong to this content.
    #[error("the signature of the {0} is wrong: it was changed or forged")]
    Wrong(&'static str),
    /// The signature is right, but the content is not what it should be.
    #[error("the signed content cannot be used: {0}")]
    Content(String),
}

/// The number of bytes of a signature.
const ED25519_BYTES: usize = 64;

/// Read bytes from digits in lower case, as they are in messages: one value has one spelling.
/// Return `None` if the text is anything else.
pub(crate) fn read_hex(text: &str, bytes: &mut [u8]) -> Option<()> {
    hex::decode_to_slice(text, bytes).ok().filter(|()| is_lower_hex(text))
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// A public key: 32 bytes, written as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Make the key from these bytes. The first check of a signature shows whether they are a valid
    /// key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Return the bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Return a short name of the key: the first 16 digits of its digest.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(&digest(&SHA256, &self.0).as_ref()[..8])
    }

    pub(crate) fn verify(
        &self,
        context: &'static str,
        message: &[u8],
        signature_hex: &str,
    ) -> Result<(), SignatureError> {
        let mut signature = [0; ED25519_BYTES];
        read_hex(signature_hex, &mut signature).ok_or(SignatureError::Malformed("a signature"))?;
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&with_context(context, message), &signature)
            .map_err(|_| SignatureError::Wrong(context))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// A message has the one spelling of a key.
impl TryFrom<String> for PublicKey {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        let mut bytes = [0; 32];
        read_hex(&text, &mut bytes).ok_or(SignatureError::Malformed("a public key"))?;
        Ok(Self(bytes))
    }
}

/// A person may write a key in upper case, or copy a line of it.
impl std::str::FromStr for PublicKey {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| SignatureError::Malformed("a public key"))?;
        Ok(Self(bytes))
    }
}

/// A secret key with its public key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Make a new key; the second value is its seed, 64 hexadecimal digits, to be kept secret.
    ///
    /// # Errors
    /// Fails when the operating system gives no random numbers.
    pub fn generate() -> Result<(Self, String), SignatureError> {
        let seed =
            random_bytes::<32>().ok_or(SignatureError::Malformed("the system's random source"))?;
        let text = hex::encode(seed);
        Ok((Self::from_seed(&text)?, text))
    }

    /// Make the key from this seed.
    ///
    /// # Errors
    /// Fails when the text is not 64 hexadecimal digits.
    pub fn from_seed(text: &str) -> Result<Self, SignatureError> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed)
            .map_err(|_| SignatureError::Malformed("a secret key"))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| SignatureError::Malformed("a secret key"))?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// Return the public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Return a secret for a purpose of its own that only the holder of the key can derive.
    #[must_use]
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        // The signature is deterministic, and is never sent.
        let signature = self.pair.sign(&with_context("secret", purpose.as_bytes()));
        let mut secret = [0; 32];
        secret.copy_from_slice(digest(&SHA256, signature.as_ref()).as_ref());
        secret
    }

    pub(crate) fn sign(&self, context: &str, message: &[u8]) -> String {
        hex::encode(self.pair.sign(&with_context(context, message)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

/// A kind of document that is signed.
pub trait Document: Serialize + DeserializeOwned {
    /// The bytes in front of the signed text, which also name the kind for people.
    const CONTEXT: &'static str;

    /// Whether documents of this kind are signed in batches, and in no other way.
    const IS_BATCHED: bool = false;
}

/// A document in its envelope: the exact signed text, the id of the signing key, and the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Signed {
    /// The document, as JSON text.
    pub payload: String,
    /// Id of the key that signed.
    pub key_id: String,
    /// Ed25519 over context and payload, 128 hexadecimal digits; for a kind that is signed in
    /// batches, a batch signature ([`batch`]).
    pub signature: String,
}

impl Signed {
    /// Sign a document. A kind that is signed in batches gets a batch of its own.
    ///
    /// # Errors
    /// Fails when the document has no JSON form.
    pub fn seal<D: Document>(document: &D, key: &SigningKey) -> Result<Self, SignatureError> {
        let mut unsigned = Self::unsigned(document, key)?;
        unsigned.signature = if D::IS_BATCHED {
            sign_alone(unsigned.leaf::<D>(), key)
        } else {
            key.sign(D::CONTEXT, unsigned.payload.as_bytes())
        };
        Ok(unsigned)
    }

    /// Return the envelope of a document that this key is going to sign in a batch. Put the
    /// signature of its [`Self::leaf`] into it.
    ///
    /// # Errors
    /// Fails when the document has no JSON form.
    pub fn unsigned<D: Document>(document: &D, key: &SigningKey) -> Result<Self, SignatureError> {
        let payload =
            serde_json::to_string(document).map_err(|e| SignatureError::Content(e.to_string()))?;
        Ok(Self { payload, key_id: key.public.id(), signature: String::new() })
    }

    /// Return the document as a leaf of a batch.
    #[must_use]
    pub fn leaf<D: Document>(&self) -> Leaf {
        Leaf::new(D::CONTEXT, &[self.payload.as_bytes()])
    }

    /// Check the signature against this key, and read the document.
    ///
    /// # Errors
    /// Fails when another key signed, the signature is wrong, or the content is not a document of
    /// this kind.
    pub fn open<D: Document>(&self, key: &PublicKey) -> Result<D, SignatureError> {
        if self.key_id != key.id() {
            return Err(SignatureError::OtherKey {
                expected: key.id(),
                found: self.key_id.clone(),
            });
        }
        if D::IS_BATCHED {
            let signature: BatchSignature = self.signature.parse()?;
            signature.verify(self.leaf::<D>(), D::CONTEXT, key)?;
        } else {
            key.verify(D::CONTEXT, self.payload.as_bytes(), &self.signature)?;
        }
        serde_json::from_str(&self.payload).map_err(|e| SignatureError::Content(e.to_string()))
    }

    /// Read the document without any check. Use this only to show it to a person, or to find the
    /// key to check it against.
    ///
    /// # Errors
    /// Fails when the content is not a document of this kind.
    pub fn peek<D: Document>(&self) -> Result<D, SignatureError> {
        serde_json::from_str(&self.payload).map_err(|e| SignatureError::Content(e.to_string()))
    }
}

/// The facts that an answer's signature covers in addition to the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerFacts<'a> {
    /// The request's body, byte for byte.
    pub request_body: &'a [u8],
    /// The request's nonce.
    pub nonce: &'a str,
    /// HTTP status.
    pub status: u16,
    /// The server's clock, Unix seconds.
    pub server_time: u64,
    /// Id of the key that signs.
    pub key_id: &'a str,
}

const ANSWER_CONTEXT: &str = "answer";

impl AnswerFacts<'_> {
    /// Return an answer with these facts and this body as a leaf of a batch.
    #[must_use]
    pub fn leaf(&self, body: &[u8]) -> Leaf {
        let digest_hex = digest_hex(self.request_body);
        let facts = format!(
            "{digest_hex}\n{}\n{}\n{}\n{}\n",
            self.nonce, self.status, self.server_time, self.key_id
        );
        Leaf::new(ANSWER_CONTEXT, &[facts.as_bytes(), body])
    }

    /// Sign an answer with these facts and this body, in a batch of its own.
    #[must_use]
    pub fn sign(&self, body: &[u8], key: &SigningKey) -> String {
        sign_alone(self.leaf(body), key)
    }

    /// Check an answer's batch signature.
    ///
    /// # Errors
    /// Fails when the signature is malformed, or does not belong to this request, these facts and
    /// this body.
    pub fn verify(
        &self,
        body: &[u8],
        signature: &str,
        key: &PublicKey,
    ) -> Result<(), SignatureError> {
        if self.key_id != key.id() {
            return Err(SignatureError::OtherKey {
                expected: key.id(),
                found: self.key_id.to_owned(),
            });
        }
        signature.parse::<BatchSignature>()?.verify(self.leaf(body), ANSWER_CONTEXT, key)
    }
}

/// Sign a text in a batch of its own.
fn sign_alone(leaf: Leaf, key: &SigningKey) -> String {
    batch::sign(&[leaf], key).pop().expect("a batch of one has one signature")
}

/// Return the SHA-256 of these bytes, 64 hexadecimal digits.
#[must_use]
pub fn digest_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Return random bytes from the operating system; `None` when it has none to give.
#[must_use]
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    #[cfg(feature = "rehearsal")]
    if crate::rehearsal::fill(&mut bytes) {
        return Some(bytes);
    }
    ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut bytes).ok()?;
    Some(bytes)
}

/// Return a fresh random id or nonce: 32 hexadecimal digits; `None` when the system has no random
/// numbers.
#[must_use]
pub fn random_id() -> Option<String> {
    random_bytes::<16>().map(hex::encode)
}

pub(crate) fn with_context(context: &str, message: &[u8]) -> Vec<u8> {
    let mut bytes = context_line(context).into_bytes();
    bytes.extend_from_slice(message);
    bytes
}

fn context_line(context: &str) -> String {
    format!("seatmeter/{} {context}\n", crate::PROTOCOL_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Document for Note {
        const CONTEXT: &'static str = "note";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct OtherKind {
        text: String,
    }

    impl Document for OtherKind {
        const CONTEXT: &'static str = "other kind";
    }

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&hex::encode([n; 32])).unwrap()
    }

    #[test]
    fn what_was_sealed_opens() {
        let note = Note { text: "häl\"lo\n".into() };
        let signed = Signed::seal(&note, &key(1)).unwrap();
        let sent: Signed = serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
        assert_eq!(sent.open::<Note>(key(1).public()).unwrap(), note);
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let signed = Signed::seal(&Note { text: "four seats".into() }, &key(1)).unwrap();
        for i in 0..signed.payload.len() {
            let mut forged = signed.clone().payload.into_bytes();
            forged[i] ^= 1;
            let Ok(payload) = String::from_utf8(forged) else { continue };
            let forged = Signed { payload, ..signed.clone() };
            assert!(forged.open::<Note>(key(1).public()).is_err());
        }
    }

    #[test]
    fn another_key_or_another_kind_of_document_is_refused() {
        let signed = Signed::seal(&Note { text: "x".into() }, &key(1)).unwrap();
        assert!(matches!(
            signed.open::<Note>(key(2).public()),
            Err(SignatureError::OtherKey { .. })
        ));
        let renamed = Signed { key_id: key(2).public().id(), ..signed.clone() };
        assert!(matches!(renamed.open::<Note>(key(2).public()), Err(SignatureError::Wrong(_))));
        assert!(matches!(signed.open::<OtherKind>(key(1).public()), Err(SignatureError::Wrong(_))));
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Batched {
        text: String,
    }

    impl Document for Batched {
        const CONTEXT: &'static str = "batched";
        const IS_BATCHED: bool = true;
    }

    #[test]
    fn a_kind_that_is_signed_in_batches_is_believed_in_a_batch_alone() {
        let key = key(1);
        let texts = ["a", "b", "c"].map(|text| Batched { text: text.into() });
        let unsigned = texts.each_ref().map(|text| Signed::unsigned(text, &key).unwrap());
        let signatures = batch::sign(&unsigned.each_ref().map(Signed::leaf::<Batched>), &key);
        for ((text, unsigned), signature) in texts.iter().zip(&unsigned).zip(signatures) {
            let signed = Signed { signature, ..unsigned.clone() };
            assert_eq!(signed.open::<Batched>(key.public()).as_ref(), Ok(text));
            assert!(signed.open::<Note>(key.public()).is_err(), "a note has no batch signature");
        }
        let alone = key.sign(Batched::CONTEXT, unsigned[0].payload.as_bytes());
        let alone = Signed { signature: alone, ..unsigned[0].clone() };
        assert!(matches!(
            alone.open::<Batched>(key.public()),
            Err(SignatureError::Malformed("a batch signature"))
        ));
    }

    #[test]
    fn an_answer_is_bound_to_its_request_status_time_and_body() {
        let key_id = key(1).public().id();
        let facts = AnswerFacts {
            request_body: b"{}",
            nonce: "ab",
            status: 200,
            server_time: 7,
            key_id: &key_id,
        };
        let signature = facts.sign(b"body", &key(1));
        let check =
            |facts: &AnswerFacts<'_>, body: &[u8]| facts.verify(body, &signature, key(1).public());
        assert_eq!(check(&facts, b"body"), Ok(()));
        assert!(check(&facts, b"bodY").is_err());
        assert!(check(&AnswerFacts { request_body: b"[]", ..facts.clone() }, b"body").is_err());
        assert!(check(&AnswerFacts { nonce: "ac", ..facts.clone() }, b"body").is_err());
        assert!(check(&AnswerFacts { status: 403, ..facts.clone() }, b"body").is_err());
        assert!(check(&AnswerFacts { server_time: 8, ..facts.clone() }, b"body").is_err());
    }

    #[test]
    fn a_key_and_a_signature_of_a_message_have_one_spelling() {
        let read = |text: &str| serde_json::from_value::<PublicKey>(text.into());
        let text = key(1).public().to_string();
        assert_eq!(read(&text).unwrap(), *key(1).public());
        for other in [text.to_uppercase(), format!(" {text}"), format!("{text}\n")] {
            assert!(read(&other).is_err(), "{other}");
            assert!(other.parse::<PublicKey>().is_ok(), "a person may write it so");
        }
        let note = Note { text: "once".into() };
        let mut signed = Signed::seal(&note, &key(1)).unwrap();
        signed.signature = signed.signature.to_uppercase();
        assert!(signed.open::<Note>(key(1).public()).is_err());
    }

    #[test]
    fn malformed_keys_and_signatures_are_named() {
        assert_eq!("xyz".parse::<PublicKey>(), Err(SignatureError::Malformed("a public key")));
        assert!(matches!(
            SigningKey::from_seed("12"),
            Err(SignatureError::Malformed("a secret key"))
        ));
        let mut signed = Signed::seal(&Note { text: "x".into() }, &key(1)).unwrap();
        signed.signature = "no hex".into();
        assert_eq!(
            signed.open::<Note>(key(1).public()),
            Err(SignatureError::Malformed("a signature"))
        );
    }
}
