//! The laws that hold two slots after the last fault.

use std::collections::BTreeMap;

use seatmeter_protocol::error_code::ErrorCode;

use super::Check;
use super::billing::by_family;
use super::work::the_highest_is_had;
use crate::books::Counter;
use crate::browser::Browser;
use crate::machine::Machine;
use crate::model::{Asking, DAY, SLOT};
use crate::net::Net;
use crate::time::START;
use crate::world::World;

/// Days of work that a device remembers for a server that was restored.
const REMEMBERED_DAYS: usize = 31;

/// Check the state two slots after the last fault: everything is reported, and every program that
/// may work can work.
pub(crate) fn converged(world: &World) -> Check {
    let net = world.net.lock();
    let model = &net.server.model;
    let mut told = by_family(&net, &world.books)?;
    for ((uuid, segment, counter), total) in net.servers().flat_map(|server| &server.unbooked) {
        let booked = world.books.segments.get(&(segment.clone(), *counter)).copied().unwrap_or(0);
        let family = net.family_of(uuid).ok_or("somebody has reported who is nobody")?;
        *told.entry((family, *counter)).or_default() += total.saturating_sub(booked);
    }
    let days: std::collections::BTreeSet<u32> =
        world.performed.keys().map(|(_, counter)| counter.0 / 480).collect();
    // A program under another server learns of a restore only when it has something to report to
    // the restored server.
    let is_told = net.apart.is_none() && days.len() < REMEMBERED_DAYS;
    // What only a device remembers is lost with its state.
    let has_lost = |browser: &Option<Browser>| browser.as_ref().is_some_and(Browser::has_lost);
    let is_lost =
        world.machines.iter().any(Machine::was_put_back) || world.browsers.iter().any(has_lost);
    let is_remembered = model.restores == 0 || is_told && !is_lost;
    let is_of_program = |(family, _): &(usize, Counter)| world.browsers[*family].is_none();
    // A page deletes what was acknowledged so many days ago.
    let is_recent = world.time.now() < START + REMEMBERED_DAYS as u64 * DAY;
    if model.restores == 0 || is_remembered && is_recent {
        pages_have_told_all(world, &net, &told)?;
    }
    for (key, performed) in
        world.performed.iter().filter(|(key, _)| is_remembered && is_of_program(key))
    {
        let told = told.get(key).copied().unwrap_or(0);
        let lost = world.lost.get(key).copied().unwrap_or(0);
        if told > *performed || told + lost < *performed {
            let (family, counter) = key;
            return Err(format!(
                "in the end {told} are billed of slot {}, kind {}, what {}, and {performed} were \
                 performed by machine \
                 {family}",
                counter.0, counter.1, counter.2
            ));
        }
    }
    drop(net);
    (0..world.browsers.len()).try_for_each(|m| pages_may_go_on(world, m))?;
    let used = world.machines.iter().enumerate().filter(|(_, machine)| machine.is_used());
    used.map(|(m, _)| m)
        .try_for_each(|m| may_go_on(world, m).and_then(|()| the_highest_is_had(world, m)))
}

/// Check that everything that was confirmed to pages is billed, whatever its slot, unless its user
/// has deleted it.
fn pages_have_told_all(world: &World, net: &Net, told: &BTreeMap<(usize, Counter), u64>) -> Check {
    let sums = |all: &BTreeMap<(usize, Counter), u64>| {
        let mut sums: BTreeMap<(usize, u8, u32), u64> = BTreeMap::new();
        for ((family, (_, kind, what)), n) in all {
            *sums.entry((*family, *kind, *what)).or_default() += n;
        }
        sums
    };
    let (told, lost) = (sums(told), sums(&world.lost));
    for (key, performed) in sums(&world.performed) {
        let (family, kind, what) = key;
        let Some(browser) = &world.browsers[family] else { continue };
        // CORS keeps what a page of a website has that is not licensed any more.
        let is_licensed = net.servers().all(|server| server.licenses_website(browser.origin()));
        let sum = |all: &BTreeMap<(usize, u8, u32), u64>| all.get(&key).copied().unwrap_or(0);
        if sum(&told) > performed || is_licensed && sum(&told) + sum(&lost) < performed {
            return Err(format!(
                "in the end {} are billed of kind {kind}, what {what}, and {performed} were \
                 counted in browser {family}, which has lost {}",
                sum(&told),
                sum(&lost)
            ));
        }
    }
    Ok(())
}

