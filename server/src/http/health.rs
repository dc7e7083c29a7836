//! Health checks. `GET /healthz` answers while the process runs; `GET /readyz` also checks that
//!
//! - no page of the database is known to be damaged, and the disk has room,
//! - the server can write to its database,
//! - its clock is not behind the server's time,
//! - every key that a license file names is here, and in the directory for the next start.
//!
//! It names license files that cannot be trusted, and says whether the server has noticed that its
//! data was put back. A standby asks it, and takes over when the answer is not 200.
//!
//! Only a write shows that a write is possible. Its outcome stays valid for a moment, so that many
//! requests do not cause as many writes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use seatmeter_protocol::message::KEY_IDS_HEADER;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Web;
use super::answer::answer;
use crate::error::Error;
use crate::keyring::Keyring;
use crate::operator::commands::{EpochRow, Listing, View};
use crate::operator::queries::status::ServerStatus;
use crate::server_time;
use crate::store::{self, Store};

/// The time after which a store without an answer counts as not ready.
const READY_TIME_MAX: Duration = Duration::from_secs(2);

/// The time for which the outcome of a write stays valid.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Whether the store could write at the last check.
#[derive(Debug, Default)]
pub struct Readiness {
    seen: Mutex<Option<(Instant, Outcome)>>,
}

/// The facts about the store, or the reason why nothing can be written.
type Outcome = Result<Found, Error>;

impl Readiness {
    async fn of(&self, web: &Web) -> Outcome {
        let store = &*web.licensing.store;
        let mut seen = self.seen.lock().await;
        if let Some((at, outcome)) = &*seen
            && at.elapsed() < GOOD_FOR
        {
            return outcome.clone();
        }
        let outcome =
            tokio::time::timeout(READY_TIME_MAX, check(store, web)).await.unwrap_or_else(|_| {
                Err(Error::Store(format!(
                    "no answer from the database within {} s",
                    READY_TIME_MAX.as_secs()
                )))
            });
        *seen = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

/// The time for which the outcome of a check says enough about the state of the server.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// Add what only the running server knows of itself.
pub(super) async fn complete(web: &Web, status: &mut ServerStatus) {
    let (ready, not_ready) = state(web).await;
    status.ready = Some(ready);
    status.not_ready = not_ready;
    status.queue_length = web.licensing.store.waiting();
    status.certificate_ends_at = web.tls.as_ref().map(|tls| tls.ends_at());
    if let Some(main) = &web.main_server {
        status.standby_active = Some(main.require_down().await.is_ok());
    }
}

/// Return whether the server is ready, and why it is not. A check that was made a moment ago is not
/// repeated, because it writes.
pub async fn state(web: &Web) -> (bool, Option<String>) {
    let seen = web.readiness.seen.lock().await.clone();
    let known = seen.filter(|(at, _)| at.elapsed() < KNOWN_FOR).map(|(_, outcome)| outcome);
    let outcome = match known {
        Some(outcome) => outcome,
        None => web.readiness.of(web).await,
    };
    let right =
        outcome.map(|_| ()).and_then(|()| server_time::require_right(&*web.licensing.clock));
    match right {
        Ok(()) => (true, None),
        Err(error) => (false, Some(error.to_string())),
    }
}

/// The facts about a store that can be written.
#[derive(Clone, Debug)]
struct Found {
    files_not_ready: Vec<String>,
    /// The rollbacks of the data that the server has noticed within a year.
    rollbacks: usize,
    /// The meaning of the rollbacks.
    warning: Option<&'static str>,
    /// Whether a synchronous standby has what is answered.
    has_standby: Option<bool>,
}

/// Let the store write, and compare the server's time with it: an operator who has accepted the
/// clock sees that the server is ready.
async fn check(store: &dyn Store, web: &Web) -> Outcome {
    let (licensing, folder) = (web.licensing.clone(), web.key_folder.clone());
    let probe = move || {
        licensing.store.probe()?;
        folder.map(|folder| folder.keyring()).transpose()
    };
    let on_disk = tokio::task::spawn_blocking(probe)
        .await
        .map_err(|e| Error::Internal(format!("the check of the disk panicked: {e}")))??;
    if let Some(clock) = &web.server_clock {
        store::exchange_time(store, clock).await?;
    }
    require_keys(&store.keys_named().await?, &web.licensing.keys, on_disk.as_ref())?;
    let files_not_ready = store.ready().await?;
    let now = web.licensing.clock.unix_seconds();
    let Listing::Epochs(rows) = store.look(View::Epochs, now).await? else {
        return Err(Error::Internal("a list was answered otherwise".to_owned()));
    };
    let (rollbacks, warning) = EpochRow::rollbacks(&rows, now);
    let has_standby = store.has_standby().await?;
    Ok(Found { files_not_ready, rollbacks, warning, has_standby })
}

/// Require every key that license files name: in the running server, and in its directory for the
/// next start.
fn require_keys(
    named: &[String],
    running: &Keyring,
    on_disk: Option<&Keyring>,
) -> Result<(), Error> {
    for id in named {
        let is_there = on_disk.is_none_or(|keys| keys.with_id(id).is_some());
        let todo = match (is_there, running.with_id(id).is_some()) {
            (true, true) => continue,
            (true, false) => "restart this server, so that it reads the key",
            (false, true) => {
                "its file was removed, and this server cannot start again: copy it back from a \
                 backup, or from another server of this database"
            }
            (false, false) => {
                "copy its file from a backup, or from another server of this database, and restart"
            }
        };
        return Err(Error::NotReady(format!("license files name the server key {id}: {todo}")));
    }
    Ok(())
}

#[derive(Default, Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollbacks_noticed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    /// Whether PostgreSQL has a synchronous standby, which has everything that was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    synchronous_standby: Option<bool>,
    /// A sentence for each license file that cannot be trusted. The server serves everything else,
    /// and another server of the same database would not do better.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    license_files_not_ready: Vec<String>,
}

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz(State(web): State<Arc<Web>>) -> Response {
    let up = answer(Ok(Health { status: "up", ..Health::default() }));
    with_key_ids(&web.licensing.keys, up)
}

fn with_key_ids(keys: &Keyring, mut response: Response) -> Response {
    let ids: Vec<String> = keys.ids().collect();
    if let Ok(ids) = ids.join(",").parse() {
        response.headers_mut().insert(KEY_IDS_HEADER, ids);
    }
    response
}

async fn readyz(State(web): State<Arc<Web>>) -> Response {
    let keys = web.licensing.keys.clone();
    // The check runs in a task of its own. Otherwise, a client that disconnects would cancel it,
    // and the next client would have to check again.
    let asked = tokio::spawn(async move {
        let found = web.readiness.of(&web).await?;
        server_time::require_right(&*web.licensing.clock)?;
        Ok(Health {
            status: "ready",
            rollbacks_noticed: Some(found.rollbacks),
            warning: found.warning,
            synchronous_standby: found.has_standby,
            license_files_not_ready: found.files_not_ready,
        })
    });
    let outcome =
        asked.await.unwrap_or_else(|e| Err(Error::Internal(format!("the store panicked: {e}"))));
    with_key_ids(&keys, answer(outcome))
}
