//! The thresholds that are reached or near: pure functions of figures.
//!
//! An alert whose threshold is no longer reached, but near, neither fires nor recovers. Thus seats
//! that come and go at a threshold do not fire it again and again.

use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_protocol::message::Metered;

use crate::alert::{Alert, AlertKind};
use crate::operator::queries::gauges::{forecast_at, metered_name};
use crate::operator::queries::status::{ItemState, ItemStatus};
use crate::server_time::is_too_far_behind;
use crate::utc;

/// The levels of the share of refused authorizations, in percent.
pub const REFUSED_PERCENTS: [u32; 6] = [10, 20, 40, 60, 80, 100];

/// The number of authorizations from which a share says something.
pub const AUTHORIZATIONS_MIN: u64 = 10;

/// The hours over which authorizations are counted.
pub const REFUSED_HOURS: u64 = 24;

/// The days before the end of an item at which an alert fires.
pub const EXPIRY_DAYS: [u32; 3] = [30, 7, 1];

/// The days before a quota will be used up at which an alert fires.
pub const FORECAST_DAYS: [u32; 1] = [30];

/// The days before the end of a certificate at which an alert fires.
pub const CERTIFICATE_DAYS: [u32; 2] = [14, 3];

/// The age of a backup in days at which an alert fires.
pub const BACKUP_DAYS: u32 = 7;

/// The free share of the disk, in percent, and the free bytes below both of which an alert fires.
const FREE_PERCENT: u64 = 5;
const FREE_BYTES: u64 = 256 << 20;

/// The points of percent by which a share must fall below its threshold to recover.
const MARGIN: u128 = 5;

/// The days by which a forecast must move away to recover: it changes each day.
const FORECAST_MARGIN_DAYS: u64 = 7;

/// The state of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The threshold is reached.
    Reached,
    /// The threshold is not reached, but near.
    Near,
}

/// A threshold that is reached or near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The threshold.
    pub alert: Alert,
    /// The state of the threshold.
    pub stands: Stands,
}

/// The use of a quota or budget of an item.
#[derive(Clone, Debug)]
pub struct Figures<'a> {
    /// The item.
    pub item_id: &'a str,
    /// The organization that has bought it.
    pub organization_id: &'a str,
    /// The unit that is counted.
    pub of: Metered,
    /// The name of the module of pages, or empty.
    pub module: &'a str,
    /// The used amount.
    pub used: u64,
    /// The quota or budget.
    pub quota: u64,
    /// The amount above the quota that is still served.
    pub grace: u64,
}

impl Figures<'_> {
    fn alert(&self, kind: AlertKind, level: u32, detail: String) -> Alert {
        let what = match self.module {
            "" => metered_name(self.of).to_owned(),
            module => format!("{} {module}", metered_name(self.of)),
        };
        Alert {
            kind,
            subject: self.item_id.to_owned(),
            what,
            level,
            organization_id: self.organization_id.to_owned(),
            detail,
        }
    }

    /// Return what is used in whole percent, rounded down. A quota of 0 has none.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let percent = u128::from(self.used) * 100 / u128::from(self.quota.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    fn is_budget(&self) -> bool {
        self.of == Metered::Excess
    }

    /// Return the thresholds that are reached or near.
    #[must_use]
    pub fn readings(&self, percents: &[u32]) -> Vec<Reading> {
        if self.quota == 0 {
            return Vec::new();
        }
        let mut readings: Vec<_> =
            percents.iter().filter_map(|percent| self.reading(*percent)).collect();
        if self.is_budget() && self.used > self.quota {
            let Self { item_id, used, quota, .. } = self;
            let detail = format!(
                "item \"{item_id}\" is overused: its excess of {used} is above the budget of \
                 {quota} of this license year. From now on, only N devices or instances run at a \
                 time. Ask the vendor for more"
            );
            let alert = self.alert(AlertKind::Overused, 0, detail);
            readings.push(Reading { alert, stands: Stands::Reached });
        }
        readings
    }

    fn reading(&self, percent: u32) -> Option<Reading> {
        let Self { item_id, used, quota, grace, .. } = self;
        let (share, all) = (u128::from(*used) * 100, u128::from(*quota));
        // Seats come and go; everything else only grows until the quota changes.
        let margin = if self.of == Metered::Devices { MARGIN } else { 0 };
        let stands = match u128::from(percent) {
            percent if share >= percent * all => Stands::Reached,
            percent if share > percent.saturating_sub(margin) * all => Stands::Near,
            _ => return None,
        };
        let now = self.percent();
        let (kind, detail) = if self.is_budget() {
            let detail = format!(
                "item \"{item_id}\" has used {used} of its overuse budget of {quota} of this \
                 license year ({now} %). Above the budget, only N devices or instances run at a \
                 time"
            );
            (AlertKind::Budget, detail)
        } else {
            let what = self.alert(AlertKind::Quota, 0, String::new()).what;
            let detail = format!(
                "item \"{item_id}\" has used {used} of {quota} {what} ({now} %), and its grace is \
                 {grace}. Ask the vendor for more before requests are refused"
            );
            (AlertKind::Quota, detail)
        };
        Some(Reading { alert: self.alert(kind, percent, detail), stands })
    }
}

