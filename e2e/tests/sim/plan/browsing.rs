//! Events that only browsers have.

use super::episodes::insert;
use super::{Step, What};
use crate::random::Random;

/// Let pages open, count together, go hidden and die, and users clear their storage.
pub(super) fn browse(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0xb_0061);
    let is_cleared = random.percent(50);
    insert(steps, &mut random, 22, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        match random.below(10) {
            0..4 => vec![
                (0, What::Start(machine)),
                (0, What::Start(machine)),
                (0, What::Work(machine, random.between(1, 9))),
                (0, What::Busy(machine, random.between(1, 4))),
                (0, What::Kill(machine)),
                (random.one_of(&[0, 5, 400]), What::Keep(machine)),
            ],
            4..7 => vec![
                (0, What::Work(machine, random.between(1, 9))),
                (0, What::Hide(machine)),
                (random.one_of(&[0, 200, 7_200]), What::Work(machine, 1)),
            ],
            7..9 => vec![
                (0, What::CutOff(machine, u32::try_from(random.between(1, 9)).unwrap_or(1))),
                (0, What::Work(machine, random.between(1, 9))),
                (0, What::Start(machine)),
            ],
            _ if is_cleared => vec![
                (0, What::Clear(machine)),
                (0, What::Work(machine, 2)),
                (random.one_of(&[0, 1, 400]), What::Start(machine)),
                (0, What::Work(machine, 2)),
            ],
            _ => vec![(0, What::Close(machine)), (0, What::Start(machine))],
        }
    });
}
