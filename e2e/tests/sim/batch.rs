//! Worlds in processes of their own. So a world that crashes its process is found, too, and what
//! sessions leave behind by design (they live as long as their process) goes with the process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::run::{Lived, catch_panics, run, shrink, tell};

/// The variable that names a batch: first seed, number of worlds.
const BATCH: &str = "SEATMETER_SIM_BATCH";

/// Most worlds of one process. Each leaves some mapped pages behind, and the kernel lets a process
/// have 65 530.
pub(crate) const WORLDS_MAX: u64 = 50;

/// The interval at which a run reports its progress.
const TELLS_EVERY: Duration = Duration::from_secs(300);

/// The distance between the first seeds of two runs.
const SEEDS_OF_A_RUN: u64 = 1 << 32;

/// The request to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) worlds: u64,
}

/// The result of a batch.
pub(crate) enum Found {
    Nothing(Lived),
    Violation(String),
}

/// Run a batch in another process.
pub(crate) fn in_a_child(batch: Batch) -> Found {
    let mut child = Command::new(std::env::current_exe().expect("this test is a file"))
        .args(["--exact", "a_batch", "--nocapture", "--test-threads=1"])
        .env(BATCH, format!("{} {}", batch.first, batch.worlds))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is room for another process");
    let (mut lived, mut told, mut last) = (Lived::default(), String::new(), 0);
    for line in
        BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok)
    {
        if let Some(seed) = line.strip_prefix("world ") {
            last = seed.parse().unwrap_or(0);
        } else if let Some(days) = line.strip_prefix("lived ") {
            lived.worlds += 1;
            lived.device_days += days.parse().unwrap_or(0.0);
        } else if let Some(more) = line.strip_prefix("| ") {
            told.push_str(more);
            told.push('\n');
        }
    }
    let status = child.wait().expect("it is our child");
    if told.is_empty() && status.success() && lived.worlds == batch.worlds {
        return Found::Nothing(lived);
    }
    if told.is_empty() {
        told = format!("SEATMETER_SIM_SEED={last} make sim\n  the process ends with {status}\n");
    }
    Found::Violation(told)
}

/// Return the processor time of the children, by the table of `proc(5)`, so that the machine's
/// other processes do not count.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the kernel tells");
    // Read after the name, which is in brackets and may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or(0.0)).sum();
    ticks / TICKS_PER_SECOND
}

/// Clock ticks per second in the kernel's interface, which do not depend on the rate of its own
/// clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Run the batch that the environment names, if it names one.
pub(crate) fn run_if_asked() {
    let Some(text) = crate::environment(BATCH) else { return };
    let numbers: Vec<Option<u64>> = text.split(' ').map(|number| number.parse().ok()).collect();
    let [Some(first), Some(worlds)] = numbers[..] else { panic!("{BATCH}={text} makes no sense") };
    catch_panics();
    // The test harness has begun a line.
    println!();
    for seed in first..first + worlds {
        println!("world {seed}");
        if !one(seed) {
            return;
        }
    }
}

/// Run one world, and print its result; return `false` when it breaks a law.
fn one(seed: u64) -> bool {
    let plan = Plan::of(seed);
    match run(&plan) {
        Ok(lived) => {
            println!("lived {}", lived.device_days);
            true
        }
        Err(violation) => {
            let (plan, violation) =
                if is_told_as_found() { (plan, violation) } else { shrink(&plan, violation) };
            tell(&plan, &violation).lines().for_each(|line| println!("| {line}"));
            false
        }
    }
}

/// Return whether a broken law is printed as it was found. A caller who only needs to know whether
/// a law breaks need not wait until the plan is as small as possible.
fn is_told_as_found() -> bool {
    crate::environment("SEATMETER_SIM_AS_FOUND").is_some()
}

/// The condition that ends a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Time(Duration),
    /// The run ends after so many worlds on each core, in whole batches.
    Worlds(u64),
}

/// Run worlds on so many cores; a violation ends all of them. A long run reports its progress at
/// intervals.
pub(crate) fn worlds(until: Until, first: u64, cores: u64) -> Result<Lived, String> {
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    let run_of = |core: u64| {
        let (mut lived, mut seed, mut told_at) =
            (Lived::default(), first + core * SEEDS_OF_A_RUN, begun);
        let is_due = |lived: &Lived| match until {
            Until::Time(time) => begun.elapsed() >= time,
            Until::Worlds(worlds) => lived.worlds >= worlds,
        };
        while !is_due(&lived) && !is_over.load(Ordering::Relaxed) {
            match in_a_child(Batch { first: seed, worlds: WORLDS_MAX }) {
                Found::Nothing(more) => {
                    lived.worlds += more.worlds;
                    lived.device_days += more.device_days;
                }
                Found::Violation(told) => {
                    is_over.store(true, Ordering::Relaxed);
                    return Err(told);
                }
            }
            seed += WORLDS_MAX;
            if told_at.elapsed() >= TELLS_EVERY {
                told_at = Instant::now();
                println!(
                    "{} worlds up to seed {seed}, {:.0} device-days",
                    lived.worlds, lived.device_days
                );
            }
        }
        Ok(lived)
    };
    let runs: Vec<Result<Lived, String>> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..cores).map(|core| scope.spawn(move || run_of(core))).collect();
        runs.into_iter().map(|run| run.join().expect("a run does not panic")).collect()
    });
    let mut all = Lived::default();
    for run in runs {
        let run = run?;
        all.worlds += run.worlds;
        all.device_days += run.device_days;
    }
    Ok(all)
}
