//! The laws about what is counted and billed.

use std::collections::BTreeMap;

use seatmeter::license::Grant;

use super::Check;
use crate::books::{Books, Counter, UNDATED_SLOT};
use crate::browser::Browser;
use crate::machine::Machine;
use crate::net::Net;
use crate::server::{Server, epoch_of};
use crate::world::World;

/// Check billed ≤ performed.
pub(super) fn billed_was_performed(world: &World) -> Check {
    let net = world.net.lock();
    let mut all = by_family(&net, &world.books)?;
    // Each of two servers with one key bills by itself.
    for (counter, billed) in by_family(&net, &world.books_of_copy)? {
        let other = all.entry(counter).or_default();
        *other = billed.max(*other);
    }
    let mut undated = BTreeMap::new();
    for ((family, counter), billed) in all {
        let performed = world.performed.get(&(family, counter)).copied().unwrap_or(0);
        let pool = (family, (UNDATED_SLOT, counter.1, counter.2));
        let left =
            undated.entry(pool).or_insert_with(|| world.performed.get(&pool).copied().unwrap_or(0));
        let beyond = billed.saturating_sub(performed);
        if beyond <= *left {
            // A page has counted it ahead of the time.
            *left -= beyond;
        } else {
            return Err(format!(
                "{billed} are billed of slot {}, kind {}, what {}, and {performed} were performed \
                 by machine {family}",
                counter.0, counter.1, counter.2
            ));
        }
    }
    Ok(())
}

type ByFamily = BTreeMap<(usize, crate::books::Counter), u64>;

pub(super) fn by_family(net: &Net, books: &Books) -> Result<ByFamily, String> {
    let mut sums = ByFamily::new();
    for ((uuid, counter), total) in &books.billed {
        let family = net
            .family_of(uuid)
            .ok_or_else(|| format!("usage is billed to {uuid}, who is nobody"))?;
        *sums.entry((family, *counter)).or_default() += total;
    }
    Ok(sums)
}

/// Check acknowledged ≤ billed, on every machine that has reported everything to this server since
/// it was restored.
pub(super) fn acknowledged_was_billed(world: &World) -> Check {
    let Some(number) = world.acting else { return Ok(()) };
    let counting = match &world.browsers[number] {
        Some(browser) => Counting::Browser(browser),
        None => Counting::Machine(&world.machines[number]),
    };
    let net = world.net.lock();
    let by = |server: &Server, books: &Books| acknowledged_by(number, &counting, server, books);
    net.servers().try_for_each(|server| by(server, &world.books))?;
    net.copy.iter().try_for_each(|copy| by(copy, &world.books_of_copy))
}

/// What counts on a machine.
enum Counting<'a> {
    Machine(&'a Machine),
    Browser(&'a Browser),
}

fn acknowledged_by(number: usize, of: &Counting<'_>, server: &Server, books: &Books) -> Check {
    let (key, epoch) = (server.key(), epoch_of(&server.store));
    let (has_told_all, has_lost) = match of {
        Counting::Machine(machine) => (machine.has_told_all(&key, &epoch), machine.was_put_back()),
        Counting::Browser(browser) => (browser.has_told_all(&key, &epoch), browser.has_lost()),
    };
    if server.is_unaware() || !has_told_all {
        return Ok(());
    }
    let totals = match of {
        Counting::Machine(machine) => machine.totals(&key),
        Counting::Browser(browser) => browser.totals(&key),
    };
    for (counter, (total, acknowledged)) in totals {
        let billed = books.segments.get(&counter).copied().unwrap_or(0);
        if acknowledged > billed {
            return Err(format!(
                "machine {number} takes {acknowledged} for recorded, and {billed} are"
            ));
        }
        // A machine that was put back, or whose storage was cleared, has lost what it had reported.
        if billed > total && !has_lost {
            return Err(format!(
                "machine {number} has counted {total}, the server knows of {billed}"
            ));
        }
    }
    Ok(())
}

/// Check that no count is lost with its file.
pub(crate) fn nothing_is_missing(
    machine: &Machine,
    before: &BTreeMap<Counter, u64>,
    m: usize,
) -> Check {
    let now = machine.counted();
    for (counter, total) in before {
        let there = now.get(counter).copied().unwrap_or(0);
        if there < *total {
            return Err(format!(
                "machine {m} has lost {} of {total} of {counter:?} with a file",
                total - there
            ));
        }
    }
    Ok(())
}

/// Check that work is counted only for the item under whose license it is done.
pub(crate) fn only_its_item_counted(
    machine: &Machine,
    grant: &Grant,
    before: &BTreeMap<String, u64>,
) -> Check {
    for (item, counted) in machine.counted_by_item() {
        let more = counted - before.get(&item).copied().unwrap_or(0);
        if more > 0 && item != grant.local.item_id {
            return Err(format!("work under {} is counted for {item}", grant.local.item_id));
        }
    }
    Ok(())
}
