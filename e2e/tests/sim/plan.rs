//! The plan of a world: everything follows from its seed, before anything runs.
//!
//! A step names what it does and carries a seed for what the network does meanwhile, so that steps
//! can be left out without changing what the others do.

use std::fmt;

use seatmeter::fault_injection::disk::Disk;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem, PageQuotas};

use crate::random::Random;
use crate::server::{CODE, SECOND_CODE};
use crate::time::{Namespace, START};

/// Most machines of a world. The last ones are empty until they become copies.
pub(crate) const MACHINES: usize = 6;

/// The machines that exist from the beginning.
const MACHINES_FIRST: u64 = 4;

/// The number of steps of a world.
const STEPS: u64 = 140;

/// An event, some time after the previous one.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Seconds since the previous step.
    pub(crate) after: u64,
    pub(crate) what: What,
    /// The disturbance of this step's requests by the network.
    pub(crate) weather: Weather,
    /// The seed of this step's random numbers.
    pub(crate) seed: u64,
}

/// The probability of each disturbance of a request, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) harm: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A program starts on a machine and initializes.
    Start(usize),
    /// A program of a machine does so much work.
    Work(usize, u64),
    /// A program of a machine works and reports, twice within a slot, so that its counters grow
    /// while the server knows them.
    Shift(usize, u64),
    /// Every running program works, all within a slot.
    Rush,
    /// The keeper of a program of a machine runs a round.
    Keep(usize),
    /// A program ends cleanly.
    Close(usize),
    /// A program is killed.
    Kill(usize),
    /// A program is stopped in mid-request while another program of its machine reports and renews.
    /// It wakes so many seconds later.
    Stop(usize, Stopped, u64),
    /// The next action of a machine is cut off at this kill point.
    CutOff(usize, u32),
    /// A machine loses its power for so many seconds.
    PowerCut(usize, u64),
    /// A machine is rebooted cleanly.
    Reboot(usize, u64),
    /// A machine sleeps for so many seconds.
    Suspend(usize, u64),
    /// A machine's disk has this health from now on.
    Disk(usize, Disk),
    /// Files of a machine are lost in this way while its programs work.
    Lose(usize, Loss),
    /// A machine's disk fails once, at this use from now, while a program works and reports; then
    /// its power is cut.
    Brownout(usize, u32),
    /// A program of a machine takes so many seats, as far as there are.
    Take(usize, u64),
    /// Programs that start on a machine from now on ask for so many seats.
    AskFor(usize, u32),
    /// Programs that start on a machine from now on have the code of the second item, or the code
    /// of both.
    UseCode(usize, &'static str),
    /// The keepers of a machine's programs run so many rounds, each when it is due.
    Rounds(usize, u64),
    /// A machine gives back all of its seats but so many.
    Give(usize, u64),
    /// A machine's wall clock is set by so many seconds.
    SetWall(usize, i64),
    /// A machine's clocks drift by so many millionths.
    Drift(usize, i64),
    /// A machine's state is copied to another.
    Clone(usize),
    /// A machine is cut off from the server, or has the network again.
    Unplug(usize),
    /// Programs that start on a machine from now on are in this time namespace.
    EnterNamespace(usize, Namespace),
    /// The clock of the main server is so many seconds ahead; 0: it is correct.
    ServerAhead(u64),
    /// The clock of a standby with data of its own is so many seconds ahead.
    StandbyAhead(u64),
    /// The main server is down, or up again.
    ServerDown,
    /// The standby is down, or up again.
    StandbyDown,
    /// The standby cannot see the main server, or sees it again.
    Partition,
    /// A machine cannot reach the main server, though it may reach the standby; or it can again.
    LoseMain(usize),
    /// From now on devices and servers are of these versions.
    Versions(Versions),
    /// The main server's data is backed up.
    Backup,
    /// The backup replaces the main server's data. In some worlds nobody tells the server.
    Restore,
    /// The backup is restored, and a machine runs for a day; delayed letters arrive in the middle
    /// of it.
    Aftermath(usize),
    /// Delayed letters arrive.
    Deliver,
    /// The vendor sells more.
    RaiseQuota(u64),
    /// The item is revoked.
    Revoke,
    /// The operator changes the items of the handshake code.
    ChangeCode(Code),
    /// The operator releases the seats of a machine.
    Release(usize),
    /// The server deletes old rows.
    Tidy,
}

