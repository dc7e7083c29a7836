//! A machine of a world: its state directory, its clocks, and the programs that run on it.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use seatmeter::clock::{Clock, DeviceClock};
use seatmeter::device::{Device, UuidMethod};
use seatmeter::environment::Environment;
use seatmeter::error::Result;
use seatmeter::fault_injection::disk::Disk;
use seatmeter::license::GrantStore;
use seatmeter::licensed::Licensed;
use seatmeter::parameters::{Parameters, RawParameters, Settings};
use seatmeter::seats::Seat;
use seatmeter::session::{Dependencies, FIRST_CONTACT_BOUND, Session};
use seatmeter::state::StateDirectory;
use seatmeter::usage::{SlotEntries, power_cut};
use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};

use crate::net::{MAIN, STANDBY, Wire};
use crate::plan::Plan;
use crate::server::CODE;
use crate::time::{MachineClock, Namespace, ProgramClock};
pub(crate) use files::bake_device;

/// Most programs that run on one machine at the same time.
pub(crate) const PROGRAMS_MAX: usize = 2;

pub(crate) struct Machine {
    pub(crate) folder: PathBuf,
    /// The files that a power cut leaves.
    disk: PathBuf,
    pub(crate) clock: &'static MachineClock,
    pub(crate) wire: &'static Wire,
    /// The parameters of the next program that starts.
    pub(crate) parameters: Parameters,
    /// The newest grant that was written to the seat pool, by item: its number, and its seats
    /// unless they are unknown.
    granted: BTreeMap<String, (u32, Option<u32>)>,
    /// The same as it was when the state was kept that the machine can be put back to.
    snapshot: Option<BTreeMap<String, (u32, Option<u32>)>>,
    /// The serial of the newest license after the machine was put back, if it ever was.
    newest_put_back: Option<u32>,
    /// The codes that the machine's programs have had.
    codes: BTreeSet<String>,
    /// The item of each license with which the machine's programs have worked.
    items: BTreeMap<String, String>,
    /// The namespace of the programs that start from now on.
    pub(crate) namespace: Namespace,
    pub(crate) programs: Vec<Program>,
    /// The health of the disk.
    pub(crate) health: Disk,
    /// The kill point at which the machine's next action dies.
    pub(crate) cut_off: Option<u32>,
    /// Whether a program has run that could not compare its boot clock with that of others.
    pub(crate) was_apart: bool,
}

/// A running program.
pub(crate) struct Program {
    pub(crate) mine: SlotEntries,
    pub(crate) seats: Vec<Seat>,
    pub(crate) session: Session,
    /// The license of its entries and its seats.
    works_under: Option<Works>,
    /// The handshake code of the program.
    pub(crate) code: String,
    /// The number of seats that it has asked for.
    pub(crate) x: u32,
    pub(crate) clock: &'static DeviceClock,
    /// Whether it cannot know how its boot clock relates to that of other programs.
    pub(crate) is_apart: bool,
    /// The program's time at the last check, milliseconds.
    pub(crate) last_ms: u64,
    /// The server's word on which that time was based.
    pub(crate) word: (u64, i64),
}

/// The license with which a program has worked last, as a reader remembers it.
struct Works {
    item_id: String,
    under: &'static Licensed,
    /// The number of times that it had been closed.
    closings: u32,
}

impl PartialEq for Works {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.under, other.under) && self.closings == other.closings
    }
}

impl Program {
    /// Return the license with which the program works. Its readers begin anew if the item has
    /// changed, or was closed meanwhile.
    pub(crate) fn licensed(&mut self) -> Option<&'static Licensed> {
        let licensed = self.session.licensed()?;
        let item_id = licensed.grant().local.item_id.clone();
        let now = Works { item_id, under: licensed, closings: licensed.closings() };
        if self.works_under.as_ref() != Some(&now) {
            self.works_under = Some(now);
            self.mine = SlotEntries::default();
            self.seats.clear();
        }
        Some(licensed)
    }

    /// Return the license on the disk.
    pub(crate) fn license_on_disk(&self, state: &Path) -> Option<LocalLicense> {
        let state = StateDirectory::open(state.to_owned()).ok()?;
        GrantStore::new(&state, self.session.name()).held_license()
    }

    /// End as the kernel ends a process: its mappings and locks are released.
    pub(crate) fn die(self) {
        drop(self.mine);
        self.session.let_go();
    }
}

