//! The choice of the license item for a request: the code that it names, the applications that the
//! code admits, and what the item can grant.

pub mod access;
pub mod admission;
pub mod handshake;
pub mod item_choice;
