//! A grant, and when it ends and is renewed, by the rules of `bindings/web/src/grant.js`.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseFile, LicenseItem, LocalLicense};
use seatmeter_protocol::signature::{PublicKey, Signed};

use super::Options;
use super::errors::{Failure, Outcome, fail};
use super::store::Device;

pub(super) const SLOT_SECONDS: u64 = 180;
pub(super) const DAY_SECONDS: u64 = 86_400;
pub(super) const GRACE_DAYS: u64 = 7;
pub(super) const GRACE_SECONDS: u64 = GRACE_DAYS * DAY_SECONDS;
pub(super) const RENEWAL_SECONDS: u64 = 60;

/// A server's answer, believed as far as the vendor's root key vouches for it.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) local: LocalLicense,
    pub(crate) item: LicenseItem,
    pub(super) server_key: PublicKey,
    pub(super) key_id: String,
    pub(super) envelope: Signed,
    pub(super) file_id: String,
    pub(super) file_issued_at: u64,
}

pub(super) fn slot_of(seconds: u64) -> u32 {
    u32::try_from(seconds / SLOT_SECONDS).unwrap_or(u32::MAX)
}

/// Return N plus `percent` of it, rounded half up.
fn limit_of(quota: u64, percent: u64) -> u64 {
    quota + (percent * quota + 50) / 100
}

fn quota_of(item: &LicenseItem, module: u32) -> u64 {
    match item.charge_way {
        ChargeWay::BarcodeScan if module == 0 => item.quota,
        ChargeWay::Page => {
            let quotas = item.page_quotas.unwrap_or_default().by_module();
            quotas.iter().find(|(number, _)| *number == module).map_or(0, |(_, quota)| *quota)
        }
        _ => 0,
    }
}

/// Return whether a license narrows its item, or grants as much.
fn is_within(local: &LocalLicense, item: &LicenseItem) -> bool {
    let offline = match item.offline_days {
        0 => SLOT_SECONDS,
        days => u64::from(days) * DAY_SECONDS,
    };
    let is_too_much = local.allowances.iter().any(|allowance| {
        allowance.allowed > limit_of(quota_of(item, allowance.module), 5).max(allowance.used)
    });
    local.charge_way == item.charge_way
        && u64::from(local.seats) <= item.quota
        && local.issued_at >= item.starts_at
        && local.item_expires_at <= item.expires_at
        && local.valid_until <= item.expires_at + GRACE_SECONDS
        && local.valid_until <= local.issued_at + offline
        && !is_too_much
}

fn is_near(host: &str, domain: &str) -> bool {
    let end = |name: &str| {
        let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
        labels[labels.len().saturating_sub(2)..].join(".")
    };
    host == domain || end(host) == end(domain)
}

fn is_covered(item: &LicenseItem, options: &Options) -> bool {
    item.deployment_types.contains(&DeploymentType::Browser)
        && (item.charge_way != ChargeWay::Domain
            || item.domains.iter().any(|domain| is_near(options.host(), domain)))
}

/// Check every signature and every limit of an answer, and return the grant.
pub(super) fn verify(
    license_file: &Signed,
    local_license: &Signed,
    root: &PublicKey,
    device: &Device,
    options: &Options,
) -> Outcome<Grant> {
    let wrong = |why: String| Failure::new(ErrorCode::LICENSE_SYNC_FAILED, why);
    let file: LicenseFile = license_file.open(root).map_err(|why| wrong(why.to_string()))?;
    let local: LocalLicense =
        local_license.open(&file.server_key).map_err(|why| wrong(why.to_string()))?;
    if local.device_uuid != device.uuid || local.device_key != *device.key.public() {
        return fail(ErrorCode::DEVICE_NOT_MATCH, "the license belongs to another device");
    }
    let item = file.items.into_iter().find(|item| item.item_id == local.item_id);
    let item = item.ok_or_else(|| wrong("the vendor did not issue the item".into()))?;
    if !is_within(&local, &item) {
        return fail(ErrorCode::LICENSE_SYNC_FAILED, "the license grants more than its item");
    }
    if !is_covered(&item, options) {
        return fail(ErrorCode::LICENSE_SYNC_FAILED, "the item is for another place");
    }
    Ok(Grant {
        local,
        item,
        server_key: file.server_key,
        key_id: local_license.key_id.clone(),
        envelope: local_license.clone(),
        file_id: file.file_id,
        file_issued_at: file.issued_at,
    })
}

impl Grant {
    /// Return why no work is allowed under the grant at this instant.
    pub(super) fn ended_at(&self, now: u64) -> Option<Failure> {
        if now >= self.item.expires_at + GRACE_SECONDS {
            return Some(Failure::new(ErrorCode::EXPIRED, "the license has expired"));
        }
        (now >= self.local.valid_until)
            .then(|| Failure::new(ErrorCode::LICENSE_SYNC_FAILED, "it was not renewed in time"))
    }

    /// Return when the grant is to be renewed, spread by its random id.
    pub(super) fn renewal_due_at(&self) -> u64 {
        let LocalLicense { license_id, issued_at, valid_until, .. } = &self.local;
        let share = u64::from_str_radix(license_id.get(..4).unwrap_or(""), 16).unwrap_or(0);
        let life = valid_until.saturating_sub(*issued_at);
        if life <= 2 * SLOT_SECONDS {
            return valid_until - RENEWAL_SECONDS + share * RENEWAL_SECONDS / 2 / 65_536;
        }
        let due = (life / 8).min(6 * 3600);
        issued_at + due - due * share / 4 / 65_536
    }
}
