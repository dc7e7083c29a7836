//! A grant: the server's answer, believed only as far as the vendor's root key vouches for it.
//!
//! ```text
//! root key ─▶ license file ─▶ server's key ─▶ local license
//!                └▶ item   ◀── must fit ──────────┘
//! ```
//!
//! A licensee who runs a server can sign anything with the server's own key. So the local license
//! is checked against the item that the vendor signed: it may narrow the item, but never widen it.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense, UnknownItem};
use seatmeter_protocol::message::AuthorizationAnswer;
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::bounds;
use crate::built_in;
use crate::clock::Stamp;
use crate::device::Device;
use crate::error::{Error, Result};

/// Return the vendor's keys with which this library was built (`SEATMETER_ROOT_KEY`, several
/// separated by commas); none if it was built without.
///
/// # Errors
/// Fails if it was built with something that is not a key.
pub(super) fn built_in_root_keys() -> Result<Vec<PublicKey>> {
    built_in::keep();
    root_keys(built_in::ROOT_KEY.unwrap_or_default())
}

fn root_keys(text: &str) -> Result<Vec<PublicKey>> {
    seatmeter_protocol::built_in::root_keys(text).map_err(|e| {
        Error::new(
            ErrorCode::LICENSE_SYNC_FAILED,
            format!("this library was built with a SEATMETER_ROOT_KEY that is no key: {e}"),
        )
    })
}

/// The root keys of vendors that this device trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedRoots {
    /// The number of keys that are built into this library; `None` if what was built in is no key.
    pub built_in: Option<usize>,
    /// The ids of the keys built in; without any, that of the key that a first answer has brought.
    pub ids: Vec<String>,
}

impl TrustedRoots {
    /// Return the keys that are built in, or `kept` if there are none.
    pub fn new(kept: impl FnOnce() -> Option<PublicKey>) -> Self {
        Self::of(built_in_root_keys(), kept)
    }

    /// Return whether the key is that of a first answer.
    pub fn is_of_first_answer(&self) -> bool {
        self.built_in == Some(0) && !self.ids.is_empty()
    }

    fn of(built_in: Result<Vec<PublicKey>>, kept: impl FnOnce() -> Option<PublicKey>) -> Self {
        // A library with a text that is no key believes nobody.
        let Ok(built_in) = built_in else { return Self::default() };
        let number = built_in.len();
        let keys = if built_in.is_empty() { Vec::from_iter(kept()) } else { built_in };
        Self { built_in: Some(number), ids: keys.iter().map(PublicKey::id).collect() }
    }
}

/// A grant whose signatures are right.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The rights of the device.
    pub local: LocalLicense,
    /// The same, as the server has signed it.
    pub signed: Signed,
    /// The item of the grant.
    pub item: LicenseItem,
    /// The key of the server that gave the grant, as the vendor's license file names it.
    pub server_key: PublicKey,
    /// The number by which the seat pool recognizes the newest grant of this device: grants are
    /// numbered as they are accepted.
    pub number: u32,
    /// The device's clock when the grant was accepted.
    pub stamp: Stamp,
    /// Whether the grant's date is later than the time at which it was given, because the server's
    /// clock was ahead. It must be renewed then.
    pub is_postdated: bool,
}

/// The validity of a grant at an instant.
///
/// | from | to | |
/// |---|---|---|
/// | – | item's expiry | `Good` |
/// | item's expiry | seven days later | `Grace` |
/// | `valid_until` | – | `Stale`, which takes precedence over the two above |
/// | seven days after expiry | – | `Expired`, which takes precedence over all |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// The grant is in use.
    Good,
    /// The grant is in use, but the item has expired: only the grace period is left.
    Grace,
    /// The grant was not renewed for too long.
    Stale,
    /// The item has expired, and its grace period is over.
    Expired,
}

