//! Whole worlds in one thread, each from a seed: the library's core and the server's core. A world
//! has virtual time, a network that loses, doubles, delays and damages, programs that die anywhere,
//! machines that lose their power, clocks that are wrong, copies, and a server that is restored.
//! The laws are checked after every step.
//!
//! | variable | |
//! | --- | --- |
//! | `SEATMETER_SIM_SEED` | runs only this world, and prints its story if it breaks a law |
//! | `SEATMETER_SIM_SECONDS` | runs worlds for so many seconds |
//! | `SEATMETER_SIM_WORLDS` | runs so many worlds, however long they take |
//! | `SEATMETER_SIM_AS_FOUND` | prints a broken law at once, in the world in which it was found |
//! | `SEATMETER_SIM_FIRST` | sets the first seed |
//! | `SEATMETER_SIM_CORES` | uses so many cores |

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]
#![allow(
    clippy::print_stdout,
    reason = "what was simulated is told, and children talk to their parent"
)]
#![allow(clippy::cast_possible_truncation, reason = "rows hold what was put in")]
#![allow(clippy::disallowed_methods, reason = "a test's settings come from its environment")]

mod batch;
mod books;
mod browser;
mod compared;
mod laws;
mod machine;
mod model;
mod net;
mod plain;
mod plan;
mod random;
mod run;
mod seats_by_slot;
mod server;
mod time;
mod world;

use std::time::{Duration, Instant};

use batch::{Batch, Found, Until};
use plan::Plan;

/// Seconds of simulation in a test run.
const SECONDS: u64 = 6;

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    environment(name).map(|text| text.parse().unwrap())
}

#[test]
fn a_batch() {
    batch::run_if_asked();
}

#[test]
fn worlds_obey_the_laws() {
    if let Some(seed) = number("SEATMETER_SIM_SEED") {
        return one_world(seed);
    }
    let seconds = number("SEATMETER_SIM_SECONDS").unwrap_or(SECONDS);
    let until = number("SEATMETER_SIM_WORLDS")
        .map_or(Until::Time(Duration::from_secs(seconds)), Until::Worlds);
    let first = number("SEATMETER_SIM_FIRST").unwrap_or(1);
    let cores = number("SEATMETER_SIM_CORES").unwrap_or(1);
    let begun = Instant::now();
    let lived = batch::worlds(until, first, cores);
    let lived = lived.unwrap_or_else(|told| panic!("a law does not hold:\n{told}"));
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{} worlds from seed {first}, {:.0} device-days in {took:.0} s: {:.0} a second on {cores} \
         core(s), {:.0} a second \
         of processor time, no violation",
        lived.worlds,
        lived.device_days,
        lived.device_days / took,
        lived.device_days / batch::processor_seconds()
    );
}

/// The seeds of worlds that once broke a law, by a fault of the library, of the server, or of the
/// simulation. They stay the same worlds as long as plans are made in the same way.
const ONCE_BROKEN: [u64; 72] = [
    20_147,
    5_004_818,
    4_301_970_282,
    5_300_000_805,
    5_300_008_641,
    9_594_967_561,
    9_594_979_645,
    9_594_981_516,
    9_594_989_037,
    5_300_047_583,
    1_795_750_306_051,
    1_800_223_235_314,
    1_795_941_271_031,
    1_795_942_120_058,
    1_795_942_702_045,
    1_795_943_054_051,
    1_795_943_666_763,
    1_795_944_482_223,
    1_795_946_788_139,
    1_795_947_653_037,
    1_795_949_256_159,
    1_800_245_883_573,
    1_795_962_442_040,
    174,
    1_795_962_784_131,
    1_795_975_396_635,
    1_800_294_191_440,
    1_800_294_191_034,
    1_800_294_300_010,
    1_800_300_000_087,
    1_800_310_000_105,
    1_800_320_000_059,
    1_800_400_000_659,
    1_800_600_000_036,
    1_800_600_001_438,
    1_800_600_001_789,
    1_800_600_003_835,
    1_800_700_000_096,
    1_800_700_000_721,
    1_800_600_003_899,
    1_800_900_000_586,
    1_801_000_002_386,
    1_802_000_000_568,
    1_803_000_000_425,
    1_806_000_000_387,
    1_807_000_000_275,
    1_804_000_000_361,
    1_805_000_000_077,
    30_090,
    40_026,
    1_808_000_000_396,
    1_810_000_000_249,
    320,
    1_811_000_000_205,
    1_816_294_967_345,
    1_813_000_000_286,
    1_820_000_000_941,
    1_820_000_001_696,
    1_820_000_001_980,
    1_822_000_000_246,
    1_822_000_000_551,
    1_825_000_004_044,
    1_809_000_000_114,
    1_809_000_000_183,
    1_809_000_000_876,
    1_811_000_003_717,
    1_812_000_001_127,
    1_813_000_001_956,
    1_814_000_006_247,
    1_815_000_002_998,
    1_816_000_000_724,
    1_817_000_000_484,
];

#[test]
fn worlds_that_once_broke_a_law_obey_it() {
    for first in ONCE_BROKEN {
        if let Found::Violation(told) = batch::in_a_child(Batch { first, worlds: 1 }) {
            panic!("a law does not hold:\n{told}");
        }
    }
}

fn one_world(seed: u64) {
    run::catch_panics();
    let plan = Plan::of(seed);
    let outcome = run::run(&plan);
    let told = outcome.map_err(|violation| {
        let (plan, violation) = run::shrink(&plan, violation);
        run::tell(&plan, &violation)
    });
    let _ = std::panic::take_hook();
    match told {
        Ok(lived) => println!("world {seed}: {:.1} device-days, no violation", lived.device_days),
        Err(told) => panic!("a law does not hold:\n{told}"),
    }
}

/// Run worlds in which a store on PostgreSQL stands beside the two others, and must decide and book
/// as they do.
#[test]
fn worlds_go_alike_on_postgresql() {
    let Some(cluster) = seatmeter_e2e::postgres::Cluster::start(false) else {
        println!("skipped: PostgreSQL (initdb, postgres) is not on this machine");
        return;
    };
    compared::POSTGRES.set(Some(std::rc::Rc::new(cluster)));
    let begun = Instant::now();
    let mut device_days = 0.0;
    for seed in 1..=number("SEATMETER_SIM_POSTGRES_WORLDS").unwrap_or(40) {
        let lived = run::run(&Plan::of(seed)).unwrap_or_else(|why| panic!("world {seed}: {why:?}"));
        device_days += lived.device_days;
        if begun.elapsed() > Duration::from_secs(15)
            && number("SEATMETER_SIM_POSTGRES_WORLDS").is_none()
        {
            break;
        }
    }
    compared::POSTGRES.take();
    println!("{device_days:.0} device-days, alike in three stores");
}

#[test]
fn the_same_seed_is_the_same_world() {
    let days = |seed| run::run(&Plan::of(seed)).unwrap().device_days;
    assert_eq!(days(7).to_bits(), days(7).to_bits());
}
