//! The laws about sums, holders and limits of items.

use std::collections::BTreeMap;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_server::store::sqlite::InlineStore;

use super::Check;
use crate::books::{Books, number, rows, text};
use crate::model::{DAY, Hold, Model};
use crate::net::Net;
use crate::server::Server;
use crate::world::World;

/// Check that the sums by which the server decides are those of its rows, and that the excess is
/// that of the naive model.
pub(super) fn sums_are_sums(store: &InlineStore, books: &Books, model: &Model) -> Check {
    for row in rows(store, "SELECT kind, module, used FROM item_used") {
        let (kind, module, used) = (number(&row[0]), number(&row[1]), number(&row[2]));
        let module = (kind == 2).then_some(module as u32);
        let sum = books.used(kind as u8, module);
        if sum != used {
            return Err(format!("{used} of kind {kind} count as used, the rows have {sum}"));
        }
    }
    if matches!(model.item.charge_way, ChargeWay::ConcurrentDevice | ChargeWay::ConcurrentInstance)
    {
        let stored: u64 =
            rows(store, "SELECT excess FROM year_excess").iter().map(|row| number(&row[0])).sum();
        if stored != model.excess() {
            return Err(format!("the excess is {stored}, and should be {}", model.excess()));
        }
    }
    for row in rows(store, "SELECT module, allowed FROM item_allowed") {
        let (module, sum) = (number(&row[0]) as u32, number(&row[1]));
        if sum != books.allowed(module) {
            return Err(format!("{sum} count as allowed, the rows have {}", books.allowed(module)));
        }
    }
    Ok(())
}

/// If there are two items, check that the sums of each are those of its rows. Also check that no
/// more of a strict item is allowed, or is performed under both items, than there is.
pub(super) fn each_item_has_its_own(world: &World, net: &Net) -> Check {
    net.servers().try_for_each(|server| sums_of_each_item(world, server))?;
    let mut limits: BTreeMap<u32, u64> = BTreeMap::new();
    let mut is_strict = net.server.model.restores == 0;
    for model in net.servers().flat_map(Server::models) {
        is_strict &= model.item.strict;
        for (module, quota) in model.modules() {
            *limits.entry(module).or_default() += model.limit(quota);
        }
    }
    for (module, limit) in limits.into_iter().filter(|_| is_strict) {
        let performed: u64 = performed_of(world, module).values().sum();
        let most = limit + world.unheld(module, false).values().sum::<u64>();
        if performed > most {
            return Err(format!("{performed} are performed of {most}, which are strict"));
        }
    }
    Ok(())
}

fn sums_of_each_item(world: &World, server: &Server) -> Check {
    let store = &server.store;
    let books = Books::of(store);
    let of_segment = rows(store, "SELECT segment_id, item_id FROM segment");
    let of_segment: BTreeMap<String, String> =
        of_segment.iter().map(|row| (text(&row[0]), text(&row[1]))).collect();
    let mut sums: BTreeMap<(&str, u64, u64), u64> = BTreeMap::new();
    for ((segment, (_, kind, what)), total) in &books.segments {
        let item =
            of_segment.get(segment).ok_or_else(|| format!("segment {segment} is of no item"))?;
        let module = if *kind == 2 { u64::from(*what) } else { 0 };
        *sums.entry((item, u64::from(*kind), module)).or_default() += total;
    }
    for row in rows(store, "SELECT item_id, kind, module, used FROM item_used") {
        let (item, kind, module, used) =
            (text(&row[0]), number(&row[1]), number(&row[2]), number(&row[3]));
        let sum = sums.get(&(item.as_str(), kind, module)).copied().unwrap_or(0);
        if sum != used {
            return Err(format!(
                "{used} of kind {kind} count as used of {item}, the rows have {sum}"
            ));
        }
    }
    let was_restored = server.model.restores > 0;
    for model in server.models() {
        for (module, quota) in model.modules() {
            let (item, limit) = (&model.item.item_id, model.limit(quota));
            // What was done before a loss of state is booked in full, under either item.
            let limit = limit + world.unheld(module, was_restored).values().sum::<u64>();
            let own = format!(
                "SELECT allowed FROM allowance WHERE item_id = '{item}' AND module = {module}"
            );
            let allowed: u64 = rows(store, &own).iter().map(|row| number(&row[0])).sum();
            if model.item.strict && !was_restored && allowed > limit {
                return Err(format!("{allowed} are allowed of {limit} of {item}"));
            }
        }
    }
    Ok(())
}

