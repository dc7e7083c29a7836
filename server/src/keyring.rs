//! The server's keys: the one in use, and those that were replaced.
//!
//! A license file names one key, and devices trust that key only. After a rotation, it takes time
//! until the vendor has issued the files anew and the devices have renewed. During this time, the
//! old key still signs what belongs to its files:
//!
//! | what is signed | with |
//! | --- | --- |
//! | a local license, and the answer that brings it | the key that the item's license file names |
//! | any other answer | the key that the request says it knows (header `Seatmeter-Key-Id`), else the one in use |

mod batch_signer;

use std::sync::Arc;

use ring::hmac;
use seatmeter_protocol::signature::batch::Leaf;
use seatmeter_protocol::signature::{Document, PublicKey, SignatureError, Signed, SigningKey};

use batch_signer::BatchSigner;

/// The server's keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The keys, with the one in use first.
    keys: Arc<[SigningKey]>,
    /// The secrets for receipts, one for each key.
    receipt_keys: Arc<[hmac::Key]>,
    /// The signers with the texts that wait, one for each key.
    signers: Arc<[BatchSigner]>,
}

impl Keyring {
    /// Make a ring of the key in use and those that were replaced.
    #[must_use]
    pub fn new(current: SigningKey, replaced: Vec<SigningKey>) -> Self {
        let mut keys = vec![current];
        keys.extend(replaced);
        let secret = |key: &SigningKey| hmac::Key::new(hmac::HMAC_SHA256, &key.secret("receipts"));
        let receipt_keys = keys.iter().map(secret).collect();
        let signers = keys.iter().map(|_| BatchSigner::default()).collect();
        Self { keys: keys.into(), receipt_keys, signers }
    }

    /// Return whether this is a handle of the same ring.
    #[must_use]
    pub fn is_the_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }

    /// Return the batch signature of this text with a key of the ring, made together with all that
    /// is to be signed with this key now.
    pub async fn sign(&self, leaf: Leaf, key: &SigningKey) -> String {
        let mut signers = self.keys.iter().zip(self.signers.iter());
        let found = signers.find(|(held, _)| held.public() == key.public());
        let (_, signer) = found.expect("only a key of the ring signs");
        signer.sign(leaf, key).await
    }

    /// Sign a document of a kind that is signed in batches with a key of the ring.
    ///
    /// # Errors
    /// Fails when the document has no JSON form.
    pub async fn seal<D: Document>(
        &self,
        document: &D,
        key: &SigningKey,
    ) -> Result<Signed, SignatureError> {
        let unsigned = Signed::unsigned(document, key)?;
        let signature = self.sign(unsigned.leaf::<D>(), key).await;
        Ok(Signed { signature, ..unsigned })
    }

    /// Return the key in use.
    #[must_use]
    pub fn current(&self) -> &SigningKey {
        self.keys.first().expect("`new` has put one in")
    }

    /// Return the secret for receipts of the key in use.
    #[must_use]
    pub fn receipt_key(&self) -> &hmac::Key {
        self.receipt_keys.first().expect("there is one for each key")
    }

    /// Return the secrets for receipts of all keys, that of the key in use first.
    pub fn receipt_keys(&self) -> impl Iterator<Item = &hmac::Key> + '_ {
        self.receipt_keys.iter()
    }

    /// Return the key with this id, if it is in the ring.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.public().id() == id)
    }

    /// Return the key that a license file names by this id, if it is in the ring. Files from before
    /// there could be several keys name none, and belong to the key in use.
    #[must_use]
    pub fn of_file(&self, server_key_id: &str) -> Option<&SigningKey> {
        if server_key_id.is_empty() { Some(self.current()) } else { self.with_id(server_key_id) }
    }

    /// Return the ids of all keys, that of the key in use first.
    pub fn ids(&self) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().map(|key| key.public().id())
    }

    /// Return whether this key is in the ring.
    #[must_use]
    pub fn holds(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|held| held.public() == key)
    }
}
