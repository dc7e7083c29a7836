//! The run of a plan from beginning to end, and the reduction of a plan to the steps that a
//! violation needs.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use seatmeter::fault_injection::disk::Disk;
use seatmeter_protocol::rehearsal::seed_random;

use crate::browser::Browser;
use crate::laws::{self, Check};
use crate::plan::{Plan, Step, Weather};
use crate::random::Random;
use crate::world::{RENEWS_MS, World};

/// The time after the last fault within which everything must work again: two slots.
const CONVERGES_MS: u64 = 2 * 180_000;

/// The longest pause of a keeper after a failed round.
const RETRY_MS_MAX: u64 = 62_000;

/// The longest time for the reduction of a plan.
const SHRINK_TIME_MAX: Duration = Duration::from_secs(20);

/// The amount of simulated life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lived {
    pub(crate) worlds: u64,
    pub(crate) device_days: f64,
}

/// A law that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The step after which it did not hold; `None`: at the end.
    pub(crate) step: Option<usize>,
    pub(crate) law: String,
}

/// Run a plan.
///
/// # Errors
/// Fails with the first law that does not hold.
pub(crate) fn run(plan: &Plan) -> Result<Lived, Violation> {
    let outcome = catch_unwind(AssertUnwindSafe(|| carry_out(plan)));
    seed_random(None);
    outcome.unwrap_or_else(|_| {
        Err(Violation { step: None, law: format!("a panic: {}", last_panic()) })
    })
}

fn carry_out(plan: &Plan) -> Result<Lived, Violation> {
    let mut world = World::new(plan);
    let mut outcome = Ok(());
    for (number, step) in plan.steps.iter().enumerate() {
        outcome = world.step(step).map_err(|law| Violation { step: Some(number), law });
        if outcome.is_err() {
            break;
        }
    }
    let outcome = outcome.and_then(|()| {
        converge(&mut world, plan.seed).map_err(|law| Violation { step: None, law })
    });
    world.machines.iter_mut().for_each(|machine| machine.kill_all());
    world.browsers.iter_mut().flatten().for_each(Browser::kill_all);
    outcome.map(|()| Lived { worlds: 1, device_days: world.time.lived_days() })
}

/// Stop all faults, and let two slots pass.
fn converge(world: &mut World, seed: u64) -> Check {
    let mut random = Random::new(seed ^ 3);
    let mut quiet =
        |world: &mut World, after_ms| world.begin(after_ms, random.word(), Weather::default());
    // Devices without anything to report are asleep until they renew.
    let was_restored = world.net.lock().server.model.restores > 0;
    quiet(world, if was_restored { RENEWS_MS } else { 0 });
    {
        let mut net = world.net.lock();
        net.heal();
        net.deliver();
    }
    world.look()?;
    let mut due = Vec::new();
    for m in 0..world.machines.len() {
        (world.machines[m].cut_off, world.machines[m].health) = (None, Disk::Sound);
        for code in world.machines[m].idle_codes() {
            quiet(world, 0);
            world.start_with(m, code)?;
        }
        let mut running = world.machines[m].programs.len();
        if world.browsers[m].is_some() {
            quiet(world, 0);
            running = world.restore_tab(m)?;
            world.look()?;
        }
        due.extend((0..running).map(|program| (0, m, program)));
    }
    let begun = world.time.now() * 1000;
    let mut first = Random::new(seed ^ 4);
    due.iter_mut().for_each(|(at, _, _)| *at = begun + first.below(RETRY_MS_MAX));
    let end = begun + CONVERGES_MS;
    while let Some(next) = due.iter_mut().min().filter(|next| next.0 <= end) {
        let (at, m, program) = *next;
        quiet(world, at.saturating_sub(world.time.now() * 1000));
        let pause = match world.browsers[m] {
            Some(_) => world.keep_tab(m, program)?,
            None => world.keep(m, program)?,
        };
        next.0 = at + pause.max(1000);
        world.look()?;
    }
    laws::converged(world)
}

/// Leave out steps as long as there is still a violation.
pub(crate) fn shrink(plan: &Plan, first: Violation) -> (Plan, Violation) {
    let (mut plan, mut violation) = (plan.clone(), first);
    if let Some(last) = violation.step {
        plan.steps.truncate(last + 1);
    }
    let begun = Instant::now();
    let mut size = plan.steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < plan.steps.len() && begun.elapsed() < SHRINK_TIME_MAX {
            let without: Vec<Step> = plan
                .steps
                .iter()
                .take(from)
                .chain(plan.steps.iter().skip(from + size))
                .cloned()
                .collect();
            let smaller = Plan { steps: without, ..plan.clone() };
            match run(&smaller) {
                Err(found) => (plan, violation) = (smaller, found),
                Ok(_) => from += size,
            }
        }
        size /= 2;
    }
    (plan, violation)
}

/// Describe the violation in words, with the command that repeats it.
pub(crate) fn tell(plan: &Plan, violation: &Violation) -> String {
    let mut text = format!(
        "SEATMETER_SIM_SEED={} make sim\n  item: {}\n  seats asked for: {:?}, for {:?}\n  data is \
         put back without notice: {}\n",
        plan.seed,
        serde_json::to_string(&plan.item).unwrap_or_default(),
        plan.seats,
        plan.websites,
        plan.is_put_back()
    );
    for step in &plan.steps {
        text.push_str(&format!("  {step} (harm to {} % of the requests)\n", step.weather.harm));
    }
    let when = if violation.step.is_some() { "then" } else { "when all is well again" };
    text.push_str(&format!("  {when}: {}\n", violation.law));
    text
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Store panics for the report of the violation, and print them nowhere else.
pub(crate) fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
}

/// Return the message of the last panic.
pub(crate) fn last_panic() -> String {
    PANIC.take()
}
