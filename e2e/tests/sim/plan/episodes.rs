//! Events that some worlds have in a row: a fault that needs several of them.
//!
//! Each kind has a generator of its own, so that the other worlds stay as they were before it was
//! added.

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};

use super::event::{Code, Loss, Step, Stopped, What};
use crate::random::Random;
use crate::server::{CODE, SECOND_CODE};
use crate::time::{Namespace, START};

/// In some worlds, files in used state directories are cleaned up.
pub(super) fn clean_up(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0x14d);
    if !random.percent(12) {
        return;
    }
    insert(steps, &mut random, 12, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let loss = random.one_of(&[
            Loss::Deleted,
            Loss::Deleted,
            Loss::Renamed,
            Loss::Copied,
            Loss::AwayAndBack,
        ]);
        vec![(0, What::Start(machine)), (0, What::Lose(machine, loss)), (1, What::Keep(machine))]
    });
}

/// In some worlds, the standby has data of its own, and devices move to it and back.
pub(super) fn fail_over(steps: &mut Vec<Step>, seed: u64, machines: u64) -> bool {
    let mut random = Random::new(seed ^ 0xfa1);
    if !random.percent(8) {
        return false;
    }
    insert(steps, &mut random, 10, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let servers =
            [What::ServerDown, What::ServerDown, What::StandbyDown, What::LoseMain(machine)];
        let server = random.one_of(&servers);
        let after = random.one_of(&[10, 400, 7 * 3600]);
        vec![
            (0, What::Start(machine)),
            (0, server),
            (after, What::Rounds(machine, 3)),
            (0, What::Work(machine, 2)),
            (0, What::Rounds(machine, 2)),
            (0, What::Work(machine, 1)),
        ]
    });
    true
}

/// In some worlds, the clocks of servers are ahead for a while, and are then corrected.
pub(super) fn set_servers_ahead(
    steps: &mut Vec<Step>,
    seed: u64,
    machines: u64,
    is_standby_apart: bool,
) -> bool {
    let mut random = Random::new(seed ^ 0xc10c);
    if !random.percent(if is_standby_apart { 60 } else { 12 }) {
        return false;
    }
    // A server deletes by its clock, and a restored one is careful until a far instant. The repair
    // of rows that a server wrote while its clock was ahead is not tested here.
    steps.retain(|step| {
        !matches!(step.what, What::Tidy | What::Backup | What::Restore | What::Aftermath(_))
    });
    insert(steps, &mut random, 8, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let seconds = random.one_of(&[7_200, 26 * 3_600, 20 * DAY_SECONDS, 400 * DAY_SECONDS]);
        let set = |seconds| match is_standby_apart && seed.is_multiple_of(2) {
            true => What::StandbyAhead(seconds),
            false => What::ServerAhead(seconds),
        };
        let mut more = vec![
            (0, What::Start(machine)),
            (0, set(seconds)),
            (random.one_of(&[1, 200]), What::Rounds(machine, 2)),
            (0, What::Work(machine, 2)),
        ];
        if random.percent(30) {
            more.push((0, What::Reboot(machine, random.one_of(&[0, 600]))));
        }
        more.push((random.one_of(&[1, 200, 7_200]), set(0)));
        more.extend([
            (0, What::Start(machine)),
            (0, What::Rounds(machine, 2)),
            (0, What::Work(machine, 2)),
        ]);
        more
    });
    true
}

/// In some worlds, programs are in time namespaces, whose boot clocks differ from the machine's.
pub(super) fn enter_namespaces(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0x7145);
    if !random.percent(12) {
        return;
    }
    insert(steps, &mut random, 12, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let ahead_ms = random.one_of(&[-1_200_000, 1_200_000, -40 * 86_400_000, 0]);
        let namespace = Namespace { ahead_ms, is_silent: random.percent(25) };
        vec![
            (0, What::EnterNamespace(machine, namespace)),
            (0, What::Start(machine)),
            (0, What::Work(machine, 1)),
            (1, What::Rounds(machine, 3)),
            (0, What::EnterNamespace(machine, Namespace::default())),
        ]
    });
}

