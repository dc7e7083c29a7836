//! A world: machines, a network and a server, in one thread. It carries out a plan step by step,
//! and checks the laws after each step.

mod browsers;
mod machines;
mod programs;
mod work;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use seatmeter::error::Result;
use seatmeter::fault_injection::disk::{self, Disk};
use seatmeter::fault_injection::kill_points::{self, CutOff};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::rehearsal::seed_random;

use crate::books::{Books, Counter};
use crate::browser::Browser;
use crate::laws::{self, Check};
use crate::machine::Machine;
use crate::net::{Heard, Net, Wire};
use crate::plan::{MACHINES, Plan, Step, Weather, What};
use crate::random::Random;
use crate::server::Server;
use crate::time::Time;

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) time: Arc<Time>,
    pub(crate) net: Arc<Mutex<Net>>,
    pub(crate) machines: Vec<Machine>,
    /// The browser of each machine that has one. No program runs on such a machine.
    pub(crate) browsers: Vec<Option<Browser>>,
    /// The work that was truly performed, by family and counter.
    pub(crate) performed: BTreeMap<(usize, Counter), u64>,
    /// The work that was lost with the state of a machine, at most.
    pub(crate) lost: BTreeMap<(usize, Counter), u64>,
    /// The work that a machine did after it was put back, before it got its next license, or under
    /// a license that it had not shown when it was put back: nothing holds it to what it was
    /// allowed. By family and counter.
    unheld: BTreeMap<(usize, Counter), u64>,
    /// The work that the server has recorded, and that a machine which was put back has forgotten.
    /// If the server is put back, too, nothing holds the machine to that.
    put_back: BTreeMap<(usize, Counter), u64>,
    /// The usage that the server had recorded at the last check.
    pub(crate) books: Books,
    /// The same of the copy of the server.
    pub(crate) books_of_copy: Books,
    /// Whether the quota was ever used up.
    pub(crate) was_used_up: bool,
    /// Whether the disk of the acting machine was faulty in this step.
    pub(crate) had_disk_trouble: bool,
    /// The machine that has done something in this step.
    pub(crate) acting: Option<usize>,
    random: Random,
}

/// The time after which a device renews that has nothing to report. It then learns that the server
/// was restored.
pub(crate) const RENEWS_MS: u64 = 6 * 3_600_000;