impl Machine {
    pub(crate) fn new(
        folder: &Path,
        clock: &'static MachineClock,
        wire: Wire,
        plan: &Plan,
    ) -> Self {
        let number = wire.machine;
        let item = &plan.item;
        let settings =
            Settings { website_domain: plan.websites[number].into(), ..Settings::default() };
        let (folder, disk) =
            (folder.join(format!("machine-{number}")), folder.join(format!("disk-{number}")));
        fs::create_dir_all(&disk).expect("there is room");
        let raw = RawParameters {
            main_server: MAIN.into(),
            standby_server: STANDBY.into(),
            handshake_code: CODE.into(),
            deployment_type: asked_type(item, number).number(),
            charge_way: item.charge_way.number(),
            uuid_generation_method: 1,
            max_buffer_days: 7,
            max_concurrent_instance_count: i32::try_from(plan.seats[number]).unwrap_or(1),
            products: 0xffff,
            settings,
            ..RawParameters::default()
        };
        let parameters =
            Parameters::understand(&raw, &Environment::default()).expect("they make sense");
        let wire = Box::leak(Box::new(wire));
        Self {
            folder,
            disk,
            clock,
            wire,
            parameters,
            granted: BTreeMap::new(),
            snapshot: None,
            newest_put_back: None,
            codes: BTreeSet::new(),
            items: BTreeMap::new(),
            namespace: Namespace::default(),
            programs: Vec::new(),
            health: Disk::Sound,
            cut_off: None,
            was_apart: false,
        }
    }

    /// Make this machine's disk the target of writes from now on.
    pub(crate) fn take_turn(&self) {
        power_cut::keep_copies_in(&self.disk);
    }

    /// Start a program, and return the result of its initialization.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.clock.is_in_use.store(true, Relaxed);
        self.codes.insert(self.parameters.handshake_code.clone());
        let state = StateDirectory::open(self.folder.clone())?;
        let system = ProgramClock::on(self.clock, self.namespace);
        let clock: &'static DeviceClock = Box::leak(Box::new(DeviceClock::open(&state, system)));
        let dependencies = Dependencies { clock, transport: self.wire, wake: || {} };
        let session = Session::open(self.parameters.clone(), state, dependencies)?;
        let (last_ms, word) = (clock.unix_ms(), (clock.heard_ms(), clock.heard_at_ms()));
        self.programs.push(Program {
            mine: SlotEntries::default(),
            seats: Vec::new(),
            session,
            works_under: None,
            code: self.parameters.handshake_code.clone(),
            x: self.parameters.seats,
            clock,
            is_apart: self.namespace.is_silent,
            last_ms,
            word,
        });
        self.was_apart |= self.namespace.is_silent;
        let program = self.programs.last().expect("it was just put in");
        program.session.initialize(self.parameters.clone(), FIRST_CONTACT_BOUND)
    }

    /// Record the newest grant with which one of the programs works. A program that was cut off may
    /// have written a newer one to the pool, which the others learn with their next.
    pub(crate) fn note_grants(&mut self, was_cut_off: bool) {
        if was_cut_off {
            self.granted.values_mut().for_each(|known| known.1 = None);
            return;
        }
        for grant in self.programs.iter_mut().filter_map(Program::licensed).map(Licensed::grant) {
            self.items.insert(grant.local.license_id.clone(), grant.local.item_id.clone());
            let known = self.granted.entry(grant.local.item_id.clone()).or_default();
            if grant.number > known.0 {
                *known = (grant.number, Some(grant.local.seats));
            }
        }
    }

    /// Return the codes that programs have had, and no running program has. A program that never
    /// got a license does not report to its server what others have counted.
    pub(crate) fn idle_codes(&self) -> Vec<String> {
        let is_idle = |code: &&String| self.programs.iter().all(|program| program.code != **code);
        self.codes.iter().filter(is_idle).cloned().collect()
    }

    /// Return the seats of an item that the programs may hold, as the pool knows them; `None` when
    /// that is unknown.
    pub(crate) fn seats_granted(&self, item_id: &str) -> Option<usize> {
        self.granted.get(item_id)?.1.map(|seats| seats as usize)
    }

    /// Return the seats of an item that the programs hold.
    pub(crate) fn seats_held(&self, item_id: &str) -> usize {
        let is_of_it = |program: &&Program| {
            program.works_under.as_ref().is_some_and(|works| works.item_id == item_id)
        };
        self.programs.iter().filter(is_of_it).map(|program| program.seats.len()).sum()
    }

    pub(crate) fn is_used(&self) -> bool {
        self.folder.exists()
    }

    /// Return the UUID of the machine's device.
    pub(crate) fn uuid(&self) -> String {
        let device = StateDirectory::open(self.folder.clone())
            .and_then(|state| Device::load_or_create(&state, UuidMethod::Random));
        device.map(|device| device.uuid().to_owned()).unwrap_or_default()
    }

    /// Kill all programs.
    pub(crate) fn kill_all(&mut self) {
        self.cut_off = None;
        self.programs.drain(..).for_each(Program::die);
    }

    /// Reboot the machine: it is off for a while, and has another boot id.
    pub(crate) fn reboot(&mut self) {
        self.kill_all();
        self.clock.boots.fetch_add(1, Relaxed);
        self.clock.switch_off();
    }
}

/// Return the deployment type of a machine's programs. Every other machine leaves it at its
/// default, which counts as a server here.
fn asked_type(item: &LicenseItem, machine: usize) -> DeploymentType {
    match item.charge_way.counts_as(DeploymentType::Desktop) {
        DeploymentType::Server if machine % 2 == 1 => DeploymentType::Desktop,
        _ => item.deployment_types[0],
    }
}
