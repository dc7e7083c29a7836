//! Work that programs do, and seats that they take.

use seatmeter::clock::Clock;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::slot::slot_of;

use super::{Outcome, World};
use crate::books::Counter;
use crate::laws::{self, Check};

/// The time between work and its report, in a shift.
pub(super) const SHIFT_MS: u64 = 5_000;

impl World {
    pub(super) fn work(&mut self, m: usize, n: u64) -> Check {
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
        let is_unheld = self.machines[m].is_unheld(&licensed.grant().local);
        match outcome {
            Outcome::Done(None) => {
                laws::may_work(&licensed.grant().local, &licensed.grant().item, at)?;
                if self.machines[m].programs.len() > program {
                    laws::is_not_outlived(self, m, program, &licensed.grant())?;
                }
                if let Some(before) = before_by_item {
                    laws::only_its_item_counted(&self.machines[m], &licensed.grant(), &before)?;
                }
                for (kind, what, n) in work {
                    self.note_performed((family, counter(kind, what)), n, is_unheld);
                }
            }
            Outcome::Done(Some(code)) => {
                let grant = licensed.grant();
                laws::may_refuse_work(self, m, &grant.local, &grant.item, at, code)?
            }
            Outcome::Died => {
                // Count what is on the disk: each counter is a piece of work of its own.
                let (before, after) = (before.unwrap_or_default(), self.machines[m].counted());
                for (counter, total) in after {
                    let more = total - before.get(&counter).copied().unwrap_or(0);
                    self.note_performed((family, counter), more, is_unheld);
                }
            }
        }
        Ok(())
    }

    pub(super) fn note_performed(&mut self, key: (usize, Counter), n: u64, is_unheld: bool) {
        *self.performed.entry(key).or_default() += n;
        if is_unheld {
            *self.unheld.entry(key).or_default() += n;
        }
    }

    pub(super) fn shift(&mut self, m: usize, n: u64) -> Check {
        for _ in 0..2 {
            self.work(m, n)?;
            self.time.pass(SHIFT_MS);
            if let Some(program) = self.choose(m) {
                self.keep(m, program)?;
            }
        }
        Ok(())
    }

    /// Take seats one after the other, until there is none.
    pub(super) fn take_seats(&mut self, m: usize, n: u64) -> Check {
        let Some(program) = self.choose(m) else { return Ok(()) };
        let Some(licensed) = self.machines[m].programs[program].licensed() else { return Ok(()) };
        let at = self.machines[m].programs[program].clock.unix_seconds();
        for _ in 0..n {
            let take = |world: &mut Self| {
                let outcome = world.act(m, program, |machine| {
                    let seat = licensed.take_seat()?;
                    machine.programs[program].seats.extend(seat);
                    Ok(())
                })?;
                laws::seats_are_those_of_the_grant(world, m, program, licensed, Some(&outcome))?;
                Ok::<_, String>(outcome)
            };
            let mut outcome = take(self)?;
            if matches!(outcome, Outcome::Done(None)) {
                // What is given back is free at once, and can be taken again.
                let last = self.machines[m].programs[program].seats.pop();
                last.into_iter().for_each(|seat| licensed.give_seat(seat));
                laws::seats_are_those_of_the_grant(self, m, program, licensed, None)?;
                outcome = take(self)?;
            }
            match outcome {
                Outcome::Done(None) => {}
                Outcome::Done(Some(ErrorCode::INSTANCE_COUNT_OVER_LIMIT)) | Outcome::Died => break,
                Outcome::Done(Some(code)) => {
                    let grant = licensed.grant();
                    return laws::may_refuse_work(self, m, &grant.local, &grant.item, at, code);
                }
            }
        }
        Ok(())
    }

    pub(super) fn give_seats(&mut self, m: usize, kept: u64) -> Check {
        let Some(number) = self.choose(m) else { return Ok(()) };
        let program = &mut self.machines[m].programs[number];
        let Some(licensed) = program.licensed() else { return Ok(()) };
        let kept = program.seats.len().min(usize::try_from(kept).unwrap_or(0));
        program.seats.drain(kept..).for_each(|seat| licensed.give_seat(seat));
        laws::seats_are_those_of_the_grant(self, m, number, licensed, None)
    }

    pub(super) fn work_of(&mut self, way: ChargeWay, n: u64) -> Vec<(UsageKind, u32, u64)> {
        let image = (UsageKind::Image, 0, 1);
        let what = u32::try_from(self.random.between(1, 2)).unwrap_or(1);
        match way {
            ChargeWay::Page => vec![(UsageKind::Page, what, n)],
            ChargeWay::BarcodeScan => vec![(UsageKind::Scan, what, n), image],
            _ if self.random.percent(50) => vec![image],
            _ => vec![(UsageKind::Scan, what, n), image],
        }
    }
}
