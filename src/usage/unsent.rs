//! What the server does not have yet.

use std::path::Path;

use seatmeter_protocol::slot::slot_start;

use super::segment::{ENDING, Segment};

/// When the oldest work in this folder was done that the server has not acknowledged: the start of its slot, Unix
/// seconds. `None` when it has everything. A file that cannot be read now is passed over.
pub fn oldest_unsent(folder: &Path) -> Option<u64> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let segments = files.filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
    let unsent = segments.flat_map(|path| Segment::open(&path)).flat_map(|segment| segment.totals());
    unsent
        .filter(|total| total.acknowledged < total.usage.total)
        .map(|total| slot_start(total.usage.slot))
        .min()
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::message::UsageKind;

    use super::*;

    const ID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn the_oldest_slot_that_is_not_acknowledged_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(oldest_unsent(folder.path()), None);
        let segment = Segment::create(folder.path(), ID, ID, 0).unwrap();
        for slot in [7, 5, 9] {
            let entry = segment.entry(slot, UsageKind::Scan, 1).unwrap();
            segment.count(entry, 2);
            segment.acknowledge(entry, if slot == 5 { 2 } else { 1 });
        }
        assert_eq!(oldest_unsent(folder.path()), Some(7 * 180));
        std::fs::write(folder.path().join(format!("{ID}.segment")), "torn").unwrap();
        assert_eq!(oldest_unsent(folder.path()), Some(7 * 180));
    }
}
