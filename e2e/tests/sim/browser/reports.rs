//! Reports: what is not acknowledged yet, sent as totals, until the server has it, by the rules of
//! `bindings/web/src/reports.js`.

use std::collections::{BTreeMap, BTreeSet};

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{
    EndedLicense, ItemStanding, SegmentReport, USAGE_PATH, UsageAnswer, UsageReport, UsageTotal,
};
use seatmeter_protocol::signature::{PublicKey, random_id};

use super::Browser;
use super::errors::{Failure, Outcome, caught, fail, malformed};
use super::grant::{Grant, slot_of};
use super::requests::device_facts;
use super::server::{Answer, Sender, post};
use super::store::{Content, Device, SegmentRow, ServerRow, Store, TotalKey, TotalRow};
use super::tab::Tab;

pub(super) const ROWS_MAX: usize = 4_000;
pub(super) const SEGMENTS_MAX: usize = 200;
pub(super) const ROUNDS_MAX: usize = 64;
pub(super) const KEPT_DAYS: u64 = 31;

type Rows = Vec<(TotalKey, TotalRow)>;

/// What is to be sent for one device.
struct Group {
    device: Device,
    server: Option<ServerRow>,
    segments: BTreeMap<String, (SegmentRow, Rows)>,
}

/// The server that gets a report.
pub(super) struct Receiver {
    pub(super) key_id: String,
    pub(super) key: PublicKey,
    pub(super) urls: Vec<&'static str>,
}

/// The result of a report.
#[derive(Default)]
pub(super) struct Reported {
    pub(super) is_diverged: bool,
    pub(super) standings: Vec<ItemStanding>,
    pub(super) failure: Option<Failure>,
}

/// Return what is to be sent to the server with this key. What was counted ahead of the time is
/// dated, once.
fn collect(store: &mut Store, key_id: &str, last: u32, is_dated: bool) -> Outcome<Vec<Group>> {
    store.write(|on| {
        let mut groups: BTreeMap<String, BTreeMap<String, (SegmentRow, Rows)>> = BTreeMap::new();
        let mut dated: BTreeMap<(String, u32), String> = BTreeMap::new();
        for (key, row) in on.totals.iter_mut().filter(|(_, row)| row.is_unsent) {
            let Some(segment) = on.segments.get(&key.0).filter(|of| of.key_id == key_id) else {
                continue;
            };
            let group = groups.entry(segment.uuid.clone()).or_default();
            if row.sent_as.is_none() {
                let mut under = None;
                if key.1 > last {
                    if !is_dated {
                        continue;
                    }
                    let id = dated.entry((key.0.clone(), key.1)).or_insert_with(fresh_id);
                    under = Some(id.clone());
                }
                // What was sent once keeps its slot, so that it never counts in two.
                row.sent_as = Some((key.1.min(last), under));
            }
            let rows: usize = group.values().map(|(_, rows)| rows.len()).sum();
            if rows >= ROWS_MAX || group.len() >= SEGMENTS_MAX {
                continue;
            }
            let under = row.sent_as.as_ref().and_then(|(_, under)| under.clone());
            let id = under.unwrap_or_else(|| segment.id.clone());
            let sent = SegmentRow { id: id.clone(), ..segment.clone() };
            group.entry(id).or_insert((sent, Vec::new())).1.push((key.clone(), row.clone()));
        }
        let found = groups.into_iter().filter_map(|(uuid, segments)| {
            let device = on.devices.get(&uuid)?.clone();
            let server = on.servers.get(&(uuid, key_id.to_owned())).cloned();
            Some(Group { device, server, segments })
        });
        found.collect()
    })
}

fn fresh_id() -> String {
    random_id().expect("the seed gives random numbers")
}

/// Take what was recorded for acknowledged, unless it has grown since it was sent.
fn acknowledge(store: &mut Store, sent: &[&(TotalKey, TotalRow)]) -> Outcome<()> {
    store.write(|on| {
        for (key, sent) in sent {
            if let Some(row) = on.totals.get_mut(key).filter(|row| row.total == sent.total) {
                row.is_unsent = false;
            }
        }
    })
}

/// Note receipt and epoch of an answer. Under another epoch, the server may have lost what it had,
/// also of the other identities of this profile.
pub(super) fn note_server(
    store: &mut Store,
    uuid: &str,
    key_id: &str,
    epoch: &str,
    receipt: &str,
) -> Outcome<()> {
    store.write(|on| {
        let mut is_new = false;
        for server in on.servers.values_mut().filter(|server| server.key_id == key_id) {
            if !epoch.is_empty() && server.epoch != epoch {
                is_new = true;
                server.epoch = epoch.to_owned();
            }
            if !receipt.is_empty() && server.uuid == uuid {
                server.receipt = receipt.to_owned();
            }
        }
        if is_new {
            send_again(on, key_id);
        }
    })
}

fn send_again(on: &mut Content, key_id: &str) {
    for (key, row) in &mut on.totals {
        let segment = on.segments.get(&key.0);
        if segment.is_some_and(|segment| segment.key_id == key_id) {
            row.is_unsent = true;
        }
    }
}

/// Delete what was acknowledged a month ago.
pub(super) fn tidy(store: &mut Store, now: u64) -> Outcome<()> {
    let oldest = slot_of(now.saturating_sub(KEPT_DAYS * super::grant::DAY_SECONDS));
    store.write(|on| {
        on.totals.retain(|key, row| row.is_unsent || key.1 >= oldest);
        let kept: BTreeSet<&String> = on.totals.keys().map(|key| &key.0).collect();
        on.segments.retain(|id, _| kept.contains(id));
    })
}

