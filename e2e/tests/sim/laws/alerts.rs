//! The laws about alerts: each is told once, until it has recovered or was re-armed.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::ChargeWay;

use super::Check;
use crate::books::{Books, number, rows, text};
use crate::server::Server;

/// The thresholds of a quota, in percent, which nobody has set otherwise.
const PERCENTS: [u64; 3] = [60, 80, 100];

/// Check that each alert was told as often as it has begun, and not more often than the quota
/// allows: what is used only grows, so that a threshold is reached again only after the vendor has
/// sold more.
pub(super) fn alerts_are_told_once(server: &Server) -> Check {
    let mut told: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for row in rows(&server.store, "SELECT alert_id, event FROM alert_event") {
        let (fired, recovered) = told.entry(text(&row[0])).or_default();
        match text(&row[1]).as_str() {
            "fired" => *fired += 1,
            "recovered" => *recovered += 1,
            other => return Err(format!("an event is {other:?}, which nobody has caused")),
        }
    }
    let rearmed = |id: &str| server.model.rearmed.get(id).copied().unwrap_or(0);
    let standing = "SELECT alert_id, kind, recovered_at IS NULL FROM alert";
    for row in rows(&server.store, standing) {
        let (id, kind, stands) = (text(&row[0]), text(&row[1]), number(&row[2]));
        let (fired, recovered) = told.remove(&id).unwrap_or_default();
        let again = rearmed(&id);
        if fired != recovered + stands + again {
            return Err(format!(
                "an alert of kind {kind} was told {fired} times, {recovered} times that it has \
                 recovered, and was re-armed {again} times"
            ));
        }
        let is_metered =
            matches!(server.model.item.charge_way, ChargeWay::BarcodeScan | ChargeWay::Page);
        if kind == "quota" && is_metered && fired > 1 + server.raises + again {
            return Err(format!(
                "a threshold was told {fired} times, and the vendor has sold more {} times",
                server.raises
            ));
        }
    }
    let is_gone =
        |(id, (fired, recovered)): &(String, (u64, u64))| *fired != recovered + rearmed(id);
    match told.into_iter().find(is_gone) {
        Some((id, _)) => Err(format!("alert {id} was told, and is not there")),
        None => Ok(()),
    }
}

/// Check that every threshold that is reached has been told.
pub(super) fn thresholds_are_told(server: &Server, books: &Books) -> Check {
    let model = &server.model;
    // Nobody is told of an item that has ended.
    if model.is_revoked || model.is_edited || server.time.now() >= model.item.expires_at {
        return Ok(());
    }
    let standing = "SELECT what, level FROM alert WHERE kind = 'quota' AND recovered_at IS NULL";
    let mut standing: Vec<u64> =
        rows(&server.store, standing).iter().map(|row| number(&row[1])).collect();
    for (module, quota) in model.modules().into_iter().filter(|(_, quota)| *quota > 0) {
        let used = model.used(books, module);
        for percent in PERCENTS.into_iter().filter(|percent| used * 100 >= percent * quota) {
            let Some(at) = standing.iter().position(|level| *level == percent) else {
                return Err(format!(
                    "{used} of {quota} are used in module {module}, and nobody was told of \
                     {percent} %"
                ));
            };
            standing.swap_remove(at);
        }
    }
    Ok(())
}
