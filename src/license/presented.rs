//! The programs that a stored grant serves: those that have presented the credentials that the
//! server required.
//!
//! Handshake code, organization, website domain and application id are part of the grant's name.
//! The session password and the name of the executable are not. Only one password is right at a
//! time, and most codes are valid for executables of any name, so programs that differ only in
//! these share one grant. The presented credentials are stored in the grant's own file, so that
//! removing or copying a single file cannot separate the two.
//!
//! | entry of the file | the grant serves |
//! | --- | --- |
//! | same password, same executable | yes, until the license that was granted for it ends |
//! | same password, and the server said that the code is good for any executable | the same |
//! | none of these | no: the server is asked first |
//!
//! Each entry renews by itself. A program with an outdated password must learn this, although
//! another program keeps renewing the grant with the new password.
//!
//! The password is not stored. The file contains a PBKDF2 digest of it, over a random salt and the
//! grant's name. The file is as private as its folder. A person who reads it nevertheless must try
//! one password after the other, each at this cost.

use std::num::NonZeroU32;

use ring::pbkdf2;
use seatmeter_protocol::license::LocalLicense;
use serde::{Deserialize, Serialize};

use crate::os::locks::Mutex;
use crate::os::random_bytes;
use crate::parameters::Parameters;

/// The PBKDF2 rounds: some 10 ms of one core, so that the start of a program is not noticeably
/// slower.
const ROUNDS: NonZeroU32 = NonZeroU32::new(20_000).expect("it is not zero");

/// The most entries of one grant. When there are more, the one that was granted longest ago is
/// removed: its program asks the server again.
const ENTRIES_MAX: usize = 16;

/// The credentials that were presented for a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Presented {
    salt: String,
    by: Vec<Entry>,
}

/// The credentials that one program has presented, and the license that it was granted for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    /// The digest of the session password; empty without a password.
    password: String,
    /// The executable's name.
    program: String,
    /// Whether the code is valid for executables of any name.
    any_program: bool,
    issued_at: u64,
    valid_until: u64,
}

/// The license that a program got for its credentials; it decides when the program's next renewal
/// is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The time at which it was granted, Unix seconds.
    pub issued_at: u64,
    /// The first second at which it is no longer valid.
    pub valid_until: u64,
}

impl Basis {
    /// Return the basis with this date, which is not after its own.
    #[must_use]
    pub fn dated(self, issued_at: u64) -> Self {
        let life = self.valid_until.saturating_sub(self.issued_at);
        Self { issued_at, valid_until: self.valid_until.min(issued_at.saturating_add(life)) }
    }
}

/// The credentials that this program presents under a grant's name.
#[derive(Debug)]
pub struct Credentials {
    grant_name: String,
    password: String,
    program: String,
    /// The last digest with its salt, because a digest is slow by design.
    digest: Mutex<Option<(String, String)>>,
}

impl Credentials {
    /// Return the credentials of a program with these parameters.
    pub fn of(parameters: &Parameters) -> Self {
        Self {
            grant_name: parameters.grant_name(),
            password: parameters.session_password.clone(),
            program: parameters.program.clone(),
            digest: Mutex::default(),
        }
    }

    /// Return whether a program with these parameters presents the same credentials.
    pub fn are_of(&self, parameters: &Parameters) -> bool {
        self.password == parameters.session_password && self.program == parameters.program
    }

    /// Return credentials for the grant name `name`.
    #[cfg(test)]
    pub(crate) fn for_test(password: &str, program: &str) -> Self {
        let (grant_name, password, program) = ("name".into(), password.into(), program.into());
        Self { grant_name, password, program, digest: Mutex::default() }
    }

    fn digest(&self, salt: &str) -> String {
        if self.password.is_empty() {
            return String::new();
        }
        let mut known = self.digest.lock();
        if let Some((of, digest)) = &*known
            && of == salt
        {
            return digest.clone();
        }
        let salted = format!("{salt} {}", self.grant_name);
        let mut bytes = [0; 32];
        let password = self.password.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salted.as_bytes(), password, &mut bytes);
        let digest = hex::encode(bytes);
        *known = Some((salt.to_owned(), digest.clone()));
        digest
    }
}

