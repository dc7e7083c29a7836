//! Readers.

use std::ffi::{c_char, c_int, c_uint};
use std::mem::MaybeUninit;

use super::reader_cache;
use super::text::MessageBuffer;
use super::{bounded_wait, enter, enter_hot_or, enter_hot_with, enter_with, null_pointer};
use crate::error::Result;
use crate::reader::{Permit, Reader};
use crate::runtime::runtime;
use crate::seats::Holder;

/// A reader. Under a license by concurrent instances it holds a seat as long as it exists.
pub struct SM_Reader(pub(super) Reader, u32);

impl SM_Reader {
    /// Return a reader that holds nothing, in the memory of this place.
    pub(super) fn vacant(place: u32) -> Self {
        Self(Reader::vacant(), place)
    }

    /// Return the number of the place of its memory.
    pub(super) fn place(&self) -> u32 {
        self.1
    }
}

/// Create a reader, and take a seat for it if the license has seats.
///
/// `*out` gets the reader, to be given to SM_DestroyReader; on failure it is set to NULL. `detail`,
/// if not NULL, gets a sentence of at most detailLen - 1 bytes on failure and "" on success.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -20000 without a license, or
/// what the InitLicenseFromDLS that failed has returned; -20002 when the file of the seats cannot
/// be used; -20003 when the license was not renewed in time; -20008 when all seats of this device
/// are taken; -20111 when the license has expired; -20113 when it was revoked; -20120 when it is
/// used up; -20130 when it has no capacity for this device now.
///
/// # Safety
/// `out` is NULL or valid for writes; `detail` is NULL or valid for writes of `detailLen` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_CreateReader(
    out: Option<&mut MaybeUninit<*mut SM_Reader>>,
    detail: *mut c_char,
    detailLen: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(detail, detailLen) };
    enter_hot_with(|| hand_out(out, Permit::take), |message| buffer.write(message))
}

/// Create a reader as SM_CreateReader does, but wait for a seat while all are taken.
///
/// A waiting thread sleeps. It wakes when a seat is given back, and when a process dies that held
/// one. Waiters are not served in order: the first one that is awake gets the seat.
///
/// Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; a value out of that range
/// counts as the nearest). Returns as SM_CreateReader; -20008 when no seat became free in time.
///
/// # Safety
/// The rules of SM_CreateReader apply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_CreateReaderWithin(
    out: Option<&mut MaybeUninit<*mut SM_Reader>>,
    timeoutMs: c_int,
    detail: *mut c_char,
    detailLen: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let buffer = unsafe { MessageBuffer::new(detail, detailLen) };
    enter_with(
        || hand_out(out, || Permit::take_within(bounded_wait(timeoutMs))),
        |message| buffer.write(message),
    )
}

#[inline(always)]
fn hand_out(
    out: Option<&mut MaybeUninit<*mut SM_Reader>>,
    take: impl FnOnce() -> Result<Permit>,
) -> Result<()> {
    let out = out.ok_or_else(|| null_pointer("out"))?;
    out.write(std::ptr::null_mut());
    // Allocate before the seat is taken: a load after that exchange has to wait for it.
    let mut reader = reader_cache::vacant();
    match take() {
        Ok(hold) => {
            reader.0.occupy(hold);
            out.write(Box::into_raw(reader));
            Ok(())
        }
        Err(error) => {
            reader_cache::end(reader);
            Err(error)
        }
    }
}

/// Give the seat back and free the reader. NULL is allowed and does nothing.
///
/// Threads: any, also another than the one that created it. Blocks: never.
#[unsafe(no_mangle)]
pub extern "C" fn SM_DestroyReader(reader: Option<Box<SM_Reader>>) {
    enter_hot_or((), || {
        if let Some(reader) = reader {
            reader_cache::end(reader);
        }
        Ok(())
    });
}

/// A process that holds seats of this device. It is for display: the library decides nothing by it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SM_Holder {
    /// Seats that the process holds.
    pub seats: c_uint,
    /// Process id as the process itself sees it: in a container, the host sees another one.
    pub pid: c_int,
    /// Time of its first seat, Unix seconds.
    pub since: u64,
    /// Name of the process, NUL-terminated; characters that are not printable are replaced.
    pub name: [c_char; 64],
}

impl SM_Holder {
    fn new(holder: &Holder) -> Self {
        let mut name: [c_char; 64] = [0; 64];
        for (place, byte) in name[..63].iter_mut().zip(holder.name.bytes()) {
            *place = c_char::from_ne_bytes([byte]);
        }
        Self { seats: holder.seats, pid: holder.pid.cast_signed(), since: holder.since, name }
    }
}

/// List the processes that hold seats of this device, of all programs under the same license item.
///
/// `holders` gets the first `capacity` of them; `*count` gets their number, even if it is larger.
/// The entries after the last one are not touched. Processes that have died are not listed: their
/// seats are free.
///
/// Threads: any. Blocks: never. Returns 0; -10002 when `count` is NULL, or `holders` with capacity
/// > 0; -20000 without a license, or what the InitLicenseFromDLS that failed has returned.
///
/// # Safety
/// `holders` is NULL or valid for writes of `capacity` holders; `count` is NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SM_ListHolders(
    holders: *mut SM_Holder,
    capacity: usize,
    count: Option<&mut usize>,
) -> c_int {
    enter(|| {
        let count = count.ok_or_else(|| null_pointer("count"))?;
        *count = 0;
        if holders.is_null() && capacity > 0 {
            return Err(null_pointer("holders"));
        }
        let found = runtime().licensed()?.holders();
        *count = found.len();
        for (i, holder) in found.iter().take(capacity).enumerate() {
            // SAFETY: not NULL, for `capacity` is not 0, and `i` < `capacity`.
            unsafe { holders.add(i).write(SM_Holder::new(holder)) };
        }
        Ok(())
    })
}