/// Return the thresholds of an item that are reached or near. Items that grant nothing any more
/// have none.
#[must_use]
pub fn of_item(item: &ItemStatus, percents: &[u32], now: u64) -> Vec<Reading> {
    let is_over =
        matches!(item.state, ItemState::Revoked | ItemState::NotReady | ItemState::Expired);
    if is_over {
        return Vec::new();
    }
    let mut readings = Vec::new();
    for meter in &item.meters {
        let figures = Figures {
            item_id: &item.item_id,
            organization_id: &item.organization_id,
            of: meter.of,
            module: &meter.module_name,
            used: meter.used,
            quota: meter.quota,
            grace: meter.grace,
        };
        readings.extend(figures.readings(percents));
        if let Some(at) = forecast_at(&meter.forecast) {
            let detail = format!(
                "the {} of item \"{}\" will be used up on {}: {}",
                meter.noun(),
                item.item_id,
                meter.forecast.used_up_on.as_deref().unwrap_or_default(),
                meter.forecast.reason
            );
            let alert = |level| figures.alert(AlertKind::Forecast, level, detail.clone());
            readings.extend(before(at, now, &FORECAST_DAYS, FORECAST_MARGIN_DAYS, alert));
        }
    }
    let detail = format!(
        "item \"{}\" expires on {}: ask the vendor to renew it, and import the new license file",
        item.item_id,
        utc::text(item.expires_at)
    );
    let alert = |level| Alert {
        kind: AlertKind::Expiry,
        subject: item.item_id.clone(),
        what: String::new(),
        level,
        organization_id: item.organization_id.clone(),
        detail: detail.clone(),
    };
    readings.extend(before(item.expires_at, now, &EXPIRY_DAYS, 0, alert));
    readings
}

/// Return the readings of an end that is this number of days ahead or nearer.
fn before(
    at: u64,
    now: u64,
    days: &[u32],
    margin_days: u64,
    alert: impl Fn(u32) -> Alert,
) -> Vec<Reading> {
    let left = at.saturating_sub(now);
    let reading = |&level: &u32| {
        let stands = match u64::from(level) * DAY_SECONDS {
            reached if left <= reached => Stands::Reached,
            reached if left <= reached + margin_days * DAY_SECONDS => Stands::Near,
            _ => return None,
        };
        Some(Reading { alert: alert(level), stands })
    };
    days.iter().filter_map(reading).collect()
}

/// The authorizations under a handshake code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorizations {
    /// The handshake code.
    pub handshake_code: String,
    /// The organization that owns the code.
    pub organization_id: String,
    /// The number of granted authorizations.
    pub granted: u64,
    /// The number of refused authorizations.
    pub refused: u64,
}

