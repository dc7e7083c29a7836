//! The local license: the rights of this device, proved by signatures and kept on disk.

mod grant;
mod presented;
mod server_notice;
mod server_record;
mod store;
mod users;

pub use grant::{Grant, Validity, compiled_root_key, serves};
pub use presented::{Basis, Credentials};
pub use server_notice::ServerNotice;
pub use server_record::{FirstContact, ServerRecord};
pub use store::{Accepted, GrantStore};
pub use users::Users;

#[cfg(test)]
pub(crate) use grant::test_support;
