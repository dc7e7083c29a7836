//! The model checker: runs the real algorithm on a small device, through every interleaving of
//! single accesses, with a kill at every place.
//!
//! `Halt` (see `memory`) stops a process before each access. The process is then run up to that
//! access again, from the answers that its earlier accesses got. So the checker does not explore a
//! model of the code, but the code itself. The seeded faults show that the search is useful: it
//! must find each of them.
//!
//! Processors with a weak memory order, such as aarch64, read values that are no longer the newest.
//! `weak` explores these, too, in smaller scenarios: each load has as many outcomes as there are
//! values that it may read.

mod fingerprint;
mod scenarios;
mod weak;
mod world;

use std::collections::HashSet;
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use world::{Breath, Fault, World};

/// The limit of states, above that of every scenario. A scenario that grows beyond it fails instead
/// of using up the machine's memory.
const STATES_MAX: usize = 12_000_000;

#[derive(Clone, Copy, Debug)]
enum Move {
    /// The process makes its next access, and reads a value that is so many writes behind.
    Step(usize, usize),
    Die(usize),
}

/// A hasher that returns its input: fingerprints are mixed already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed")
    }

    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
}

struct Path {
    last: Move,
    before: Option<Rc<Path>>,
}

/// Visit every state that is reachable from `start`. Return their number, or the shortest known way
/// into a forbidden state.
fn explore(start: World, fault: Fault) -> Result<usize, String> {
    let mut seen = HashSet::<u128, BuildHasherDefault<AsIs>>::from_iter([start.fingerprint()]);
    let mut todo: Vec<(World, Option<Rc<Path>>)> = vec![(start, None)];
    while let Some((world, path)) = todo.pop() {
        let mut moves = moves(&world);
        if !moves.iter().any(|next| matches!(next, Move::Step(..)) || is_dying(&world, *next)) {
            world.clone().check_end().map_err(|what| tell(&what, path.as_ref()))?;
        }
        while let Some(next) = moves.pop() {
            let mut after = world.clone();
            let result =
                make(&mut after, next, fault).and_then(|readable| after.check().map(|()| readable));
            let path = || Some(Rc::new(Path { last: next, before: path.clone() }));
            let readable = result.map_err(|what| tell(&what, path().as_ref()))?;
            if let Move::Step(actor, 0) = next {
                moves.extend((1..readable).map(|behind| Move::Step(actor, behind)));
            }
            if seen.insert(after.fingerprint()) {
                todo.push((after, path()));
            }
        }
        assert!(seen.len() < STATES_MAX, "the scenario is too large to be explored");
    }
    Ok(seen.len())
}

fn moves(world: &World) -> Vec<Move> {
    let mut moves = Vec::with_capacity(6);
    for number in 0..world.actors.len() {
        if world.can_step(number) {
            moves.push(Move::Step(number, 0));
        }
        match world.actors[number].breath {
            Breath::Alive if world.kills_left > 0 => moves.push(Move::Die(number)),
            Breath::Marked => moves.push(Move::Die(number)),
            _ => {}
        }
    }
    moves
}

fn is_dying(world: &World, next: Move) -> bool {
    matches!(next, Move::Die(number) if world.actors[number].breath == Breath::Marked)
}

/// Make a move. Return the number of values that its load could read.
fn make(world: &mut World, next: Move, fault: Fault) -> Result<usize, String> {
    match next {
        Move::Step(number, behind) => world.step(number, behind, fault),
        Move::Die(number) => {
            if world.actors[number].breath == Breath::Alive {
                world.kills_left -= 1;
            }
            world.die(number);
            Ok(1)
        }
    }
}

fn tell(what: &str, path: Option<&Rc<Path>>) -> String {
    let mut moves = Vec::new();
    let mut next = path;
    while let Some(path) = next {
        moves.push(path.last);
        next = path.before.as_ref();
    }
    moves.reverse();
    let mut text = format!("{what}, after {} moves:", moves.len());
    for next in moves {
        let _ = match next {
            Move::Step(number, 0) => write!(text, " {number}"),
            Move::Step(number, behind) => write!(text, " {number}-{behind}"),
            Move::Die(number) => write!(text, " ✝{number}"),
        };
    }
    text
}
