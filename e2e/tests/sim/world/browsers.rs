//! Browsers of a world: their pages are opened, count, report, are killed, and lose their storage.

use seatmeter::fault_injection::disk::Disk;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;

use super::World;
use crate::books::UNDATED_SLOT;
use crate::browser::{Browser, Halt, Meanwhile, Outcome as Done, Piece, TABS_MAX, Told};
use crate::laws::{self, Check};
use crate::plan::{Stopped, What};

impl World {
    /// Return the browser on a machine that has one.
    pub(super) fn browser(&mut self, m: usize) -> Option<&mut Browser> {
        self.browsers[m].as_mut()
    }

    /// Carry out what happens to a browser. What can only happen to programs does nothing.
    pub(super) fn browse(&mut self, m: usize, what: What) -> Check {
        match what {
            What::Start(_) => self.open_tab(m),
            What::Work(_, n) => self.work_in_tab(m, n),
            What::Shift(_, n) => self.shift_in_tab(m, n),
            What::Keep(_) => self.keep_a_tab(m),
            What::Rounds(_, n) => self.rounds_of_tabs(m, n),
            What::Close(_) => self.close_tab(m),
            What::Kill(_) => self.kill_tab(m),
            What::Hide(_) | What::Take(..) => self.hide_tab(m),
            What::Busy(_, n) | What::Give(_, n) => self.busy(m, n, Stopped::Answered, 0),
            What::Stop(_, stopped, seconds) => self.busy(m, 1, stopped, seconds),
            What::CutOff(_, visits) => self.with(m, |browser| browser.cut_off(visits)),
            What::PowerCut(_, seconds) | What::Reboot(_, seconds) => {
                self.with(m, Browser::kill_all)?;
                self.machines[m].reboot();
                self.time.pass(seconds * 1000);
                Ok(())
            }
            What::Disk(_, health) => self.with(m, |browser| browser.set_health(health)),
            What::Brownout(_, n) => {
                self.work_in_tab(m, 1)?;
                self.with(m, |browser| browser.set_health(Disk::FailsOnce(n)))?;
                self.keep_a_tab(m)?;
                self.with(m, Browser::kill_all)
            }
            What::Lose(..) | What::Clear(_) => self.clear_storage(m),
            What::UseCode(_, code) => {
                self.with(m, |browser| browser.options.handshake_code = code.to_owned())
            }
            What::Clone(_) => self.copy_profile(m),
            What::Snapshot(_) => self.with(m, Browser::keep_copy),
            What::PutBack(_) => self.put_profile_back(m),
            What::Steal(_, theft) => {
                let uuid = self.browser(m).and_then(|browser| browser.uuid().map(str::to_owned));
                uuid.map_or(Ok(()), |uuid| self.net.lock().steal(m, theft, &uuid))
            }
            _ => Ok(()),
        }
    }