impl Grant {
    /// Check every signature and every limit of an answer. The answer may be for a former UUID of
    /// the device.
    ///
    /// # Errors
    /// Returns a message that says what is wrong with the answer.
    pub fn verify(answer: &AuthorizationAnswer, root: &PublicKey, device: &Device) -> Result<Self> {
        let untrusted = |what: String| Error::new(ErrorCode::LICENSE_SYNC_FAILED, what);
        let file: LicenseFile = answer.license_file.open(root).map_err(|e| {
            untrusted(format!(
                "the license file on the server is not from the vendor of this software: {e}. \
                 Check the server's URL, \
                 or ask its operator to import this vendor's file"
            ))
        })?;
        let local: LocalLicense = answer.local_license.open(&file.server_key).map_err(|e| {
            untrusted(format!(
                "the license is not from the server that the vendor named: {e}. Check the \
                 server's URL"
            ))
        })?;
        if file.version != DOCUMENT_VERSION || local.version != DOCUMENT_VERSION {
            return Err(untrusted(
                "the license is in a format that this library does not know: install a newer \
                 version of this software"
                    .into(),
            ));
        }
        if !device.is_or_was_bound_to(&local.device_uuid, &local.device_key) {
            return Err(ErrorCode::DEVICE_NOT_MATCH.into());
        }
        let unknown = file.unknown_items.iter().find(|item| item.item_id == local.item_id);
        if let Some(UnknownItem { item_id, what, .. }) = unknown {
            return Err(untrusted(format!(
                "the license is from item \"{item_id}\", which {what}. This library does not know \
                 that: install a newer version of this software"
            )));
        }
        let item =
            file.items.into_iter().find(|item| item.item_id == local.item_id).ok_or_else(|| {
                untrusted(format!(
                    "the license names item {}, which the vendor did not issue: ask the server's \
                 operator to import the \
                 vendor's newest license file",
                    local.item_id
                ))
            })?;
        bounds::within(&local, &item).map_err(untrusted)?;
        Ok(Self {
            local,
            signed: answer.local_license.clone(),
            item,
            server_key: file.server_key,
            number: 0,
            stamp: Stamp::default(),
            is_postdated: false,
        })
    }

    /// Return the grant with this date (Unix seconds), which is before its own. It is then valid
    /// for as long as the server intended, not until the day that the server's clock gave.
    #[must_use]
    pub fn dated(&self, issued_at: u64) -> Self {
        let mut local = self.local.clone();
        let life = local.valid_until.saturating_sub(local.issued_at);
        local.issued_at = issued_at;
        local.valid_until = local.valid_until.min(issued_at.saturating_add(life));
        Self { local, stamp: Stamp::default(), is_postdated: true, ..self.clone() }
    }

