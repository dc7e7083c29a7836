//! The operator's side: changes with their audit lines, and lists.

mod change;
mod look;

pub(in crate::store) use change::change;
pub(super) use change::{make_code, set_items};
pub(in crate::store) use look::{key_in_use, look, token_hashes};