/// Return the shares of refused authorizations that are reached or near.
#[must_use]
pub fn of_authorizations(counts: &Authorizations) -> Vec<Reading> {
    let Authorizations { handshake_code, granted, refused, .. } = counts;
    let all = granted.saturating_add(*refused);
    if all < AUTHORIZATIONS_MIN {
        return Vec::new();
    }
    let share = u128::from(*refused) * 100;
    let reading = |&level: &u32| {
        let stands = match u128::from(level) {
            level if share >= level * u128::from(all) => Stands::Reached,
            level if share > (level - MARGIN) * u128::from(all) => Stands::Near,
            _ => return None,
        };
        let percent = share / u128::from(all);
        let detail = format!(
            "{refused} of {all} authorizations under the handshake code \"{handshake_code}\" were \
             refused within {REFUSED_HOURS} hours ({percent} %): see \"seatmeterd refusals --code \
             {handshake_code}\""
        );
        let alert = Alert {
            kind: AlertKind::Refused,
            subject: handshake_code.clone(),
            what: String::new(),
            level,
            organization_id: counts.organization_id.clone(),
            detail,
        };
        Some(Reading { alert, stands })
    };
    REFUSED_PERCENTS.iter().filter_map(reading).collect()
}

/// The facts about a server.
#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    /// The name of the machine, which distinguishes the servers of a database.
    pub host: String,
    /// The reason why it is not ready, if it is not.
    pub not_ready: Option<String>,
    /// By how many seconds the machine's clock is behind the server's time.
    pub clock_behind_seconds: u64,
    /// Whether it is a standby that serves.
    pub is_standby_active: bool,
    /// The end of its certificate, Unix seconds.
    pub certificate_ends_at: Option<u64>,
    /// The bytes of the disk of its data: those that are free, and all.
    pub disk: Option<(u64, u64)>,
}

/// Return the troubles of a server.
#[must_use]
pub fn of_server(facts: &ServerFacts, now: u64) -> Vec<Reading> {
    let alert = |kind, level, detail: String| Alert {
        kind,
        subject: facts.host.clone(),
        what: String::new(),
        level,
        organization_id: String::new(),
        detail,
    };
    let host = &facts.host;
    let mut reached = Vec::new();
    if is_too_far_behind(facts.clock_behind_seconds) {
        let behind = facts.clock_behind_seconds;
        let detail = format!(
            "the clock of {host} is {behind} s behind the server's time: set the clock, or run \
             \"seatmeterd clock accept\" if it was ahead before"
        );
        reached.push(alert(AlertKind::Clock, 0, detail));
    }
    if let Some(why) = &facts.not_ready {
        reached.push(alert(AlertKind::NotReady, 0, format!("{host} is not ready: {why}")));
    }
    if let Some((free, all)) = facts.disk
        && free < FREE_BYTES.min(all / 100 * FREE_PERCENT)
    {
        let (free, all) = (free >> 20, all >> 20);
        let detail = format!("the disk of {host} has {free} MiB of {all} MiB left: make room");
        reached.push(alert(AlertKind::Disk, 0, detail));
    }
    if facts.is_standby_active {
        let detail =
            format!("the standby {host} serves, because its main server is down: look at that one");
        reached.push(alert(AlertKind::StandbyActive, 0, detail));
    }
    let mut readings: Vec<_> =
        reached.into_iter().map(|alert| Reading { alert, stands: Stands::Reached }).collect();
    if let Some(at) = facts.certificate_ends_at {
        let detail = format!(
            "the certificate of {host} ends on {}: renew it; the server reads its files again by \
             itself",
            utc::text(at)
        );
        let of_certificate = |level| alert(AlertKind::CertificateEnds, level, detail.clone());
        readings.extend(before(at, now, &CERTIFICATE_DAYS, 0, of_certificate));
    }
    readings
}

