//! Events by which somebody bends a device, a server or its data, in some worlds.
//!
//! Each kind has a generator of its own, so that the other worlds stay as they were before it was
//! added. Each number is chosen so that the worlds that once broke a law have none of them.

use super::episodes::insert;
use super::{Edit, Step, Theft, What};
use crate::random::Random;

/// In some worlds, the `device` file of a machine is in the image of others, before or after the
/// machine's first contact.
pub(super) fn bake_images(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0xb_a769);
    if !random.percent(12) {
        return;
    }
    let image = machine(&mut random, machines);
    let mut baked = 0;
    insert(steps, &mut random, 10, |random| {
        baked += 1;
        if baked == 1 {
            return vec![(0, What::Bake(image))];
        }
        // The machines that begin with the image are those after the first ones.
        let container = usize::try_from(random.below(6)).expect("few machines");
        vec![
            (0, What::Start(container)),
            (0, What::Work(container, 2)),
            (random.one_of(&[1, 400, 86_400]), What::Rounds(container, 2)),
        ]
    });
}

/// In some worlds, machines are put back to an earlier state, night after night.
pub(super) fn put_machines_back(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0x4_1824);
    if !random.percent(14) {
        return;
    }
    insert(steps, &mut random, 12, |random| {
        let machine = machine(random, machines);
        if random.percent(35) {
            return vec![
                (0, What::Start(machine)),
                (0, What::Work(machine, 2)),
                (0, What::Snapshot(machine)),
            ];
        }
        vec![
            (random.one_of(&[0, 1_000, 80_000]), What::PutBack(machine)),
            (0, What::Start(machine)),
            (0, What::Work(machine, random.between(1, 20))),
            (0, What::Rounds(machine, 2)),
        ]
    });
}

/// In some worlds, a machine is put back again and again to the state before its first license, as
/// a container that begins with the same image each time.
pub(super) fn put_back_to_nothing(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0xf_00ba);
    if !random.percent(8) {
        return;
    }
    let machine = machine(&mut random, machines);
    let begins = [
        What::Unplug(machine),
        What::Start(machine),
        What::Snapshot(machine),
        What::Unplug(machine),
        What::Start(machine),
    ];
    insert(steps, &mut random, 6, |random| {
        vec![
            (random.one_of(&[1_000, 80_000, 900_000]), What::PutBack(machine)),
            (0, What::Start(machine)),
            (0, What::Work(machine, random.between(1, 20))),
            (random.one_of(&[1, 400, 30_000]), What::Rounds(machine, 2)),
        ]
    });
    let first = steps[0].clone();
    let step = |what| Step { after: 0, what, seed: random.word(), ..first.clone() };
    let begins: Vec<Step> = begins.map(step).into();
    steps.splice(0..0, begins);
}

/// In some worlds, strangers use the UUIDs and the codes of others.
pub(super) fn steal(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0x5_7a19);
    if !random.percent(14) {
        return;
    }
    insert(steps, &mut random, 12, |random| {
        let machine = machine(random, machines);
        let all = [Theft::Ask, Theft::Report, Theft::Report, Theft::AskFirst, Theft::Show];
        vec![
            (0, What::Steal(machine, random.one_of(&all))),
            (0, What::Work(machine, 1)),
            (0, What::Keep(machine)),
        ]
    });
}

/// In some worlds, the operator edits the database.
pub(super) fn edit_databases(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0xe_d17c);
    if !random.percent(12) {
        return;
    }
    insert(steps, &mut random, 8, |random| {
        let machine = machine(random, machines);
        let mut more = vec![
            (0, What::Edit(random.one_of(&[Edit::Quota, Edit::Holders]))),
            (0, What::Start(machine)),
            (0, What::Work(machine, 2)),
            (random.one_of(&[1, 400, 30_000]), What::Rounds(machine, 2)),
        ];
        if random.percent(60) {
            more.push((0, What::RaiseQuota(random.between(1, 5))));
        }
        more
    });
}

/// In some worlds, a second server with the same key begins with a copy of the data, and devices
/// reach one of the two.
pub(super) fn copy_servers(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0x7_e107);
    if !random.percent(14) {
        return;
    }
    insert(steps, &mut random, 12, |random| {
        let machine = machine(random, machines);
        match random.below(10) {
            0..2 => vec![(0, What::CopyServer)],
            2 => vec![(0, What::StopCopy)],
            _ => vec![
                (0, What::Reroute(machine)),
                (0, What::Start(machine)),
                (0, What::Work(machine, 2)),
                (random.one_of(&[1, 200, 4_000]), What::Rounds(machine, 2)),
            ],
        }
    });
}

fn machine(random: &mut Random, machines: u64) -> usize {
    usize::try_from(random.below(machines)).expect("few machines")
}