    /// Let something happen in a browser, and judge what its pages were told.
    fn with<T>(&mut self, m: usize, act: impl FnOnce(&mut Browser) -> T) -> Result<T, String> {
        self.acting = Some(m);
        let clock = self.machines[m].clock;
        clock.switch_on();
        let Some(browser) = self.browsers[m].as_mut() else {
            return Err(format!("machine {m} has no browser"));
        };
        if browser.is_used() {
            clock.is_in_use.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        self.had_disk_trouble = browser.health() != Disk::Sound;
        let done = act(browser);
        let told = std::mem::take(&mut browser.told);
        told.into_iter().try_for_each(|one| self.judge(m, one))?;
        Ok(done)
    }

    /// Let a page do something, and check that a failure has a cause outside of the page.
    fn page(&mut self, m: usize, act: impl FnOnce(&mut Browser) -> Done<()>) -> Check {
        let before = self.browsers[m].as_ref().map_or(0, |browser| browser.waits);
        let outcome = self.with(m, act)?;
        let waited = self.browsers[m].as_ref().map_or(0, |browser| browser.waits);
        match outcome {
            Ok(()) | Err(Halt::Killed) => Ok(()),
            Err(Halt::Failed(failure))
                if failure.code == ErrorCode::FAILED_TO_REACH_SERVER && waited > before =>
            {
                Ok(())
            }
            Err(Halt::Failed(failure)) => self
                .require_cause(&super::Outcome::Done(Some(failure.code)))
                .map_err(|why| format!("{why}, {}", failure.message)),
        }
    }

    /// Judge what a page was told of its work.
    fn judge(&mut self, m: usize, told: Told) -> Check {
        let family = self.net.lock().families[m];
        match told {
            Told::Counted { counts, ms, grant } => {
                let at = u64::try_from(ms / 1000).unwrap_or(0);
                // A page looks at the time once a second.
                laws::may_work(&grant.local, &grant.item, at.saturating_sub(1))?;
                let unheld = |browser: &Browser| browser.is_unheld(&grant.local);
                let is_unheld = self.browsers[m].as_ref().is_some_and(unheld);
                for (counter, n) in counts {
                    let key = (family, counter);
                    self.note_performed(key, n, is_unheld);
                }
                Ok(())
            }
            Told::Refused { code, ms, grant } => {
                let at = u64::try_from(ms / 1000).unwrap_or(0);
                laws::may_refuse_work(self, m, &grant.local, &grant.item, at, code)
            }
            Told::Nothing(counts) => {
                for (counter, n) in counts {
                    *self.lost.entry((family, counter)).or_default() += n;
                }
                Ok(())
            }
        }
    }

    fn choose_tab(&mut self, m: usize) -> Option<usize> {
        let open = self.browsers[m].as_ref().map_or(0, |browser| browser.tabs.len() as u64);
        (open > 0).then(|| usize::try_from(self.random.below(open)).unwrap_or(0))
    }

    pub(crate) fn open_tab(&mut self, m: usize) -> Check {
        if self.browser(m).is_some_and(|browser| browser.tabs.len() == TABS_MAX) {
            return self.keep_tab(m, 0).map(|_| ());
        }
        self.page(m, Browser::open)
    }

    /// Make the storage of a browser sound, and open a page if none is open; return the number of
    /// open pages.
    pub(crate) fn restore_tab(&mut self, m: usize) -> Result<usize, String> {
        if self.browsers[m].is_none() {
            return Ok(0);
        }
        let is_left = self.with(m, |browser| {
            browser.restore();
            browser.is_used() && browser.tabs.is_empty()
        })?;
        if is_left {
            self.open_tab(m)?;
        }
        Ok(self.browsers[m].as_ref().map_or(0, |browser| browser.tabs.len()))
    }

    fn work_in_tab(&mut self, m: usize, n: u64) -> Check {
        let Some(tab) = self.choose_tab(m) else { return Ok(()) };
        let work = self.work_of_page(n);
        self.page(m, |browser| browser.work(tab, &work))
    }

    fn work_of_page(&mut self, n: u64) -> Vec<Piece> {
        let way = self.net.lock().server.model.item.charge_way;
        match way {
            // The charge way of a second item is that of the first.
            ChargeWay::Page => self.work_of(way, n),
            _ => {
                let mut work = self.work_of(way, n);
                work.retain(|(kind, ..)| *kind == UsageKind::Scan);
                work
            }
        }
    }

    fn shift_in_tab(&mut self, m: usize, n: u64) -> Check {
        for _ in 0..2 {
            self.work_in_tab(m, n)?;
            self.time.pass(super::work::SHIFT_MS);
            self.keep_a_tab(m)?;
        }
        Ok(())
    }

    fn keep_a_tab(&mut self, m: usize) -> Check {
        match self.choose_tab(m) {
            Some(tab) if self.random.percent(20) => self.page(m, |browser| browser.sync(tab)),
            Some(tab) => self.keep_tab(m, tab).map(|_| ()),
            None => self.open_tab(m),
        }
    }

    /// Let the timer of a page fire; return the milliseconds until the next round is due.
    pub(crate) fn keep_tab(&mut self, m: usize, tab: usize) -> Result<u64, String> {
        let (heard, believed) = {
            let heard = &self.net.lock().heard;
            (heard.answers, heard.ahead.len())
        };
        let (mut next, mut is_well) = (0, false);
        self.page(m, |browser| {
            let (failure, pause) = browser.keep(tab)?;
            next = pause;
            is_well = failure.is_none();
            failure.map_or(Ok(()), |failure| Err(Halt::Failed(failure)))
        })?;
        if is_well && self.net.lock().heard.answers > heard {
            let ms = self.browsers[m]
                .as_ref()
                .and_then(|browser| Some(browser.tabs.get(tab)?.clock.ms()));
            let ms = ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
            laws::heard_the_time(self, m, ms, believed)?;
        }
        Ok(next)
    }

    fn rounds_of_tabs(&mut self, m: usize, n: u64) -> Check {
        let open = self.browser(m).map_or(0, |browser| browser.tabs.len());
        let mut due = vec![self.time.now() * 1000; open];
        for _ in 0..n {
            let Some(next) = due.iter().min().copied() else { return Ok(()) };
            let tab = due.iter().position(|at| *at == next).unwrap_or(0);
            self.time.pass(next.saturating_sub(self.time.now() * 1000));
            let pause = self.keep_tab(m, tab)?;
            if self.browser(m).is_none_or(|browser| browser.tabs.len() < due.len()) {
                return Ok(());
            }
            due[tab] = self.time.now() * 1000 + pause.max(1000);
        }
        Ok(())
    }

    /// Let a page end: it closes its license, or its user closes the tab, which is hidden first.
    fn close_tab(&mut self, m: usize) -> Check {
        let Some(tab) = self.choose_tab(m) else { return Ok(()) };
        if self.random.percent(60) {
            return self.page(m, |browser| browser.close(tab));
        }
        let visits = u32::try_from(self.random.between(1, 12)).unwrap_or(1);
        self.with(m, |browser| browser.cut_off(visits))?;
        let open = self.browser(m).map_or(0, |browser| browser.tabs.len());
        self.page(m, |browser| browser.hide(tab))?;
        self.with(m, |browser| {
            if browser.tabs.len() == open {
                browser.kill(tab);
            }
        })
    }

    fn kill_tab(&mut self, m: usize) -> Check {
        let Some(tab) = self.choose_tab(m) else { return Ok(()) };
        let is_whole = self.random.percent(30);
        self.with(m, |browser| if is_whole { browser.kill_all() } else { browser.kill(tab) })
    }

    fn hide_tab(&mut self, m: usize) -> Check {
        let Some(tab) = self.choose_tab(m) else { return Ok(()) };
        self.page(m, |browser| browser.hide(tab))
    }

    /// Let the pages count while a page has its round. That page may be stopped meanwhile.
    fn busy(&mut self, m: usize, n: u64, stopped: Stopped, seconds: u64) -> Check {
        let Some(tab) = self.choose_tab(m) else { return Ok(()) };
        if self.browser(m).is_none_or(|browser| browser.has_cut_off()) {
            return Ok(());
        }
        self.work_in_tab(m, n)?;
        let works = (0..1 + n.min(3)).map(|_| self.work_of_page(1 + n)).collect();
        let is_answered = match stopped {
            Stopped::Answered | Stopped::Granted => self.random.percent(50) || seconds > 0,
            Stopped::Asking => false,
        };
        self.with(m, |browser| {
            browser.meanwhile = Some(Meanwhile { works, is_answered, stopped_for: seconds });
        })?;
        self.keep_tab(m, tab).map(|_| ())
    }

    /// Clear the storage of a profile. What was not reported may be gone, and what a restored
    /// server would ask for.
    fn clear_storage(&mut self, m: usize) -> Check {
        let family = self.net.lock().families[m];
        let before = self.browser(m).map(|browser| browser.counted_by_segment());
        for ((segment, counter), total) in before.unwrap_or_default() {
            let billed = self.books.segments.get(&(segment, counter)).copied().unwrap_or(0);
            let key = (family, (UNDATED_SLOT, counter.1, counter.2));
            let gone = total.saturating_sub(billed);
            *self.lost.entry(key).or_default() += gone;
            // Neither the other pages nor the server know of that work.
            *self.unheld.entry(key).or_default() += gone;
        }
        // Pages that are open may store an earlier license again.
        self.net.lock().installations.put_back(m);
        self.with(m, Browser::clear)
    }

    /// Copy a profile to another machine.
    fn copy_profile(&mut self, m: usize) -> Check {
        let is_free =
            |browser: &Option<Browser>| browser.as_ref().is_some_and(|browser| !browser.is_used());
        let Some(free) = self.browsers.iter().position(is_free) else { return Ok(()) };
        if self.browser(m).is_none_or(|browser| !browser.is_used()) || free == m {
            return Ok(());
        }
        self.with(m, Browser::kill_all)?;
        let family = self.net.lock().families[m];
        // Each of the two dates by itself what was counted ahead of the time.
        let ahead = self.browser(m).map(|browser| browser.counted_ahead()).unwrap_or_default();
        for ((_, kind, what), total) in ahead {
            for pool in [&mut self.performed, &mut self.lost] {
                *pool.entry((family, (UNDATED_SLOT, kind, what))).or_default() += total;
            }
        }
        let original = self.browsers[m].take();
        if let (Some(original), Some(copy)) = (&original, &mut self.browsers[free]) {
            copy.copy(original);
        }
        self.browsers[m] = original;
        let mut net = self.net.lock();
        net.families[free] = net.families[m];
        net.refusals[free] = net.refusals[m].clone();
        Ok(())
    }

    /// Put a profile back to the copy that was kept. What was counted since is lost, unless it was
    /// reported.
    fn put_profile_back(&mut self, m: usize) -> Check {
        self.with(m, Browser::kill_all)?;
        let Some(browser) = self.browsers[m].as_mut() else { return Ok(()) };
        let (before, uuid) = (browser.counted_by_segment(), browser.uuid().map(str::to_owned));
        let newest = browser.newest_serial();
        if !browser.put_back() {
            return Ok(());
        }
        let after = browser.counted_by_segment();
        let serials = (newest, browser.newest_serial());
        let whose = (uuid.as_deref().unwrap_or_default(), serials);
        self.note_put_back(m, whose, (before, &after), |(_, kind, what)| {
            (UNDATED_SLOT, kind, what)
        });
        Ok(())
    }
}
