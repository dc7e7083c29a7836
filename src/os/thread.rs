//! The identity of the calling thread, for the price of one load.

/// Return a number that no other living thread of this process has: the address of its control
/// block, which the ABI keeps in a register. A thread-local variable of a shared library costs a
/// call each time, and needs a destructor.
///
/// A later thread may get the number of one that has ended.
#[inline(always)]
pub fn thread_number() -> usize {
    let number: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the first word of the control block is its own address (ELF TLS ABI, variant II);
    // only read.
    unsafe {
        std::arch::asm!("mov {}, qword ptr \
            fs:[0]", out(reg) number, options(pure, readonly, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads a register.
    unsafe {
        std::arch::asm!("mrs {}, \
            tpidr_el0", out(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    number
}

/// The scheduling of a thread, as the kernel reads and writes it (`struct sched_attr`, its first
/// version).
#[repr(C)]
#[derive(Default)]
struct Scheduling {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// Ask the kernel for the shortest time slice (since Linux 6.12). If two threads are woken to die,
/// the guardian then dies first, and the other thread frees the memory after it. A kernel without
/// slices ignores the request.
pub fn ask_for_short_slices() {
    const SLICE_NS: u64 = 100_000;
    let mut now = Scheduling::default();
    let size = size_of::<Scheduling>() as u32;
    // SAFETY: the kernel fills `now`, as long as it is said to be.
    let known = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, size, 0) };
    if known == 0 && now.policy == libc::SCHED_OTHER as u32 {
        (now.size, now.runtime_ns) = (size, SLICE_NS);
        // SAFETY: the kernel reads `now`.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const now, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_living_threads_have_two_numbers_and_each_keeps_its_own() {
        let mine = thread_number();
        let others = std::thread::scope(|scope| scope.spawn(thread_number).join().unwrap());
        assert_ne!(mine, others);
        assert_eq!(mine, thread_number());
    }
}
