//! Allowances under a strict item: what is spent before it is counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::UsageKind;

use super::{Licensed, attribution};
use crate::clock::Clock;
use crate::error::Result;
use crate::license::Grant;
use crate::os::locks::{RwLock, SPENT};
use crate::seats::pool_name;
use crate::usage::{SlotEntries, SpentAllowance, Work, has_counted, unsent_of};

/// The allowances under a strict item, and the folders where they are stored.
pub(super) struct Allowance {
    /// The file of the spent allowances. A count holds the read lock from spending to counting. So
    /// a change of this file together with the UUID cannot separate them: no count is spent under
    /// one UUID and counted under another.
    pub(super) spent: RwLock<Arc<SpentAllowance>, SPENT>,
    seats_folder: PathBuf,
    usage_folder: PathBuf,
    clock: &'static dyn Clock,
}

/// The wake-up for a call that runs out of allowance. It wakes the thread that can get more, at
/// most once a second. While the server has too little, it does so less and less often: a program
/// may call again and again.
pub(super) struct EarlyRenewal {
    wake: fn(),
    asked_at_ms: AtomicU64,
    pause_ms: AtomicU64,
}

/// The shortest time between two requests for more allowance, in milliseconds, and the longest.
const EARLY_RENEWAL_MS: u64 = 1_000;
const EARLY_RENEWAL_MS_MAX: u64 = 64_000;

impl Licensed {
    /// Apply the grant's allowances to the counter. Under another UUID, spending and counting are
    /// separate from those under the previous one.
    pub(super) fn allow(&self, grant: &Grant, is_renamed: bool) -> Result<()> {
        let local = &grant.local;
        if self.allowance.is_some() && !is_renamed {
            // If the file was removed, other programs have another one, and together they could
            // spend more than is allowed.
            self.check_files();
        }
        let count_as = || self.counter.count_as(attribution(grant));
        match &self.allowance {
            None if is_renamed => count_as(),
            None => {}
            Some(allowance) if is_renamed => {
                let anew = Arc::new(allowance.open_for(grant)?);
                let before = {
                    let mut spent = allowance.spent.write();
                    count_as();
                    std::mem::replace(&mut *spent, anew)
                };
                // The previous file is unmapped without the lock.
                drop(before);
            }
            Some(allowance) => {
                let unreported = |module| allowance.unreported(local, module);
                // 0 means that the boot clock is not known: then no loss counts as long past.
                let now_ms = self.clock.machine_boot_ms().unwrap_or(0);
                allowance.now().grant(local.serial, &local.allowances, now_ms, unreported)?;
            }
        }
        Ok(())
    }

    /// Spend before counting, and take back what could not be counted.
    #[cold]
    pub(super) fn count_strictly(
        &self,
        allowance: &Allowance,
        mine: &mut SlotEntries,
        slot: u32,
        work: &[Work],
    ) -> Result<()> {
        let grant = self.grant();
        let charged = charged(grant.local.charge_way, work);
        if allowance.now().is_closed() {
            // Another process has found that the file is lost: no allowance can be spent in it.
            self.check_files();
        }
        let allowance = allowance.spent.read();
        self.counter.catch_up(mine);
        let mut outcome = Ok(());
        let mut spent = 0;
        for (module, n) in &charged {
            outcome = allowance.spend(*module, *n);
            if outcome.is_err() {
                self.needed.fetch_max(*n, Ordering::Relaxed);
                break;
            }
            spent += 1;
        }
        let outcome = outcome.and_then(|()| self.counter.count(mine, slot, work));
        if outcome.is_err() {
            charged[..spent].iter().for_each(|(module, n)| allowance.take_back(*module, *n));
        }
        let runs_low = allowance.runs_low(&grant.local.allowances);
        drop(allowance);
        if outcome.is_err() || runs_low {
            self.early_renewal.call(self.clock.monotonic_ms());
        }
        outcome
    }
}