/// Return whether the newest backup is old. A server of which no backup was ever made by
/// "seatmeterd backup" may have others.
#[must_use]
pub fn of_backup(backup_at: Option<u64>, now: u64) -> Option<Reading> {
    let at = backup_at?;
    if now.saturating_sub(at) < u64::from(BACKUP_DAYS) * DAY_SECONDS {
        return None;
    }
    let detail = format!(
        "the newest backup is of {}, more than {BACKUP_DAYS} days ago: run \"seatmeterd backup\"",
        utc::text(at)
    );
    let alert = Alert {
        kind: AlertKind::BackupOld,
        subject: "backup".to_owned(),
        what: String::new(),
        level: BACKUP_DAYS,
        organization_id: String::new(),
        detail,
    };
    Some(Reading { alert, stands: Stands::Reached })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(of: Metered, used: u64, quota: u64) -> Figures<'static> {
        Figures { item_id: "a", organization_id: "acme", of, module: "", used, quota, grace: 5 }
    }

    fn levels(readings: &[Reading], wanted: Stands) -> Vec<u32> {
        let of = readings.iter().filter(|reading| reading.stands == wanted);
        of.map(|reading| reading.alert.level).collect()
    }

    #[test]
    fn a_threshold_is_reached_exactly_at_its_percent() {
        for (used, reached) in
            [(59, vec![]), (60, vec![60]), (79, vec![60]), (105, vec![60, 80, 100])]
        {
            let readings = figures(Metered::Scans, used, 100).readings(&[60, 80, 100]);
            assert_eq!(levels(&readings, Stands::Reached), reached, "{used}");
            assert!(levels(&readings, Stands::Near).is_empty(), "{used}");
        }
        let largest = figures(Metered::Scans, u64::MAX, u64::MAX).readings(&[100, 101]);
        assert_eq!(levels(&largest, Stands::Reached), [100]);
        assert!(figures(Metered::Scans, 0, 0).readings(&[60]).is_empty());
    }

    #[test]
    fn seats_that_come_and_go_at_a_threshold_do_not_recover_it() {
        let stands = |used| {
            let readings = figures(Metered::Devices, used, 100).readings(&[80]);
            (levels(&readings, Stands::Reached), levels(&readings, Stands::Near))
        };
        assert_eq!(stands(80), (vec![80], vec![]));
        assert_eq!(stands(76), (vec![], vec![80]));
        assert_eq!(stands(75), (vec![], vec![]));
    }

    #[test]
    fn overuse_begins_above_the_budget_and_not_at_it() {
        let kinds = |used| {
            let readings = figures(Metered::Excess, used, 1_000).readings(&[100]);
            readings.iter().map(|reading| reading.alert.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(1_000), [AlertKind::Budget]);
        assert_eq!(kinds(1_001), [AlertKind::Budget, AlertKind::Overused]);
    }

    #[test]
    fn a_share_needs_enough_authorizations() {
        let levels_of = |granted, refused| {
            let counts = Authorizations {
                handshake_code: "C".into(),
                organization_id: "acme".into(),
                granted,
                refused,
            };
            levels(&of_authorizations(&counts), Stands::Reached)
        };
        assert_eq!(levels_of(0, 9), [0; 0]);
        assert_eq!(levels_of(0, 10), REFUSED_PERCENTS);
        assert_eq!(levels_of(9, 1), [10]);
        assert_eq!(levels_of(10, 1), [0; 0]);
        assert_eq!(levels_of(60, 40), [10, 20, 40]);
    }

    #[test]
    fn an_end_is_told_at_each_of_its_days() {
        let alert =
            |level| figures(Metered::Scans, 0, 1).alert(AlertKind::Expiry, level, String::new());
        let levels_at =
            |left: u64| levels(&before(left, 0, &EXPIRY_DAYS, 0, alert), Stands::Reached);
        assert_eq!(levels_at(30 * DAY_SECONDS + 1), [0; 0]);
        assert_eq!(levels_at(30 * DAY_SECONDS), [30]);
        assert_eq!(levels_at(7 * DAY_SECONDS), [30, 7]);
        assert_eq!(levels_at(0), [30, 7, 1]);
    }
}
