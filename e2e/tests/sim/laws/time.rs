//! The laws about time and the lives of licenses.

use std::sync::atomic::Ordering;

use seatmeter::clock::{Clock, DeviceClock};
use seatmeter::license::Grant;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};

use super::Check;
use crate::time::BOOT_MS;
use crate::world::World;

/// The largest error of a device's time. A server reports whole seconds, a device corrects its time
/// if it differs by five, and clocks drift a little within a round.
const TIME_MS_MAX: u64 = 8_000;

/// Check that the time of a program never goes back. Only a server may set it back, by its word to
/// this program or to another program of the machine that shares it.
pub(super) fn time_never_goes_back(world: &mut World) -> Check {
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
/// unless it has copies or may look like one, and nothing newer that others stored meanwhile is
/// replaced by something older.
pub(crate) fn who_wakes_takes_nothing(
    world: &World,
    m: usize,
    (uuid, may_look_copied): (&str, bool),
    license: Option<LocalLicense>,
) -> Check {
    let machine = &world.machines[m];
    let Some(program) = machine.programs.last() else { return Ok(()) };
    let families = world.net.lock().families;
    let has_copies = families.iter().filter(|family| **family == families[m]).count() > 1;
    let now = machine.uuid();
    let is_taken = world.net.lock().installations.taken.contains(uuid);
    if !has_copies && !may_look_copied && !is_taken && now != uuid {
        return Err(format!(
            "machine {m} was {uuid}, and is {now} since a stopped program has woken"
        ));
    }
    // Each item has serials of its own, and it is not judged which item is granted.
    let on_disk = program.license_on_disk(&machine.folder);
    let is_older = license.is_some_and(|license| match &on_disk {
        Some(now) => now.item_id == license.item_id && now.serial < license.serial,
        None => true,
    });
    if now == uuid && is_older && world.net.lock().server.model.restores == 0 {
        return Err(format!("machine {m} had a newer license on its disk than {on_disk:?}"));
    }
    Ok(())
}

/// Check that a program that has heard a server uses that server's time, and not the time that some
/// program of the device heard before. `before` is the number of accepted answers earlier in the
/// step, and `ms` the program's time now.
pub(crate) fn heard_the_time(world: &World, m: usize, ms: u64, before: usize) -> Check {
    let true_ms = world.time.now() * 1000;
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
pub(super) fn programs_agree_on_the_time(world: &World) -> Check {
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

/// Check that a license is valid only as long as it was meant, whatever the clock of the granting
/// server said. A device with a wrong time of its own cannot be held to that.
pub(crate) fn is_not_outlived(world: &World, m: usize, program: usize, grant: &Grant) -> Check {
    const HOUR: u64 = 3_600;
    let (now, at) = (world.time.now(), world.machines[m].programs[program].clock.unix_seconds());
    let key = (grant.local.license_id.clone(), grant.local.serial);
    let meant = world.net.lock().granted.get(&key).copied().unwrap_or(u64::MAX);
    // A program that cannot compare its boot clock with that of the program that got the license
    // cannot tell that a server has set the time back since.
    let machine = &world.machines[m];
    if machine.was_apart {
        return Ok(());
    }
    // After a restart of the machine nobody knows any more whether the time was set back since.
    let life = grant.local.valid_until.saturating_sub(grant.local.issued_at);
    let age = now.saturating_sub(meant.saturating_sub(life));
    let up_for = (machine.clock.boot_ms.load(Ordering::Relaxed) - BOOT_MS) / 1_000;
    if u64::try_from(up_for).is_ok_and(|up_for| up_for <= age) {
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
pub(crate) fn may_work(local: &LocalLicense, item: &LicenseItem, at: u64) -> Check {
    let end = local.valid_until.min(item.grace_ends_at());
    if at < end {
        return Ok(());
    }
    Err(format!("work is counted {} s after its license has ended", at - end))
}
