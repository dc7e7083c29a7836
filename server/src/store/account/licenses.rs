//! The local licenses of an item: granted, brought back by a device that this server has forgotten,
//! ended and released.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::DeviceFacts;

use super::{Account, Device, Kept, Seen};
use crate::policy::Admitted;
use crate::store::Authorization;

/// A local license of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct License {
    pub(in crate::store) handshake_code: String,
    pub(in crate::store) serial: u32,
    /// The number of seats that was requested.
    pub(super) seats_asked: u32,
    pub(super) seats: u32,
    pub(super) issued_at: u64,
    pub(in crate::store) valid_until: u64,
    /// The name under which the device holds seats, or empty.
    pub(in crate::store) holder: String,
    /// The grant since which the license runs without a break, Unix seconds.
    pub(super) begun_at: u64,
}

impl License {
    /// Return the grant since which the license runs without a break, if it is renewed now.
    fn begun_since(&self, now: u64) -> u64 {
        if self.valid_until > now { self.begun_at } else { now }
    }
}

impl Device {
    /// Return the highest number of seats requested among the licenses that are valid now, and end
    /// at this instant at the latest.
    pub(super) fn running_seats(&self, now: u64, until: u64) -> u32 {
        let runs = |license: &&License| license.valid_until > now && license.valid_until <= until;
        let running = self.licenses.values().map(|license| &license.value).filter(runs);
        running.map(|license| license.seats_asked).max().unwrap_or(0)
    }

    /// Return the license with the highest serial among those that satisfy `is_such`.
    fn newest(&self, is_such: impl Fn(&License) -> bool) -> Option<(&String, &License)> {
        let licenses = self.licenses.iter().map(|(id, license)| (id, &license.value));
        licenses.filter(|(_, license)| is_such(license)).max_by_key(|(_, license)| license.serial)
    }

    /// End the licenses that satisfy `is_such` and are still valid. Return their number.
    fn end_all(&mut self, now: u64, is_such: impl Fn(&str, &License) -> bool) -> usize {
        let mut ended = 0;
        for (id, license) in &mut self.licenses {
            if license.value.valid_until > now && is_such(id, &license.value) {
                license.value.valid_until = now;
                license.is_changed = true;
                ended += 1;
            }
        }
        ended
    }
}

impl Account {
    /// Learn a license of a device.
    pub(in crate::store) fn learn_license(
        &mut self,
        device_uuid: &str,
        license_id: &str,
        license: License,
    ) {
        let licenses = &mut self.device(device_uuid).licenses;
        licenses.insert(license_id.to_owned(), Kept::read(license));
    }

    /// Return a license of a device.
    pub(in crate::store) fn license(
        &self,
        device_uuid: &str,
        license_id: &str,
    ) -> Option<&License> {
        let license = self.devices.get(device_uuid)?.licenses.get(license_id)?;
        Some(&license.value)
    }

    /// Return whether a license of a device runs, as far as they are loaded.
    pub(in crate::store) fn has_running(&self, device_uuid: &str, now: u64) -> bool {
        let device = self.devices.get(device_uuid);
        device.is_some_and(|device| device.newest(|license| license.valid_until > now).is_some())
    }

    /// Book a grant. Return the id of the local license. A renewal keeps its id, so that the number
    /// of rows does not grow with the years, and a report can name a license that ran out long ago.
    pub(in crate::store) fn grant(
        &mut self,
        request: &Authorization,
        handshake_code: &str,
        holder: &str,
        grant: &Admitted,
    ) -> String {
        let (uuid, now) = (request.device.uuid.as_str(), request.claim.now);
        let charge_way = self.item.charge_way;
        let device = self.device(uuid);
        device.come(&request.device, grant.serial, now);
        let license_id = device.put_license(request, handshake_code, holder, charge_way, grant);
        if charge_way != ChargeWay::ConcurrentInstance {
            // A device has one license for each code. It can get two when a restored server grants
            // it one before the device shows its own. The device would then hold a seat by a
            // license of which it does not know.
            device.end_all(now, |id, other| {
                other.handshake_code == handshake_code && id != license_id
            });
        }
        if grant.seats > 0 {
            device.note_seats(grant.seats, now);
        }
        if grant.hold.is_some() {
            self.set_hold(uuid, holder, grant.hold);
            self.note_seats_held(now);
        }
        for (module, allowance) in &grant.allowances {
            self.set_allowance(uuid, *module, *allowance);
        }
        license_id
    }

    /// Record a license that this server has signed and has forgotten. `holder` is the name under
    /// which the device holds seats, if it is known now. Otherwise, the name is the earlier one,
    /// from this license or the latest one, or the bare UUID.
    pub(in crate::store) fn remember(
        &mut self,
        held: &LocalLicense,
        facts: &DeviceFacts,
        holder: Option<&str>,
    ) {
        let (uuid, is_named) = (held.device_uuid.as_str(), |name: &String| !name.is_empty());
        let device = self.device(uuid);
        let known = device.licenses.get(&held.license_id).map(|license| &license.value);
        if known.is_some_and(|known| known.serial >= held.serial) {
            return;
        }
        let latest = || device.newest(|license| is_named(&license.holder)).map(|(_, known)| known);
        let before = known.filter(|known| is_named(&known.holder)).or_else(latest);
        let holder = match (holder, before) {
            (Some(name), _) => name.to_owned(),
            (None, Some(before)) => before.holder.clone(),
            (None, None) => uuid.to_owned(),
        };
        let license = License {
            handshake_code: known
                .map_or(&held.handshake_code, |known| &known.handshake_code)
                .clone(),
            serial: held.serial,
            seats_asked: known.map_or(held.seats, |known| known.seats_asked),
            seats: held.seats,
            issued_at: held.issued_at,
            valid_until: held.valid_until,
            holder: holder.clone(),
            begun_at: known.map_or(held.issued_at, |known| known.begun_since(held.issued_at)),
        };
        device.licenses.insert(held.license_id.clone(), Kept::new(license));
        device.come_back(facts, held.serial, held.issued_at);
        self.hold_again(uuid, &holder, held.seats, held.issued_at, held.valid_until);
        for allowance in &held.allowances {
            let known = self.allowance(uuid, allowance.module);
            let again = known.remembered(held.serial, held.issued_at, allowance);
            self.set_allowance(uuid, allowance.module, again);
        }
    }

