//! The counts of one page, by the rules of `bindings/web/src/counter.js`: totals that only grow,
//! and are stored before they are shown as counted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::random_id;

use super::clock::PageClock;
use super::errors::{Failure, Outcome};
use super::grant::Grant;
use super::store::{Content, SegmentRow, Store, TotalKey, TotalRow};

/// The time after which images are stored, if nothing else is.
pub(super) const IMAGES_MS: i64 = 1_000;

/// A piece of work: kind, symbology or module, amount.
pub(crate) type Piece = (UsageKind, u32, u64);

/// The totals of a segment, by slot, kind and what. Work that waits keeps those of an earlier one.
type Totals = Rc<RefCell<BTreeMap<(u32, UsageKind, u32), u64>>>;

/// Work that waits for its transaction.
struct Entry {
    segment: SegmentRow,
    /// The totals of the segment, as the page knows them.
    totals: Totals,
    slot: u32,
    work: Vec<Piece>,
    /// Whether somebody waits for it.
    is_awaited: bool,
}

pub(super) struct Counter {
    grant: Option<Grant>,
    waiting: Vec<Entry>,
    images: u64,
    image_slot: u32,
    pub(super) image_since: i64,
    spent: BTreeMap<(String, String, u32), u64>,
    segment: Option<SegmentRow>,
    totals: Totals,
    last_slot: u32,
}

