//! The state of the item, added up from the rows for one decision.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::{HOLDERS_MAX, Holder, UsageKind};
use seatmeter_protocol::slot::{slot_of, slot_start};
use seatmeter_server::error::Refusal;
use seatmeter_server::policy::holders::{Hold, Occupied};
use seatmeter_server::policy::overuse::{OveruseRule, excess};
use seatmeter_server::policy::running::runs_until;
use seatmeter_server::policy::select::admission::Used;
use seatmeter_server::policy::select::item_choice::NoItem;
use seatmeter_server::policy::{Candidate, ItemState};

use super::{Plain, has_seats, is_concurrent};
use crate::books::Counter;

impl Plain {
    pub(super) fn candidates(&self, uuid: &str, holder: &str, now: u64) -> Vec<Candidate> {
        let listed = self.item.iter().filter(|_| self.is_listed && !self.is_edited);
        listed
            .map(|item| Candidate {
                item: item.clone().into(),
                revoked: self.is_revoked,
                state: self.state(item, uuid, holder, now),
            })
            .collect()
    }

    pub(super) fn explained(&self, no: NoItem, holder: &str) -> Refusal {
        let mut refusal = no.refusal;
        if let Some(numbers) =
            refusal.numbers.as_mut().filter(|numbers| numbers.next_free_at.is_some())
        {
            let others = self.holders.iter().filter(|(name, _)| *name != holder);
            let mut others: Vec<_> = others
                .map(|(name, (device, hold))| (hold.until, name, device, hold.seats))
                .collect();
            others.sort();
            let others = others.into_iter().take(HOLDERS_MAX);
            numbers.holders = others
                .map(|(until, _, device, seats)| Holder {
                    name: device.chars().take(4).collect(),
                    seats,
                    until,
                })
                .collect();
        }
        refusal
    }

    pub(super) fn state(
        &self,
        item: &LicenseItem,
        uuid: &str,
        holder: &str,
        now: u64,
    ) -> ItemState {
        let excess_of_year = self.excess_so_far(item, now);
        let is_overused = OveruseRule::of(item).is_overused(excess_of_year, now);
        let until = if is_overused { runs_until(now) } else { u64::MAX };
        let running = self.licenses.values().filter(|license| {
            license.device == uuid && license.valid_until > now && license.valid_until <= until
        });
        let others =
            self.holders.iter().filter(|(name, _)| *name != holder).map(|(_, (_, hold))| *hold);
        let others: Vec<Hold> = others.filter(|hold| hold.until > now).collect();
        let is_concurrent = is_concurrent(item);
        ItemState {
            running_seats: running
                .map(|license| license.seats_asked)
                .max()
                .filter(|_| is_concurrent)
                .unwrap_or(0),
            newest_serial: self.devices.get(uuid).copied().unwrap_or(0),
            occupied: match has_seats(item) || is_concurrent {
                true => Occupied {
                    by_others: others.iter().map(|hold| hold.seats).sum(),
                    own: self.holders.get(holder).map(|(_, hold)| *hold),
                    first_free_at: others.iter().map(|hold| hold.until).min(),
                },
                false => Occupied::default(),
            },
            excess_of_year,
            used: self.used(item, uuid),
        }
    }

    pub(super) fn used(&self, item: &LicenseItem, uuid: &str) -> Vec<Used> {
        let kind =
            if item.charge_way == ChargeWay::Page { UsageKind::Page } else { UsageKind::Scan };
        let used_of = |module: u32| {
            let is_of = |counter: &Counter| {
                counter.1 == kind.number() && (kind == UsageKind::Scan || counter.2 == module)
            };
            self.usage
                .iter()
                .filter(|((_, counter), _)| is_of(counter))
                .map(|(_, total)| total)
                .sum()
        };
        let all = |module: u32| {
            let of_module = self.allowances.iter().filter(move |((_, of), _)| *of == module);
            of_module.map(|(_, allowance)| *allowance)
        };
        let modules = item.metered_quotas().into_iter().map(|(module, _)| module);
        modules
            .map(|module| {
                let used = Used { module, used: used_of(module), ..Used::default() };
                if !item.strict {
                    return used;
                }
                Used {
                    allowed: all(module).map(|allowance| allowance.allowed).sum(),
                    devices: all(module).filter(|allowance| allowance.unused() > 0).count() as u64,
                    own: self
                        .allowances
                        .get(&(uuid.to_owned(), module))
                        .copied()
                        .unwrap_or_default(),
                    ..used
                }
            })
            .collect()
    }

    /// Return the excess of the slots that have ended in the current license year.
    fn excess_so_far(&self, item: &LicenseItem, now: u64) -> u64 {
        if !is_concurrent(item) {
            return 0;
        }
        let year = OveruseRule::of(item).year(now);
        let running = self.active.keys().filter(|slot| **slot >= slot_of(now));
        let not_yet = running.filter(|slot| slot_start(**slot) < year.ends_at);
        let not_yet: u64 = not_yet.map(|slot| excess(self.active_in(*slot), item.quota)).sum();
        self.excess.get(&year.index).copied().unwrap_or(0).saturating_sub(not_yet)
    }

    pub(super) fn active_in(&self, slot: u32) -> u64 {
        self.active
            .get(&slot)
            .map_or(0, |devices| devices.values().map(|count| u64::from(*count)).sum())
    }
}
