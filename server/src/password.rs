//! Secrets that people choose: session passwords of devices, and passwords of the admin API's
//! users.
//!
//! Secrets are stored as argon2id hashes in the PHC string format. A check costs some 20 ms and 19
//! MiB on purpose. Therefore it never runs in the store's writer thread, only a few checks run at a
//! time, and the number of waiting checks is bounded. Each kind of secret has its own bound, so
//! that somebody who guesses session passwords keeps no operator out.

mod guesses;

use std::sync::{Arc, LazyLock, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use seatmeter_protocol::signature::random_id;
use tokio::sync::Semaphore;

use crate::error::Error;

pub use guesses::{Asker, Guesses};

/// The greatest numbers of session passwords and of logins that are checked at one time: their
/// memory stays below 100 MiB.
const PASSWORDS_AT_ONCE_MAX: usize = 3;
const LOGINS_AT_ONCE_MAX: usize = 2;

/// The greatest number of waiting checks of one kind. Some hundred checks are done in a second, and
/// a device waits 4 s for an answer. Behind more checks than this, the device would be gone before
/// its turn.
const WAITING_MAX: usize = 256;

/// The checks of session passwords, which devices show.
pub static PASSWORDS: LazyLock<Arc<Guesses>> =
    LazyLock::new(|| Guesses::new(PASSWORDS_AT_ONCE_MAX, WAITING_MAX));

/// The checks of the passwords with which people log in.
pub static LOGINS: Checks = Checks::new(LOGINS_AT_ONCE_MAX, WAITING_MAX);

/// The bounded checks of one kind of secret.
#[derive(Debug)]
pub struct Checks {
    at_once: Semaphore,
    /// The permits for all checks that run or wait.
    places: Semaphore,
}

/// Return the hash of a secret, with a fresh salt.
///
/// # Errors
/// Fails when the system has no random numbers.
pub fn hash(secret: &str) -> Result<String, Error> {
    Argon2::default()
        .hash_password(secret.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|e| Error::Internal(format!("a secret cannot be hashed: {e}")))
}

/// Return the hash of a password that nobody has. A login with an unknown name is checked against
/// it, so that it takes as long as one with a wrong password.
///
/// # Errors
/// Fails when the system has no random numbers.
pub fn of_nobody() -> Result<String, Error> {
    static OF_NOBODY: OnceLock<String> = OnceLock::new();
    if let Some(hash) = OF_NOBODY.get() {
        return Ok(hash.clone());
    }
    let chance = random_id()
        .ok_or_else(|| Error::Internal("the system has no random numbers".to_owned()))?;
    let hash = hash(&chance)?;
    Ok(OF_NOBODY.get_or_init(|| hash).clone())
}

impl Checks {
    const fn new(at_once: usize, waiting: usize) -> Self {
        Self {
            at_once: Semaphore::const_new(at_once),
            places: Semaphore::const_new(at_once + waiting),
        }
    }

    /// Return whether this is the secret with that hash.
    ///
    /// # Errors
    /// Fails when too many checks wait already.
    pub async fn is_right(&'static self, secret: String, hash: String) -> Result<bool, Error> {
        let place = self.places.try_acquire().map_err(|_| Error::Busy)?;
        // The semaphore is never closed.
        let turn = self.at_once.acquire().await.map_err(|_| Error::Busy)?;
        let check = move || {
            // The permits are kept even when the client is gone, because a check that has begun
            // needs its memory until its end.
            let _taken = (place, turn);
            PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok()
            })
        };
        Ok(tokio::task::spawn_blocking(check).await.unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_told_from_others_and_is_not_in_its_hash() {
        let hashed = hash("open sesame").unwrap();
        assert!(!hashed.contains("sesame"));
        assert_ne!(hashed, hash("open sesame").unwrap(), "each has a salt of its own");
        static OURS: Checks = Checks::new(1, 0);
        let check =
            async |secret: &str, hash: &str| OURS.is_right(secret.into(), hash.into()).await;
        assert_eq!(check("open sesame", &hashed).await, Ok(true));
        assert_eq!(check("open barley", &hashed).await, Ok(false));
        assert_eq!(check("x", "no hash").await, Ok(false));
    }

    #[tokio::test]
    async fn who_would_wait_behind_too_many_is_told_to_come_back_and_holds_up_no_other_kind() {
        static GUESSED: Checks = Checks::new(1, 2);
        static OTHER: Checks = Checks::new(1, 0);
        let check = |checks: &'static Checks| checks.is_right("x".into(), "no hash".into());
        let turn = GUESSED.at_once.acquire().await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            waiting.spawn(check(&GUESSED));
            tokio::task::yield_now().await;
        }
        assert_eq!(check(&GUESSED).await, Err(Error::Busy));
        assert_eq!(check(&OTHER).await, Ok(false));
        // Requests that are given up make room, and the others get their turn.
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        let patient = tokio::spawn(check(&GUESSED));
        drop(turn);
        assert_eq!(patient.await.unwrap(), Ok(false));
    }
}