impl Allowance {
    pub(super) fn open(
        grant: &Grant,
        seats_folder: &Path,
        usage_folder: &Path,
        clock: &'static dyn Clock,
    ) -> Result<Self> {
        Ok(Self {
            spent: RwLock::ranked(Arc::new(open_spent(grant, seats_folder, usage_folder, clock)?)),
            seats_folder: seats_folder.to_owned(),
            usage_folder: usage_folder.to_owned(),
            clock,
        })
    }

    pub(super) fn open_for(&self, grant: &Grant) -> Result<SpentAllowance> {
        open_spent(grant, &self.seats_folder, &self.usage_folder, self.clock)
    }

    fn unreported(&self, license: &LocalLicense, module: u32) -> u64 {
        let LocalLicense { license_id, device_uuid, .. } = license;
        folders_beside(&self.usage_folder)
            .map(|folder| unsent_of(&folder, license_id, device_uuid, module))
            .fold(0, u64::saturating_add)
    }

    /// Return the file in use, for callers that do not count.
    pub(super) fn now(&self) -> Arc<SpentAllowance> {
        self.spent.read().clone()
    }
}

/// Return the usage folders of all grants: grants that come from one code share a license.
fn folders_beside(usage_folder: &Path) -> impl Iterator<Item = PathBuf> {
    let all = usage_folder.parent().map(std::fs::read_dir).into_iter().flatten();
    all.flatten().flatten().map(|entry| entry.path())
}

fn open_spent(
    grant: &Grant,
    seats_folder: &Path,
    usage_folder: &Path,
    clock: &'static dyn Clock,
) -> Result<SpentAllowance> {
    let LocalLicense { license_id, item_id, device_uuid, serial, allowances, .. } = &grant.local;
    // Only this item matters: work that was counted under another item of the code does not concern
    // it.
    let has_counted = |folder: PathBuf| has_counted(&folder, license_id, device_uuid);
    let is_used = || {
        allowances.iter().any(|known| known.used > 0)
            || folders_beside(usage_folder).any(has_counted)
    };
    // If the boot clock is not known, no loss counts as long past: neither now, nor for a process
    // that reads this later.
    let now_ms = clock.machine_boot_ms();
    let lost_at = now_ms.unwrap_or(u64::MAX);
    let spent =
        SpentAllowance::open(seats_folder, &pool_name(item_id), device_uuid, lost_at, is_used)?;
    spent.grant(*serial, allowances, now_ms.unwrap_or(0), |_| 0)?;
    Ok(spent)
}

impl EarlyRenewal {
    pub(super) fn new(wake: fn()) -> Self {
        let pause_ms = AtomicU64::new(EARLY_RENEWAL_MS);
        Self { wake, asked_at_ms: AtomicU64::new(0), pause_ms }
    }

    /// Take over whether a grant allows what was needed.
    pub(super) fn answered(&self, is_enough: bool) {
        let pause = match is_enough {
            true => EARLY_RENEWAL_MS,
            false => (2 * self.pause_ms.load(Ordering::Relaxed)).min(EARLY_RENEWAL_MS_MAX),
        };
        self.pause_ms.store(pause, Ordering::Relaxed);
    }

    pub(super) fn call(&self, now_ms: u64) {
        let asked = self.asked_at_ms.load(Ordering::Relaxed);
        let pause = self.pause_ms.load(Ordering::Relaxed);
        let is_due = asked == 0 || now_ms.saturating_sub(asked) >= pause;
        if is_due
            && self
                .asked_at_ms
                .compare_exchange(asked, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            (self.wake)();
        }
    }
}

/// Return what is charged for some work under a strict item, by module; 0 is the module of scans.
fn charged(charge_way: ChargeWay, work: &[Work]) -> Vec<(u32, u64)> {
    let module = |(kind, what, n): &Work| match (charge_way, kind) {
        (ChargeWay::BarcodeScan, UsageKind::Scan) => Some((0, *n)),
        (ChargeWay::Page, UsageKind::Page) => Some((*what, *n)),
        _ => None,
    };
    work.iter().filter_map(module).collect()
}
