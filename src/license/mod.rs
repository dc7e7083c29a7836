//! The local licence: what this device may do, proved by signatures and kept on disk.

mod grant;
mod presented;
mod store;
mod told;
mod users;

pub use grant::{Grant, Validity, compiled_root_key, serves};
pub use presented::{Basis, Credentials};
pub use store::{Accepted, GrantStore};
pub use told::{ENDING, OF_CREDENTIALS, Told};
pub use users::Users;

#[cfg(test)]
pub(crate) use grant::test_support;
