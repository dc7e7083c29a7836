//! A world: machines, a network and a server, in one thread. It carries out a plan step by step,
//! and checks the laws after each step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seatmeter::clock::{Clock, Deadline};
use seatmeter::error::Result;
use seatmeter::fault_injection::disk::{self, Disk};
use seatmeter::fault_injection::kill_points::{self, CutOff};
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::rehearsal::seed_random;
use seatmeter_protocol::slot::slot_of;

use crate::books::{Books, Counter};
use crate::laws::{self, Check};
use crate::machine::{Machine, PROGRAMS_MAX, Program};
use crate::net::{Heard, Net, Stop, Wire};
use crate::plan::{Loss, MACHINES, Plan, Step, Stopped, Weather, What};
use crate::random::Random;
use crate::server::Server;
use crate::time::Time;

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) time: Arc<Time>,
    pub(crate) net: Arc<Mutex<Net>>,
    pub(crate) machines: Vec<Machine>,
    /// The work that was truly performed, by family and counter.
    pub(crate) performed: BTreeMap<(usize, Counter), u64>,
    /// The usage that the server had recorded at the last check.
    pub(crate) books: Books,
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

/// The time between work and its report, in a shift.
const SHIFT_MS: u64 = 5_000;

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
        let machines = (0..MACHINES).map(machine).collect();
        Self {
            _folder: folder,
            time,
            net,
            machines,
            performed: BTreeMap::new(),
            books: Books::default(),
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
                let mut models = net.servers().flat_map(Server::models);
                self.was_used_up |= models.any(|model| model.has_used_up(&self.books));
            }
        }
        laws::look(self)
    }

    fn carry_out(&mut self, what: What) -> Check {
        match what {
            What::Start(m) => self.start(m),
            What::Work(m, n) => self.work(m, n),
            What::Shift(m, n) => self.shift(m, n),
            What::Rush => (0..MACHINES).try_for_each(|m| self.work(m, 1)),
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
            What::ServerAhead(seconds) => net.server.time.set_ahead(seconds),
            What::StandbyAhead(seconds) => {
                if let Some(standby) = &net.apart {
                    standby.time.set_ahead(seconds);
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
            What::Release(m) => {
                let uuid =
                    net.owners.iter().find(|(_, owner)| **owner == m).map(|(uuid, _)| uuid.clone());
                if let Some(uuid) = uuid {
                    net.server.release(&uuid);
                }
            }
            _ => unreachable!("the others are carried out on machines"),
        }
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

    fn start(&mut self, m: usize) -> Check {
        if self.machines[m].programs.len() == PROGRAMS_MAX {
            return self.keep(m, 0).map(|_| ());
        }
        self.start_another(m)
    }

    pub(crate) fn start_with(&mut self, m: usize, code: String) -> Check {
        self.machines[m].parameters.handshake_code = code;
        self.start_another(m)
    }

    fn start_another(&mut self, m: usize) -> Check {
        let running = self.machines[m].programs.len();
        let outcome = self.act(m, running, Machine::start)?;
        self.require_cause(&outcome)
    }

    /// Run a round of a program's keeper; return the milliseconds until the next one is due.
    pub(crate) fn keep(&mut self, m: usize, program: usize) -> std::result::Result<u64, String> {
        let mut next = 0;
        let (heard, believed) = {
            let heard = &self.net.lock().heard;
            (heard.answers, heard.ahead.len())
        };
        let outcome = self.act(m, program, |machine| {
            let session = &machine.programs[program].session;
            next = u64::try_from(session.keep().as_millis()).unwrap_or(0);
            session.status().trouble.map_or(Ok(()), |trouble| Err(trouble.error))
        })?;
        self.require_cause(&outcome)?;
        // This program has the time that another one heard in this step only if it was stored on
        // disk.
        if matches!(outcome, Outcome::Done(None)) && self.net.lock().heard.answers > heard {
            laws::heard_the_time(self, m, program, believed)?;
        }
        Ok(next)
    }

    fn rounds(&mut self, m: usize, n: u64) -> Check {
        let mut due = vec![self.time.now() * 1000; self.machines[m].programs.len()];
        for _ in 0..n {
            let Some(next) = due.iter().min().copied() else { return Ok(()) };
            let program = due.iter().position(|at| *at == next).unwrap_or(0);
            self.time.pass(next.saturating_sub(self.time.now() * 1000));
            let pause = self.keep(m, program)?;
            if self.machines[m].programs.len() < due.len() {
                return Ok(());
            }
            due[program] = self.time.now() * 1000 + pause.max(1000);
        }
        laws::the_highest_is_had(self, m)
    }

    /// Stop a program that has the turn while another program reports and renews. When the stopped
    /// program wakes, the answer that it receives must take nothing from the device.
    fn stop(&mut self, m: usize, stopped: Stopped, seconds: u64) -> Check {
        // A kill point cannot end a program while another one is on the stack.
        if self.machines[m].programs.len() < 2 || self.machines[m].cut_off.is_some() {
            return Ok(());
        }
        let machine = &mut self.machines[m];
        let uuid = machine.uuid();
        let state = machine.folder.clone();
        let others = Arc::new(Mutex::new(machine.programs.split_off(1)));
        let gone_on = Arc::new(Mutex::new(None));
        let meanwhile = {
            let (others, gone_on, time, state) =
                (others.clone(), gone_on.clone(), self.time.clone(), state.clone());
            move || {
                let others = others.lock();
                // The pause is short enough that the stopped program's answer is still valid if it
                // wakes at once.
                let sync = || {
                    let bound = Deadline::after(others[0].clock, Duration::from_secs(4));
                    others[0].session.sync(bound)
                };
                // The second request shows the license of the first. From then on the previous
                // license is a copy's.
                let outcome = sync().and_then(|()| sync());
                *gone_on.lock() = Some((outcome, others[0].serial_on_disk(&state)));
                time.pass(seconds * 1000);
            }
        };
        let stop = Stop { stopped, meanwhile: Box::new(meanwhile) };
        *machine.wire.stop.lock() = Some(stop);
        let outcome = self.act(m, 0, |machine| {
            let program = &machine.programs[0];
            program.session.sync(Deadline::after(program.clock, Duration::from_secs(20)))
        });
        let machine = &mut self.machines[m];
        machine.wire.stop.lock().take();
        machine.programs.append(&mut others.lock());
        machine.note_grants(false);
        outcome?;
        let Some((outcome, serial)) = gone_on.lock().take() else { return Ok(()) };
        if !self.had_disk_trouble {
            self.require_cause(&Outcome::Done(outcome.err().map(|error| error.code)))?;
        }
        laws::who_wakes_takes_nothing(self, m, &uuid, serial)
    }

    fn close(&mut self, m: usize) -> Check {
        let Some(program) = self.choose(m) else { return Ok(()) };
        let outcome = self.act(m, program, |machine| {
            let Program { mine, session, clock, .. } = machine.programs.remove(program);
            drop(mine);
            let bound = seatmeter::clock::Deadline::after(clock, std::time::Duration::from_secs(5));
            session.close(bound).map(|_| ())
        })?;
        // A program that is cut off while it closes was removed from the list before.
        match outcome {
            Outcome::Done(_) => self.require_cause(&outcome),
            Outcome::Died => Ok(()),
        }
    }

    /// Check that a failure has a cause outside of the library.
    fn require_cause(&self, outcome: &Outcome) -> Check {
        let Outcome::Done(Some(code)) = outcome else { return Ok(()) };
        let heard = self.net.lock().heard.clone();
        if let (ErrorCode::FAILED_TO_REACH_SERVER, Some(m)) = (*code, self.acting) {
            laws::standby_was_asked(&self.net.lock(), m)?;
        }
        let is_by_disk = *code == ErrorCode::LICENSE_BUFFER_FAILED && self.had_disk_trouble;
        let is_silence = *code == ErrorCode::FAILED_TO_REACH_SERVER && heard.silences > 0;
        // A refusal by the other of two servers is not accepted, whatever its code.
        let is_by_another =
            *code == ErrorCode::LICENSE_SYNC_FAILED && self.net.lock().apart.is_some();
        if is_silence
            || is_by_disk
            || is_by_another
            || heard.damaged > 0
            || heard.refusals.contains(code)
        {
            return Ok(());
        }
        Err(format!("{code:?} for no cause: {heard:?}"))
    }

    fn work(&mut self, m: usize, n: u64) -> Check {
        let Some(program) = self.choose(m) else { return Ok(()) };
        let (clock, licensed) = {
            let program = &mut self.machines[m].programs[program];
            // A thread of each program does this once a second.
            program.session.follow_device();
            (program.clock, program.licensed())
        };
        let Some(licensed) = licensed else { return Ok(()) };
        let work = self.work_of(licensed.grant().local.charge_way, n);
        let has_reader = self.random.percent(50);
        let at = clock.unix_seconds();
        let before = self.machines[m].cut_off.map(|_| self.machines[m].counted());
        let has_two_items = !self.net.lock().is_judged();
        let before_by_item = has_two_items.then(|| self.machines[m].counted_by_item());
        let outcome = self.act(m, program, |machine| {
            if !has_reader {
                return licensed.count_without_reader(&work);
            }
            let slot = licensed.moment()?.slot;
            licensed.count(&mut machine.programs[program].mine, slot, &work)
        })?;
        let family = self.net.lock().families[m];
        let counter = |kind: UsageKind, what| (slot_of(at), kind.number(), what);
        match outcome {
            Outcome::Done(None) => {
                laws::may_work(&licensed.grant(), at)?;
                if self.machines[m].programs.len() > program {
                    laws::is_not_outlived(self, m, program, &licensed.grant())?;
                }
                if let Some(before) = before_by_item {
                    laws::only_its_item_counted(&self.machines[m], &licensed.grant(), &before)?;
                }
                for (kind, what, n) in work {
                    *self.performed.entry((family, counter(kind, what))).or_default() += n;
                }
            }
            Outcome::Done(Some(code)) => {
                laws::may_refuse_work(self, m, &licensed.grant(), at, code)?
            }
            Outcome::Died => {
                // Count what is on the disk: each counter is a piece of work of its own.
                let (before, after) = (before.unwrap_or_default(), self.machines[m].counted());
                for (counter, total) in after {
                    let more = total - before.get(&counter).copied().unwrap_or(0);
                    *self.performed.entry((family, counter)).or_default() += more;
                }
            }
        }
        Ok(())
    }

    fn shift(&mut self, m: usize, n: u64) -> Check {
        for _ in 0..2 {
            self.work(m, n)?;
            self.time.pass(SHIFT_MS);
            if let Some(program) = self.choose(m) {
                self.keep(m, program)?;
            }
        }
        Ok(())
    }

    fn brownout(&mut self, m: usize, n: u32) -> Check {
        self.work(m, 1)?;
        self.machines[m].health = Disk::FailsOnce(n);
        if let Some(program) = self.choose(m) {
            self.keep(m, program)?;
        }
        self.lose_power(m);
        Ok(())
    }

    /// Lose files that are in use. Within a second each program notices that, and its counts in
    /// that second must not be lost, either.
    fn lose(&mut self, m: usize, loss: Loss) -> Check {
        let is_fit = self.machines[m].health == Disk::Sound && self.machines[m].cut_off.is_none();
        if !is_fit || self.machines[m].programs.is_empty() {
            // A program that dies before it can copy its counts to a new file loses them.
            return Ok(());
        }
        self.work(m, 1)?;
        let before = self.machines[m].counted();
        let lost = self.machines[m].lose(loss);
        self.work(m, 2)?;
        self.watch(m)?;
        if loss == Loss::AwayAndBack {
            self.work(m, 1)?;
            lost.iter()
                .for_each(|(file, aside)| std::fs::rename(aside, file).expect("it was just moved"));
            self.work(m, 1)?;
            self.watch(m)?;
        }
        laws::nothing_is_missing(&self.machines[m], &before, m)
    }

    /// Make every program of a machine check its files, as a thread of it does once a second.
    fn watch(&mut self, m: usize) -> Check {
        for program in 0..self.machines[m].programs.len() {
            let outcome = self.act(m, program, |machine| {
                machine.programs[program].session.watch();
                machine.programs[program].session.end_watch();
                Ok(())
            })?;
            self.require_cause(&outcome)?;
        }
        Ok(())
    }

    fn aftermath(&mut self, m: usize) -> Check {
        self.carry_out_elsewhere(What::Restore);
        for round in 0..4 {
            self.time.pass(RENEWS_MS);
            if round == 2 {
                self.carry_out_elsewhere(What::Deliver);
            }
            if let Some(program) = self.choose(m) {
                self.keep(m, program)?;
            }
        }
        Ok(())
    }

    /// Take seats one after the other, until there is none.
    fn take_seats(&mut self, m: usize, n: u64) -> Check {
        let Some(program) = self.choose(m) else { return Ok(()) };
        let Some(licensed) = self.machines[m].programs[program].licensed() else { return Ok(()) };
        let at = self.machines[m].programs[program].clock.unix_seconds();
        for _ in 0..n {
            let outcome = self.act(m, program, |machine| {
                let seat = licensed.take_seat()?;
                machine.programs[program].seats.extend(seat);
                Ok(())
            })?;
            laws::seats_are_those_of_the_grant(self, m, program, licensed, Some(&outcome))?;
            match outcome {
                Outcome::Done(None) => {}
                Outcome::Done(Some(ErrorCode::INSTANCE_COUNT_OVER_LIMIT)) | Outcome::Died => break,
                Outcome::Done(Some(code)) => {
                    return laws::may_refuse_work(self, m, &licensed.grant(), at, code);
                }
            }
        }
        Ok(())
    }

    fn give_seats(&mut self, m: usize, kept: u64) -> Check {
        let Some(number) = self.choose(m) else { return Ok(()) };
        let program = &mut self.machines[m].programs[number];
        let Some(licensed) = program.licensed() else { return Ok(()) };
        let kept = program.seats.len().min(usize::try_from(kept).unwrap_or(0));
        program.seats.drain(kept..).for_each(|seat| licensed.give_seat(seat));
        laws::seats_are_those_of_the_grant(self, m, number, licensed, None)
    }

    fn work_of(&mut self, way: ChargeWay, n: u64) -> Vec<(UsageKind, u32, u64)> {
        let image = (UsageKind::Image, 0, 1);
        let what = u32::try_from(self.random.between(1, 2)).unwrap_or(1);
        match way {
            ChargeWay::Page => vec![(UsageKind::Page, what, n)],
            ChargeWay::BarcodeScan => vec![(UsageKind::Scan, what, n), image],
            _ if self.random.percent(50) => vec![image],
            _ => vec![(UsageKind::Scan, what, n), image],
        }
    }

    /// Cut a machine's power: work that was not yet durable is lost, and does not count as
    /// performed.
    fn lose_power(&mut self, m: usize) {
        self.acting = Some(m);
        let family = self.net.lock().families[m];
        self.machines[m].kill_all();
        let before = self.machines[m].counted();
        self.machines[m].lose_power();
        let after = self.machines[m].counted();
        for (counter, total) in before {
            let lost = total - after.get(&counter).copied().unwrap_or(0);
            if lost > 0
                && let Some(performed) = self.performed.get_mut(&(family, counter))
            {
                *performed -= lost;
            }
        }
    }

    fn copy(&mut self, m: usize) {
        let Some(free) = self.machines.iter().position(|machine| !machine.is_used()) else {
            return;
        };
        if !self.machines[m].is_used() || free == m {
            return;
        }
        self.machines[m].kill_all();
        let (original, copy) = self.machines.split_at_mut(m.max(free));
        let (one, other) = (&mut original[m.min(free)], &mut copy[0]);
        if m < free {
            other.copy(one)
        } else {
            one.copy(other)
        }
        let mut net = self.net.lock();
        net.families[free] = net.families[m];
        net.refusals[free] = net.refusals[m].clone();
    }
}
