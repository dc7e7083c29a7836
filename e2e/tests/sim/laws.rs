//! The laws, each with the sentence of the rules that it checks.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use seatmeter::clock::{Clock, DeviceClock};
use seatmeter::license::Grant;
use seatmeter::licensed::Licensed;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_server::store::sqlite::InlineStore;

use crate::books::{Books, Counter, number, rows, text};
use crate::machine::Machine;
use crate::model::{Hold, Model};
use crate::net::Net;
use crate::server::{Server, epoch_of};
use crate::world::{Outcome, World};

/// The result of a law: it holds, or the sentence that says what breaks it.
pub(crate) type Check = Result<(), String>;

/// The largest error of a device's time. A server reports whole seconds, a device corrects its time
/// if it differs by five, and clocks drift a little within a round.
const TIME_MS_MAX: u64 = 8_000;

/// Days of work that a device remembers for a server that was restored.
const REMEMBERED_DAYS: usize = 31;

/// Check every law that must hold after every step.
pub(crate) fn look(world: &mut World) -> Check {
    billed_was_performed(world)?;
    {
        let net = world.net.lock();
        let model = &net.server.model;
        if net.is_judged() {
            sums_are_sums(&net.server.store, &world.books, model)?;
            holders_are_those_of_the_model(&net.server.store, model, net.server.time.now())?;
            strict_is_never_exceeded(world, &net)?;
        } else {
            each_item_has_its_own(world, &net)?;
        }
    }
    what_is_given_back_is_gone(world);
    acknowledged_was_billed(world)?;
    programs_agree_on_the_time(world)?;
    time_never_goes_back(world)
}

