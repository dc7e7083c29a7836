//! The operator's requests: changes with their audit lines, and lists.

mod change;
mod look;
mod owner;

pub(in crate::store) use change::change;
pub(super) use change::{make_code, set_items};
pub use look::Keys;
pub(super) use look::items_of;
pub(in crate::store) use look::{keys, look};
pub(super) use owner::of_item as owner_of_item;
