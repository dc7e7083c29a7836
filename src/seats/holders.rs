//! The list of seat holders, made for people: no decision depends on it.

use std::fs;
use std::sync::atomic::Ordering;

use seatmeter_protocol::seat_layout::{
    AT_HIGH_WATER_MARK, ENTRIES, EntryWord, IN_ENTRY_NAME, IN_ENTRY_NAMESPACE, IN_ENTRY_PID,
    IN_ENTRY_SINCE, NAME_BYTES, entry_offset, is_attached, name_from,
};

use super::mapping::Mapping;
use super::memory::{Cell, Memory};
use super::pool;
use super::view::{View, sure};
use crate::os::{program_name, wall_seconds};

/// A process that holds seats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The process id, as the process sees itself in its own pid namespace.
    pub pid: u32,
    /// The inode of that namespace; 0 if unknown.
    pub pid_namespace: u64,
    /// The name of the process when it attached.
    pub name: String,
    /// The number of seats that it holds.
    pub seats: u32,
    /// The time when it attached, in seconds since 1970.
    pub since: u64,
}

/// Write the owner's process id, namespace, name and time into the entry.
pub(super) fn introduce(mapping: &Mapping, entry: u16) {
    let at = entry_offset(entry);
    mapping.half(at + IN_ENTRY_PID).store(std::process::id(), Ordering::Relaxed);
    mapping.word(at + IN_ENTRY_SINCE).store(wall_seconds(), Ordering::Relaxed);
    mapping.word(at + IN_ENTRY_NAMESPACE).store(pid_namespace(), Ordering::Relaxed);
    let mut name = [0; NAME_BYTES];
    // The kernel's short name is what `ps` and `top` show.
    let comm = fs::read("/proc/self/comm").unwrap_or_else(|_| program_name());
    let length = comm.trim_ascii_end().len().min(NAME_BYTES);
    name[..length].copy_from_slice(&comm[..length]);
    for (index, bytes) in name.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        mapping
            .word(at + IN_ENTRY_NAME + 8 * index)
            .store(u64::from_le_bytes(word), Ordering::Relaxed);
    }
}

fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/thread-self/ns/pid").map_or(0, |data| data.ino())
}

/// Return the processes that hold seats, in the order of their entries.
pub(super) fn list(view: &View) -> Vec<Holder> {
    let mapping = &view.mapping;
    let high_water_mark = mapping.half(AT_HIGH_WATER_MARK).load(Ordering::Acquire).min(ENTRIES);
    let seen = (0..8).find_map(|_| sure(pool::read_pool(mapping)));
    let counts = |entry| match seen {
        Some(seen) if seen.entry == entry => seen.as_entry(),
        _ => EntryWord::unpack([sure(mapping.load(Cell::EntryLow(entry))), 0]),
    };
    let held = (0..high_water_mark as u16).map(|entry| (entry, counts(entry)));
    held.filter(|(_, own)| is_attached(own.attachment) && own.held > 0)
        .map(|(entry, own)| {
            let at = entry_offset(entry);
            let name: Vec<u8> = (0..NAME_BYTES / 8)
                .flat_map(|index| {
                    mapping
                        .word(at + IN_ENTRY_NAME + 8 * index)
                        .load(Ordering::Relaxed)
                        .to_le_bytes()
                })
                .collect();
            Holder {
                pid: mapping.half(at + IN_ENTRY_PID).load(Ordering::Relaxed),
                pid_namespace: mapping.word(at + IN_ENTRY_NAMESPACE).load(Ordering::Relaxed),
                name: name_from(&name),
                seats: own.held,
                since: mapping.word(at + IN_ENTRY_SINCE).load(Ordering::Relaxed),
            }
        })
        .collect()
}
