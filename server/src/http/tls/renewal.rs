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

/// What the files were when they were read last.
#[derive(Debug)]
pub(super) struct Seen {
    /// The digest of the contents, or the reason why they cannot be read.
    contents: Result<Vec<u8>, Error>,
    /// Whether nothing is left to do about these contents.
    is_settled: bool,
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
            let _ = tokio::task::spawn_blocking(move || tls.look(is_asked)).await;
            if reminded.elapsed() >= REMIND_INTERVAL {
                reminded = Instant::now();
                let loaded = self.in_use.read().clone();
                loaded.remind(&self.files);
            }
        }
    }

    /// Read the files, and use what has changed. `is_asked` means that somebody waits for the
    /// outcome, and that the files are complete.
    fn look(&self, is_asked: bool) {
        let contents = self.files.read();
        let digest = contents.as_ref().map(Contents::digest).map_err(Clone::clone);
        let mut seen = self.seen.lock();
        let is_unchanged = seen.contents == digest;
        if is_unchanged && seen.is_settled && !is_asked {
            return;
        }
        *seen = Seen { contents: digest, is_settled: true };
        match contents.and_then(|contents| self.better(&contents)) {
            Ok(loaded) => {
                let (names, ends) = (loaded.names.join(", "), utc::text(loaded.ends_at));
                loaded.warn(&self.files);
                *self.in_use.write() = loaded;
                tracing::info!(names, ends, "the certificate was read again and is in use");
            }
            Err(error) if is_unchanged || is_asked => {
                tracing::error!("the certificate in use stays: {error}");
            }
            Err(_) => seen.is_settled = false,
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
