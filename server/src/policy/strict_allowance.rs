//! Strict items: scans and pages that never exceed N and its grace, even when every device is
//! offline.
//!
//! A device may count only what the server has set aside for it: its *allowance*. Allowances are
//! totals that a device may reach, counted since it first used the item. They come with the local
//! license and grow with the next one. The number left for others is N + grace minus all
//! allowances, used or not:
//!
//! ```text
//! Σ allowed ≤ N + grace, and performed ≤ allowed on each device, hence Σ performed ≤ N + grace
//! ```
//!
//! | event | allowed | used |
//! | --- | --- | --- |
//! | the device reports a total | – | the higher of both |
//! | it asks for more | used + its share, never less than before | – |
//! | it gives back under the newest serial, or one that a restored server has forgotten | falls to used | – |
//! | it gives back under an older serial | – | – |
//! | it is silent | – | – |
//! | it loses its state, or is restored to an earlier one | – | rises to allowed: this part is *lost* |
//! | it shows a license that a restored server has forgotten | the higher of both | the higher of both: the difference is *lost* |
//! | it reports work that was done before, or under a license of before | – | unchanged, while some is lost |
//!
//! A share is half of what the device could get, divided by the number of devices. This is so large
//! that a device rarely has to ask, and so small that a device that disappears does not take much
//! with it. The share shrinks as the rest shrinks, down to 1.
//!
//! A device that was cut from power cannot tell how much it had counted, so it counts a part of its
//! allowance no more. It names this part in each request, and gets its share on top of it.
//!
//! Only the device itself can give an allowance back, because only the device knows that it
//! performs nothing more. A silent device may have performed all that it was allowed, and report it
//! late. An operator who declares a device lost gives its allowance back instead.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::grace::{METERED_GRACE_PERCENT, grace, limit};
use seatmeter_protocol::license::CountAllowance;
use seatmeter_protocol::message::ProblemNumbers;
use seatmeter_protocol::slot::{slot_of, slot_start};

use super::validity::next_serial;
use crate::error::Refusal;

/// The number that one device may count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The serial of the local license that carries the allowance.
    pub serial: u32,
    /// The total that the device may reach.
    pub allowed: u64,
    /// The total that the device has reported, and what is lost.
    pub used: u64,
    /// The part of `used` that no report has confirmed: the device has lost the state that knew it.
    pub lost: u64,
    /// Unix seconds at which that state was lost last; 0 for never. Only work in a slot that begins
    /// before, or under a license of before, can be in `lost`.
    pub lost_at: u64,
}

impl Allowance {
    /// Return the number that is set aside for the device and not known to be used.
    #[must_use]
    pub fn unused(&self) -> u64 {
        self.allowed.saturating_sub(self.used)
    }

    /// Record the device's report that it has performed `total` in all. The total of a client that
    /// has counted more than it was allowed is booked in full.
    #[must_use]
    pub fn reported(self, total: u64) -> Self {
        let used = self.used.max(total);
        Self { used, allowed: self.allowed.max(used), ..self }
    }

    /// Record that the device has lost the state under which it was allowed the rest: nobody knows
    /// what it has performed of it, so all of it counts as used.
    #[must_use]
    pub fn lose(self, now: u64) -> Self {
        Self {
            used: self.allowed.max(self.used),
            lost: self.lost.saturating_add(self.unused()),
            lost_at: now,
            ..self
        }
    }

    /// Record what a license carries that a restored server has forgotten. The device has used what
    /// the license says. It reports that work again if it still can; until then, it is lost.
    #[must_use]
    pub fn remembered(self, serial: u32, issued_at: u64, carried: &CountAllowance) -> Self {
        let forgotten = carried.used.saturating_sub(self.used);
        // Nobody knows when in the slot of the license the work was done. To count some of it
        // twice would take more from the quota than the device was allowed.
        let slot_end = slot_start(slot_of(issued_at).saturating_add(1));
        let lost_at = if forgotten > 0 { slot_end.max(self.lost_at) } else { self.lost_at };
        Self {
            serial: serial.max(self.serial),
            allowed: carried.allowed.max(self.allowed),
            used: self.used.saturating_add(forgotten),
            lost: self.lost.saturating_add(forgotten),
            lost_at,
        }
    }

    /// Return whether work was allowed by a state that was lost, and is in `lost` already. It was
    /// done in this slot, under a license with this serial.
    #[must_use]
    pub fn has_lost(&self, slot: u32, serial: u32) -> bool {
        self.lost > 0 && (slot < slot_of(self.lost_at) || serial < next_serial(0, self.lost_at))
    }

