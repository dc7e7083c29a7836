//! The local licence: what this device may do, proved by signatures and kept on disk.

mod grant;
mod store;

pub use grant::{Grant, Validity, compiled_root_key};
pub use store::GrantStore;

#[cfg(test)]
pub(crate) use grant::test_support;
