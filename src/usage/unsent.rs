//! The work that the server does not have yet.

use std::path::Path;

use seatmeter_protocol::message::{UsageKind, UsageTotal};
use seatmeter_protocol::slot::slot_start;

use super::segment::{ENDING, Segment, Total};

/// Return when the oldest work in this folder was done that the server has not acknowledged: the
/// start of its slot, in Unix seconds. Return `None` when the server has everything. A file that
/// cannot be read now is skipped.
pub fn oldest_unsent(folder: &Path) -> Option<u64> {
    segments(folder)
        .flat_map(|segment| unsent_in(&segment))
        .map(|total| slot_start(total.usage.slot))
        .min()
}

/// Return how much was counted in this folder under this local license and UUID that the server has
/// not acknowledged: scans for module 0, else pages.
pub fn unsent_of(folder: &Path, license_id: &str, device_uuid: &str, module: u32) -> u64 {
    let is_of = |usage: &UsageTotal| match module {
        0 => usage.kind == UsageKind::Scan,
        _ => usage.kind == UsageKind::Page && usage.what == module,
    };
    let is_mine = |segment: &Segment| {
        let attribution = &segment.header().attribution;
        attribution.license_id == license_id && attribution.device_uuid == device_uuid
    };
    let mine = segments(folder).filter(is_mine);
    let totals = mine.flat_map(|segment| unsent_in(&segment)).filter(|total| is_of(&total.usage));
    totals.map(|total| total.usage.total - total.acknowledged).fold(0, u64::saturating_add)
}

/// Return whether anything was counted in this folder under this local license and UUID.
pub fn has_counted(folder: &Path, license_id: &str, device_uuid: &str) -> bool {
    segments(folder).any(|segment| {
        let attribution = &segment.header().attribution;
        let is_mine =
            attribution.license_id == license_id && attribution.device_uuid == device_uuid;
        is_mine && !segment.totals().is_empty()
    })
}

fn segments(folder: &Path) -> impl Iterator<Item = Segment> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
        .flat_map(|path| Segment::open(&path))
}

fn unsent_in(segment: &Segment) -> impl Iterator<Item = Total> + use<> {
    segment.totals().into_iter().filter(|total| total.acknowledged < total.usage.total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::attribution;

    const ID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn the_oldest_slot_that_is_not_acknowledged_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(oldest_unsent(folder.path()), None);
        let segment = Segment::create(folder.path(), &attribution(ID, ID), 0).unwrap();
        for slot in [7, 5, 9] {
            let entry = segment.entry(slot, UsageKind::Scan, 1).unwrap();
            segment.count(entry, 2);
            segment.acknowledge(entry, if slot == 5 { 2 } else { 1 });
        }
        assert_eq!(oldest_unsent(folder.path()), Some(7 * 180));
        let unsent = |license, uuid, module| unsent_of(folder.path(), license, uuid, module);
        assert_eq!((unsent(ID, ID, 0), unsent(ID, ID, 1)), (2, 0));
        assert_eq!((unsent("another", ID, 0), unsent(ID, "another", 0)), (0, 0));
        let has = |license, uuid| has_counted(folder.path(), license, uuid);
        assert_eq!((has(ID, ID), has("another", ID), has(ID, "another")), (true, false, false));
        std::fs::write(folder.path().join(format!("{ID}.segment")), "torn").unwrap();
        assert_eq!(oldest_unsent(folder.path()), Some(7 * 180));
    }

    #[test]
    fn pages_are_unsent_by_module_and_a_counter_of_nothing_has_counted_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let segment = Segment::create(folder.path(), &attribution(ID, ID), 0).unwrap();
        let entry = |kind, what| segment.entry(1, kind, what).unwrap();
        let entries = [
            (entry(UsageKind::Page, 1), 5),
            (entry(UsageKind::Page, 2), 7),
            (entry(UsageKind::Scan, 2), 11),
            (entry(UsageKind::Image, 0), 13),
        ];
        assert!(!has_counted(folder.path(), ID, ID));
        entries.into_iter().for_each(|(entry, n)| segment.count(entry, n));
        assert!(has_counted(folder.path(), ID, ID));
        let unsent = [0, 1, 2, 3].map(|module| unsent_of(folder.path(), ID, ID, module));
        assert_eq!(unsent, [11, 5, 7, 0]);
        segment.acknowledge(entries[1].0, 4);
        assert_eq!(unsent_of(folder.path(), ID, ID, 2), 3);
        segment.acknowledge(entries[1].0, 7);
        assert_eq!(unsent_of(folder.path(), ID, ID, 2), 0);
    }
}
