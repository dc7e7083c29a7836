//! The operator's side: changes with their audit lines, and lists.

mod change;
mod look;

pub(super) use change::{change, make_code, set_items};
pub(super) use look::{look, token_hashes};
