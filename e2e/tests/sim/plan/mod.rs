//! The plan of a world: everything follows from its seed, before anything runs.
//!
//! A step names what it does and carries a seed for what the network does meanwhile, so that steps
//! can be left out without changing what the others do.

mod attacks;
mod browsing;
mod episodes;
mod event;
mod everyday;
mod license;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::LicenseItem;

use crate::random::Random;
use attacks::{
    bake_images, copy_servers, edit_databases, put_back_to_nothing, put_machines_back, steal,
};
use browsing::browse;
use episodes::{
    ask_otherwise, clean_up, enter_namespaces, fail_over, move_about, set_servers_ahead, stop_some,
};
pub(crate) use event::{Code, Edit, Loss, Step, Stopped, Theft, Version, Versions, Weather, What};
use everyday::{MOOD_PERCENT, MOODS, moody, pause, what};
pub(crate) use license::DOMAIN;
use license::{browsers, item, sell_to_browsers, website};

/// Most machines of a world. The last ones are empty until they become copies.
pub(crate) const MACHINES: usize = 6;

/// The machines that exist from the beginning.
const MACHINES_FIRST: u64 = 4;

/// The number of steps of a world.
const STEPS: u64 = 140;

/// The initial state of a world, and its steps.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) item: LicenseItem,
    /// The second item of the same code, to which devices move and from which they return.
    pub(crate) second: Option<LicenseItem>,
    /// Whether the standby has data of its own, with an item of its own.
    pub(crate) is_standby_apart: bool,
    /// Whether clocks of servers are ahead for a while. Then answers are not judged: the model does
    /// not know what a server deletes by such a clock.
    pub(crate) are_servers_ahead: bool,
    /// The requested seats (x) of each machine.
    pub(crate) seats: [u32; MACHINES],
    /// The website of each machine's requests, if the item needs it.
    pub(crate) websites: [&'static str; MACHINES],
    /// The origin of each machine that has a browser.
    pub(crate) browsers: [Option<&'static str>; MACHINES],
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut item = item(&mut random);
        sell_to_browsers(&mut item, seed);
        let browsers = browsers(&item, seed);
        let x_max = if item.charge_way == ChargeWay::ConcurrentInstance { item.quota } else { 1 };
        let seats = [(); MACHINES].map(|()| u32::try_from(random.between(1, x_max)).unwrap_or(1));
        let websites = [(); MACHINES].map(|()| website(&mut random, &item));
        let harm = random.one_of(&[0, 5, 20, 40]);
        let pace = random.one_of(&[2, 5, 10]);
        let machines = random.between(1, MACHINES_FIRST);
        let mood = random.one_of(&MOODS);
        let mut steps = Vec::new();
        for _ in 0..STEPS {
            let after = pause(&mut random, pace);
            let what = match mood {
                Some(mood) if random.percent(MOOD_PERCENT) => {
                    moody(&mut random, mood, machines, &item)
                }
                _ => what(&mut random, machines, &item),
            };
            steps.push(Step { after, what, weather: Weather { harm }, seed: random.word() });
        }
        ask_otherwise(&mut steps, seed, machines, &item);
        let second = move_about(&mut steps, seed, machines, &item);
        let is_standby_apart = second.is_none() && fail_over(&mut steps, seed, machines);
        stop_some(&mut steps, seed, machines);
        let are_servers_ahead = set_servers_ahead(&mut steps, seed, machines, is_standby_apart);
        enter_namespaces(&mut steps, seed, machines);
        clean_up(&mut steps, seed, machines);
        bake_images(&mut steps, seed, machines);
        steal(&mut steps, seed, machines);
        // The naive model of one item must judge what comes of these.
        if second.is_none() && !is_standby_apart && !are_servers_ahead {
            put_machines_back(&mut steps, seed, machines);
            put_back_to_nothing(&mut steps, seed, machines);
            edit_databases(&mut steps, seed, machines);
            copy_servers(&mut steps, seed, machines);
        }
        if browsers.iter().any(Option::is_some) {
            browse(&mut steps, seed, machines);
        }
        Self {
            seed,
            item,
            second,
            is_standby_apart,
            are_servers_ahead,
            seats,
            websites,
            browsers,
            steps,
        }
    }

    /// Return whether a restore is one of which nobody tells the server.
    pub(crate) fn is_put_back(&self) -> bool {
        self.seed % 4 == 3
    }

    /// Return whether a model of one item can judge the main server's answers. The main server must
    /// have the item for itself.
    pub(crate) fn is_judged(&self) -> bool {
        !self.is_standby_apart && !self.are_servers_ahead
    }
}
