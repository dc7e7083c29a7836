//! Who has the seats. For people: nothing is decided by what stands here.

use std::fs;
use std::sync::atomic::Ordering;

use seatmeter_protocol::seat_layout::{
    AT_MARK, IN_SLOT_NAME, IN_SLOT_NAMESPACE, IN_SLOT_PID, IN_SLOT_SINCE, NAME_BYTES, SLOTS,
    SlotWord, is_attached, name_from, slot_offset,
};

use super::mapping::Mapping;
use super::memory::{Cell, Memory};
use super::pool;
use super::system;
use super::view::{View, sure};
use crate::os::program_name;

/// A process that holds seats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Its process id, as it sees itself: in its own pid namespace.
    pub pid: u32,
    /// Inode of that namespace; 0 if unknown.
    pub pid_namespace: u64,
    /// Its name when it attached.
    pub name: String,
    /// Seats that it holds.
    pub seats: u32,
    /// When it attached, seconds since 1970.
    pub since: u64,
}

/// Write into the slot who its owner is.
pub(super) fn introduce(mapping: &Mapping, slot: u16) {
    let at = slot_offset(slot);
    mapping.half(at + IN_SLOT_PID).store(std::process::id(), Ordering::Relaxed);
    mapping.word(at + IN_SLOT_SINCE).store(system::unix_seconds(), Ordering::Relaxed);
    mapping.word(at + IN_SLOT_NAMESPACE).store(pid_namespace(), Ordering::Relaxed);
    let mut name = [0; NAME_BYTES];
    // The kernel's short name is what `ps` and `top` show.
    let comm = fs::read("/proc/self/comm").unwrap_or_else(|_| program_name());
    let length = comm.trim_ascii_end().len().min(NAME_BYTES);
    name[..length].copy_from_slice(&comm[..length]);
    for (index, bytes) in name.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        mapping
            .word(at + IN_SLOT_NAME + 8 * index)
            .store(u64::from_le_bytes(word), Ordering::Relaxed);
    }
}

fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/thread-self/ns/pid").map_or(0, |data| data.ino())
}

/// The processes that hold seats, by slot.
pub(super) fn list(view: &View) -> Vec<Holder> {
    let mapping = &view.mapping;
    let mark = mapping.half(AT_MARK).load(Ordering::Acquire).min(SLOTS);
    let seen = (0..8).find_map(|_| sure(pool::read_pool(mapping)));
    let counts = |slot| match seen {
        Some(seen) if seen.slot == slot => seen.as_slot(),
        _ => SlotWord::unpack([sure(mapping.load(Cell::SlotLow(slot))), 0]),
    };
    let held = (0..mark as u16).map(|slot| (slot, counts(slot)));
    held.filter(|(_, own)| is_attached(own.life) && own.held > 0)
        .map(|(slot, own)| {
            let at = slot_offset(slot);
            let name: Vec<u8> = (0..NAME_BYTES / 8)
                .flat_map(|index| {
                    mapping
                        .word(at + IN_SLOT_NAME + 8 * index)
                        .load(Ordering::Relaxed)
                        .to_le_bytes()
                })
                .collect();
            Holder {
                pid: mapping.half(at + IN_SLOT_PID).load(Ordering::Relaxed),
                pid_namespace: mapping.word(at + IN_SLOT_NAMESPACE).load(Ordering::Relaxed),
                name: name_from(&name),
                seats: own.held,
                since: mapping.word(at + IN_SLOT_SINCE).load(Ordering::Relaxed),
            }
        })
        .collect()
}
