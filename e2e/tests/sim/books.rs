//! The content of the server's tables, read row by row and added up by hand: nothing here uses the
//! server's own sums.

use std::collections::BTreeMap;

use seatmeter_protocol::license::LocalLicense;
use seatmeter_server::store::Field;
use seatmeter_server::store::sqlite::InlineStore;

/// A counter: slot, kind, symbology or module.
pub(crate) type Counter = (u32, u8, u32);

/// The slot under which a witness notes what a page has counted ahead of the time. It is dated when
/// it is reported.
pub(crate) const UNDATED_SLOT: u32 = u32::MAX;

/// All recorded usage, and the allowances of devices.
#[derive(Default)]
pub(crate) struct Books {
    /// The totals by device and counter.
    pub(crate) billed: BTreeMap<(String, Counter), u64>,
    /// The totals by segment and counter.
    pub(crate) segments: BTreeMap<(String, Counter), u64>,
    /// The allowances by device and module (0 is that of scans): allowed, used.
    pub(crate) allowances: BTreeMap<(String, u32), (u64, u64)>,
}

impl Books {
    pub(crate) fn of(store: &InlineStore) -> Self {
        Self::of_all(std::iter::once(store))
    }

    /// Return the books of several servers together; the allowances are those of the last one.
    pub(crate) fn of_all<'s>(stores: impl Iterator<Item = &'s InlineStore>) -> Self {
        let mut books = Self::default();
        stores.for_each(|store| books.add(store));
        books
    }

    fn add(&mut self, store: &InlineStore) {
        for row in store.segment_totals().expect("every row can be read") {
            let counter = (row.slot, row.kind.number(), row.what);
            *self.billed.entry((row.device_uuid, counter)).or_default() += row.total;
            self.segments.insert((row.segment_id, counter), row.total);
        }
        for row in rows(store, "SELECT device_uuid, module, allowed, used FROM allowance") {
            let key = (text(&row[0]), number(&row[1]) as u32);
            self.allowances.insert(key, (number(&row[2]), number(&row[3])));
        }
    }

    /// Add the allowances of a license that a restored server had forgotten and a device shows. The
    /// server decides by them.
    pub(crate) fn bring_back(&mut self, held: &LocalLicense) {
        for shown in &held.allowances {
            let (allowed, _) =
                self.allowances.entry((held.device_uuid.clone(), shown.module)).or_default();
            *allowed = shown.allowed.max(*allowed);
        }
    }

    /// Return the recorded usage of a kind; for pages, in one module.
    pub(crate) fn used(&self, kind: u8, module: Option<u32>) -> u64 {
        let is_of = |counter: &Counter| {
            counter.1 == kind && module.is_none_or(|module| module == counter.2)
        };
        self.billed.iter().filter(|((_, counter), _)| is_of(counter)).map(|(_, total)| total).sum()
    }

    /// Return the sum of all devices' allowances of a module.
    pub(crate) fn allowed(&self, of: u32) -> u64 {
        self.allowances
            .iter()
            .filter(|((_, module), _)| *module == of)
            .map(|(_, (allowed, _))| allowed)
            .sum()
    }

    /// Return the allowance of one device in a module, and the used part.
    pub(crate) fn allowance(&self, device: &str, module: u32) -> (u64, u64) {
        self.allowances.get(&(device.to_owned(), module)).copied().unwrap_or_default()
    }
}

pub(crate) fn rows(store: &InlineStore, statement: &str) -> Vec<Vec<Field>> {
    store.rows(statement).expect("the statement reads")
}

pub(crate) fn number(field: &Field) -> u64 {
    match field {
        Field::Integer(number) => {
            u64::try_from(*number).expect("no number of the tables is negative")
        }
        other => panic!("{other:?} is no number"),
    }
}

pub(crate) fn text(field: &Field) -> String {
    match field {
        Field::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}
