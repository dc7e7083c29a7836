//! Licenses that are granted, shown again and ended.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::EndedLicense;
use seatmeter_server::policy::Admitted;
use seatmeter_server::policy::holders::Hold;
use seatmeter_server::store::Authorization;

use super::{Plain, has_seats};

/// A local license.
#[derive(Clone)]
pub(super) struct License {
    pub(super) device: String,
    pub(super) serial: u32,
    pub(super) seats_asked: u32,
    pub(super) valid_until: u64,
    pub(super) holder: String,
}

impl Plain {
    pub(super) fn release(&mut self, device: &str, now: u64) {
        self.holders.retain(|_, (of, _)| of != device);
        for ((of, _), allowance) in &mut self.allowances {
            if of == device {
                *allowance = allowance.given_back(allowance.serial);
            }
        }
        let licenses = self.licenses.values_mut().filter(|license| license.device == device);
        licenses.for_each(|license| license.valid_until = license.valid_until.min(now));
    }

    /// Record a license that a restored server has forgotten and a device shows.
    pub(super) fn remember(&mut self, held: &LocalLicense, holder: Option<&str>) {
        let known = self.licenses.get(&held.license_id);
        let (true, Some(item)) =
            (known.is_none_or(|known| known.serial < held.serial), self.item.clone())
        else {
            return;
        };
        let uuid = &held.device_uuid;
        let latest = self
            .licenses
            .values()
            .filter(|license| license.device == *uuid)
            .max_by_key(|one| one.serial);
        let holder =
            holder.map(str::to_owned).or(known.or(latest).map(|known| known.holder.clone()));
        let holder = holder.unwrap_or_else(|| uuid.clone());
        let newest = self.devices.entry(uuid.clone()).or_default();
        *newest = held.serial.max(*newest);
        let seats_asked = known_seats(self.licenses.get(&held.license_id), held);
        let license = License {
            device: uuid.clone(),
            serial: held.serial,
            seats_asked,
            valid_until: held.valid_until,
            holder: holder.clone(),
        };
        self.licenses.insert(held.license_id.clone(), license);
        if has_seats(&item) {
            let is_longer =
                self.holders.get(&holder).is_none_or(|(_, own)| own.until < held.valid_until);
            if is_longer {
                self.holders
                    .insert(holder, (uuid.clone(), Hold { seats: 1, until: held.valid_until }));
            }
        }
        if held.charge_way == ChargeWay::ConcurrentInstance {
            self.seats.entry(uuid.clone()).or_default().note_of_before(held.seats, held.issued_at);
        }
        for shown in &held.allowances {
            let own = self.allowances.entry((uuid.clone(), shown.module)).or_default();
            *own = own.remembered(held.serial, held.issued_at, shown);
        }
    }

    pub(super) fn take_name(&mut self, held: &LocalLicense, holder: &str) {
        let uuid = &held.device_uuid;
        if holder == uuid {
            return;
        }
        let licenses = self.licenses.values_mut();
        let nameless_ones =
            licenses.filter(|license| license.device == *uuid && license.holder == *uuid);
        nameless_ones.for_each(|license| holder.clone_into(&mut license.holder));
        let Some((_, nameless)) = self.holders.remove(uuid) else { return };
        if self.holders.get(holder).is_none_or(|(_, own)| own.until < nameless.until) {
            self.holders.insert(holder.to_owned(), (uuid.clone(), nameless));
        }
    }

    pub(super) fn remember_grant(
        &mut self,
        request: &Authorization,
        holder: &str,
        item: &LicenseItem,
        grant: &Admitted,
    ) -> String {
        let (uuid, now) = (&request.device.uuid, request.claim.now);
        self.devices.insert(uuid.clone(), grant.serial);
        let has_instances = item.charge_way == ChargeWay::ConcurrentInstance;
        let renewed =
            self.licenses.iter().filter(|(_, license)| license.device == *uuid).filter(
                |(_, license)| !has_instances || license.seats_asked == request.claim.seats,
            );
        let renewed = renewed.max_by_key(|(_, license)| license.serial).map(|(id, _)| id.clone());
        let id = renewed.unwrap_or_else(|| request.license_id.clone());
        let license = License {
            device: uuid.clone(),
            serial: grant.serial,
            seats_asked: request.claim.seats,
            valid_until: grant.valid_until,
            holder: holder.to_owned(),
        };
        self.licenses.insert(id.clone(), license);
        if !has_instances {
            let others = self
                .licenses
                .iter_mut()
                .filter(|(other, own)| **other != id && own.device == *uuid);
            others.for_each(|(_, own)| own.valid_until = own.valid_until.min(now));
        }
        if let Some(hold) = grant.hold {
            self.holders.insert(holder.to_owned(), (uuid.clone(), hold));
        }
        if grant.seats > 0 {
            self.seats.entry(uuid.clone()).or_default().note(grant.seats, now);
        }
        for (module, allowance) in &grant.allowances {
            self.allowances.insert((uuid.clone(), *module), *allowance);
        }
        debug_assert!(self.item.as_ref().is_some_and(|own| own.item_id == item.item_id));
        id
    }

    pub(super) fn end(&mut self, uuid: &str, ended: &EndedLicense, now: u64) {
        let license = self.licenses.get_mut(&ended.license_id);
        let Some(license) = license.filter(|own| own.device == uuid && own.serial == ended.serial)
        else {
            return;
        };
        license.valid_until = license.valid_until.min(now);
        let holder = license.holder.clone();
        let mut others =
            self.licenses.values().filter(|own| own.device == uuid && own.holder == holder);
        if others.any(|own| own.valid_until > now) {
            return;
        }
        self.holders.remove(&holder);
        for ((of, _), allowance) in &mut self.allowances {
            if of == uuid {
                *allowance = allowance.given_back(ended.serial);
            }
        }
    }
}

fn known_seats(known: Option<&License>, held: &LocalLicense) -> u32 {
    known.map_or(held.seats, |known| known.seats_asked)
}
