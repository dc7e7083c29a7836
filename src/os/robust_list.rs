//! The list of words that the kernel marks and wakes when a thread ends, also by a kill.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use seatmeter_protocol::seat_layout::OWNER_DIED;

/// The head of the list, as the kernel reads it when a thread ends (`struct robust_list_head`).
#[repr(C)]
struct Head {
    first: *const ListItem,
    offset: libc::c_long,
    pending: usize,
}

/// An item of the list; `next` of the last item is the head.
#[repr(C)]
struct ListItem {
    next: *const Head,
}

/// The registration of the calling thread: while this lives, the end of the thread marks the flag
/// and wakes a sleeper on the wake word.
pub(crate) struct Registration<'a> {
    flag: &'a AtomicU32,
    /// The previous list, which is glibc's.
    previous: (*const libc::c_void, usize),
    /// The list that is registered; the kernel knows its address.
    _list: Box<(Head, ListItem)>,
}

impl<'a> Registration<'a> {
    /// Register the calling thread, which must be one of ours. `flag` and `wake_word` must outlive
    /// the thread or this registration.
    pub(crate) fn of_current_thread(
        flag: &'a AtomicU32,
        wake_word: &AtomicU32,
    ) -> io::Result<Self> {
        // SAFETY: no arguments.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
        let mut list = Box::new((
            Head { first: ptr::null(), offset: 0, pending: 0 },
            ListItem { next: ptr::null() },
        ));
        // The kernel finds a word at the address of its item plus the offset, the same for all
        // entries. The pending "entry" is never read, so an address is enough.
        let entry = &raw const list.1;
        let offset = flag.as_ptr().addr().wrapping_sub(entry.addr());
        list.0.offset = offset as libc::c_long;
        list.0.pending = wake_word.as_ptr().addr().wrapping_sub(offset);
        list.0.first = entry;
        list.1.next = &raw const list.0;

        let mut previous = (ptr::null::<libc::c_void>(), 0_usize);
        // SAFETY: the kernel fills the pointer and the size.
        let known = unsafe {
            libc::syscall(libc::SYS_get_robust_list, 0, &raw mut previous.0, &raw mut previous.1)
        };
        if known != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the list is on the heap and lives as long as the registration, which puts the
        // previous one back.
        let set = unsafe {
            libc::syscall(libc::SYS_set_robust_list, &raw const list.0, size_of::<Head>())
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        flag.store(thread, Ordering::SeqCst);
        Ok(Self { flag, previous, _list: list })
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        // SAFETY: what was set before by whoever made the thread; still there, because the thread
        // is.
        unsafe { libc::syscall(libc::SYS_set_robust_list, self.previous.0, self.previous.1) };
        let flag = self.flag.load(Ordering::SeqCst);
        if flag & OWNER_DIED == 0 {
            self.flag.store(0, Ordering::SeqCst);
        }
    }
}
