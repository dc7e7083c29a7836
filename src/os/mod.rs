//! The few things that only the kernel can give: mapped files, locks that die with their owner, the
//! page that is wiped in a forked child, the clocks. Everything unsafe outside the C layer and the
//! seat pool is in this folder, behind safe types.
//!
//! A port to another system is a second set of the files below `not(seatmeter_stub_port)`, with the
//! same names in it. `stub_port.rs` is the smallest one: it offers all names, and answers that
//! nothing is supported.

mod found_word;
mod lock;
mod lock_order;
pub mod locks;
mod page_lock;
mod published;
mod sharing;

#[cfg(not(seatmeter_stub_port))]
mod control_group;
#[cfg(not(seatmeter_stub_port))]
mod descriptors;
#[cfg(not(seatmeter_stub_port))]
pub mod errors;
#[cfg(not(seatmeter_stub_port))]
mod filesystem;
#[cfg(not(seatmeter_stub_port))]
mod fork;
#[cfg(not(seatmeter_stub_port))]
pub mod forks;
#[cfg(not(seatmeter_stub_port))]
mod machine;
#[cfg(not(seatmeter_stub_port))]
mod mapped;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod old_glibc;
#[cfg(not(seatmeter_stub_port))]
pub mod open_flags;
#[cfg(test)]
mod overlay;
#[cfg(not(seatmeter_stub_port))]
mod process;
#[cfg(not(seatmeter_stub_port))]
mod range_lock;
#[cfg(not(seatmeter_stub_port))]
pub mod robust_list;
#[cfg(not(seatmeter_stub_port))]
pub mod shared_memory;
#[cfg(not(seatmeter_stub_port))]
pub mod system;
#[cfg(not(seatmeter_stub_port))]
mod thread;
#[cfg(not(seatmeter_stub_port))]
mod undisturbed;

#[cfg(seatmeter_stub_port)]
mod stub_port;
#[cfg(seatmeter_stub_port)]
use stub_port::{
    descriptors, filesystem, fork, machine, mapped, process, range_lock, thread, undisturbed,
};
#[cfg(seatmeter_stub_port)]
pub use stub_port::{errors, forks, open_flags, robust_list, shared_memory, system};

pub use descriptors::StandardDescriptors;
pub use filesystem::{exchange_names, file_system_type, rename_to_new};
pub use fork::{PerProcess, process_generation, wiped_pages};
pub use found_word::FoundWord;
pub use lock::FileLock;
#[cfg(feature = "kill-points")]
pub(crate) use machine::kill_own_process;
pub use machine::{
    boot_id, boot_ms, clocks_ahead, has_room_for, is_privileged, is_root, monotonic_ms,
    random_bytes, user_id, wall_ms, wall_seconds, with_signals_blocked,
};
pub use mapped::MappedFile;
#[cfg(test)]
pub(crate) use overlay::on_overlay;
pub use page_lock::page_keeps_locks;
pub use process::{descriptor_name, program_name, reopen};
pub use published::Published;
pub use range_lock::{is_range_locked, try_lock_byte, try_share_byte};
pub use sharing::{
    advice_about, draft_of, holds_others_alone, make_folder, make_home, names, owned, owner_of,
    share_file,
};
pub use thread::{ask_for_short_slices, thread_number};
pub use undisturbed::{Uncanceled, Undisturbed};