/// Check the holders of seats, and the end of their holds.
pub(super) fn holders_are_those_of_the_model(store: &InlineStore, model: &Model, at: u64) -> Check {
    let table = "SELECT holder, seats, held_until FROM seat_holder";
    let stored: Vec<(String, Hold)> = rows(store, table)
        .iter()
        .map(|row| (text(&row[0]), Hold { seats: number(&row[1]), until: number(&row[2]) }))
        .filter(|(_, hold)| hold.until > at)
        .collect();
    let alive = model.alive(at);
    // A device in a browser has its origin in its name.
    let device = |holder: &str| holder.split('@').next().unwrap_or_default().to_owned();
    let nameless = stored.iter().find(|(holder, _)| !holder.contains('@'));
    if let (true, 0, Some((holder, _))) = (model.is_of_browsers(), model.restores, nameless) {
        return Err(format!("{holder} holds a seat of a browser, for no website"));
    }
    let is_same = stored.len() == alive.len()
        && stored.iter().all(|(holder, hold)| alive.get(device(holder).as_str()) == Some(hold));
    if !is_same {
        return Err(format!("seats are held by {stored:?}, and should be by {alive:?}"));
    }
    let most = model.limit(model.item.quota).max(model.brought_back.seats);
    if model.held(at) > most {
        return Err(format!("{} seats are held of {most}", model.held(at)));
    }
    Ok(())
}

/// Check `Σ allowed ≤ N + grace` of a strict item. A restored server may grant again what it has
/// forgotten. What a device has done that was put back to an earlier state while offline is booked
/// in full.
pub(super) fn strict_is_never_granted_twice(world: &World, books: &Books, model: &Model) -> Check {
    for (module, quota) in model.modules().into_iter().filter(|_| model.item.strict) {
        let limit = model.limit(quota);
        let allowed = books.allowed(module);
        let most = limit.max(model.brought_back.allowed.get(&module).copied().unwrap_or(0));
        let most = most + world.unheld(module, model.restores > 0).values().sum::<u64>();
        if allowed > most {
            return Err(format!("{allowed} are allowed of {most}, which are strict"));
        }
    }
    Ok(())
}

/// Check that each device performs no more of a strict item than it was ever allowed, and all
/// devices no more than N + grace, even with every device offline. A device that was put back to an
/// earlier state may do more, but only until it gets its next license, and what it did under a
/// license that it had not shown, or that its earlier state has, too.
pub(super) fn strict_is_never_exceeded(world: &World, net: &Net) -> Check {
    let model = &net.server.model;
    for (module, quota) in model.modules().into_iter().filter(|_| model.item.strict) {
        let (limit, unheld) = (model.limit(quota), world.unheld(module, model.restores > 0));
        let performed = performed_of(world, module);
        let promised = promised_of(net, module);
        for (family, performed) in &performed {
            let own = promised.iter().filter(|(uuid, _)| net.family_of(uuid) == Some(*family));
            let promised: u64 = own.map(|(_, promised)| promised).sum();
            let most = promised + unheld.get(family).copied().unwrap_or(0);
            if *performed > most {
                return Err(format!(
                    "machine {family} has performed {performed} of {most} that it was allowed"
                ));
            }
        }
        let performed: u64 = performed.values().sum();
        let most = limit + unheld.values().sum::<u64>();
        if model.restores == 0 && performed > most {
            return Err(format!("{performed} are performed of {most}, which are strict"));
        }
    }
    Ok(())
}

/// Return the most that each device was ever allowed in a module, by any of the servers.
fn promised_of(net: &Net, module: u32) -> BTreeMap<String, u64> {
    let mut most = BTreeMap::new();
    let all = net.judged().flat_map(|server| &server.promised);
    for ((uuid, _), promised) in all.filter(|((_, of), _)| *of == module) {
        let known: &mut u64 = most.entry(uuid.clone()).or_default();
        *known = (*known).max(*promised);
    }
    most
}

/// Return the performed work of each machine in a module; 0 is that of scans.
fn performed_of(world: &World, module: u32) -> BTreeMap<usize, u64> {
    let mut performed = BTreeMap::new();
    for ((family, (_, kind, what)), n) in &world.performed {
        let is_of_it = if module == 0 { *kind == 1 } else { *kind == 2 && *what == module };
        if is_of_it {
            *performed.entry(*family).or_default() += n;
        }
    }
    performed
}

/// Lower the amount that was brought back beyond the limit as it is given back: it may not come a
/// second time.
pub(super) fn what_is_given_back_is_gone(world: &World) {
    let net = &mut *world.net.lock();
    let servers = [Some(&mut net.server), net.copy.as_mut()].into_iter().flatten();
    for (server, books) in servers.zip([&world.books, &world.books_of_copy]) {
        let at = server.time.now();
        let model = &mut server.model;
        let held = model.held(at);
        model.brought_back.seats = model.brought_back.seats.min(held);
        for (module, most) in &mut model.brought_back.allowed {
            *most = books.allowed(*module).min(*most);
        }
    }
}

/// Check that a server that was put back a second time within a year says so: two servers with one
/// key look like that.
pub(super) fn two_servers_are_named(net: &Net) -> Check {
    for server in net.judged() {
        let (store, year_ago) = (&server.store, server.time.now().saturating_sub(365 * DAY));
        let noticed = format!(
            "SELECT count(*) FROM epoch WHERE cause = 'rollback' AND begun_at > {year_ago}"
        );
        let named = "SELECT count(*) FROM alert_event WHERE kind = 'two_servers'";
        let count = |statement: &str| number(&rows(store, statement)[0][0]);
        if count(&noticed) > 1 && count(named) == 0 {
            return Err(format!(
                "a server has noticed {} times that its data was put back, and does not say that \
                 two servers may have its key",
                count(&noticed)
            ));
        }
    }
    Ok(())
}
