//! The page that a scrape gets, in the text format of Prometheus.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::Metrics;
use super::snapshot::Snapshot;
use crate::histogram::Counted;
use crate::operator::queries::gauges::{ACTIVE, EXCESS, ItemGauge, Meter, MeterGauge};

/// The content type of the page.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The state of the scraped server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Whether it is ready.
    pub is_ready: bool,
    /// Whether it is a standby that serves now; `None` when it has no main server.
    pub is_standby_active: Option<bool>,
    /// The number of requests that wait for the database.
    pub queue_length: Option<u64>,
    /// The end of its certificate, Unix seconds; `None` without TLS.
    pub certificate_ends_at: Option<u64>,
    /// The durations of its transactions.
    pub commits: Option<Counted>,
    /// By how many seconds the server's time is ahead of the machine's clock.
    pub clock_behind_seconds: u64,
}

/// Write the page. Without a snapshot, it has the counters alone.
///
/// # Errors
/// Fails when a value has no text form.
pub fn write(
    metrics: Arc<Metrics>,
    snapshot: Option<Arc<Snapshot>>,
    server: Server,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("seatmeter");
    registry.register_collector(Box::new(Page { metrics, snapshot, server }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Page {
    metrics: Arc<Metrics>,
    snapshot: Option<Arc<Snapshot>>,
    server: Server,
}

/// A series: its labels, and its value.
type Series<L> = (L, f64);

const NO_EXEMPLAR: Option<&Exemplar<Vec<(String, String)>, f64>> = None;

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.requests(encoder)?;
        self.server(encoder)?;
        match &self.snapshot {
            Some(snapshot) => {
                data(encoder, snapshot)?;
                items(encoder, &snapshot.gauges.items)
            }
            None => Ok(()),
        }
    }
}

impl Page {
    fn requests(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let now = |counter: &std::sync::atomic::AtomicU64| {
            counter.load(std::sync::atomic::Ordering::Relaxed)
        };
        let mut authorizations = vec![(label2("granted", "0"), now(&metrics.granted))];
        for (outcome, counts) in [("refused", &metrics.refused), ("failed", &metrics.failed)] {
            let counted = counts.counts().filter(|(_, count)| *count > 0);
            authorizations
                .extend(counted.map(|(code, count)| (label2(outcome, &code.0.to_string()), count)));
        }
        let help = "Authorizations since the start, by outcome and error number";
        counter(to, "authorizations", help, authorizations)?;
        // Series that begin with 0 let Prometheus see the first increase. The license rules refuse
        // with these numbers.
        let is_refusal = |code: i32| (-20_199..=-20_000).contains(&code);
        let refusals = metrics.refused.counts().filter(|(code, _)| is_refusal(code.0));
        let refusals = refusals.map(|(code, count)| ([("code", code.0.to_string())], count));
        let help = "Refusals by the license rules since the start, by error number";
        counter(to, "refusals", help, refusals.collect())?;
        let reports = [
            ("recorded", now(&metrics.recorded)),
            ("partly_recorded", now(&metrics.partly_recorded)),
            ("not_recorded", now(&metrics.not_recorded)),
        ];
        let reports = reports.map(|(outcome, count)| ([("outcome", outcome.to_owned())], count));
        let help = "Usage reports since the start, by outcome";
        counter(to, "reports", help, reports.to_vec())?;
        let help = "Seconds from the begin of the oldest slot in a report to its arrival";
        histogram(to, "report_lag_seconds", help, &metrics.report_lag.counted())?;
        let help = "Seconds by which the newest slot in a report is ahead of the server's time: \
                    the clock of the device is ahead by this or more";
        histogram(to, "device_clock_skew_seconds", help, &metrics.clock_skew.counted())
    }

    fn server(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let server = &self.server;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        gauge(to, "build_info", "The version of the server; the value is 1", [(version, 1.0)])?;
        let ready = f64::from(u8::from(server.is_ready));
        one(to, "ready", "Whether the server is ready, as at /readyz", Some(ready))?;
        let behind = server.clock_behind_seconds as f64;
        let help = "Seconds by which the machine's clock is behind the server's time";
        one(to, "clock_behind_seconds", help, Some(behind))?;
        let help = "Whether this standby serves, because its main server is down";
        let active = server.is_standby_active.map(|active| f64::from(u8::from(active)));
        one(to, "standby_active", help, Some(active.unwrap_or(0.0)))?;
        let queue = server.queue_length.map(|length| length as f64);
        one(to, "store_queue_length", "Requests that wait for the database", queue)?;
        let help = "The end of the server's certificate, Unix seconds";
        let ends_at = server.certificate_ends_at.map(|at| at as f64);
        one(to, "certificate_expiry_timestamp_seconds", help, ends_at)?;
        match &server.commits {
            Some(commits) => {
                let help = "Seconds that a transaction took, each for many requests";
                histogram(to, "store_commit_duration_seconds", help, commits)
            }
            None => Ok(()),
        }
    }
}

fn data(to: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let gauges = &snapshot.gauges;
    let help = "The instant that the values of items, devices and data show, Unix seconds";
    one(to, "snapshot_timestamp_seconds", help, Some(gauges.at as f64))?;
    let bytes = gauges.server.database_bytes.map(|bytes| bytes as f64);
    one(to, "database_bytes", "The size of the database", bytes)?;
    let backup = gauges.server.backup_at.map(|at| at as f64);
    let help = "The time of the newest backup by seatmeterd backup, Unix seconds";
    one(to, "backup_timestamp_seconds", help, backup)?;
    let help = "How often within a year the data was noticed to be put back";
    one(to, "rollbacks", help, Some(gauges.rollbacks as f64))?;
    let devices = [("running", snapshot.devices.running), ("ended", snapshot.devices.ended)];
    let devices = devices.map(|(state, count)| ([("state", state)], count as f64));
    gauge(to, "devices", "Devices by the state of their licenses", devices)?;
    let help = "Items that are summed up as item=\"(others)\"";
    one(to, "items_summed", help, Some(gauges.summed as f64))
}

fn items(to: &mut DescriptorEncoder<'_>, items: &[ItemGauge]) -> fmt::Result {
    let is_quota = |(of, _): &Meter| *of != EXCESS;
    let is_excess = |meter: &Meter| !is_quota(meter);
    let used = |gauge: &MeterGauge| Some(gauge.used as f64);
    let quota = |gauge: &MeterGauge| Some(gauge.quota as f64);
    let help = "What is used of a quota; of=\"active\" is the current slot";
    gauge(to, "item_used", help, meters(items, is_quota, used))?;
    gauge(to, "item_quota", "The quota", meters(items, is_quota, quota))?;
    let has_grace = |meter: &Meter| is_quota(meter) && meter.0 != ACTIVE;
    let help = "The amount above the quota that is still served";
    gauge(to, "item_grace", help, meters(items, has_grace, |gauge| Some(gauge.grace as f64)))?;
    let help = "The excess of the license year";
    gauge(to, "item_excess", help, meters(items, is_excess, used))?;
    let help = "The overuse budget of the license year";
    gauge(to, "item_excess_budget", help, meters(items, is_excess, quota))?;
    let help = "The day on which the quota or budget will be used up, Unix seconds";
    let forecast = |gauge: &MeterGauge| gauge.forecast_at.map(|at| at as f64);
    gauge(to, "item_forecast_timestamp_seconds", help, meters(items, |_| true, forecast))?;
    let expiry = items
        .iter()
        .filter_map(|item| Some(([("item", item.item.as_str())], item.expires_at? as f64)));
    gauge(to, "item_expiry_timestamp_seconds", "The expiry of the item, Unix seconds", expiry)
}

/// Return a series for each meter that is wanted and has a value.
fn meters(
    items: &[ItemGauge],
    is_wanted: impl Fn(&Meter) -> bool,
    value: impl Fn(&MeterGauge) -> Option<f64>,
) -> Vec<Series<[(&'static str, &str); 3]>> {
    let all = items.iter().flat_map(|item| item.meters.iter().map(move |meter| (item, meter)));
    let wanted = all.filter(|(_, (meter, _))| is_wanted(meter));
    wanted
        .filter_map(|(item, (meter, gauge))| {
            let labels = [("item", item.item.as_str()), ("of", meter.0), ("module", &meter.1)];
            Some((labels, value(gauge)?))
        })
        .collect()
}

fn label2(outcome: &str, code: &str) -> [(&'static str, String); 2] {
    [("outcome", outcome.to_owned()), ("code", code.to_owned())]
}

fn counter<const N: usize>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: Vec<([(&'static str, String); N], u64)>,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in series {
        family.encode_family(&labels)?.encode_counter(&value, NO_EXEMPLAR)?;
    }
    Ok(())
}

/// Write a gauge; nothing of it when it has no series.
fn gauge<'a, const N: usize>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = Series<[(&'static str, &'a str); N]>>,
) -> fmt::Result {
    let mut series = series.into_iter().peekable();
    if series.peek().is_none() {
        return Ok(());
    }
    let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// Write a gauge without labels, if it has a value.
fn one(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
    match value {
        Some(value) => {
            to.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        }
        None => Ok(()),
    }
}

fn histogram(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counted: &Counted,
) -> fmt::Result {
    let mut family = to.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let Counted { buckets, count, sum } = counted;
    family.encode_histogram::<[(&str, &str); 0]>(*sum, *count, buckets, None)
}
