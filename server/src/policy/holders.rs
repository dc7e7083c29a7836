//! The holders of an item's seats: each holds a number of seats until an instant.
//!
//! A holder holds its seats up to an instant, not at it. Seats become free when this instant has
//! passed; no message is needed. The planner keeps all holders of an item in memory, here. The
//! account of an item in the store keeps those that a batch of requests concerns, and the number of
//! all seats. A change costs a logarithm of the number of holders; nothing grows with the history.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// The seats of one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The number of seats.
    pub seats: u64,
    /// The first instant at which the holder no longer holds the seats, Unix seconds.
    pub until: u64,
}

/// The occupied seats of an item, as seen by one device that makes a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupied {
    /// The seats of all other holders.
    pub by_others: u64,
    /// The seats of the device itself.
    pub own: Option<Hold>,
    /// The instant at which the first of the others' seats becomes free unless it is renewed, Unix
    /// seconds.
    pub first_free_at: Option<u64>,
}

/// The holders of an item.
#[derive(Clone, Debug)]
pub struct Holders<D> {
    holds: HashMap<D, Hold>,
    ends: BTreeSet<(u64, D)>,
    /// The seats of all holders, also of those that are not in `holds`.
    seats: u64,
}

impl<D> Default for Holders<D> {
    fn default() -> Self {
        Self { holds: HashMap::new(), ends: BTreeSet::new(), seats: 0 }
    }
}

impl<D: Clone + Eq + Hash + Ord> Holders<D> {
    /// Make the holders of an item of whom only the number of seats is known so far.
    #[must_use]
    pub fn of_seats(seats: u64) -> Self {
        Self { seats, ..Self::default() }
    }

    /// Learn what a device holds, as part of the known number of seats.
    pub fn learn(&mut self, device: D, hold: Hold) {
        if let Some(known) = self.holds.insert(device.clone(), hold) {
            self.ends.remove(&(known.until, device.clone()));
        }
        self.ends.insert((hold.until, device));
    }

    /// Return what a device holds, also when its end has passed.
    pub fn get(&self, device: &D) -> Option<Hold> {
        self.holds.get(device).copied()
    }

    /// Return the number of seats, with those of holders whose end has passed and that were not
    /// forgotten yet.
    pub fn all_seats(&self) -> u64 {
        self.seats
    }

    /// Return the occupied seats now, as seen by this device.
    pub fn occupied(&mut self, device: D, now: u64) -> Occupied {
        self.forget(now);
        let own = self.holds.get(&device).copied();
        let others = self.ends.iter().find(|(_, holder)| *holder != device);
        Occupied {
            by_others: self.seats.saturating_sub(own.map_or(0, |hold| hold.seats)),
            own,
            first_free_at: others.map(|(until, _)| *until),
        }
    }

    /// Return the number of seats that are held now.
    pub fn seats(&mut self, now: u64) -> u64 {
        self.forget(now);
        self.seats
    }

    /// Record what a device holds, and replace what it held before.
    pub fn hold(&mut self, device: D, hold: Hold) {
        self.release(device.clone());
        self.learn(device, hold);
        self.seats = self.seats.saturating_add(hold.seats);
    }

    /// Release the seats of a device that has ended cleanly or that the operator releases.
    pub fn release(&mut self, device: D) {
        if let Some(old) = self.holds.remove(&device) {
            self.ends.remove(&(old.until, device));
            self.seats = self.seats.saturating_sub(old.seats);
        }
    }

    /// Delete every holder with an end that has passed. Return them.
    pub fn forget(&mut self, now: u64) -> Vec<D> {
        let mut ended = Vec::new();
        while let Some((until, device)) = self.ends.first().cloned()
            && until <= now
        {
            self.release(device.clone());
            ended.push(device);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_seat_is_free_at_the_instant_at_which_it_passes() {
        let mut holders = Holders::default();
        holders.hold(1, Hold { seats: 3, until: 100 });
        assert_eq!(
            holders.occupied(2, 99),
            Occupied { by_others: 3, own: None, first_free_at: Some(100) }
        );
        assert_eq!(holders.occupied(2, 100), Occupied::default());
    }

    #[test]
    fn seats_whose_holders_are_not_known_are_held_by_others() {
        let mut holders = Holders::of_seats(5);
        let hold = Hold { seats: 2, until: 100 };
        holders.learn(1, hold);
        assert_eq!((holders.get(&1), holders.get(&2)), (Some(hold), None));
        assert_eq!(holders.all_seats(), 5, "what is learned is part of them");
        assert_eq!(
            holders.occupied(2, 99),
            Occupied { by_others: 5, own: None, first_free_at: Some(100) }
        );
        assert_eq!(
            holders.occupied(1, 99),
            Occupied { by_others: 3, own: Some(hold), first_free_at: None }
        );
        assert_eq!(holders.seats(100), 3, "the others are not known to have ended");
    }

    #[test]
    fn a_holder_is_there_until_it_is_forgotten_and_its_end_is_the_one_learned_last() {
        let mut holders = Holders::of_seats(2);
        let renewed = Hold { seats: 2, until: 200 };
        holders.learn(1, Hold { seats: 2, until: 100 });
        holders.learn(1, renewed);
        assert_eq!(holders.forget(199), [0_u32; 0]);
        assert_eq!((holders.get(&1), holders.all_seats()), (Some(renewed), 2));
        assert_eq!(holders.forget(200), [1]);
        assert_eq!((holders.get(&1), holders.all_seats()), (None, 0));
    }

    proptest! {
        /// Holds, releases and queries come at random while time passes. A plain list gives the
        /// same answers.
        #[test]
        fn holders_agree_with_a_list(steps in prop::collection::vec((0..6_u32, 0..4_u64, 0..5_u64, 0..9_u64), 1..80)) {
            let mut holders = Holders::default();
            let mut list: Vec<(u32, Hold)> = Vec::new();
            let mut now = 0;
            for (device, seats, passed, lasts) in steps {
                now += passed;
                if lasts == 0 {
                    holders.release(device);
                    list.retain(|(holder, _)| *holder != device);
                } else {
                    let hold = Hold { seats, until: now + lasts };
                    holders.hold(device, hold);
                    list.retain(|(holder, _)| *holder != device);
                    list.push((device, hold));
                }
                let alive = list.iter().filter(|(_, hold)| now < hold.until);
                let others = alive.clone().filter(|(holder, _)| *holder != 0);
                prop_assert_eq!(holders.occupied(0, now), Occupied {
                    by_others: others.clone().map(|(_, hold)| hold.seats).sum(),
                    own: alive.clone().find(|(holder, _)| *holder == 0).map(|(_, hold)| *hold),
                    first_free_at: others.map(|(_, hold)| hold.until).min(),
                });
                prop_assert_eq!(holders.seats(now), alive.map(|(_, hold)| hold.seats).sum::<u64>());
            }
        }
    }
}