/// The result of an action.
pub(crate) enum Outcome {
    Done(Option<ErrorCode>),
    Died,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        seed_random(Some(plan.seed));
        // Use memory, if it is mounted as a file system: nothing here must outlive the test.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .expect("there is room");
        let time = Time::begin();
        let mut server =
            Server::new(plan.item.clone(), plan.second.clone(), plan.is_judged(), time.clone());
        server.is_put_back = plan.is_put_back();
        let apart = plan.is_standby_apart.then(|| Server::apart(&plan.item, time.clone()));
        let net = Arc::new(Mutex::new(Net::new(server, apart, time.clone())));
        let machine = |number: usize| {
            let wire = Wire {
                net: Arc::downgrade(&net),
                machine: number,
                stop: Mutex::new(None),
                late: Mutex::default(),
            };
            Machine::new(folder.path(), time.machine(), wire, plan)
        };
        let machines: Vec<Machine> = (0..MACHINES).map(machine).collect();
        let browser = |number: usize| {
            let (origin, way) = (plan.browsers[number]?, plan.item.charge_way);
            let (wire, clock) = (Arc::downgrade(&net), machines[number].clock);
            Some(Browser::new(number, wire, clock, time.clone(), origin, way))
        };
        let browsers = (0..MACHINES).map(browser).collect();
        Self {
            _folder: folder,
            time,
            net,
            machines,
            browsers,
            performed: BTreeMap::new(),
            lost: BTreeMap::new(),
            unheld: BTreeMap::new(),
            put_back: BTreeMap::new(),
            books: Books::default(),
            books_of_copy: Books::default(),
            was_used_up: false,
            had_disk_trouble: false,
            acting: None,
            random: Random::new(plan.seed),
        }
    }

    /// Carry out one step.
    ///
    /// # Errors
    /// Fails with the law that does not hold after it.
    pub(crate) fn step(&mut self, step: &Step) -> Check {
        self.begin(step.after * 1000, step.seed, step.weather);
        self.carry_out(step.what)?;
        self.look()
    }

    /// Let time pass to the next step.
    pub(crate) fn begin(&mut self, after_ms: u64, seed: u64, weather: Weather) {
        self.time.pass(after_ms);
        self.acting = None;
        seed_random(Some(seed));
        self.random = Random::new(seed ^ 2);
        let mut net = self.net.lock();
        (net.weather, net.random, net.heard) = (weather, Random::new(seed ^ 1), Heard::default());
    }

    /// Check the laws.
    pub(crate) fn look(&mut self) -> Check {
        {
            let mut net = self.net.lock();
            if let Some(violation) = net.violation.take() {
                return Err(violation);
            }
            if std::mem::take(&mut net.is_touched) {
                self.books = Books::of_all(net.servers().map(|server| &*server.store));
                self.books_of_copy = Books::of_all(net.copy.iter().map(|server| &*server.store));
                self.was_used_up |=
                    net.copy.iter().any(|copy| copy.model.has_used_up(&self.books_of_copy));
                let mut models = net.servers().flat_map(Server::models);
                self.was_used_up |= models.any(|model| model.has_used_up(&self.books));
            }
        }
        laws::look(self)
    }

    fn carry_out(&mut self, what: What) -> Check {
        if let Some(m) = what.machine().filter(|m| self.browsers[*m].is_some()) {
            return self.browse(m, what);
        }
        match what {
            What::Start(m) => self.start(m),
            What::Work(m, n) => self.work(m, n),
            What::Shift(m, n) => self.shift(m, n),
            What::Rush => (0..MACHINES).try_for_each(|m| match self.browsers[m] {
                Some(_) => self.browse(m, What::Work(m, 1)),
                None => self.work(m, 1),
            }),
            What::Keep(m) => match self.choose(m) {
                Some(program) => self.keep(m, program).map(|_| ()),
                None => self.start(m),
            },
            What::Close(m) => self.close(m),
            What::Kill(m) => {
                if let Some(program) = self.choose(m) {
                    self.machines[m].programs.remove(program).die();
                }
                Ok(())
            }
            What::Stop(m, stopped, seconds) => self.stop(m, stopped, seconds),
            What::CutOff(m, visit) => {
                self.machines[m].cut_off = Some(visit);
                Ok(())
            }
            What::PowerCut(m, seconds) => {
                self.lose_power(m);
                self.time.pass(seconds * 1000);
                Ok(())
            }
            What::Reboot(m, seconds) => {
                self.machines[m].reboot();
                self.time.pass(seconds * 1000);
                Ok(())
            }
            What::Suspend(m, seconds) => {
                self.machines[m].clock.sleep(true);
                self.time.pass(seconds * 1000);
                self.machines[m].clock.sleep(false);
                Ok(())
            }
            What::Disk(m, health) => {
                self.machines[m].health = health;
                Ok(())
            }
            What::Aftermath(m) => self.aftermath(m),
            What::Lose(m, loss) => self.lose(m, loss),
            What::Brownout(m, n) => self.brownout(m, n),
            What::Take(m, n) => self.take_seats(m, n),
            What::Give(m, n) => self.give_seats(m, n),
            What::Rounds(m, n) => self.rounds(m, n),
            What::UseCode(m, code) => {
                self.machines[m].parameters.handshake_code = code.to_owned();
                Ok(())
            }
            What::AskFor(m, x) => {
                self.machines[m].parameters.seats = x;
                Ok(())
            }
            What::EnterNamespace(m, namespace) => {
                self.machines[m].namespace = namespace;
                Ok(())
            }
            What::SetWall(m, seconds) => {
                self.machines[m].clock.shift_wall(seconds);
                Ok(())
            }
            What::Drift(m, ppm) => {
                self.machines[m].clock.drift(ppm);
                Ok(())
            }
            What::Clone(m) => {
                self.copy(m);
                Ok(())
            }
            What::Bake(m) => {
                self.bake(m);
                Ok(())
            }
            What::Snapshot(m) => {
                self.machines[m].take_snapshot();
                Ok(())
            }
            What::PutBack(m) => {
                self.put_back(m);
                Ok(())
            }
            What::Steal(m, theft) => self.steal(m, theft),
            // No browser is on this machine.
            What::Clear(_) | What::Hide(_) | What::Busy(..) => Ok(()),
            elsewhere => {
                self.carry_out_elsewhere(elsewhere);
                Ok(())
            }
        }
    }

    /// Carry out what happens to the network and at the server.
    fn carry_out_elsewhere(&mut self, what: What) {
        let mut net = self.net.lock();
        net.is_touched = true;
        match what {
            What::Unplug(m) => net.is_unplugged[m] ^= true,
            What::LoseMain(m) => net.has_lost_main[m] ^= true,
            What::ServerAhead(seconds) => net.server.set_ahead(seconds),
            What::StandbyAhead(seconds) => {
                if let Some(standby) = &mut net.apart {
                    standby.set_ahead(seconds);
                }
            }
            What::ServerDown => net.server.is_up ^= true,
            What::StandbyDown => net.is_standby_up ^= true,
            What::Partition => net.is_partitioned ^= true,
            What::Versions(versions) => net.versions = versions,
            What::Backup => net.server.back_up(),
            What::Restore => _ = net.server.restore(),
            What::Deliver => net.deliver(),
            What::RaiseQuota(more) => net.server.raise_quota(more),
            What::Revoke => net.server.revoke(),
            What::ChangeCode(code) => net.server.change_code(code),
            What::Tidy => net.server.tidy(),
            What::Rearm => net.server.rearm(),
            What::Edit(edit) => net.server.edit(edit),
            What::CopyServer => net.copy_server(),
            What::StopCopy => net.stop_copy(),
            What::Reroute(m) => net.reaches_copy[m] ^= true,
            What::Release(m) => {
                let uuid =
                    net.owners.iter().find(|(_, owner)| **owner == m).map(|(uuid, _)| uuid.clone());
                if let Some(uuid) = uuid {
                    net.server.release(&uuid);
                }
            }
            _ => unreachable!("the others are carried out on machines"),
        }
        net.issue_to_copy();
    }

    /// Choose one of the programs that run on a machine.
    fn choose(&mut self, m: usize) -> Option<usize> {
        let running = self.machines[m].programs.len() as u64;
        (running > 0).then(|| usize::try_from(self.random.below(running)).unwrap_or(0))
    }

    /// Let a program do something, and die in it if that was prepared.
    fn act(
        &mut self,
        m: usize,
        program: usize,
        act: impl FnOnce(&mut Machine) -> Result<()>,
    ) -> std::result::Result<Outcome, String> {
        self.acting = Some(m);
        let machine = &mut self.machines[m];
        machine.clock.switch_on();
        machine.take_turn();
        kill_points::cut_off(machine.cut_off.take());
        disk::play(machine.health);
        let outcome = catch_unwind(AssertUnwindSafe(|| act(machine)));
        let had_trouble = machine.health != Disk::Sound;
        machine.health = disk::play(Disk::Sound);
        machine.cut_off = kill_points::cut_off(None);
        self.had_disk_trouble = had_trouble;
        match outcome {
            Ok(done) => {
                machine.note_grants(false);
                Ok(Outcome::Done(done.err().map(|error| error.code)))
            }
            Err(panic) if panic.is::<CutOff>() => {
                machine.note_grants(true);
                if machine.programs.len() > program {
                    machine.programs.remove(program).die();
                }
                Ok(Outcome::Died)
            }
            Err(panic) => {
                let _ = panic;
                Err(format!("a program panics: {}", crate::run::last_panic()))
            }
        }
    }
}