    /// Record the device's report that it has performed `more` than was known, under a state that
    /// was lost. Only what goes beyond the lost part was not counted as used before.
    #[must_use]
    pub fn reported_of_lost(self, more: u64) -> Self {
        let known = more.min(self.lost);
        let own = Self { lost: self.lost - known, ..self };
        own.reported(own.used.saturating_add(more - known))
    }

    /// Record that the device performs nothing more under the local license with this serial. A
    /// later one than is known here was granted before the server was restored.
    #[must_use]
    pub fn given_back(self, serial: u32) -> Self {
        if serial >= self.serial { Self { allowed: self.used, ..self } } else { self }
    }
}

/// The allowances of all devices of an item, or of one module of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// The quota N.
    pub quota: u64,
    /// The sum of the allowances of all devices.
    pub allowed: u64,
    /// The number of devices that are allowed more than they have used, including the one that
    /// makes the request.
    pub devices: u64,
}

impl Allowances {
    /// Return the number that can still be set aside.
    #[must_use]
    pub fn left(&self) -> u64 {
        limit(self.quota, METERED_GRACE_PERCENT).saturating_sub(self.allowed)
    }
}

/// What a device needs, to go on under the item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The least with which it can continue, such as the barcodes of one image.
    pub needed: u64,
    /// What it cannot count any more of what it was allowed, though it has not counted it: this
    /// stays set aside, because the work may have been done.
    pub lost: u64,
}

/// Return how much a device gets of what it could get. `needed` is the least with which it can
/// continue.
#[must_use]
pub fn share(could_get: u64, devices: u64, needed: u64) -> u64 {
    let half = could_get / devices.max(1).saturating_mul(2);
    half.max(needed).max(1).min(could_get)
}

