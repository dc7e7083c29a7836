//! Which thread this is, for the price of one load.

/// A number that no other living thread of this process has: the address of its control block,
/// which the ABI keeps in a register. A thread-local variable of a shared library costs a call each
/// time, and needs a destructor.
///
/// A later thread may have the number of one that has ended.
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