/// The request in which a program is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The first request, a report if there is something to report, after the server has answered
    /// it.
    Answered,
    /// The request for a license, after the server has answered it.
    Granted,
    /// The request for a license, before it leaves.
    Asking,
}

/// The loss of files under running programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The files are deleted.
    Deleted,
    /// The files are renamed.
    Renamed,
    /// The files are replaced by copies.
    Copied,
    /// The files are moved away, and come back after they were made again.
    AwayAndBack,
}

/// The sides that have another version than this one, during an upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) devices: Version,
    pub(crate) servers: Version,
}

/// A version. An older one lacks later fields, a newer one has unknown fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    #[default]
    This,
    Older,
    Newer,
}

/// The items that a handshake code serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Code {
    /// The item, for every application.
    #[default]
    Item,
    /// No item.
    Nothing,
    /// The item, for another application.
    Others,
    /// Only the second item, if there are two.
    Second,
}

/// The initial state of a world, and its steps.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) item: LicenseItem,
    /// The second item of the same code, to which devices move and from which they return.
    pub(crate) second: Option<LicenseItem>,
    /// Whether the standby has data of its own, with an item of its own.
    pub(crate) is_standby_apart: bool,
    /// Whether clocks of servers are ahead for a while. Then answers are not judged: the model does
    /// not know what a server deletes by such a clock.
    pub(crate) are_servers_ahead: bool,
    /// The requested seats (x) of each machine.
    pub(crate) seats: [u32; MACHINES],
    /// The website of each machine's requests, if the item needs it.
    pub(crate) websites: [&'static str; MACHINES],
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let item = item(&mut random);
        let x_max = if item.charge_way == ChargeWay::ConcurrentInstance { item.quota } else { 1 };
        let seats = [(); MACHINES].map(|()| u32::try_from(random.between(1, x_max)).unwrap_or(1));
        let websites = [(); MACHINES].map(|()| website(&mut random, &item));
        let harm = random.one_of(&[0, 5, 20, 40]);
        let pace = random.one_of(&[2, 5, 10]);
        let machines = random.between(1, MACHINES_FIRST);
        let mood = random.one_of(&MOODS);
        let mut steps = Vec::new();
        for _ in 0..STEPS {
            let after = pause(&mut random, pace);
            let what = match mood {
                Some(mood) if random.percent(MOOD_PERCENT) => {
                    moody(&mut random, mood, machines, &item)
                }
                _ => what(&mut random, machines, &item),
            };
            steps.push(Step { after, what, weather: Weather { harm }, seed: random.word() });
        }
        ask_otherwise(&mut steps, seed, machines, &item);
        let second = move_about(&mut steps, seed, machines, &item);
        let is_standby_apart = second.is_none() && fail_over(&mut steps, seed, machines);
        stop_some(&mut steps, seed, machines);
        let are_servers_ahead = set_servers_ahead(&mut steps, seed, machines, is_standby_apart);
        enter_namespaces(&mut steps, seed, machines);
        clean_up(&mut steps, seed, machines);
        Self { seed, item, second, is_standby_apart, are_servers_ahead, seats, websites, steps }
    }
}

impl Plan {
    /// Return whether a restore is one of which nobody tells the server.
    pub(crate) fn is_put_back(&self) -> bool {
        self.seed % 4 == 3
    }

    /// Return whether a model of one item can judge the main server's answers. The main server must
    /// have the item for itself.
    pub(crate) fn is_judged(&self) -> bool {
        !self.is_standby_apart && !self.are_servers_ahead
    }
}

