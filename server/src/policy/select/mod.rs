//! Which license item a request gets: the code that it names, what the code admits, and the item's
//! own room for it.

pub mod access;
pub mod admission;
pub mod handshake;
pub mod item_choice;
