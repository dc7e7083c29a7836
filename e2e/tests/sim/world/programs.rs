//! Programs of a machine: they start, have their rounds, are stopped, and end.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seatmeter::clock::{Clock, Deadline};
use seatmeter_protocol::error_code::ErrorCode;

use super::{Outcome, RENEWS_MS, World};
use crate::laws::{self, Check};
use crate::machine::{Machine, PROGRAMS_MAX, Program};
use crate::net::Stop;
use crate::plan::{Stopped, What};

impl World {
    pub(super) fn start(&mut self, m: usize) -> Check {
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
            let ms = self.machines[m].programs[program].clock.unix_ms();
            laws::heard_the_time(self, m, ms, believed)?;
        }
        Ok(next)
    }

    pub(super) fn rounds(&mut self, m: usize, n: u64) -> Check {
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
    pub(super) fn stop(&mut self, m: usize, stopped: Stopped, seconds: u64) -> Check {
        // A kill point cannot end a program while another one is on the stack.
        if self.machines[m].programs.len() < 2 || self.machines[m].cut_off.is_some() {
            return Ok(());
        }
        let machine = &mut self.machines[m];
        let uuid = machine.uuid();
        let may_look_copied = self.net.lock().may_look_copied(m, &uuid);
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
                *gone_on.lock() = Some((outcome, others[0].license_on_disk(&state)));
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
        let Some((outcome, license)) = gone_on.lock().take() else { return Ok(()) };
        if !self.had_disk_trouble {
            self.require_cause(&Outcome::Done(outcome.err().map(|error| error.code)))?;
        }
        laws::who_wakes_takes_nothing(self, m, (&uuid, may_look_copied), license)
    }

    pub(super) fn close(&mut self, m: usize) -> Check {
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
    pub(super) fn require_cause(&self, outcome: &Outcome) -> Check {
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

    /// Let the server be restored, and a machine go on for a day. Delayed letters arrive in the
    /// middle of it.
    pub(super) fn aftermath(&mut self, m: usize) -> Check {
        self.carry_out_elsewhere(What::Restore);
        for round in 0..4 {
            self.time.pass(RENEWS_MS);
            if round == 2 {
                self.carry_out_elsewhere(What::Deliver);
            }
            if self.browsers[m].is_some() {
                self.browse(m, What::Keep(m))?;
            } else if let Some(program) = self.choose(m) {
                self.keep(m, program)?;
            }
        }
        Ok(())
    }
}
