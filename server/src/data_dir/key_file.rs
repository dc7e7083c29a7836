//! Files of secret keys.

use std::fs::File;
use std::path::Path;

use seatmeter_protocol::signature::SigningKey;

use super::files::{cannot, exists, publish};
use crate::error::Error;
use crate::sharing;

/// The greatest size of a key file in bytes: far above the 65 bytes that it has.
const KEY_FILE_BYTES_MAX: u64 = 1_024;

/// Read the secret key in this file.
///
/// # Errors
/// Fails when it cannot be read, is not a key, or others may read it.
pub fn read_key(path: &Path) -> Result<SigningKey, Error> {
    key_of(&read_secret(path)?, path)
}

fn key_of(seed: &str, path: &Path) -> Result<SigningKey, Error> {
    SigningKey::from_seed(seed).map_err(|_| {
        Error::Setup(format!(
            "{} does not hold a secret key (64 hexadecimal digits). Restore it from a backup.",
            path.display()
        ))
    })
}

/// Read the text of a secret key.
///
/// # Errors
/// Fails when it cannot be read, or others may read it.
pub fn read_secret(path: &Path) -> Result<String, Error> {
    let file = File::open(path).map_err(|e| cannot("read", path, &e))?;
    if !sharing::is_secret(&file.metadata().map_err(|e| cannot("read", path, &e))?, path) {
        return Err(Error::Setup(format!(
            "{0} is a secret key that other users can read. Run \"chmod 600 {0}\".",
            path.display()
        )));
    }
    let mut seed = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, KEY_FILE_BYTES_MAX), &mut seed)
        .map_err(|e| cannot("read", path, &e))?;
    Ok(seed)
}

/// Write the text of a secret key to a new file.
///
/// # Errors
/// Fails when the text is not a key, the file exists already, or it cannot be written.
pub fn write_new_secret(path: &Path, seed: &str) -> Result<(), Error> {
    key_of(seed, path)?;
    if publish(path, seed)? {
        return Ok(());
    }
    Err(Error::Setup(format!("{} is there already.", path.display())))
}

/// Read the secret key in this file, or make one. The second value tells whether the key is new.
///
/// # Errors
/// Fails when it can neither be read nor made.
pub fn read_or_make_key(path: &Path) -> Result<(SigningKey, bool), Error> {
    if exists(path)? {
        return Ok((read_key(path)?, false));
    }
    let (_, seed) = SigningKey::generate().map_err(|e| Error::Setup(e.to_string()))?;
    let new = publish(path, &format!("{seed}\n"))?;
    // Two commands may race. The first one has made the key, and both use it.
    Ok((read_key(path)?, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::touch_private;

    #[test]
    fn a_key_is_made_once_and_read_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        let (first, new) = read_or_make_key(&path).unwrap();
        assert!(new);
        let (second, new) = read_or_make_key(&path).unwrap();
        assert!(!new);
        assert_eq!(first.public(), second.public());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft was left behind");
    }

    #[test]
    fn a_torn_key_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        touch_private(&path).unwrap();
        assert!(read_key(&path).unwrap_err().to_string().contains("server.key"));
    }
}