/// A total that a transaction changes.
struct Changed {
    entry: usize,
    total: u64,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self {
            grant: None,
            waiting: Vec::new(),
            images: 0,
            image_slot: 0,
            image_since: 0,
            spent: BTreeMap::new(),
            segment: None,
            totals: Totals::default(),
            last_slot: 0,
        }
    }

    /// Count under this grant from now on. Each license has segments of its own.
    pub(super) fn use_grant(&mut self, grant: &Grant) {
        let license = self.grant.as_ref().map(|grant| &grant.local.license_id);
        let changes = license != Some(&grant.local.license_id);
        if changes {
            self.take_images();
        }
        self.grant = Some(grant.clone());
        if changes {
            self.begin();
        }
    }

    /// Begin another segment.
    pub(super) fn begin(&mut self) {
        self.segment = self.grant.as_ref().map(|grant| SegmentRow {
            id: random_id().expect("the seed gives random numbers"),
            uuid: grant.local.device_uuid.clone(),
            key_id: grant.key_id.clone(),
            license: grant.local.license_id.clone(),
            item: grant.item.item_id.clone(),
            envelope: grant.envelope.clone(),
        });
        self.totals = Totals::default();
        self.last_slot = 0;
    }

    /// Note one image. It costs no transaction of its own.
    pub(super) fn image(&mut self, ms: i64) {
        let slot = slot_of_ms(ms);
        if slot != self.image_slot {
            self.take_images();
            self.image_slot = slot;
        }
        if self.images == 0 {
            self.image_since = ms;
        }
        self.images += 1;
    }

    pub(super) fn has_images(&self) -> bool {
        self.images > 0 || !self.waiting.is_empty()
    }

    fn take_images(&mut self) {
        let Some(segment) = self.segment.clone().filter(|_| self.images > 0) else { return };
        let work = vec![(UsageKind::Image, 0, std::mem::take(&mut self.images))];
        let (slot, totals) = (self.image_slot, self.totals.clone());
        self.waiting.push(Entry { segment, totals, slot, work, is_awaited: false });
    }

    /// Store the images that wait.
    pub(super) fn flush_images(
        &mut self,
        store: &mut Store,
        clock: &PageClock,
        heal: &dyn Fn(&mut Content),
    ) -> Outcome<()> {
        self.take_images();
        self.drain(store, clock, heal)
    }

    /// Count this work, and return once it is stored.
    pub(super) fn add(
        &mut self,
        work: &[Piece],
        ms: i64,
        store: &mut Store,
        clock: &PageClock,
        heal: &dyn Fn(&mut Content),
    ) -> Outcome<()> {
        let segment = self.segment.clone().expect("a page with a grant has a segment");
        let (slot, totals, work) = (slot_of_ms(ms), self.totals.clone(), work.to_vec());
        self.waiting.push(Entry { segment, totals, slot, work, is_awaited: true });
        self.take_images();
        self.drain(store, clock, heal)
    }

    fn drain(
        &mut self,
        store: &mut Store,
        clock: &PageClock,
        heal: &dyn Fn(&mut Content),
    ) -> Outcome<()> {
        let batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() {
            return Ok(());
        }
        let strict = self.grant.as_ref().is_some_and(|grant| grant.item.strict);
        let (is_kept, changed) = store.write(|on| {
            let mut changed: BTreeMap<TotalKey, Changed> = BTreeMap::new();
            let mut is_kept = true;
            for (number, entry) in batch.iter().enumerate() {
                if strict && entry.is_awaited && !self.spend(on, entry) {
                    is_kept = false;
                    continue;
                }
                for (kind, what, n) in &entry.work {
                    let key = (entry.segment.id.clone(), entry.slot, *kind, *what);
                    let known = entry.totals.borrow().get(&(entry.slot, *kind, *what)).copied();
                    let total = known.unwrap_or(0);
                    let row = changed.entry(key).or_insert(Changed { entry: number, total });
                    row.total += n;
                }
            }
            self.put_rows(on, &batch, &changed, clock, heal);
            (is_kept, changed)
        })?;
        for ((_, slot, kind, what), row) in changed {
            batch[row.entry].totals.borrow_mut().insert((slot, kind, what), row.total);
            self.last_slot = self.last_slot.max(slot);
        }
        match is_kept {
            true => Ok(()),
            false => Err(Failure::new(ErrorCode::USED_UP, "the allowance is used up").into()),
        }
    }

    fn put_rows(
        &self,
        on: &mut Content,
        batch: &[Entry],
        changed: &BTreeMap<TotalKey, Changed>,
        clock: &PageClock,
        heal: &dyn Fn(&mut Content),
    ) {
        // A page that has heard a server later knows better.
        if on.clock.is_none_or(|known| known.heard_at <= clock.heard_at) {
            on.clock = Some(clock.stored());
        }
        let mut healed = BTreeSet::new();
        for (key, row) in changed {
            let entry = &batch[row.entry];
            let segment = &entry.segment;
            if healed.insert(segment.id.clone()) && !on.segments.contains_key(&segment.id) {
                // It is the first count of the segment, or somebody has cleared the storage.
                heal(on);
                on.segments.insert(segment.id.clone(), segment.clone());
                for ((slot, kind, what), total) in &*entry.totals.borrow() {
                    let key = (segment.id.clone(), *slot, *kind, *what);
                    // It may have been sent.
                    let sent_as = Some((*slot, None));
                    on.totals.insert(key, TotalRow { sent_as, ..unsent(*total) });
                }
            }
            let sent_as = on.totals.get(key).and_then(|stored| stored.sent_as.clone());
            on.totals.insert(key.clone(), TotalRow { sent_as, ..unsent(row.total) });
        }
    }

    /// Spend a count before it is counted, in one transaction for all tabs.
    fn spend(&mut self, on: &mut Content, entry: &Entry) -> bool {
        let mut asked: BTreeMap<u32, u64> = BTreeMap::new();
        for (kind, what, n) in &entry.work {
            match kind {
                UsageKind::Image => {}
                UsageKind::Page => *asked.entry(*what).or_default() += n,
                UsageKind::Scan => *asked.entry(0).or_default() += n,
            }
        }
        let allowances = self.grant.as_ref().map(|grant| &grant.local.allowances);
        let mut rows = Vec::new();
        for (module, n) in asked {
            let key = (entry.segment.uuid.clone(), entry.segment.item.clone(), module);
            let mut all = allowances.into_iter().flatten();
            let allowance = all.find(|allowance| allowance.module == module);
            let stored = on.spent.get(&key).copied().unwrap_or(0);
            let known = self.spent.get(&key).copied().unwrap_or(0);
            let used = allowance.map_or(0, |allowance| allowance.used);
            let spent = stored.max(known).max(used) + n;
            if allowance.is_none_or(|allowance| spent > allowance.allowed) {
                return false;
            }
            rows.push((key, spent));
        }
        for (key, spent) in rows {
            on.spent.insert(key.clone(), spent);
            self.spent.insert(key, spent);
        }
        true
    }

    /// Return whether the storage has a greater total than the page knows: the page was killed
    /// before it was told of its last count.
    pub(super) fn is_exceeded(&self, on: &Content, counter: (u32, UsageKind, u32)) -> bool {
        let Some(segment) = &self.segment else { return false };
        let (slot, kind, what) = counter;
        let stored = on.totals.get(&(segment.id.clone(), slot, kind, what));
        let known = self.totals.borrow().get(&counter).copied().unwrap_or(0);
        stored.is_some_and(|stored| stored.total > known)
    }

    /// Return whether something was counted ahead of the time.
    pub(super) fn is_ahead(&self, slot: u32) -> bool {
        self.last_slot > slot
    }
}

fn unsent(total: u64) -> TotalRow {
    TotalRow { total, is_unsent: true, sent_as: None }
}

fn slot_of_ms(ms: i64) -> u32 {
    u32::try_from(ms / 180_000).unwrap_or(0)
}