impl Presented {
    /// Return the license by which the grant serves a program with these credentials. If this is
    /// `None`, the server must be asked.
    pub(super) fn basis(&self, of: &Credentials, now: u64) -> Option<Basis> {
        if self.by.is_empty() {
            return None;
        }
        let digest = of.digest(&self.salt);
        let serves = |entry: &&Entry| {
            entry.password == digest
                && (entry.any_program || entry.program == of.program)
                && now < entry.valid_until
        };
        // The entries are in the order in which they were granted; a server's clock may have been
        // ahead meanwhile.
        let newest = self.by.iter().rfind(serves)?;
        Some(Basis { issued_at: newest.issued_at, valid_until: newest.valid_until })
    }

    /// Note that the server has granted this license to a program with these credentials.
    /// `any_program` is the server's statement about the executable's name.
    pub(super) fn grant(
        &mut self,
        of: &Credentials,
        license: &LocalLicense,
        any_program: bool,
    ) -> Basis {
        if self.salt.is_empty() {
            self.salt = hex::encode(random_bytes());
        }
        let password = of.digest(&self.salt);
        self.by.retain(|entry| entry.password != password || entry.program != of.program);
        // The server's latest statement about the code holds for all programs with this password.
        self.by.iter_mut().filter(|entry| entry.password == password).for_each(|entry| {
            entry.any_program &= any_program;
        });
        let LocalLicense { issued_at, valid_until, .. } = *license;
        let program = of.program.clone();
        self.by.push(Entry { password, program, any_program, issued_at, valid_until });
        self.by.drain(..self.by.len().saturating_sub(ENTRIES_MAX));
        Basis { issued_at, valid_until }
    }

    /// Note that the server has refused these credentials. Other programs keep what they were
    /// granted.
    pub(super) fn withdraw(&mut self, of: &Credentials) {
        let password = of.digest(&self.salt);
        self.by.retain(|entry| entry.password != password || entry.program != of.program);
        self.by.iter_mut().filter(|entry| entry.password == password).for_each(|entry| {
            entry.any_program = false;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::test_support::{NOW, local};

    fn credentials(password: &str, program: &str) -> Credentials {
        Credentials::for_test(password, program)
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let mut presented = Presented::default();
        let serves = |presented: &Presented, password, program| {
            presented.basis(&credentials(password, program), NOW).is_some()
        };
        assert!(!serves(&presented, "", ""), "nobody has presented anything");
        presented.grant(&credentials("secret", "app"), &local(), false);
        assert!(serves(&presented, "secret", "app"));
        for (password, program) in [("", "app"), ("wrong", "app"), ("secret", "tool")] {
            assert!(!serves(&presented, password, program), "{password:?} {program}");
        }
        presented.grant(&credentials("secret", "app"), &local(), true);
        assert!(serves(&presented, "secret", "tool") && !serves(&presented, "wrong", "tool"));
        let after = local().valid_until;
        assert_eq!(presented.basis(&credentials("secret", "app"), after), None);
    }

    #[test]
    fn a_refusal_ends_what_one_program_was_granted_and_nothing_of_the_others() {
        let mut presented = Presented::default();
        for (password, program) in [("old", "app"), ("new", "app"), ("new", "tool")] {
            presented.grant(&credentials(password, program), &local(), true);
        }
        presented.withdraw(&credentials("new", "tool"));
        let serves =
            |password, program| presented.basis(&credentials(password, program), NOW).is_some();
        assert!(serves("old", "app") && serves("new", "app"));
        assert!(!serves("new", "tool"), "also not by what the others were told of any program");
    }

    #[test]
    fn the_password_is_not_in_the_file_and_each_grant_has_its_own_salt() {
        let text = || {
            let mut presented = Presented::default();
            presented.grant(&credentials("secret", "app"), &local(), false);
            serde_json::to_string(&presented).unwrap()
        };
        assert!(!text().contains("secret"));
        assert_ne!(text(), text());
        let mut copied = Presented::default();
        copied.grant(&credentials("secret", "app"), &local(), false);
        let other = Credentials { grant_name: "other".into(), ..credentials("secret", "app") };
        assert_eq!(copied.basis(&other, NOW), None, "a copy under another name serves nobody");
    }

    #[test]
    fn entries_are_bounded_and_the_oldest_makes_room() {
        let mut presented = Presented::default();
        for n in 0..2 * ENTRIES_MAX {
            presented.grant(&credentials("", &n.to_string()), &local(), false);
        }
        assert_eq!(presented.by.len(), ENTRIES_MAX);
        assert!(
            presented.basis(&credentials("", &(2 * ENTRIES_MAX - 1).to_string()), NOW).is_some()
        );
    }
}
