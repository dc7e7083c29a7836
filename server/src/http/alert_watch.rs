//! The check of everything that alerts are about, every 10 minutes.
//!
//! A threshold that usage reaches fires where the usage is booked. This check finds thresholds that
//! are reached as time passes, facts that only the server knows, and alerts that have recovered. It
//! reads beside the requests that write, and writes only when something has changed.

use std::sync::Arc;
use std::time::Duration;

use super::{Web, health};
use crate::alerts::host;
use crate::error::Error;
use crate::operator::queries::alerts::{AlertCheck, AlertCheckQuery};
use crate::operator::queries::conditions::ServerFacts;
use crate::server_time::is_too_far_behind;

/// The interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// Check now and at each interval, for as long as the server runs.
pub async fn keep_checking(web: Arc<Web>) {
    let mut checks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        checks.tick().await;
        if let Err(error) = check(&web).await {
            tracing::warn!(%error, "alerts were not checked; the next attempt is in 10 minutes");
        }
    }
}

/// Check once. Return what has changed.
///
/// # Errors
/// Fails when the data cannot be read or written.
pub async fn check(web: &Web) -> Result<AlertCheck, Error> {
    let facts = facts(web).await;
    let licensing = &web.licensing;
    let found = licensing.ask(AlertCheckQuery { facts }, None).await?;
    if found != AlertCheck::default() {
        licensing.store.note_alerts(found.clone(), licensing.clock.unix_seconds()).await?;
    }
    Ok(found)
}

async fn facts(web: &Web) -> ServerFacts {
    let (is_ready, why) = health::state(web).await;
    let clock_behind_seconds = web.licensing.clock.ahead_of_machine();
    ServerFacts {
        host: host(),
        // A clock that is too far behind has an alert of its own.
        not_ready: why.filter(|_| !is_ready && !is_too_far_behind(clock_behind_seconds)),
        clock_behind_seconds,
        is_standby_active: match &web.main_server {
            Some(main) => main.require_down().await.is_ok(),
            None => false,
        },
        certificate_ends_at: web.tls.as_ref().map(|tls| tls.ends_at()),
        disk: web.key_folder.as_ref().and_then(|folder| room(folder.path())),
    }
}

/// Return the bytes of a disk: those that are free, and all.
fn room(path: &std::path::Path) -> Option<(u64, u64)> {
    let facts = nix::sys::statvfs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(facts.fragment_size());
    Some((bytes(facts.blocks_available()), bytes(facts.blocks())))
}