    /// Move licenses and seats from the bare UUID to the holder's name. A report has no origin of a
    /// website, so a license recorded with a report is held under the bare UUID until the device
    /// gives the name.
    pub(in crate::store) fn take_name(&mut self, device_uuid: &str, holder: &str) {
        if holder == device_uuid {
            return;
        }
        for license in self.device(device_uuid).licenses.values_mut() {
            if license.value.holder == device_uuid {
                license.is_changed = true;
                holder.clone_into(&mut license.value.holder);
            }
        }
        self.rename_hold(device_uuid, holder);
    }

    /// End the device's work under the license with this serial; a license that was renewed since
    /// stays. Return the name under which the device held seats if it has left the item. Other
    /// applications may run under another code, and keep what the device holds.
    pub(in crate::store) fn end(
        &mut self,
        device_uuid: &str,
        license_id: &str,
        serial: u32,
        now: u64,
    ) -> Option<String> {
        let device = self.devices.get_mut(device_uuid)?;
        let license = device.licenses.get_mut(license_id)?;
        if license.value.serial != serial {
            return None;
        }
        if license.value.valid_until > now {
            license.value.valid_until = now;
            license.is_changed = true;
        }
        let holder = license.value.holder.clone();
        let runs = |license: &License| license.holder == holder && license.valid_until > now;
        let goes_on = device.licenses.values().any(|license| runs(&license.value));
        (!goes_on).then_some(holder)
    }

    /// End the device's work under a license, as the device's own message says, and take back its
    /// seats and allowances if it has left the item.
    pub(in crate::store) fn end_by_device(
        &mut self,
        device_uuid: &str,
        license_id: &str,
        serial: u32,
        now: u64,
    ) {
        if let Some(holder) = self.end(device_uuid, license_id, serial, now) {
            self.release_holder(device_uuid, &holder);
            self.give_back(device_uuid, Some(serial));
        }
    }

    /// End the device's running licenses, and free what the device holds. Return the number of
    /// licenses that ended; `None` when the device has nothing from the item.
    pub(in crate::store) fn release(&mut self, device_uuid: &str, now: u64) -> Option<usize> {
        self.devices.get(device_uuid)?.seen.value.as_ref()?;
        self.release_seats(device_uuid);
        self.give_back(device_uuid, None);
        Some(self.device(device_uuid).end_all(now, |_, _| true))
    }
}

impl Device {
    /// Record that the device was granted a license now.
    fn come(&mut self, facts: &DeviceFacts, serial: u32, now: u64) {
        let seen = self.seen.value.as_ref();
        self.seen.set(Some(Seen {
            friendly_name: facts.friendly_name.clone(),
            library_version: facts.library_version.clone(),
            newest_serial: serial,
            first_seen_at: seen.map_or(now, |seen| seen.first_seen_at),
            last_seen_at: seen.map_or(now, |seen| seen.last_seen_at.max(now)),
        }));
    }

    /// Record that the device has shown a license with this serial.
    fn come_back(&mut self, facts: &DeviceFacts, serial: u32, issued_at: u64) {
        let known = self.seen.value.clone();
        let seen = known.unwrap_or_else(|| Seen {
            friendly_name: facts.friendly_name.clone(),
            library_version: facts.library_version.clone(),
            newest_serial: serial,
            first_seen_at: issued_at,
            last_seen_at: issued_at,
        });
        self.seen.set(Some(Seen { newest_serial: seen.newest_serial.max(serial), ..seen }));
    }

    fn put_license(
        &mut self,
        request: &Authorization,
        handshake_code: &str,
        holder: &str,
        charge_way: ChargeWay,
        grant: &Admitted,
    ) -> String {
        // Applications that request different numbers of instances have a license each. Under other
        // charge ways, the requested number of seats has no meaning. A license that was recorded
        // again after a restore does not contain it either.
        let seats = match charge_way {
            ChargeWay::ConcurrentInstance => request.claim.seats..=request.claim.seats,
            _ => 0..=u32::MAX,
        };
        let renewed = self.newest(|license| {
            license.handshake_code == handshake_code && seats.contains(&license.seats_asked)
        });
        let now = request.claim.now;
        let (license_id, seats_asked, begun_at) = match renewed {
            Some((license_id, license)) => {
                (license_id.clone(), license.seats_asked, license.begun_since(now))
            }
            None => (request.license_id.clone(), request.claim.seats, now),
        };
        let license = License {
            handshake_code: handshake_code.to_owned(),
            serial: grant.serial,
            seats_asked,
            seats: grant.seats,
            issued_at: now,
            valid_until: grant.valid_until,
            holder: holder.to_owned(),
            begun_at,
        };
        self.licenses.insert(license_id.clone(), Kept::new(license));
        license_id
    }
}
