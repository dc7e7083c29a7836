//! The delivery of events by mail and by webhook, each in its own time.
//!
//! | step | why |
//! | --- | --- |
//! | the events that are due are read | an idle server writes nothing |
//! | they are taken: the next attempt is moved ahead | several servers on one database deliver each event once |
//! | they are delivered, and the outcome is noted | a server that dies in between leaves them to be tried again |
//!
//! So each event is delivered at least once, always with the same id, by which the receiver
//! recognizes a repetition. A failed delivery is tried again after the times of [`RETRY_SECONDS`],
//! and then given up.

use std::sync::Arc;
use std::time::Duration;

use seatmeter_protocol::signature::random_bytes;

use super::mail::Mail;
use super::summary::{self, Period};
use super::webhook::Webhook;
use crate::alert::{AlertKind, MAIL, WEBHOOK};
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::queries::alerts::{DueQuery, EventRow};
use crate::store::{DeliveryOutcome, TakeDeliveries};

/// The interval at which due events are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The time in seconds after which an event that was never tried is no longer delivered. An
/// operator who sets up mail today does not want the alerts of last year.
const FIRST_WITHIN_SECONDS: u64 = 86_400;

/// The greatest number of events in one delivery.
const EVENTS_AT_ONCE: u32 = 50;

/// The time for which a server keeps events that it has taken, in seconds. It is longer than any
/// channel may take for all of them.
const TAKEN_SECONDS: u64 = 900;

/// The times between attempts, in seconds, as Standard Webhooks recommends them.
pub const RETRY_SECONDS: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// The reason why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A later attempt may succeed.
    Later(String),
    /// No later attempt would succeed.
    Never(String),
    /// The other side wants no event any more.
    Gone(String),
}

/// The channels by which events are delivered, as they are set up.
#[derive(Debug, Default)]
pub struct Ways {
    /// The channel by mail.
    pub mail: Option<Mail>,
    /// The channel by webhook.
    pub webhook: Option<Webhook>,
    /// The interval at which a summary is mailed.
    pub summary: Option<Period>,
    /// Whether names and UUIDs of devices are left out.
    pub hides_devices: bool,
}

impl Ways {
    /// Return whether no way is set up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mail.is_none() && self.webhook.is_none()
    }
}

/// Tell events now and at each interval, for as long as the server runs.
pub async fn keep_telling(licensing: Arc<Licensing>, ways: Arc<Ways>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first day after the last period of which the summaries are written.
    let mut summarized = None;
    while !ways.is_empty() {
        looks.tick().await;
        if let Some(period) = ways.summary
            && summarized
                != period.last_over(licensing.clock.unix_seconds()).ok().map(|days| days.1)
        {
            match summary::write_due(&licensing, period).await {
                Ok(until) => summarized = Some(until),
                Err(error) => tracing::warn!(%error, "the summaries were not written"),
            }
        }
        if let Err(error) = tell_due(&licensing, &ways).await {
            tracing::warn!(%error, "events of alerts were not told; the next attempt is soon");
        }
    }
}

/// Tell the events that are due. Return how many were tried.
///
/// # Errors
/// Fails when the data cannot be read or written.
pub async fn tell_due(licensing: &Licensing, ways: &Ways) -> Result<usize, Error> {
    let mut tried = 0;
    if let Some(mail) = &ways.mail {
        let due = taken(licensing, MAIL, ways).await?;
        tried += due.len();
        let (summaries, alerts): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|(event, _)| event.kind == AlertKind::Summary);
        // Alerts that came together are one mail, and each summary is one.
        let mails = std::iter::once(alerts).chain(summaries.into_iter().map(|one| vec![one]));
        for mailed in mails.filter(|mailed| !mailed.is_empty()) {
            let attempts = mailed.iter().map(|(_, attempts)| *attempts).min().unwrap_or(0);
            let events: Vec<EventRow> = mailed.into_iter().map(|(event, _)| event).collect();
            let outcome = mail.send(&events).await;
            note(licensing, MAIL, &events, attempts, outcome).await?;
        }
    }
    if let Some(webhook) = &ways.webhook
        && !licensing.is_webhook_off(webhook.id()).await?
    {
        for (event, attempts) in taken(licensing, WEBHOOK, ways).await? {
            tried += 1;
            let outcome = webhook.post(&event, licensing.clock.unix_seconds()).await;
            if let Err(Failure::Gone(why)) = &outcome {
                tracing::error!(
                    "the webhook is off: {why}. Run \"seatmeterd alert enable-webhook\""
                );
                licensing.set_webhook_off(webhook.id()).await?;
            }
            let is_gone = matches!(outcome, Err(Failure::Gone(_)));
            note(licensing, WEBHOOK, &[event], attempts, outcome).await?;
            if is_gone {
                break;
            }
        }
    }
    Ok(tried)
}

