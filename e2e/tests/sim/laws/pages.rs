//! The laws that only browsers have.

use super::Check;
use crate::world::World;

/// Check that a profile on an origin is one device: it has another UUID only after its storage was
/// cleared, or after an answer that says that its identity belongs to another.
pub(super) fn a_profile_is_one_device(world: &World) -> Check {
    let net = world.net.lock();
    for (m, browser) in world.browsers.iter().enumerate() {
        let Some(browser) = browser else { continue };
        let uuids = net.owners.values().filter(|owner| **owner == m).count();
        let most = 1 + browser.clears + net.identity_causes[m];
        if uuids > most as usize {
            return Err(format!("browser {m} has asked as {uuids} devices, and is {most} at most"));
        }
    }
    Ok(())
}

/// Check that the time of a page never passes more slowly than time that nobody can set, unless a
/// server says so.
pub(super) fn time_of_pages_is_not_stretched(world: &mut World) -> Check {
    for (m, browser) in world.browsers.iter_mut().enumerate() {
        for tab in browser.iter_mut().flat_map(|browser| &mut browser.tabs) {
            let (words, ms, monotonic) =
                (tab.clock.words(), tab.clock.ms(), tab.clock.monotonic_ms());
            let (words_then, ms_then, monotonic_then) = tab.seen;
            if words != words_then {
                tab.seen = (words, ms, monotonic);
            } else if ms - ms_then < monotonic - monotonic_then {
                return Err(format!(
                    "{} ms have passed in browser {m}, and its page has counted {} ms",
                    monotonic - monotonic_then,
                    ms - ms_then
                ));
            }
        }
    }
    Ok(())
}
