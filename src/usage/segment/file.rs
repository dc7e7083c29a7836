//! The file of a segment: how it is created whole under its name, and the content of its header.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use seatmeter_protocol::signature::PublicKey;

use super::{
    Attribution, CREATE_ATTEMPTS, ENTRY_BYTES, HEADER_BYTES, SegmentHeader, UNFINISHED_ENDING,
};
use crate::fault_injection::disk::{self, Use};
use crate::fault_injection::kill_points::kill_point;
use crate::files::{FileIdentity, new_file, private_file};
use crate::os::{FileLock, MappedFile};

const MAGIC: u64 = u64::from_le_bytes(*b"SMSEGMT\0");
const VERSION: u32 = 1;

/// The offset of the server's key, and the check over all bytes before it.
const SERVER: usize = 0x48;
const CHECK: usize = 0x68;

/// The number of entries of a new segment: 68 KiB of file. A full segment is followed by another,
/// so this limits nothing. Fuzzing uses short ones: it then meets full ones, and reads more of them
/// per second.
pub(super) const ENTRIES: u32 = if cfg!(fuzzing) { 64 } else { 2048 };

/// The most entries that a file may claim; a file that claims more is not believed.
pub(super) const ENTRIES_MAX: u32 = 1 << 20;

/// A new file: mapped and locked, with its identity.
pub(super) struct Made {
    pub(super) mapped: MappedFile,
    pub(super) lock: FileLock,
    pub(super) identity: FileIdentity,
}

/// Create a new file with this header, locked, and give it its name when it is whole.
pub(super) fn make_file(path: &Path, header: &SegmentHeader) -> io::Result<Made> {
    let unfinished = path.with_extension(UNFINISHED_ENDING);
    let made = fill_file(&unfinished, header, ENTRIES).and_then(|made| {
        disk::allows(Use::Rename)?;
        fs::rename(&unfinished, path)?;
        kill_point("create: renamed");
        Ok(made)
    });
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    made
}

/// Repeat the creation of a file: a report may sweep the file away before it is locked.
pub(super) fn until_made<T>(mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let is_swept =
        |e: &io::Error| matches!(e.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::NotFound);
    for _ in 1..CREATE_ATTEMPTS {
        match make() {
            Err(e) if is_swept(&e) => {}
            outcome => return outcome,
        }
    }
    make()
}

/// Create a file with this header and so many free entries, locked, under a name for unfinished
/// files.
pub(super) fn fill_file(path: &Path, header: &SegmentHeader, entries: u32) -> io::Result<Made> {
    let file = new_file(path)?;
    kill_point("create: made");
    let own = private_file(path, OpenOptions::new().read(true).write(true))?;
    let lock = FileLock::try_lock(own)?.ok_or(io::ErrorKind::ResourceBusy)?;
    kill_point("create: locked");
    disk::allows(Use::Grow)?;
    let mapped = MappedFile::create(&file, HEADER_BYTES + entries as usize * ENTRY_BYTES)?;
    mapped.word64(0x00).store(MAGIC, Ordering::Relaxed);
    mapped.word32(0x08).store(VERSION, Ordering::Relaxed);
    mapped.word32(0x0c).store(entries, Ordering::Relaxed);
    let attribution = &header.attribution;
    for (offset, id) in [
        (0x10, &header.segment_id),
        (0x20, &attribution.license_id),
        (0x30, &attribution.device_uuid),
    ] {
        let (low, high) = id_words(id)?;
        mapped.word64(offset).store(low, Ordering::Relaxed);
        mapped.word64(offset + 8).store(high, Ordering::Relaxed);
    }
    mapped.word64(0x40).store(header.begun_at, Ordering::Relaxed);
    let server = attribution.server.as_bytes();
    for (offset, word) in (SERVER..).step_by(8).zip(server.chunks_exact(8)) {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        mapped.word64(offset).store(word, Ordering::Relaxed);
    }
    mapped.word64(CHECK).store(header_check(&mapped), Ordering::Relaxed);
    kill_point("create: header written");
    Ok(Made { mapped, lock, identity: FileIdentity::of(&file)? })
}

/// Read the header: the id, license and device of the segment, and its number of entries.
pub(super) fn read_header(mapped: &MappedFile) -> io::Result<(SegmentHeader, u32)> {
    let word = |offset| mapped.word64(offset).load(Ordering::Relaxed);
    if word(0x00) != MAGIC {
        return Err(damaged("it is not a segment"));
    }
    let version = mapped.word32(0x08).load(Ordering::Relaxed);
    if version > VERSION {
        // The file is from a newer library, which will report it. An older library must not judge
        // it.
        let reason = format!("its version is {version}, this library knows {VERSION}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    let entries = mapped.word32(0x0c).load(Ordering::Relaxed);
    if word(CHECK) != header_check(mapped) || entries > ENTRIES_MAX {
        return Err(damaged("its header is damaged"));
    }
    let id = |offset| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&word(offset).to_le_bytes());
        bytes[8..].copy_from_slice(&word(offset + 8).to_le_bytes());
        hex::encode(bytes)
    };
    let mut server = [0; 32];
    for (offset, bytes) in (SERVER..).step_by(8).zip(server.chunks_exact_mut(8)) {
        bytes.copy_from_slice(&word(offset).to_le_bytes());
    }
    let server = PublicKey::from_bytes(server);
    let attribution = Attribution { license_id: id(0x20), device_uuid: id(0x30), server };
    Ok((SegmentHeader { segment_id: id(0x10), attribution, begun_at: word(0x40) }, entries))
}

pub(super) fn id_words(id: &str) -> io::Result<(u64, u64)> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(id, &mut bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{id} is not 32 hexadecimal digits"))
    })?;
    let bits = u128::from_le_bytes(bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves, on purpose")]
    Ok((bits as u64, (bits >> 64) as u64))
}

fn header_check(mapped: &MappedFile) -> u64 {
    (0..CHECK).step_by(8).fold(0x5ea7_3e7e, |check, offset| {
        mix(check ^ mapped.word64(offset).load(Ordering::Relaxed))
    })
}

/// Spread every bit over the whole word: the finalizer of MurmurHash3 (public domain). This
/// protects against damage, not against forgers: a person who can write the file can write the
/// check.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

pub(super) fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}
