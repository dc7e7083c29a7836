//! The server's keys: the one in use, and those that were replaced.
//!
//! A license file names one key, and devices believe that one. So after a rotation, for as long as
//! it takes the vendor to issue the files anew and the devices to renew, the old key goes on
//! signing what belongs to its files:
//!
//! | what is signed | with |
//! | --- | --- |
//! | a local license, and the answer that brings it | the key that the item's license file names |
//! | any other answer | the key that the request says it knows (header `Seatmeter-Key-Id`), else the one in use |

use std::sync::Arc;

use seatmeter_protocol::signature::{PublicKey, SigningKey};

/// The server's keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// The key in use first.
    keys: Arc<[SigningKey]>,
}

impl Keyring {
    /// The key in use, and those that were replaced.
    #[must_use]
    pub fn new(current: SigningKey, replaced: Vec<SigningKey>) -> Self {
        let mut keys = vec![current];
        keys.extend(replaced);
        Self { keys: keys.into() }
    }

    /// The key in use.
    #[must_use]
    pub fn current(&self) -> &SigningKey {
        self.keys.first().expect("`new` has put one in")
    }

    /// The key with this id, if it is here.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.public().id() == id)
    }

    /// The key that a license file names by this id, if it is here. Files from before there could
    /// be several keys name none: theirs is the one in use.
    #[must_use]
    pub fn of_file(&self, server_key_id: &str) -> Option<&SigningKey> {
        if server_key_id.is_empty() { Some(self.current()) } else { self.with_id(server_key_id) }
    }

    /// Ids of all, that of the key in use first.
    pub fn ids(&self) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().map(|key| key.public().id())
    }

    /// Whether this key is here.
    #[must_use]
    pub fn holds(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|held| held.public() == key)
    }
}