/// Return the allowance of a device with its next local license. `serial` is that of the new
/// license.
///
/// # Errors
/// Returns -20120 when the device has nothing left, and nothing is left for it.
pub fn decide(
    item_id: &str,
    all: &Allowances,
    own: Allowance,
    need: Need,
    serial: u32,
) -> Result<Allowance, Refusal> {
    let Need { needed, lost } = need;
    // A number by mistake must not take from the other devices what is left of the item.
    let is_possible = needed <= limit(all.quota, METERED_GRACE_PERCENT);
    let least = if is_possible { needed } else { 0 };
    let could_get = all.left().saturating_add(own.unused());
    if could_get == 0 {
        return Err(Refusal::with_numbers(
            ErrorCode::USED_UP,
            format!(
                "item \"{item_id}\" is strict: all of its {} and their grace are used, or set \
                 aside for other devices; \
                 what those do not use comes back when they end or are taken out of use",
                all.quota
            ),
            ProblemNumbers {
                requested: needed,
                quota: all.quota,
                used: all.allowed,
                grace: grace(all.quota, METERED_GRACE_PERCENT),
                ..ProblemNumbers::default()
            },
        ));
    }
    let unused = match could_get.saturating_sub(lost) {
        // It can count nothing of what is left, but a later grant may bring more.
        0 => 1,
        beyond => lost + share(beyond, all.devices, least),
    };
    let unused = own.unused().max(unused);
    Ok(Allowance { serial, allowed: own.used.saturating_add(unused), ..own })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use seatmeter_protocol::slot::SLOT_SECONDS;

    fn needing(needed: u64) -> Need {
        Need { needed, ..Need::default() }
    }

    #[test]
    fn a_share_shrinks_with_what_is_left_down_to_one() {
        for (could_get, devices, needed, expected) in [
            (1_000, 1, 1, 500),
            (1_000, 0, 1, 500),
            (1_000, 10, 1, 50),
            (1_000, 10, 80, 80),
            (10, 10, 1, 1),
            (10, 10, 80, 10),
            (1, 10, 0, 1),
            (0, 1, 1, 0),
            (u64::MAX, u64::MAX, 0, 1),
        ] {
            assert_eq!(
                share(could_get, devices, needed),
                expected,
                "{could_get} for {devices}, needed {needed}"
            );
        }
    }

    #[test]
    fn a_forgotten_license_brings_back_what_the_device_had_used() {
        const ISSUED_AT: u64 = 1_800_000_000;
        let serial = next_serial(0, ISSUED_AT);
        let restored = Allowance { serial: 7, allowed: 20, used: 18, ..Allowance::default() };
        let carried = CountAllowance { module: 0, allowed: 45, used: 40 };
        let known = restored.remembered(serial, ISSUED_AT, &carried);
        assert_eq!((known.serial, known.allowed, known.used, known.lost), (serial, 45, 40, 22));
        // The device reports that work again: it counts once. What it performs later is new.
        let (slot, renewed) = (slot_of(ISSUED_AT), next_serial(serial, ISSUED_AT + SLOT_SECONDS));
        assert!(known.has_lost(slot, renewed));
        assert!(!known.has_lost(slot + 1, renewed));
        let told = known.reported_of_lost(22);
        assert_eq!((told.allowed, told.used, told.lost), (45, 40, 0));
        assert!(!told.has_lost(slot, renewed));
        // A license that says less than the data brings nothing back.
        let carried = CountAllowance { module: 0, allowed: 18, used: 17 };
        assert_eq!(restored.remembered(6, ISSUED_AT, &carried), restored);
    }

    #[test]
    fn what_a_lost_state_has_performed_is_not_counted_as_used_a_second_time() {
        const LOST_AT: u64 = 1_800_000_000;
        let before = Allowance { serial: 7, allowed: 52, used: 10, ..Allowance::default() };
        let after = before.lose(LOST_AT);
        assert_eq!((after.allowed, after.used, after.lost), (52, 52, 42));
        // Late work of the lost state: known as used, up to what that state was allowed.
        let told = after.reported_of_lost(30);
        assert_eq!((told.allowed, told.used, told.lost), (52, 52, 12));
        let told = told.reported_of_lost(15);
        assert_eq!((told.allowed, told.used, told.lost), (55, 55, 0));
        // What the device performs under its next license is used beside what is lost.
        let next = Allowance { allowed: 60, ..after };
        assert_eq!((next.reported(55).used, next.reported(55).lost), (55, 42));
        // An earlier slot or an earlier license distinguishes the two.
        let (slot, serial) = (slot_of(LOST_AT), next_serial(0, LOST_AT));
        for (slot, serial, is_lost) in [
            (slot, serial, false),
            (slot - 1, serial, true),
            (slot, serial - 1, true),
            (slot + 9, serial - 1, true),
        ] {
            assert_eq!(after.has_lost(slot, serial), is_lost, "{slot} {serial}");
        }
        assert!(!before.has_lost(slot - 1, serial - 1), "nothing is lost");
    }

    #[test]
    fn what_a_device_has_lost_stays_set_aside_and_it_gets_its_share_on_top() {
        let all = Allowances { quota: 1_000, allowed: 600, devices: 1 };
        let own = Allowance { serial: 1, allowed: 600, used: 100, ..Allowance::default() };
        for (needed, lost, expected) in [
            // It could get 450 and the 500 that it has; half is no more than it has.
            (0, 0, 600),
            (0, 400, 100 + 400 + (950 - 400) / 2),
            (0, 500, 100 + 500 + (950 - 500) / 2),
            (300, 500, 100 + 500 + 300),
            (450, 500, 1_050),
            (451, 500, 1_050),
            (1_050, 500, 1_050),
            (1_051, 500, 100 + 500 + (950 - 500) / 2),
            (0, 949, 1_050),
            (0, 950, 600),
            (0, u64::MAX, 600),
        ] {
            let decided = decide("item", &all, own, Need { needed, lost }, 2).unwrap();
            assert_eq!(decided.allowed, expected, "needed {needed}, lost {lost}");
            assert_eq!(decided.used, 100, "the server does not know whether it was used");
        }
        let begun = decide("item", &all, Allowance::default(), Need { needed: 0, lost: 450 }, 2);
        assert_eq!(begun.unwrap().allowed, 1, "no more is set aside than it takes for a license");
    }

    #[test]
    fn nobody_gets_anything_when_all_is_set_aside_until_a_device_gives_back() {
        let mut offline = Allowance { serial: 7, allowed: 1_050, used: 3, ..Allowance::default() };
        let mut all = Allowances { quota: 1_000, allowed: 1_050, devices: 2 };
        let refusal = decide("item", &all, Allowance::default(), needing(7), 1).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::USED_UP);
        let numbers = ProblemNumbers {
            requested: 7,
            quota: 1_000,
            used: 1_050,
            grace: 50,
            ..ProblemNumbers::default()
        };
        assert_eq!(refusal.numbers, Some(Box::new(numbers)), "what is set aside counts as used");
        assert_eq!(offline.given_back(6), offline, "not under an older local license");
        let forgotten = Allowance { serial: 5, ..offline };
        assert_eq!(forgotten.given_back(7).allowed, 3, "the server was restored");
        offline = offline.given_back(7);
        let all_used = Allowance { serial: 7, allowed: 3, used: 3, ..Allowance::default() };
        assert_eq!(offline, all_used);
        all.allowed = offline.allowed;
        assert_eq!(
            decide("item", &all, Allowance::default(), needing(1), 1).unwrap().allowed,
            1_047 / 4
        );
    }

    #[test]
    fn asking_again_gives_no_more() {
        let mut all = Allowances { quota: 1_000, allowed: 0, devices: 1 };
        let first = decide("item", &all, Allowance::default(), needing(1), 1).unwrap();
        all.allowed = first.allowed;
        assert_eq!(
            decide("item", &all, first, needing(1), 2),
            Ok(Allowance { serial: 2, ..first })
        );
    }

    /// One device with its true state, its local license, and the messages on their way to and from
    /// it.
    #[derive(Clone, Debug, Default)]
    struct Device {
        serial: u32,
        allowed: u64,
        performed: u64,
        answers: Vec<Allowance>,
        gifts: Vec<(u32, u64)>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Perform(usize, u64),
        Report(usize),
        Ask(usize, u64, u64),
        Receive(usize, usize),
        GiveBack(usize),
        TakeBack(usize, usize),
    }

    const DEVICES: usize = 4;

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let device = 0..DEVICES;
        prop::collection::vec(
            prop_oneof![
                (device.clone(), 1..200_u64).prop_map(|(d, n)| Step::Perform(d, n)),
                device.clone().prop_map(Step::Report),
                (device.clone(), 0..9_u64, 0..40_u64)
                    .prop_map(|(d, n, lost)| Step::Ask(d, n, lost)),
                (device.clone(), 0..9_usize).prop_map(|(d, n)| Step::Receive(d, n)),
                device.clone().prop_map(Step::GiveBack),
                (device, 0..9_usize).prop_map(|(d, n)| Step::TakeBack(d, n)),
            ],
            0..200,
        )
    }

    proptest! {
        /// Devices work offline; answers and returned allowances are lost, late, repeated and out
        /// of order. In every case, both the performed total and the allowed total stay within N +
        /// grace.
        #[test]
        fn nothing_makes_devices_perform_more_than_quota_and_grace(quota in 1..300_u64, steps in steps()) {
            let mut devices = vec![Device::default(); DEVICES];
            let mut server = [Allowance::default(); DEVICES];
            let mut serial = 0;
            for step in steps {
                match step {
                    Step::Perform(d, n) => {
                        let device = &mut devices[d];
                        device.performed = (device.performed + n).min(device.allowed).max(device.performed);
                    }
                    Step::Report(d) => server[d] = server[d].reported(devices[d].performed),
                    Step::Ask(d, needed, lost) => {
                        server[d] = server[d].reported(devices[d].performed);
                        serial += 1;
                        let all = Allowances {
                            quota,
                            allowed: server.iter().map(|own| own.allowed).sum(),
                            devices: server.iter().filter(|own| own.unused() > 0).count() as u64,
                        };
                        if let Ok(allowance) = decide("item", &all, server[d], Need { needed, lost }, serial) {
                            server[d] = allowance;
                            devices[d].answers.push(allowance);
                        }
                    }
                    Step::Receive(d, which) => {
                        let device = &mut devices[d];
                        if let Some(answer) = device.answers.get(which).filter(|a| a.serial > device.serial) {
                            (device.serial, device.allowed) = (answer.serial, answer.allowed);
                        }
                    }
                    Step::GiveBack(d) => {
                        let device = &mut devices[d];
                        device.allowed = device.performed;
                        device.gifts.push((device.serial, device.performed));
                    }
                    Step::TakeBack(d, which) => {
                        if let Some((serial, performed)) = devices[d].gifts.get(which) {
                            server[d] = server[d].reported(*performed).given_back(*serial);
                        }
                    }
                }
                let most = limit(quota, METERED_GRACE_PERCENT);
                prop_assert!(devices.iter().map(|device| device.performed).sum::<u64>() <= most);
                prop_assert!(server.iter().map(|own| own.allowed).sum::<u64>() <= most);
                for (device, own) in devices.iter().zip(&server) {
                    prop_assert!(device.performed <= own.allowed.max(device.allowed));
                }
            }
        }
    }
}