/// How a program or a page stands in the end.
struct Standing {
    x: u32,
    /// Why no work is allowed, and why the last contact has failed.
    stands: Option<ErrorCode>,
    trouble: Option<ErrorCode>,
    message: String,
    valid_until: u64,
}

/// Check that no page is locked out without a reason that the rules give.
fn pages_may_go_on(world: &World, m: usize) -> Check {
    let Some(browser) = &world.browsers[m] else { return Ok(()) };
    let at = world.time.now();
    for tab in &browser.tabs {
        let (stands, trouble) = tab.standing();
        let valid_until = tab.grant().map_or(0, |grant| grant.local.valid_until);
        // It asks with its next count, or when its timer runs out.
        if (valid_until..valid_until + SLOT).contains(&at) {
            continue;
        }
        let message = stands.iter().chain(&trouble).map(|one| one.message.as_str()).collect();
        let standing = Standing {
            x: 1,
            stands: stands.map(|failure| failure.code),
            trouble: trouble.map(|failure| failure.code),
            message,
            valid_until,
        };
        is_in_no_trouble(world, m, &standing)?;
    }
    Ok(())
}

/// Check that no program is locked out without a reason that the rules give.
fn may_go_on(world: &World, m: usize) -> Check {
    for program in &world.machines[m].programs {
        let trouble = program.session.status().trouble.map(|trouble| trouble.error.code);
        let check = program.session.licensed().map(|licensed| licensed.check());
        let stands = match check {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.code),
            None => Some(ErrorCode::NO_LICENSE),
        };
        let status = program.session.status();
        let message = status.trouble.map(|trouble| trouble.error.message).unwrap_or_default();
        let valid_until = status.valid_until;
        let x = program.x;
        is_in_no_trouble(world, m, &Standing { x, stands, trouble, message, valid_until })?;
    }
    Ok(())
}

fn is_in_no_trouble(world: &World, m: usize, standing: &Standing) -> Check {
    let Standing { x, stands, trouble, message, valid_until } = standing;
    let (stands, trouble) = (*stands, *trouble);
    let Some(code) = stands.or(trouble) else { return Ok(()) };
    // An authorization by the slot was judged when it was granted, and the next slot may be
    // judged otherwise.
    if [stands, trouble].contains(&Some(ErrorCode::QUOTA_EXCEEDED)) {
        return Ok(());
    }
    let net = world.net.lock();
    let at = world.time.now();
    // What a machine was allowed before it was put back counts as spent. So it does for one
    // that began from the same image, and is known by the same key.
    let mut family = world.machines.iter().zip(&net.families);
    let was_put_back =
        |(other, of): (&Machine, &usize)| *of == net.families[m] && other.was_put_back();
    let is_spent = net.server.model.item.strict && family.any(was_put_back);
    if is_spent && [stands, trouble].contains(&Some(ErrorCode::USED_UP)) {
        return Ok(());
    }
    // The choice between two items is not judged here.
    let is_refused = !net.is_judged()
        && [stands, trouble].iter().flatten().any(|code| {
            // A refusal by the other of two servers is not accepted, and appears as this error.
            let is_by_another = *code == ErrorCode::LICENSE_SYNC_FAILED && net.apart.is_some();
            net.refusals[m].contains(code) || is_by_another && !net.refusals[m].is_empty()
        })
        || net.owners.iter().any(|(uuid, owner)| {
            if net.families[*owner] != net.families[m] {
                return false;
            }
            let asking = Asking {
                device: uuid,
                x: *x,
                at,
                is_copied: false,
                first_contact: "",
                shown: Some(u32::MAX),
                is_of_stranger: false,
                has_given_back: false,
            };
            net.server.model.verdict(&world.books, &asking).refuses()
        });
    if is_refused {
        return Ok(());
    }
    Err(format!(
        "machine {m} is in trouble with {code:?}, and no rule says why: of {message:?}, good until \
         {valid_until}, at {at}"
    ))
}