fn written(content: &UsageReport) -> Vec<u8> {
    serde_json::to_vec(content).expect("a report has a JSON form")
}

/// Return the content of a report.
fn body_of(
    device: &Device,
    server: Option<&ServerRow>,
    segments: Vec<SegmentReport>,
) -> UsageReport {
    UsageReport {
        protocol: 1,
        device: device_facts(device),
        newest_license: server.map(|server| server.newest.clone()),
        receipt: server.map(|server| server.receipt.clone()).unwrap_or_default(),
        segments,
        ended: Vec::new(),
    }
}

fn segment_of((segment, rows): &(SegmentRow, Rows)) -> SegmentReport {
    let total = |(key, row): &(TotalKey, TotalRow)| UsageTotal {
        slot: row.sent_as.as_ref().map_or(key.1, |(slot, _)| *slot),
        kind: key.2,
        what: key.3,
        total: row.total,
    };
    SegmentReport {
        segment_id: segment.id.clone(),
        license_id: segment.license.clone(),
        local_license: Some(segment.envelope.clone()),
        totals: rows.iter().map(total).collect(),
    }
}

/// Report everything that is not acknowledged to the servers with this key.
pub(super) fn report(
    tab: &mut Tab,
    profile: &mut Browser,
    to: &Receiver,
    ms: i64,
) -> Outcome<Reported> {
    let mut outcome = Reported::default();
    let mut signs = BTreeSet::new();
    let mut before = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let (last, is_dated) = (tab.last_slot(), tab.clock.is_heard);
        let found = collect(&mut profile.store, &to.key_id, last, is_dated)?;
        // What was refused stays, and is not sent again before the next slot.
        let now: Vec<_> = found.iter().map(|group| group.segments.clone()).collect();
        if found.is_empty() || now == before {
            break;
        }
        before = now;
        for group in found {
            let answered = to_any(tab, profile, to, &group, &mut signs, ms);
            let answer = match caught(answered)? {
                Ok(answer) => answer,
                Err(failure) if failure.code == ErrorCode::FAILED_TO_REACH_SERVER => {
                    return Err(failure.into());
                }
                // A refused identity must not hold back the others.
                Err(failure) => {
                    outcome.failure = Some(failure);
                    continue;
                }
            };
            tab.hear(profile, answer.time)?;
            let body: UsageAnswer = serde_json::from_slice(answer.bytes()).map_err(malformed)?;
            let is_recorded = |segment: &&(SegmentRow, Rows)| body.recorded.contains(&segment.0.id);
            let recorded = group.segments.values().filter(is_recorded);
            let rows: Vec<_> = recorded.flat_map(|(_, rows)| rows).collect();
            // First, so that nothing is acknowledged by an epoch of which this page knows nothing.
            let uuid = &group.device.uuid;
            note_server(&mut profile.store, uuid, &to.key_id, &body.epoch, &body.receipt)?;
            acknowledge(&mut profile.store, &rows)?;
            outcome.is_diverged |= body.is_diverged;
            outcome.standings.extend(body.standings);
        }
    }
    Ok(outcome)
}

/// Send a group to the first server that takes it.
fn to_any(
    tab: &mut Tab,
    profile: &mut Browser,
    to: &Receiver,
    group: &Group,
    signs: &mut BTreeSet<String>,
    ms: i64,
) -> Outcome<Answer> {
    let Group { device, server, segments } = group;
    let content = body_of(device, server.as_ref(), segments.values().map(segment_of).collect());
    let mut last = None;
    for url in to.urls.iter().copied() {
        let report_key = server.as_ref().map(|server| &server.report_key);
        let mut sender = Sender {
            key: &device.key,
            report_key: report_key.filter(|_| !signs.contains(&device.uuid)),
            server: Some((&to.key_id, &to.key)),
        };
        let mut outcome =
            caught(post(tab, profile, url, USAGE_PATH, written(&content), &sender, ms))?;
        // The server does not know the report key any more: the device's own key proves who it is.
        if let Ok(answer) = &outcome
            && !answer.is_ok
            && answer.refusal().code == ErrorCode::DEVICE_NOT_MATCH
            && report_key.is_some()
            && signs.insert(device.uuid.clone())
        {
            sender.report_key = None;
            outcome = caught(post(tab, profile, url, USAGE_PATH, written(&content), &sender, ms))?;
        }
        match outcome {
            Ok(answer) if answer.is_ok && answer.is_believed => return Ok(answer),
            Ok(answer) => last = (!answer.is_ok).then(|| answer.refusal()),
            Err(failure) => last = Some(failure),
        }
    }
    match last {
        Some(failure) => Err(failure.into()),
        None => fail(ErrorCode::LICENSE_SYNC_FAILED, "no server of this license has answered"),
    }
}

/// Give back a license, to the first server that takes it. Silence is no failure.
pub(super) fn give_back(
    tab: &mut Tab,
    profile: &mut Browser,
    grant: &Grant,
    server: Option<&ServerRow>,
    ms: i64,
) -> Outcome<()> {
    let device = tab.device.clone();
    let (license_id, serial) = (grant.local.license_id.clone(), grant.local.serial);
    let mut content = body_of(&device, server, Vec::new());
    content.ended = vec![EndedLicense { license_id, serial }];
    for url in profile.options.servers {
        let known = Some((grant.key_id.as_str(), &grant.server_key));
        let sender = Sender { key: &device.key, report_key: None, server: known };
        let answer = caught(post(tab, profile, url, USAGE_PATH, written(&content), &sender, ms))?;
        if answer.is_ok_and(|answer| answer.is_ok && answer.is_believed) {
            break;
        }
    }
    Ok(())
}