/// In some worlds, the code has a second item, and the operator changes the items that the code
/// serves.
pub(super) fn move_about(
    steps: &mut Vec<Step>,
    seed: u64,
    machines: u64,
    first: &LicenseItem,
) -> Option<LicenseItem> {
    let mut random = Random::new(seed ^ 0x2d);
    if !random.percent(12) {
        return None;
    }
    let expires_at = START + random.one_of(&[12, 40, 90, 300]) * DAY_SECONDS + random.below(1000);
    let mut second = LicenseItem { item_id: "second".into(), expires_at, ..first.clone() };
    second.quota = random.between(first.quota, 2 * first.quota);
    second.offline_days = random.one_of(&[0, 1, 7, 30]);
    if matches!(first.charge_way, ChargeWay::BarcodeScan | ChargeWay::Page) {
        second.strict = random.percent(50);
    }
    if second.strict {
        // As with a strict first item, no device is copied or released: while it is offline it does
        // not know, and spends its allowance all the same.
        steps.retain(|step| !matches!(step.what, What::Clone(_) | What::Release(_)));
    }
    insert(steps, &mut random, 12, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let code = random.one_of(&[Code::Item, Code::Second, Code::Second, Code::Nothing]);
        let mut more = vec![(0, What::ChangeCode(code))];
        if random.percent(30) {
            let used = random.one_of(&[CODE, SECOND_CODE]);
            more.extend([(0, What::UseCode(machine, used)), (0, What::Start(machine))]);
        }
        more.extend([(0, What::Work(machine, 2)), (0, What::Rounds(machine, 3))]);
        more
    });
    Some(second)
}

/// In some worlds, programs are stopped in mid-request, by a debugger or with their container.
pub(super) fn stop_some(steps: &mut Vec<Step>, seed: u64, machines: u64) {
    let mut random = Random::new(seed ^ 0x5709);
    if !random.percent(15) {
        return;
    }
    insert(steps, &mut random, 10, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let seconds = random.one_of(&[0, 0, 40, 3600, 2 * DAY_SECONDS]);
        let stopped = random.one_of(&[Stopped::Answered, Stopped::Granted, Stopped::Asking]);
        let stop = What::Stop(machine, stopped, seconds);
        vec![
            (0, What::Start(machine)),
            (0, What::Start(machine)),
            (0, What::Work(machine, 2)),
            (0, stop),
            (0, What::Work(machine, 1)),
            (0, What::Rounds(machine, 2)),
        ]
    });
}

/// In some worlds, programs of one machine ask for different numbers of seats, sometimes for more
/// than there are.
pub(super) fn ask_otherwise(steps: &mut Vec<Step>, seed: u64, machines: u64, item: &LicenseItem) {
    // A generator of its own keeps the other worlds as they were before this was added.
    let mut random = Random::new(seed ^ 0xa5c);
    if item.charge_way != ChargeWay::ConcurrentInstance || random.percent(50) {
        return;
    }
    insert(steps, &mut random, 15, |random| {
        let machine = usize::try_from(random.below(machines)).expect("few machines");
        let most = if random.percent(10) { item.quota + 1 } else { item.quota };
        let x = u32::try_from(random.between(1, most)).unwrap_or(1);
        vec![
            (0, What::AskFor(machine, x)),
            (0, What::Start(machine)),
            (0, What::Rounds(machine, 12)),
        ]
    });
}

/// Insert more steps before so many percent of the steps, each so many seconds after the previous
/// one.
pub(super) fn insert(
    steps: &mut Vec<Step>,
    random: &mut Random,
    percent: u64,
    mut more: impl FnMut(&mut Random) -> Vec<(u64, What)>,
) {
    for step in std::mem::take(steps) {
        if random.percent(percent) {
            for (after, what) in more(random) {
                steps.push(Step { after, what, seed: random.word(), ..step.clone() });
            }
        }
        steps.push(step);
    }
}