/// Check billed ≤ performed.
fn billed_was_performed(world: &World) -> Check {
    let net = world.net.lock();
    for ((family, counter), billed) in by_family(&net, &world.books)? {
        let performed = world.performed.get(&(family, counter)).copied().unwrap_or(0);
        if billed > performed {
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

fn by_family(net: &Net, books: &Books) -> Result<ByFamily, String> {
    let mut sums = ByFamily::new();
    for ((uuid, counter), total) in &books.billed {
        let family = net
            .family_of(uuid)
            .ok_or_else(|| format!("usage is billed to {uuid}, who is nobody"))?;
        *sums.entry((family, *counter)).or_default() += total;
    }
    Ok(sums)
}

/// Check that the sums by which the server decides are those of its rows, and that the excess is
/// that of the naive model.
fn sums_are_sums(store: &InlineStore, books: &Books, model: &Model) -> Check {
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
fn each_item_has_its_own(world: &World, net: &Net) -> Check {
    net.servers().try_for_each(sums_of_each_item)?;
    let mut limits = BTreeMap::new();
    let mut is_strict = net.server.model.restores == 0;
    for model in net.servers().flat_map(Server::models) {
        is_strict &= model.item.strict;
        for (module, quota) in model.modules() {
            *limits.entry(module).or_default() += model.limit(quota);
        }
    }
    for (module, limit) in limits.into_iter().filter(|_| is_strict) {
        let performed: u64 = performed_of(world, module).values().sum();
        if performed > limit {
            return Err(format!("{performed} are performed of {limit}, which are strict"));
        }
    }
    Ok(())
}

fn sums_of_each_item(server: &Server) -> Check {
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
fn holders_are_those_of_the_model(store: &InlineStore, model: &Model, at: u64) -> Check {
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

/// Check `Σ allowed ≤ N + grace` and `Σ performed ≤ N + grace` of a strict item, even with every
/// device offline. A restored server may grant again what it has forgotten. Then each device still
/// performs no more than it was ever allowed.
fn strict_is_never_exceeded(world: &World, net: &Net) -> Check {
    let model = &net.server.model;
    if !model.item.strict {
        return Ok(());
    }
    for (module, quota) in model.modules() {
        let limit = model.limit(quota);
        let allowed = world.books.allowed(module);
        let most = limit.max(model.brought_back.allowed.get(&module).copied().unwrap_or(0));
        if allowed > most {
            return Err(format!("{allowed} are allowed of {most}, which are strict"));
        }
        let performed = performed_of(world, module);
        for (family, performed) in &performed {
            let own =
                net.server.promised.iter().filter(|((uuid, of), _)| {
                    *of == module && net.family_of(uuid) == Some(*family)
                });
            let promised: u64 = own.map(|(_, promised)| promised).sum();
            if *performed > promised {
                return Err(format!(
                    "machine {family} has performed {performed} of {promised} that it was allowed"
                ));
            }
        }
        let performed: u64 = performed.values().sum();
        if model.restores == 0 && performed > limit {
            return Err(format!("{performed} are performed of {limit}, which are strict"));
        }
    }
    Ok(())
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
fn what_is_given_back_is_gone(world: &World) {
    let mut net = world.net.lock();
    let at = net.server.time.now();
    let model = &mut net.server.model;
    let held = model.held(at);
    model.brought_back.seats = model.brought_back.seats.min(held);
    for (module, most) in &mut model.brought_back.allowed {
        *most = world.books.allowed(*module).min(*most);
    }
}

/// Check acknowledged ≤ billed, on every machine that has reported everything to this server since
/// it was restored.
fn acknowledged_was_billed(world: &World) -> Check {
    let Some(number) = world.acting else { return Ok(()) };
    let machine = &world.machines[number];
    world
        .net
        .lock()
        .servers()
        .try_for_each(|server| acknowledged_was_billed_by(world, number, machine, server))
}

fn acknowledged_was_billed_by(
    world: &World,
    number: usize,
    machine: &Machine,
    server: &Server,
) -> Check {
    let key = server.key();
    if server.is_unaware() || !machine.has_told_all(&key, &epoch_of(&server.store)) {
        return Ok(());
    }
    for (counter, (total, acknowledged)) in machine.totals(&key) {
        let billed = world.books.segments.get(&counter).copied().unwrap_or(0);
        if acknowledged > billed {
            return Err(format!(
                "machine {number} takes {acknowledged} for recorded, and {billed} are"
            ));
        }
        if billed > total {
            return Err(format!(
                "machine {number} has counted {total}, the server knows of {billed}"
            ));
        }
    }
    Ok(())
}

/// Check that the time of a program never goes back. Only a server may set it back, by its word to
/// this program or to another program of the machine that shares it.
fn time_never_goes_back(world: &mut World) -> Check {
    for (number, machine) in world.machines.iter_mut().enumerate() {
        for program in &mut machine.programs {
            let (now, heard) = (program.clock.unix_ms(), program.clock.heard_ms());
            // Servers whose clocks differ may report the same second at different instants, and one
            // server may report it twice at one instant. Then the program's time is that second.
            let word = (heard, program.clock.heard_at_ms());
            let is_said = word != program.word || (heard..heard + 1000).contains(&now);
            if now < program.last_ms && !is_said {
                let back = program.last_ms - now;
                return Err(format!("the time of machine {number} goes back by {back} ms"));
            }
            (program.last_ms, program.word) = (now, word);
        }
    }
    Ok(())
}

/// Check the state after a stopped process woke with an older license. The device keeps its UUID,
/// unless it has copies, and nothing newer that others stored meanwhile is replaced by something
/// older.
pub(crate) fn who_wakes_takes_nothing(
    world: &World,
    m: usize,
    uuid: &str,
    serial: Option<u32>,
) -> Check {
    let machine = &world.machines[m];
    let Some(program) = machine.programs.last() else { return Ok(()) };
    let families = world.net.lock().families;
    let has_copies = families.iter().filter(|family| **family == families[m]).count() > 1;
    let now = machine.uuid();
    if !has_copies && now != uuid {
        return Err(format!(
            "machine {m} was {uuid}, and is {now} since a stopped program has woken"
        ));
    }
    let on_disk = program.serial_on_disk(&machine.folder);
    if now == uuid && serial > on_disk && world.net.lock().server.model.restores == 0 {
        return Err(format!(
            "machine {m} had license {serial:?} on its disk, and has {on_disk:?} now"
        ));
    }
    Ok(())
}

/// Check that a program that has heard a server uses that server's time, and not the time that some
/// program of the device heard before. `before` is the number of accepted answers earlier in the
/// step.
pub(crate) fn heard_the_time(world: &World, m: usize, program: usize, before: usize) -> Check {
    let (true_ms, ms) =
        (world.time.now() * 1000, world.machines[m].programs[program].clock.unix_ms());
    let wrong = |ahead: &u64| ms.abs_diff(true_ms + ahead * 1000);
    let wrong = world.net.lock().heard.ahead.iter().skip(before).map(wrong).min().unwrap_or(0);
    if wrong > TIME_MS_MAX {
        return Err(format!(
            "machine {m} has heard the server, and its time is wrong by {wrong} ms"
        ));
    }
    Ok(())
}

/// Check that programs of one machine that use one word of a server have the same time, in whatever
/// time namespace they are.
fn programs_agree_on_the_time(world: &World) -> Check {
    for (number, machine) in world.machines.iter().enumerate() {
        let clocks =
            machine.programs.iter().filter(|program| !program.is_apart && program.clock.is_set());
        let clocks: Vec<&DeviceClock> = clocks.map(|program| program.clock).collect();
        for pair in clocks.windows(2) {
            let apart = pair[0].unix_ms().abs_diff(pair[1].unix_ms());
            let word = |clock: &DeviceClock| (clock.heard_ms(), clock.heard_at_ms());
            if word(pair[0]) == word(pair[1]) && apart > TIME_MS_MAX {
                return Err(format!("two programs of machine {number} are {apart} ms apart"));
            }
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

/// Check that a license is valid only as long as it was meant, whatever the clock of the granting
/// server said. A device with a wrong time of its own cannot be held to that.
pub(crate) fn is_not_outlived(world: &World, m: usize, program: usize, grant: &Grant) -> Check {
    const HOUR: u64 = 3_600;
    let (now, at) = (world.time.now(), world.machines[m].programs[program].clock.unix_seconds());
    let key = (grant.local.license_id.clone(), grant.local.serial);
    let meant = world.net.lock().granted.get(&key).copied().unwrap_or(u64::MAX);
    // After a restart of the machine nobody knows any more whether the time was set back since.
    let life = grant.local.valid_until.saturating_sub(grant.local.issued_at);
    let age = now.saturating_sub(meant.saturating_sub(life));
    let up_for = world.machines[m].clock.boot_ms.load(Ordering::Relaxed) / 1_000;
    if u64::try_from(up_for).is_ok_and(|up_for| up_for < age) {
        return Ok(());
    }
    if at.abs_diff(now) < HOUR && now > meant.saturating_add(HOUR) {
        return Err(format!(
            "machine {m} works {} s longer than its license was meant for",
            now - meant
        ));
    }
    Ok(())
}

/// Check that no work is done under a license that has ended.
pub(crate) fn may_work(grant: &Grant, at: u64) -> Check {
    let end = grant.local.valid_until.min(grant.item.grace_ends_at());
    if at < end {
        return Ok(());
    }
    Err(format!("work is counted {} s after its license has ended", at - end))
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

/// Check that a device has exactly the seats that were granted: none more, and none less, because
/// the seats of dead programs are free. If fewer seats are granted than are held, nothing is taken
/// away. `took` is the result of a call for a seat.
pub(crate) fn seats_are_those_of_the_grant(
    world: &World,
    m: usize,
    program: usize,
    licensed: &Licensed,
    took: Option<&Outcome>,
) -> Check {
    let local = &licensed.grant().local;
    if local.charge_way != ChargeWay::ConcurrentInstance {
        return Ok(());
    }
    let machine = &world.machines[m];
    let Some(granted) = machine.seats_granted(&local.item_id) else { return Ok(()) };
    let held = machine.seats_held(&local.item_id);
    if matches!(took, Some(Outcome::Done(None))) && held > granted {
        return Err(format!("machine {m} holds {held} seats of {granted}"));
    }
    let code = if let Some(Outcome::Done(code)) = took { *code } else { None };
    if code == Some(ErrorCode::INSTANCE_COUNT_OVER_LIMIT) && held < granted {
        return Err(format!(
            "machine {m} holds {held} seats of {granted}, and program {program} gets none"
        ));
    }
    let idle = licensed.idle_seats();
    if code.is_none() && idle >= 0 && idle as usize != granted.saturating_sub(held) {
        return Err(format!(
            "machine {m} holds {held} seats of {granted}, and {idle} are said to be free"
        ));
    }
    Ok(())
}

/// Check that a device has as many seats as the program with the highest request has asked for,
/// unless that program is refused.
pub(crate) fn the_highest_is_had(world: &World, m: usize) -> Check {
    for program in &world.machines[m].programs {
        let Some(licensed) = program.session.licensed() else { continue };
        let is_well = licensed.check().is_ok() && program.session.status().trouble.is_none();
        if is_well && !licensed.has_seats(program.x) {
            let granted = licensed.grant().local.seats;
            return Err(format!(
                "machine {m} has {granted} seats, and a program on it has asked for {}",
                program.x
            ));
        }
    }
    Ok(())
}

/// Check that a program that reports silence has asked the standby, too, if the standby would have
/// answered.
pub(crate) fn standby_was_asked(net: &Net, m: usize) -> Check {
    let is_fair = net.weather.harm == 0 && net.heard.silences <= 2;
    if is_fair && net.would_standby_answer(m) && net.heard.answers == 0 {
        return Err(format!("machine {m} has no answer, and the standby would have given one"));
    }
    Ok(())
}

/// Check that work is refused only for a reason that the rules give.
pub(crate) fn may_refuse_work(
    world: &World,
    m: usize,
    grant: &Grant,
    at: u64,
    code: ErrorCode,
) -> Check {
    let net = world.net.lock();
    let is_explained = match code {
        ErrorCode::LICENSE_BUFFER_FAILED if world.had_disk_trouble => true,
        ErrorCode::LICENSE_SYNC_FAILED => at >= grant.local.valid_until,
        ErrorCode::EXPIRED => at >= grant.item.grace_ends_at(),
        ErrorCode::USED_UP if grant.item.strict || world.was_used_up => true,
        // The quota may have been used up in this very step, by the program's own report.
        ErrorCode::USED_UP
            if net
                .servers()
                .flat_map(Server::models)
                .any(|one| one.has_used_up(&Books::of(&net.server.store))) =>
        {
            true
        }
        ErrorCode::USED_UP if net.servers().flat_map(Server::models).any(|one| one.item.strict) => {
            true
        }
        other => net.refusals[m].contains(&other),
    };
    if is_explained {
        return Ok(());
    }
    Err(format!("machine {m} may not work, with {code:?} for no reason"))
}

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
    let is_remembered = model.restores == 0 || is_told;
    for (key, performed) in world.performed.iter().filter(|_| is_remembered) {
        let told = told.get(key).copied().unwrap_or(0);
        if told != *performed {
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
    let used = world.machines.iter().enumerate().filter(|(_, machine)| machine.is_used());
    used.map(|(m, _)| m)
        .try_for_each(|m| may_go_on(world, m).and_then(|()| the_highest_is_had(world, m)))
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
        let Some(code) = stands.or(trouble) else { continue };
        // An authorization by the slot was judged when it was granted, and the next slot may be
        // judged otherwise.
        if [stands, trouble].contains(&Some(ErrorCode::QUOTA_EXCEEDED)) {
            continue;
        }
        let net = world.net.lock();
        let at = world.time.now();
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
                net.server.model.verdict(&world.books, uuid, program.x, at, false).refuses()
            });
        if !is_refused {
            let status = program.session.status();
            return Err(format!(
                "machine {m} is in trouble with {code:?}, and no rule says why: of {:?}, good \
                 until {}, at {at}",
                status.trouble.map(|trouble| trouble.error.message),
                status.valid_until
            ));
        }
    }
    Ok(())
}
