//! The events of any day, and the moods in which some of them are more frequent.

use seatmeter::fault_injection::disk::Disk;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem};

use super::event::{Code, Version, Versions, What};
use crate::random::Random;

/// Return the seconds to the next step: mostly within a slot or two, sometimes days.
pub(super) fn pause(random: &mut Random, pace: u64) -> u64 {
    match random.below(100) {
        0..40 => random.between(2, 60),
        40..60 => random.between(60, 400),
        60..85 => random.between(400, 3 * 3600) * pace / 2,
        85..96 => random.between(3, 30) * 3600 * pace / 5,
        _ => random.between(1, 4) * DAY_SECONDS * pace / 2,
    }
}

/// The kind of event that is more frequent in a world. Faults that need several events are found in
/// worlds with many of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    /// Late letters, and a server that is restored.
    Late,
    /// Disks that fail, and power cuts.
    Disks,
    /// Programs that start and end, and take seats.
    Seats,
    /// A busy operator, and an upgrade.
    Operator,
    /// Servers that go down and come up.
    Servers,
}

pub(super) const MOODS: [Option<Mood>; 7] = [
    None,
    None,
    Some(Mood::Late),
    Some(Mood::Disks),
    Some(Mood::Seats),
    Some(Mood::Operator),
    Some(Mood::Servers),
];

/// The percentage of steps that follow the mood.
pub(super) const MOOD_PERCENT: u64 = 35;

pub(super) fn moody(random: &mut Random, mood: Mood, machines: u64, item: &LicenseItem) -> What {
    let machine = usize::try_from(random.below(machines)).expect("few machines");
    let all = match mood {
        Mood::Late => [
            What::Deliver,
            What::Backup,
            What::Backup,
            What::Aftermath(machine),
            What::Start(machine),
            What::Keep(machine),
            What::Close(machine),
            What::CutOff(machine, u32::try_from(random.between(1, 24)).unwrap_or(1)),
        ],
        Mood::Disks => [
            What::Disk(machine, disk(random)),
            What::Disk(machine, disk(random)),
            What::PowerCut(machine, random.below(3600)),
            What::Brownout(machine, u32::try_from(random.between(1, 4)).unwrap_or(1)),
            What::Brownout(machine, 1),
            What::Keep(machine),
            What::Start(machine),
            What::Close(machine),
        ],
        Mood::Seats => [
            What::Take(machine, random.between(1, 4)),
            What::Take(machine, random.between(1, 4)),
            What::Give(machine, random.below(3)),
            What::Kill(machine),
            What::Start(machine),
            What::Start(machine),
            What::Close(machine),
            What::PowerCut(machine, random.below(3600)),
        ],
        Mood::Operator => [
            What::RaiseQuota(random.between(1, 50)),
            What::ChangeCode(random.one_of(&[Code::Item, Code::Item, Code::Nothing, Code::Others])),
            What::Versions(versions(random)),
            What::Versions(versions(random)),
            What::Tidy,
            What::Rush,
            What::Keep(machine),
            if item.strict { What::Keep(machine) } else { What::Release(machine) },
        ],
        Mood::Servers => [
            What::ServerDown,
            What::StandbyDown,
            What::Partition,
            What::LoseMain(machine),
            What::Unplug(machine),
            What::Start(machine),
            What::Keep(machine),
            What::Close(machine),
        ],
    };
    random.one_of(&all)
}

pub(super) fn what(random: &mut Random, machines: u64, item: &LicenseItem) -> What {
    let machine = usize::try_from(random.below(machines)).expect("few machines");
    let days = DAY_SECONDS as i64;
    match random.below(1000) {
        0..90 => What::Start(machine),
        90..350 => What::Work(machine, random.between(1, 30)),
        350..370 => What::Shift(machine, random.between(1, 9)),
        370..385 => What::Take(machine, random.between(1, 4)),
        385..390 => What::Give(machine, random.below(3)),
        390..400 => What::Disk(machine, disk(random)),
        400..640 => What::Keep(machine),
        640..690 => What::Rush,
        690..720 => What::Close(machine),
        720..760 => What::Kill(machine),
        760..820 => What::CutOff(machine, u32::try_from(random.between(1, 24)).unwrap_or(1)),
        820..845 => What::PowerCut(machine, random.below(2 * DAY_SECONDS)),
        845..860 => What::Reboot(machine, random.below(7200)),
        860..880 => What::Suspend(machine, random.below(3 * DAY_SECONDS)),
        880..900 => {
            let seconds = random.one_of(&[-30 * days, -days, -3600, 200, 3600, days, 20 * days]);
            What::SetWall(machine, seconds)
        }
        900..910 => What::Drift(machine, random.between(0, 200) as i64 - 100),
        // A copied allowance can be spent twice, because an offline device cannot know.
        910..920 if !item.strict => What::Clone(machine),
        920..925 => What::Unplug(machine),
        925..930 => What::LoseMain(machine),
        930..935 => What::ServerDown,
        935..938 => What::StandbyDown,
        938..940 => What::Partition,
        940..952 => What::Backup,
        952..957 => What::Restore,
        957..975 => What::Deliver,
        975..980 => What::RaiseQuota(random.between(1, 50)),
        980..982 => {
            What::ChangeCode(random.one_of(&[Code::Item, Code::Item, Code::Nothing, Code::Others]))
        }
        982..984 => What::Versions(versions(random)),
        984..985 => What::Revoke,
        985..991 if !item.strict => What::Release(machine),
        991..998 => What::Tidy,
        998..1000 => What::Rearm,
        _ => What::Keep(machine),
    }
}

pub(super) fn disk(random: &mut Random) -> Disk {
    let fails_once = Disk::FailsOnce(u32::try_from(random.between(1, 20)).unwrap_or(1));
    random.one_of(&[Disk::Full, Disk::Dead, Disk::Sound, Disk::Sound, fails_once, fails_once])
}

pub(super) fn versions(random: &mut Random) -> Versions {
    use Version::{Newer, Older, This};
    let all = [This, This, Older, Newer];
    Versions { devices: random.one_of(&all), servers: random.one_of(&all) }
}
