//! The local license: the rights of this device, proved by signatures and kept on disk.

mod bounds;
mod grant;
mod issues;
mod presented;
mod server_notice;
mod server_record;
mod store;
mod users;

pub use bounds::covers;
pub use grant::{Grant, TrustedRoots, Validity};
pub use issues::{predecessors, successor};
pub use presented::{Basis, Credentials};
pub use server_notice::ServerNotice;
pub use server_record::{ServerRecord, Shown, first_contact};
pub use store::{Accepted, GrantStore};
pub use users::Users;

#[cfg(test)]
pub(crate) use grant::test_support;