/// Take the events that are due in one way. Return each with the number of attempts before.
async fn taken(
    licensing: &Licensing,
    channel: &'static str,
    ways: &Ways,
) -> Result<Vec<(EventRow, u32)>, Error> {
    let now = licensing.clock.unix_seconds();
    let since = now.saturating_sub(FIRST_WITHIN_SECONDS);
    let due = DueQuery { channel, since, limit: EVENTS_AT_ONCE };
    let mut due = licensing.ask(due, None).await?;
    if due.is_empty() {
        return Ok(due);
    }
    let event_ids = due.iter().map(|(event, _)| event.event_id.clone()).collect();
    let take = TakeDeliveries { channel, event_ids, now, until: now + TAKEN_SECONDS };
    let taken = licensing.store.take_deliveries(take).await?;
    due.retain(|(event, _)| taken.contains(&event.event_id));
    if ways.hides_devices {
        due.iter_mut().for_each(|(event, _)| event.detail = without_devices(&event.detail));
    }
    Ok(due)
}

async fn note(
    licensing: &Licensing,
    channel: &'static str,
    events: &[EventRow],
    attempts_before: u32,
    outcome: Result<(), Failure>,
) -> Result<(), Error> {
    let now = licensing.clock.unix_seconds();
    let (error, next_at) = match outcome {
        Ok(()) => (None, None),
        Err(Failure::Later(why)) => (Some(why), next_at(attempts_before, now)),
        Err(Failure::Never(why) | Failure::Gone(why)) => (Some(why), None),
    };
    if let Some(why) = &error {
        let events = events.len();
        tracing::warn!(channel, events, again = next_at.is_some(), "alerts were not told: {why}");
    }
    let event_ids = events.iter().map(|event| event.event_id.clone()).collect();
    let outcome = DeliveryOutcome { channel, event_ids, now, error, next_at };
    licensing.store.note_deliveries(outcome).await
}

/// Return the instant of the next attempt; `None` after the last one. Chance spreads the attempts
/// of many servers.
fn next_at(attempts_before: u32, now: u64) -> Option<u64> {
    let seconds = *RETRY_SECONDS.get(attempts_before as usize)?;
    let chance = random_bytes::<2>().map_or(0, u16::from_le_bytes);
    // Up to a fifth more. 5 s are always 5 or 6 s.
    let more = seconds * u64::from(chance) / (5 * u64::from(u16::MAX));
    Some(now + seconds + more)
}

/// Return a text in which UUIDs of devices are left out.
fn without_devices(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let digits = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_uuid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_uuid { word.replace(digits, "(left out)") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_from_five_seconds_to_a_day_and_then_given_up() {
        for (before, seconds) in RETRY_SECONDS.iter().enumerate() {
            for _ in 0..100 {
                let at = next_at(before as u32, 1_000).unwrap() - 1_000;
                assert!((*seconds..=seconds + seconds / 5).contains(&at), "{before}: {at}");
            }
        }
        assert_eq!(next_at(RETRY_SECONDS.len() as u32, 0), None);
    }

    #[test]
    fn uuids_of_devices_can_be_left_out() {
        let text = format!("device {} shows a license (branch 1)", "a1".repeat(16));
        assert_eq!(without_devices(&text), "device (left out) shows a license (branch 1)");
    }
}
