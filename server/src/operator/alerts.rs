//! The operator's changes to alerts, checked before they are made.

use crate::access::By;
use crate::alert::{percents, written};
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::commands::Change;
use crate::operator::queries::alerts::WebhookOffQuery;

/// The end of a time that has none: the last instant that the database can hold as a date.
pub const WITHOUT_END: u64 = 253_402_300_799;

impl Licensing {
    /// Tell nothing of an alert until an instant; `None` for no end.
    ///
    /// # Errors
    /// Fails when there is no such alert, or the instant has passed.
    pub async fn mute_alert(
        &self,
        alert_id: String,
        until: Option<u64>,
        by: impl Into<By>,
    ) -> Result<(), Error> {
        let until = until.unwrap_or(WITHOUT_END).min(WITHOUT_END);
        // 0 unmutes the alert.
        if until > 0 && until <= self.clock.unix_seconds() {
            return Err(Error::bad_request(format!(
                "the alert would have been muted until {}, which has passed: name a later end",
                crate::utc::text(until)
            )));
        }
        self.change(Change::MuteAlert { alert_id, until }, by).await
    }

    /// Return whether a webhook is off.
    ///
    /// # Errors
    /// Fails when the data cannot be read.
    pub async fn is_webhook_off(&self, id: &str) -> Result<bool, Error> {
        self.ask(WebhookOffQuery { id: id.to_owned() }, None).await
    }

    /// Post no more events to a webhook.
    ///
    /// # Errors
    /// Fails when the data cannot be written.
    pub async fn set_webhook_off(&self, id: &str) -> Result<(), Error> {
        self.change(Change::DisableWebhook { id: id.to_owned() }, "server").await
    }

    /// Set the thresholds of an item; `None` for all items without their own.
    ///
    /// # Errors
    /// Fails when there is no such item, or the thresholds are not possible.
    pub async fn set_thresholds(
        &self,
        item_id: Option<String>,
        thresholds: &[u32],
        by: impl Into<By>,
    ) -> Result<(), Error> {
        let percents = percents(&written(thresholds))?;
        self.change(Change::SetThresholds { item_id, percents }, by).await
    }
}
