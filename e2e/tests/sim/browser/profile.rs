//! What happens to the storage of a profile, and what it contains.

use std::collections::BTreeMap;

use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::slot::slot_of;

use super::Browser;
use super::store::{Content, TotalKey, TotalRow};
use crate::books::Counter;

impl Browser {
    pub(crate) fn origin(&self) -> &'static str {
        self.origin
    }

    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Return the UUID of the identity in use.
    pub(crate) fn uuid(&self) -> Option<&str> {
        self.store.content.device.as_deref()
    }

    /// Clear the storage, as the user can do at any time. Pages may be open.
    pub(crate) fn clear(&mut self) {
        self.newest_cleared = self.newest_cleared.max(Some(self.newest_serial()));
        self.store.content = Content::default();
        self.clears += 1;
    }

    /// Make this profile a copy of another one, in which no page is open.
    pub(crate) fn copy(&mut self, other: &Self) {
        self.store.content = other.store.content.clone();
        // The storage of a website is that of its origin, wherever it is copied.
        self.origin = other.origin;
        self.options = other.options.clone();
        self.clock.copy(other.clock);
        (self.newest_put_back, self.newest_cleared) = (other.newest_put_back, other.newest_cleared);
        self.is_used = true;
    }

    pub(crate) fn keep_copy(&mut self) {
        if self.is_used {
            self.kept = Some(self.store.content.clone());
        }
    }

    /// Put the profile back to the copy that was kept; return whether there is one.
    pub(crate) fn put_back(&mut self) -> bool {
        let Some(kept) = self.kept.clone() else { return false };
        // Without an identity, it begins as another device.
        self.clears += u32::from(kept.device.is_none());
        self.store.content = kept;
        self.newest_put_back = Some(self.newest_serial());
        true
    }

    pub(crate) fn was_put_back(&self) -> bool {
        self.newest_put_back.is_some()
    }

    /// Return whether anything was ever taken from the profile by its user.
    pub(crate) fn has_lost(&self) -> bool {
        self.was_put_back() || self.newest_cleared.is_some()
    }

    /// Return whether a license is one that the profile had before it was put back, or before its
    /// storage was cleared: then its pages may not know what others have spent.
    pub(crate) fn is_unheld(&self, license: &LocalLicense) -> bool {
        let newest = self.newest_put_back.max(self.newest_cleared);
        newest.is_some_and(|newest| license.serial <= newest)
    }

    /// Return the serial of the newest stored license; 0 for none.
    pub(crate) fn newest_serial(&self) -> u32 {
        let rows = self.store.content.licenses.values();
        let licenses = rows.filter_map(|row| row.local_license.peek::<LocalLicense>().ok());
        licenses.map(|license| license.serial).max().unwrap_or(0)
    }

    /// Return the name of each total on the wire: segment and counter.
    fn reported_as((segment, slot, kind, what): &TotalKey, row: &TotalRow) -> (String, Counter) {
        let (slot, under) = row.sent_as.clone().unwrap_or((*slot, None));
        (under.unwrap_or_else(|| segment.clone()), (slot, kind.number(), *what))
    }

    /// Return the totals that may be ahead of the time, and have no date yet.
    pub(crate) fn counted_ahead(&self) -> Vec<(Counter, u64)> {
        let now = slot_of(self.time.now());
        let rows = self.store.content.totals.iter();
        let rows = rows.filter(|((_, slot, ..), row)| row.sent_as.is_none() && *slot > now);
        rows.map(|((_, slot, kind, what), row)| ((*slot, kind.number(), *what), row.total))
            .collect()
    }

    /// Return every total that is reported under a known segment.
    pub(crate) fn counted_by_segment(&self) -> BTreeMap<(String, Counter), u64> {
        let rows = self.store.content.totals.iter();
        rows.map(|(key, row)| (Self::reported_as(key, row), row.total)).collect()
    }

    /// Return every total for a server with its acknowledged part, by segment and counter.
    pub(crate) fn totals(&self, server: &PublicKey) -> BTreeMap<(String, Counter), (u64, u64)> {
        let (content, key_id) = (&self.store.content, server.id());
        let is_of_it = |(key, _): &(&TotalKey, &TotalRow)| {
            content.segments.get(&key.0).is_some_and(|segment| segment.key_id == key_id)
        };
        let rows = content.totals.iter().filter(is_of_it);
        let total = |(key, row): (&TotalKey, &TotalRow)| {
            let acknowledged = if row.is_unsent { 0 } else { row.total };
            (Self::reported_as(key, row), (row.total, acknowledged))
        };
        rows.map(total).collect()
    }

    /// Return whether the server with this key was heard in this epoch, by every identity that the
    /// profile has.
    pub(crate) fn has_told_all(&self, server: &PublicKey, epoch: &str) -> bool {
        let key_id = server.id();
        let mut servers = self.store.content.servers.values();
        servers.all(|known| known.key_id != key_id || known.epoch == epoch)
    }
}
