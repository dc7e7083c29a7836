//! The hosts under which items are used, and the hosts that were refused.
//!
//! A browser holds its license under its UUID and the origin of the website; see
//! [`crate::policy::select::admission::holder_name`].

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;

use super::{item_ids, own_codes, values};
use crate::error::Error;
use crate::operator::queries::domains::{
    DomainHosts, DomainsQuery, HostDecision, HostExplanation, HostRow, RefusedHost,
};
use crate::operator::queries::explain::Asked;
use crate::policy::charge_way::host::Host;
use crate::policy::charge_way::per_domain::{self, Domains};
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::operation::items_of;

/// The greatest number of hosts that are listed.
const HOSTS_MAX: usize = 10_000;

impl Question for DomainsQuery {
    type Answer = DomainHosts;

    fn answer(&self, from: &Snapshot<'_>) -> Result<DomainHosts, Error> {
        let mut ids = item_ids(from, self.item.as_deref())?;
        let mut hosts: BTreeMap<(String, String), HostRow> = BTreeMap::new();
        for item_id in &ids {
            of_item(from, item_id, &mut hosts)?;
        }
        if self.item.is_none() {
            ids.insert(0, String::new());
        }
        let mut refused = BTreeMap::new();
        for item_id in &ids {
            refused_by(from, item_id, &mut refused)?;
        }
        let mut hosts: Vec<HostRow> = hosts.into_values().collect();
        hosts.sort();
        hosts.truncate(HOSTS_MAX);
        let explained = match &self.host {
            Some(host) => Some(explain(from, host, &ids)?),
            None => None,
        };
        let refused = refused.into_values().take(HOSTS_MAX).collect();
        Ok(DomainHosts { hosts, refused, explained })
    }
}

fn of_item(
    from: &Snapshot<'_>,
    item_id: &str,
    hosts: &mut BTreeMap<(String, String), HostRow>,
) -> Result<(), Error> {
    let query = "SELECT holder, issued_at, valid_until FROM local_license WHERE item_id = ?1
            AND holder LIKE '%@%'";
    from.for_each(query, values![item_id], &mut |mut row| {
        let (holder, issued_at, valid_until): (String, u64, u64) =
            (row.take(0)?, row.take(1)?, row.take(2)?);
        let Some((host, domain)) = holder.split_once('@').and_then(|(_, origin)| place(origin))
        else {
            return Ok(());
        };
        let row = hosts.entry((item_id.to_owned(), host.clone())).or_insert_with(|| HostRow {
            item_id: item_id.to_owned(),
            domain,
            host,
            devices: 0,
            last_granted_at: 0,
        });
        row.devices += u64::from(valid_until > from.now);
        row.last_granted_at = row.last_granted_at.max(issued_at);
        Ok(())
    })
}

/// Explain a host, and decide about it for each of these items that is for domains.
fn explain(from: &Snapshot<'_>, text: &str, ids: &[String]) -> Result<HostExplanation, Error> {
    let mut explained = HostExplanation::of(text)
        .map_err(|why| Error::bad_request(format!("{text:?} is not a host: {why}")))?;
    for item in items_of(from.sql(), ids)?.into_iter().filter_map(|row| row.item) {
        if item.charge_way != ChargeWay::Domain {
            continue;
        }
        let domains = Domains::listed(&item.domains)
            .map_err(|why| Error::bad_request(format!("item \"{}\" {why}", item.item_id)))?;
        let decided = per_domain::decide(&item.item_id, &domains, &explained.host);
        let (is_allowed, detail) = match decided {
            Ok(()) => {
                let detail = format!(
                    "item \"{}\" is for the website {:?}: it counts as {}, which the item lists",
                    item.item_id, explained.host, explained.counts_as
                );
                (true, detail)
            }
            Err(refusal) => (false, refusal.detail),
        };
        explained.items.push(HostDecision { item_id: item.item_id, is_allowed, detail });
    }
    explained.items.sort_by(|one, other| one.item_id.cmp(&other.item_id));
    Ok(explained)
}

/// Return the host of an origin, and the domain that it counts as.
fn place(origin: &str) -> Option<(String, String)> {
    let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    let (host, _) = Host::parse_with_port(authority).ok()?;
    let name = host.as_text().to_owned();
    let domain = host.domain().unwrap_or(&name).to_owned();
    Some((name, domain))
}

fn refused_by(
    from: &Snapshot<'_>,
    item_id: &str,
    refused: &mut BTreeMap<(String, String, i32), RefusedHost>,
) -> Result<(), Error> {
    let own = own_codes(from)?;
    let query =
        "SELECT code, refused, last_at, last_detail, last_asked, handshake_code FROM refusal
          WHERE item_id = ?1 AND (code = ?2 OR code = ?3)";
    let codes = [ErrorCode::DOMAIN_MISMATCH, ErrorCode::VALIDATION_FIELD_MISMATCH];
    let [domain, field] = codes.map(|code| i64::from(code.0));
    from.for_each(query, values![item_id, domain, field], &mut |mut row| {
        let code = super::refusals::number(row.take(0)?);
        let asked: Asked = serde_json::from_str(&row.take::<String>(4)?).unwrap_or_default();
        let handshake_code: String = row.take(5)?;
        let is_seen =
            !item_id.is_empty() || own.as_ref().is_none_or(|own| own.contains(&handshake_code));
        if asked.website.is_empty() || !is_seen {
            return Ok(());
        }
        let key = (item_id.to_owned(), asked.website.clone(), code);
        let known = refused.entry(key).or_insert_with(|| RefusedHost {
            item_id: item_id.to_owned(),
            host: asked.website,
            code,
            refused: 0,
            last_at: 0,
            detail: String::new(),
        });
        known.refused += row.take::<u64>(1)?;
        let last_at = row.take(2)?;
        if last_at >= known.last_at {
            known.last_at = last_at;
            known.detail = row.take(3)?;
        }
        Ok(())
    })
}