    /// Return the validity of the grant at this instant (Unix seconds).
    pub fn validity(&self, now: u64) -> Validity {
        if now >= self.item.grace_ends_at() {
            Validity::Expired
        } else if now >= self.local.valid_until {
            Validity::Stale
        } else if now >= self.item.expires_at {
            Validity::Grace
        } else {
            Validity::Good
        }
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::license::{
        DAY_SECONDS, Generation, LicenseFile, LicenseItem, LocalLicense,
    };
    use seatmeter_protocol::message::AuthorizationAnswer;
    use seatmeter_protocol::request_auth::Agreement;
    use seatmeter_protocol::signature::{Signed, SigningKey};

    use crate::device::Device;

    pub(crate) const NOW: u64 = 1_800_000_000;

    pub(crate) fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&hex::encode([n; 32])).unwrap()
    }

    pub(crate) fn item() -> LicenseItem {
        LicenseItem::new("item-1", ChargeWay::ConcurrentInstance, 4, NOW, NOW + 10 * DAY_SECONDS)
    }

    pub(crate) fn local() -> LocalLicense {
        LocalLicense {
            version: 1,
            license_id: "l".repeat(32),
            serial: 1,
            item_id: "item-1".into(),
            handshake_code: "DEMO".into(),
            device_uuid: "d".repeat(32),
            charge_way: ChargeWay::ConcurrentInstance,
            seats: 4,
            issued_at: NOW,
            valid_until: NOW + 7 * DAY_SECONDS,
            item_expires_at: NOW + 10 * DAY_SECONDS,
            device_key: Device::with_uuid("d".repeat(32)).key().unwrap().public().clone(),
            generation: Generation { branch: 1, step: 1 },
            epoch: String::new(),
            allowances: Vec::new(),
        }
    }

    /// Return an answer with these contents, signed by root key 1 and server key 2.
    pub(crate) fn answer(item: LicenseItem, local: &LocalLicense) -> AuthorizationAnswer {
        let file = LicenseFile {
            version: 1,
            file_id: "file-1".into(),
            organization_id: "demo".into(),
            organization_name: "Demo".into(),
            server_key: key(2).public().clone(),
            issued_at: NOW,
            items: vec![item],
            unknown_items: Vec::new(),
        };
        AuthorizationAnswer {
            root_key: key(1).public().clone(),
            license_file: Signed::seal(&file, &key(1)).unwrap(),
            local_license: Signed::seal(local, &key(2)).unwrap(),
            key_share: Agreement::begin().unwrap().share().clone(),
            epoch: String::new(),
            meters: Vec::new(),
            any_program: false,
            receipt: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::test_support::{NOW, answer, item, key, local};
    use super::*;
    use seatmeter_protocol::license::DAY_SECONDS;

    fn verify(answer: &AuthorizationAnswer) -> Result<Grant> {
        Grant::verify(answer, key(1).public(), &Device::with_uuid("d".repeat(32)))
    }

    #[test]
    fn the_grants_of_the_vectors_that_must_be_refused_are_refused() {
        let text = include_str!("../../protocol/tests/vectors/refused.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let device = serde_json::json!({ "uuid": "44".repeat(16), "key": "03".repeat(32) });
        let device: Device = serde_json::from_value(device).unwrap();
        let outcome = |case: &serde_json::Value| {
            let answer = serde_json::from_value(case["answer"].clone()).unwrap();
            Grant::verify(&answer, key(1).public(), &device)
        };
        for case in vectors["good_grants"].as_array().unwrap() {
            assert!(outcome(case).is_ok(), "{}", case["why"]);
        }
        // An earlier issue is refused by the note of the newest ones, the time and the signature of
        // an answer before the grant is read, and an item for something else by `bounds::covers`.
        let mut count = 0;
        for case in vectors["grants"].as_array().unwrap() {
            let is_of_another = case["answered_by"] != vectors["server_public"];
            if [2, 13, 14].contains(&case["clause"].as_u64().unwrap()) || is_of_another {
                continue;
            }
            assert!(outcome(case).is_err(), "{}", case["why"]);
            count += 1;
        }
        assert!(count > 12, "{count}");
    }

    #[test]
    fn a_right_answer_is_accepted() {
        assert_eq!(verify(&answer(item(), &local())).unwrap().local, local());
    }

    #[test]
    fn a_server_cannot_grant_more_than_the_vendor_sold() {
        for wider in [
            LocalLicense { seats: 5, ..local() },
            LocalLicense { valid_until: NOW + 18 * DAY_SECONDS, ..local() },
            LocalLicense { item_id: "item-2".into(), ..local() },
            LocalLicense {
                charge_way: seatmeter_protocol::charge_way::ChargeWay::Domain,
                ..local()
            },
        ] {
            let error = verify(&answer(item(), &wider)).unwrap_err();
            assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED, "{error}");
        }
    }

    #[test]
    fn an_item_of_a_kind_that_this_library_does_not_know_leaves_the_others_of_its_file_usable() {
        let good = answer(item(), &local());
        let mut file: serde_json::Value = serde_json::from_str(&good.license_file.payload).unwrap();
        file["items"].as_array_mut().unwrap().insert(
            0,
            serde_json::json!({"item_id": "hours", "charge_way": "hour", "price": {"each": 7}}),
        );
        let file: LicenseFile = serde_json::from_value(file).unwrap();
        let answer_for = |local: &LocalLicense| AuthorizationAnswer {
            license_file: Signed::seal(&file, &key(1)).unwrap(),
            ..answer(item(), local)
        };
        assert_eq!(verify(&answer_for(&local())).unwrap().item, item());
        let error = verify(&answer_for(&LocalLicense { item_id: "hours".into(), ..local() }));
        let error = error.unwrap_err();
        assert_eq!(error.code, ErrorCode::LICENSE_SYNC_FAILED);
        assert!(
            error.message.contains(r#"item "hours", which has the charge way "hour""#),
            "{error}"
        );
        assert!(error.message.contains("install a newer version"), "{error}");
    }

    #[test]
    fn another_vendor_another_server_or_another_device_is_refused() {
        let good = answer(item(), &local());
        assert!(Grant::verify(&good, key(3).public(), &Device::with_uuid("d".repeat(32))).is_err());
        let other_server = AuthorizationAnswer {
            local_license: Signed::seal(&local(), &key(3)).unwrap(),
            ..good.clone()
        };
        assert!(verify(&other_server).is_err());
        let error =
            Grant::verify(&good, key(1).public(), &Device::with_uuid("e".repeat(32))).unwrap_err();
        assert_eq!(error.code, ErrorCode::DEVICE_NOT_MATCH);
    }

    #[test]
    fn the_time_zone_does_not_matter() {
        for zone in ["Etc/GMT+12", "UTC", "Asia/Kolkata", "Etc/GMT-14"] {
            let run = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "license::grant::tests::validity_changes_on_the_second"])
                .args(["clock::slots::tests::the_slot_changes_on_the_millisecond"])
                .env("TZ", zone)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&run.stdout);
            assert!(text.contains("2 passed"), "{zone}: {text}");
        }
    }

    #[test]
    fn a_postdated_grant_is_good_for_as_long_as_was_meant() {
        let grant = verify(&answer(item(), &local())).unwrap();
        let dated = grant.dated(NOW - 5 * DAY_SECONDS);
        assert!(dated.is_postdated && !grant.is_postdated);
        assert_eq!(dated.validity(NOW + 2 * DAY_SECONDS - 1), Validity::Good);
        assert_eq!(dated.validity(NOW + 2 * DAY_SECONDS), Validity::Stale);
        assert_eq!(dated.local.serial, grant.local.serial);
    }

    #[test]
    fn a_library_may_have_several_root_keys() {
        let keys = [key(1), key(4)].map(|key| key.public().clone());
        let text = format!(" {} , {},", keys[0], keys[1]);
        assert_eq!(root_keys(&text).unwrap(), keys);
        assert_eq!(root_keys("").unwrap(), []);
        assert!(root_keys("abc").is_err());
    }

    #[test]
    fn the_trusted_root_keys_are_those_built_in_and_else_the_kept_one() {
        let [one, two, kept] = [3, 4, 5].map(|seed| key(seed).public().clone());
        let of = |text: &str, kept: Option<&PublicKey>| {
            let roots = TrustedRoots::of(root_keys(text), || kept.cloned());
            (roots.built_in, roots.ids)
        };
        assert_eq!(of("", None), (Some(0), vec![]));
        assert_eq!(of("", Some(&kept)), (Some(0), vec![kept.id()]));
        assert_eq!(of(&one.to_string(), Some(&kept)), (Some(1), vec![one.id()]));
        let both = format!("{one}, {two}");
        assert_eq!(of(&both, None), (Some(2), vec![one.id(), two.id()]));
        assert_eq!(of("abc", Some(&kept)), (None, vec![]), "a wrong build trusts nobody");
    }

    #[test]
    fn validity_changes_on_the_second() {
        let grant = verify(&answer(item(), &local())).unwrap();
        let stale = NOW + 7 * DAY_SECONDS;
        assert_eq!(grant.validity(stale - 1), Validity::Good);
        assert_eq!(grant.validity(stale), Validity::Stale);
        let expired = NOW + 17 * DAY_SECONDS;
        assert_eq!(grant.validity(expired - 1), Validity::Stale);
        assert_eq!(grant.validity(expired), Validity::Expired);

        let renewed = LocalLicense { valid_until: expired, ..local() };
        let grant = verify(&answer(item(), &renewed)).unwrap();
        let expiry = NOW + 10 * DAY_SECONDS;
        assert_eq!(grant.validity(expiry - 1), Validity::Good);
        assert_eq!(grant.validity(expiry), Validity::Grace);
        assert_eq!(grant.validity(expired - 1), Validity::Grace);
    }
}
