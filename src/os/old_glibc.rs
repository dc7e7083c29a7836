//! Keep the library loadable by glibc 2.34: take `hypot` by the version that every glibc has.
//!
//! The barcode engine calls `hypot`. The linker would bind that to the newest version, which came
//! with glibc 2.35 and differs only in how `errno` is set; no older system could then load the
//! library. So `--wrap` in build.rs makes the linker call `__wrap_hypot` instead, which jumps to
//! the older version. The symbol is hidden, so that it is not exported. `tests/c_api/symbols.rs`
//! holds the floor.

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".symver hypot_of_every_glibc, hypot@GLIBC_2.2.5",
    ".pushsection .text.__wrap_hypot, \"ax\", @progbits",
    ".globl __wrap_hypot",
    ".hidden __wrap_hypot",
    ".type __wrap_hypot, @function",
    "__wrap_hypot:",
    // A landing place for hosts that check indirect jumps.
    "endbr64",
    "jmp hypot_of_every_glibc@PLT",
    ".size __wrap_hypot, . - __wrap_hypot",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".symver hypot_of_every_glibc, hypot@GLIBC_2.17",
    ".pushsection .text.__wrap_hypot, \"ax\", @progbits",
    ".globl __wrap_hypot",
    ".hidden __wrap_hypot",
    ".type __wrap_hypot, @function",
    "__wrap_hypot:",
    "bti c",
    "b hypot_of_every_glibc",
    ".size __wrap_hypot, . - __wrap_hypot",
    ".popsection",
);
