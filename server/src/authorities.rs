//! The files with certificate authorities that the environment and the user name. TLS reads them,
//! and must neither wait for one nor fill the memory with it. `src/sync/http/trust.rs` does the
//! same in the library.

#![allow(
    clippy::disallowed_methods,
    reason = "the places of the authorities are named in the environment, and nowhere else"
)]

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::named_file::read_named;

/// The greatest number of bytes of a CA file, as in the library.
pub const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// The greatest number of bytes of one file of the platform's authorities. Distributions have
/// bundles of 300 KB.
const AUTHORITIES_BYTES_MAX: u64 = 16 << 20;

/// Check that TLS can read the places which `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
///
/// # Errors
/// Returns a sentence that names the variable and the file.
pub fn check_places() -> Result<(), String> {
    let value = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = value("SSL_CERT_FILE") {
        let unfit = |e| format!("SSL_CERT_FILE {} cannot be used: {e}", Path::new(&file).display());
        read_named(Path::new(&file), AUTHORITIES_BYTES_MAX).map_err(unfit)?;
    }
    for folder in env::split_paths(&value("SSL_CERT_DIR").unwrap_or_default()) {
        // TLS ignores what it cannot open.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match fs::metadata(&path) {
                Ok(of) if of.is_file() => {}
                Ok(_) | Err(_) => continue,
            }
            match read_named(&path, AUTHORITIES_BYTES_MAX) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::FileTooLarge) => {
                    return Err(format!("{} in SSL_CERT_DIR cannot be used: {e}", path.display()));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(())
}
