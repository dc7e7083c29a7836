//! The renewal of a certificate: the files are read again and again, and at a signal.
//!
//! | the files | the server |
//! | --- | --- |
//! | as before | – |
//! | good | uses them from the next handshake on; connections stay |
//! | cannot be used, for the first time | looks again: somebody may be writing them |
//! | cannot be used, unchanged since | keeps the certificate that it has, and says so once |

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::Instant;

use super::Tls;
use super::certificate::{Contents, Loaded};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::utc;

/// The interval at which the files are read.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The interval at which the log reminds of a certificate that ends soon.
const REMIND_INTERVAL: Duration = Duration::from_secs(86_400);

/// The state of the files when they were last read.
#[derive(Debug)]
pub(super) struct Seen {
    /// The digest of the contents, or the reason why they cannot be read.
    contents: Result<Vec<u8>, Error>,
    /// Whether nothing is left to do about these contents.
    is_settled: bool,
}

/// The outcome of reading the files.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    Unchanged,
    Renewed { names: String, ends: String },
    Kept(Error),
}

impl Seen {
    pub(super) fn in_use(digest: Vec<u8>) -> Self {
        Self { contents: Ok(digest), is_settled: true }
    }
}

impl Tls {
    /// Read the files now and whenever they may have changed, for as long as the server runs.
    pub async fn keep_renewed(self: Arc<Self>, mut asked: Signal) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let mut reminded = Instant::now();
        loop {
            let is_asked = tokio::select! {
                _ = looks.tick() => false,
                _ = asked.recv() => true,
            };
            let tls = self.clone();
            // Files may be on a disk that hangs; a panic there leaves the certificate as it is.
            let looked = tokio::task::spawn_blocking(move || tls.look(is_asked)).await;
            match looked.unwrap_or(Looked::Unchanged) {
                Looked::Unchanged => {}
                Looked::Renewed { names, ends } => {
                    tracing::info!(names, ends, "the certificate was read again and is in use");
                }
                Looked::Kept(error) => tracing::error!("the certificate in use stays: {error}"),
            }
            if reminded.elapsed() >= REMIND_INTERVAL {
                reminded = Instant::now();
                let loaded = self.in_use.read().clone();
                loaded.remind(&self.files);
            }
        }
    }

    /// Read the files, and use what has changed. `is_asked` means that somebody waits for the
    /// outcome, and that the files are complete.
    fn look(&self, is_asked: bool) -> Looked {
        let contents = self.files.read();
        let digest = contents.as_ref().map(Contents::digest).map_err(Clone::clone);
        let mut seen = self.seen.lock();
        let is_unchanged = seen.contents == digest;
        if is_unchanged && seen.is_settled && !is_asked {
            return Looked::Unchanged;
        }
        *seen = Seen { contents: digest, is_settled: true };
        match contents.and_then(|contents| self.better(&contents)) {
            Ok(loaded) => {
                let (names, ends) = (loaded.names.join(", "), utc::text(loaded.ends_at));
                loaded.warn(&self.files);
                *self.in_use.write() = loaded;
                Looked::Renewed { names, ends }
            }
            Err(error) if is_unchanged || is_asked => Looked::Kept(error),
            Err(_) => {
                seen.is_settled = false;
                Looked::Unchanged
            }
        }
    }

    /// Return the certificate in these files, unless the one in use is better.
    fn better(&self, contents: &Contents) -> Result<Loaded, Error> {
        let loaded = self.files.configure(contents)?;
        let now = SystemClock.unix_seconds();
        if loaded.is_valid_at(now) || !self.in_use.read().is_valid_at(now) {
            return Ok(loaded);
        }
        Err(Error::Setup(format!(
            "the new one in {} is not valid now, only until {}. Renew it again, or set the clock \
             right.",
            self.files.certificate.display(),
            utc::text(loaded.ends_at)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tls::TlsFiles;
    use rcgen::{CertificateParams, KeyPair};
    use std::path::Path;

    /// Write a certificate for this host that ends so many days after 1970.
    fn write(folder: &Path, host: &str, ends_on_day: u64) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = params.not_before + Duration::from_secs(ends_on_day * 86_400);
        let pair = KeyPair::generate().unwrap();
        std::fs::write(folder.join("pem"), params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(folder.join("key"), pair.serialize_pem()).unwrap();
    }

    fn tls(folder: &Path) -> Arc<Tls> {
        let (certificate, key) = (folder.join("pem"), folder.join("key"));
        Tls::load(TlsFiles { certificate, key, admin_client_ca: None }).unwrap()
    }

    const FAR: u64 = 40_000;

    #[test]
    fn a_renewal_is_used_at_once_and_a_broken_one_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example", FAR);
        let tls = tls(folder.path());
        assert_eq!(tls.look(false), Looked::Unchanged);
        write(folder.path(), "two.example", FAR);
        assert!(matches!(tls.look(false), Looked::Renewed { names, .. } if names == "two.example"));

        let whole = std::fs::read(folder.path().join("pem")).unwrap();
        std::fs::write(folder.path().join("pem"), &whole[..whole.len() / 2]).unwrap();
        assert_eq!(tls.look(false), Looked::Unchanged, "it may be half written");
        assert!(matches!(tls.look(false), Looked::Kept(_)), "nobody writes it");
        assert_eq!([tls.look(false), tls.look(false)], [Looked::Unchanged, Looked::Unchanged]);
        assert!(matches!(tls.look(true), Looked::Kept(_)), "somebody has asked");
        assert_eq!(tls.in_use.read().names, ["two.example"]);

        std::fs::remove_file(folder.path().join("key")).unwrap();
        assert_eq!(tls.look(false), Looked::Unchanged);
        assert!(matches!(tls.look(false), Looked::Kept(_)), "the file is missing");
        write(folder.path(), "three.example", FAR);
        assert!(matches!(tls.look(false), Looked::Renewed { .. }));
        assert_eq!(tls.in_use.read().names, ["three.example"]);
    }

    #[test]
    fn a_renewal_that_has_ended_does_not_replace_a_good_certificate() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one.example", FAR);
        let good = tls(folder.path());
        write(folder.path(), "two.example", 10_000);
        assert!(matches!(good.look(true), Looked::Kept(_)));
        assert_eq!(good.in_use.read().names, ["one.example"]);
        // Without a better one, it is what the operator has.
        let ended = tls(folder.path());
        write(folder.path(), "three.example", 10_001);
        assert!(matches!(ended.look(true), Looked::Renewed { .. }));
    }
}
