//! Secrets that people or programs show: session passwords and tokens of the admin API.
//!
//! Kept as argon2id hashes in the PHC string format. Checking one costs some 20 ms and 19 MiB on purpose, so
//! it is never done in the store's one writing thread, and only a few at a time.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use crate::error::Error;

/// Most hashes that are computed at one time: what they need of memory stays below 100 MiB.
const AT_ONCE_MAX: usize = 4;

static AT_ONCE: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// The hash of a secret, under a fresh salt.
///
/// # Errors
/// When the system has no random numbers.
pub fn hash(secret: &str) -> Result<String, Error> {
    Argon2::default()
        .hash_password(secret.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|e| Error::Internal(format!("a secret cannot be hashed: {e}")))
}

/// Whether this is the secret with that hash.
pub async fn is_right(secret: String, hash: String) -> bool {
    let Ok(_turn) = AT_ONCE.acquire().await else { return false };
    tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
    })
    .await
    .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_told_from_others_and_is_not_in_its_hash() {
        let hashed = hash("open sesame").unwrap();
        assert!(!hashed.contains("sesame"));
        assert_ne!(hashed, hash("open sesame").unwrap(), "each has a salt of its own");
        assert!(is_right("open sesame".into(), hashed.clone()).await);
        assert!(!is_right("open barley".into(), hashed).await);
        assert!(!is_right("x".into(), "no hash".into()).await);
    }
}