/// In some worlds, files in used state directories are cleaned up.
fn clean_up(steps: &mut Vec<Step>, seed: u64, machines: u64) {
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
fn fail_over(steps: &mut Vec<Step>, seed: u64, machines: u64) -> bool {
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
fn set_servers_ahead(
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
fn enter_namespaces(steps: &mut Vec<Step>, seed: u64, machines: u64) {
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
fn move_about(
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
fn stop_some(steps: &mut Vec<Step>, seed: u64, machines: u64) {
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
fn ask_otherwise(steps: &mut Vec<Step>, seed: u64, machines: u64, item: &LicenseItem) {
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
fn insert(
    steps: &mut Vec<Step>,
    random: &mut Random,
    percent: u64,
    more: impl Fn(&mut Random) -> Vec<(u64, What)>,
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

fn item(random: &mut Random) -> LicenseItem {
    use ChargeWay::{
        BarcodeScan, ClientDevice, ConcurrentDevice, ConcurrentInstance, Domain, Page, Server,
    };
    let way = random.one_of(&[
        ConcurrentInstance,
        ConcurrentDevice,
        ClientDevice,
        Server,
        BarcodeScan,
        Page,
        BarcodeScan,
        ClientDevice,
        Page,
        Domain,
    ]);
    let expires_at = START + random.one_of(&[12, 40, 90, 300]) * DAY_SECONDS + random.below(1000);
    let quota = match way {
        BarcodeScan => random.between(20, 600),
        Page | Domain => 0,
        ConcurrentInstance => random.between(1, 6),
        _ => random.between(1, 3),
    };
    let mut item = LicenseItem::new("item", way, quota, START, expires_at);
    item.offline_days = random.one_of(&[0, 1, 7, 30]);
    match way {
        ConcurrentInstance | ConcurrentDevice => {
            item.overuse_budget = Some(random.below(12));
            item.overuse_growth_per_day = random.one_of(&[0, 0, 1]);
        }
        ClientDevice | Server => {
            item.window_days = Some(random.one_of(&[1, 1, 30]));
            if way == ClientDevice && random.percent(40) {
                item.deployment_types = vec![DeploymentType::Browser];
            }
        }
        Domain => item.domains = vec![DOMAIN.into()],
        Page => {
            item.page_quotas = Some(PageQuotas {
                core: random.between(20, 300),
                webcam: random.between(0, 300),
                ..PageQuotas::default()
            });
            item.strict = random.percent(40);
        }
        _ => item.strict = random.percent(60),
    }
    item
}

/// The domain that an item lists. Four of the websites are under it and two elsewhere; the last two
/// are origins of browsers.
pub(crate) const DOMAIN: &str = "company.com";
const WEBSITES: [&str; 6] = [
    "company.com",
    "www.Company.com.",
    "company.com.example.org",
    "example.org",
    ORIGINS[0],
    ORIGINS[1],
];
const ORIGINS: [&str; 2] = ["https://shop.company.com", "https://a.b.company.com:8443"];

fn website(random: &mut Random, item: &LicenseItem) -> &'static str {
    match item.charge_way {
        ChargeWay::Domain => random.one_of(&WEBSITES),
        _ if item.deployment_types == [DeploymentType::Browser] => random.one_of(&ORIGINS),
        _ => "",
    }
}

/// Return the seconds to the next step: mostly within a slot or two, sometimes days.
fn pause(random: &mut Random, pace: u64) -> u64 {
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
enum Mood {
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

const MOODS: [Option<Mood>; 7] = [
    None,
    None,
    Some(Mood::Late),
    Some(Mood::Disks),
    Some(Mood::Seats),
    Some(Mood::Operator),
    Some(Mood::Servers),
];

/// The percentage of steps that follow the mood.
const MOOD_PERCENT: u64 = 35;

fn moody(random: &mut Random, mood: Mood, machines: u64, item: &LicenseItem) -> What {
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

fn what(random: &mut Random, machines: u64, item: &LicenseItem) -> What {
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
        991..1000 => What::Tidy,
        _ => What::Keep(machine),
    }
}

fn disk(random: &mut Random) -> Disk {
    let fails_once = Disk::FailsOnce(u32::try_from(random.between(1, 20)).unwrap_or(1));
    random.one_of(&[Disk::Full, Disk::Dead, Disk::Sound, Disk::Sound, fails_once, fails_once])
}

fn versions(random: &mut Random) -> Versions {
    use Version::{Newer, Older, This};
    let all = [This, This, Older, Newer];
    Versions { devices: random.one_of(&all), servers: random.one_of(&all) }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s later ", self.after)?;
        match self.what {
            What::Start(m) => write!(f, "a program starts on machine {m}"),
            What::Work(m, n) => write!(f, "machine {m} does {n} pieces of work"),
            What::Shift(m, n) => {
                write!(f, "machine {m} does {n} pieces of work and reports, twice")
            }
            What::Rush => write!(f, "everybody works"),
            What::Keep(m) => write!(f, "the keeper of machine {m} has its round"),
            What::Close(m) => write!(f, "a program on machine {m} ends"),
            What::Kill(m) => write!(f, "a program on machine {m} is killed"),
            What::Stop(m, stopped, s) => {
                write!(f, "a program on machine {m} is stopped ({stopped:?}) for {s} s")
            }
            What::CutOff(m, n) => {
                write!(f, "machine {m} is prepared to die at its kill point {n} from here")
            }
            What::PowerCut(m, s) => write!(f, "the power of machine {m} is cut for {s} s"),
            What::Reboot(m, s) => write!(f, "machine {m} is started anew after {s} s"),
            What::Suspend(m, s) => write!(f, "machine {m} sleeps for {s} s"),
            What::Disk(m, disk) => write!(f, "the disk of machine {m} is {disk:?}"),
            What::Lose(m, loss) => {
                write!(f, "files of machine {m} are lost while its programs work: {loss:?}")
            }
            What::Brownout(m, n) => {
                write!(
                    f,
                    "machine {m} works and reports while use {n} of its disk fails, and its power \
                     is cut"
                )
            }
            What::Take(m, n) => write!(f, "a program on machine {m} takes {n} seats"),
            What::UseCode(m, code) => {
                write!(f, "programs that start on machine {m} have the code {code}")
            }
            What::Rounds(m, n) => write!(f, "the keepers of machine {m} have {n} rounds"),
            What::AskFor(m, x) => write!(f, "programs that start on machine {m} ask for {x} seats"),
            What::Give(m, n) => write!(f, "a program on machine {m} gives back all seats but {n}"),
            What::SetWall(m, s) => write!(f, "the clock of machine {m} is set by {s} s"),
            What::Drift(m, ppm) => write!(f, "the clocks of machine {m} drift by {ppm} millionths"),
            What::Clone(m) => write!(f, "machine {m} is copied"),
            What::Unplug(m) => {
                write!(f, "machine {m} is unplugged from the network, or plugged in again")
            }
            What::EnterNamespace(m, of) => {
                let seconds = of.ahead_ms / 1000;
                let silent = if of.is_silent { ", of which the system does not tell" } else { "" };
                write!(
                    f,
                    "machine {m} starts programs in a time namespace that is {seconds} s \
                     ahead{silent}"
                )
            }
            What::ServerAhead(s) => write!(f, "the clock of the main server is {s} s ahead"),
            What::StandbyAhead(s) => write!(f, "the clock of the standby is {s} s ahead"),
            What::ServerDown => write!(f, "the main server goes down, or up again"),
            What::StandbyDown => write!(f, "the standby goes down, or up again"),
            What::Partition => {
                write!(f, "the standby no longer sees the main server, or sees it again")
            }
            What::LoseMain(m) => {
                write!(f, "machine {m} no longer reaches the main server, or reaches it again")
            }
            What::Versions(Versions { devices, servers }) => {
                write!(f, "devices are of version {devices:?}, servers of version {servers:?}")
            }
            What::ChangeCode(code) => write!(f, "the handshake code is good for {code:?}"),
            What::Backup => write!(f, "the server is backed up"),
            What::Restore => write!(f, "the server is restored from its backup"),
            What::Aftermath(m) => {
                write!(
                    f,
                    "the server is restored, machine {m} goes on, and what was delayed arrives"
                )
            }
            What::Deliver => write!(f, "what was delayed arrives"),
            What::RaiseQuota(n) => write!(f, "the vendor sells {n} more"),
            What::Revoke => write!(f, "the item is revoked"),
            What::Release(m) => write!(f, "the operator releases machine {m}"),
            What::Tidy => write!(f, "the server tidies up"),
        }
    }
}
