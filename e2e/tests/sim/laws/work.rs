//! The laws about work and seats on a device.

use seatmeter::licensed::Licensed;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseItem, LocalLicense};

use super::Check;
use crate::books::Books;
use crate::net::Net;
use crate::server::Server;
use crate::world::{Outcome, World};

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
    local: &LocalLicense,
    item: &LicenseItem,
    at: u64,
    code: ErrorCode,
) -> Check {
    let net = world.net.lock();
    let is_explained = match code {
        ErrorCode::LICENSE_BUFFER_FAILED if world.had_disk_trouble => true,
        ErrorCode::LICENSE_SYNC_FAILED => at >= local.valid_until,
        ErrorCode::EXPIRED => at >= item.grace_ends_at(),
        ErrorCode::USED_UP if item.strict || world.was_used_up => true,
        // The quota may have been used up in this very step, by the program's own report.
        ErrorCode::USED_UP
            if net
                .servers()
                .flat_map(Server::models)
                .any(|one| one.has_used_up(&Books::of(&net.server.store)))
                || net.copy.iter().any(|copy| copy.model.has_used_up(&Books::of(&copy.store))) =>
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
