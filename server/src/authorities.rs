//! The files with certificate authorities that the environment and the user name. TLS reads them,
//! and must neither wait for one nor fill the memory with it. `src/sync/http/trust.rs` does the same
//! in the library.

#![allow(
    clippy::disallowed_methods,
    reason = "the places of the authorities are named in the environment, and nowhere else"
)]

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Error, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// The greatest number of bytes of a CA file, as in the library.
pub const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// The greatest number of bytes of one file of the platform's authorities. Distributions have
/// bundles of 300 KB.
const AUTHORITIES_BYTES_MAX: u64 = 16 << 20;

/// Return the content of a file that a user names. A pipe or device is refused, because it may have
/// no end. A file that has no end although it calls itself a regular one, as some in `/proc`, is
/// refused too.
///
/// # Errors
/// Returns the error of the file system, or says that the file has more than `bytes_max` bytes.
pub fn read_named(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        let why = format!("it has more than {} MiB", bytes_max >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, why));
    }
    Ok(content)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_or_beyond_the_bound_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let large = folder.path().join("large");
        fs::File::create(&large).unwrap().set_len(CA_FILE_BYTES_MAX + 1).unwrap();
        for path in [&*pipe, &*large, "/dev/zero".as_ref(), "/proc/kmsg".as_ref()] {
            assert!(read_named(path, CA_FILE_BYTES_MAX).is_err(), "{}", path.display());
        }
        fs::File::create(&large).unwrap().set_len(CA_FILE_BYTES_MAX).unwrap();
        assert!(read_named(&large, CA_FILE_BYTES_MAX).is_ok());
    }
}
