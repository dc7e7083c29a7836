//! `GET /healthz`: the process answers. `GET /readyz`: it can also write to its database.
//!
//! Only a write shows that one is possible. What came of it is good for a moment, so that a crowd
//! of questions does not become a crowd of writes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Web;
use super::answer::answer;
use crate::error::Error;
use crate::store::Store;

/// How long the store may take before the server counts as not ready.
const READY_TIME_MAX: Duration = Duration::from_secs(2);

/// How long it is good what came of a write.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Whether the store could write when it was last asked.
#[derive(Debug, Default)]
pub struct Readiness {
    seen: Mutex<Option<(Instant, Result<(), Error>)>>,
}

impl Readiness {
    async fn of(&self, store: &dyn Store) -> Result<(), Error> {
        let mut seen = self.seen.lock().await;
        if let Some((at, outcome)) = &*seen
            && at.elapsed() < GOOD_FOR
        {
            return outcome.clone();
        }
        let outcome =
            tokio::time::timeout(READY_TIME_MAX, store.ready()).await.unwrap_or_else(|_| {
                Err(Error::Store(format!(
                    "no answer from the database within {} s",
                    READY_TIME_MAX.as_secs()
                )))
            });
        *seen = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Ids of the server's keys, by which a standby tells whether the two have the same data.
pub(super) const KEY_IDS_HEADER: &str = "seatmeter-key-ids";

pub(super) fn router() -> Router<Arc<Web>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz(State(web): State<Arc<Web>>) -> Response {
    let ids: Vec<String> = web.licensing.keys.ids().collect();
    let mut response = answer(Ok(Health { status: "up" }));
    if let Ok(ids) = ids.join(",").parse() {
        response.headers_mut().insert(KEY_IDS_HEADER, ids);
    }
    response
}

async fn readyz(State(web): State<Arc<Web>>) -> Response {
    // On its own: a client that goes away must not leave its question unanswered for the next, who
    // would ask again.
    let asked = tokio::spawn(async move { web.readiness.of(&*web.licensing.store).await });
    let outcome =
        asked.await.unwrap_or_else(|e| Err(Error::Internal(format!("the store panicked: {e}"))));
    answer(outcome.map(|()| Health { status: "ready" }))
}
