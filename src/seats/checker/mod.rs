//! The model checker: runs the real algorithm on a small device, through every interleaving of
//! single accesses, with a kill at every place.
//!
//! `Halt` (see `memory`) stops a process before each access. The process is then run up to that
//! access again, from the answers that its earlier accesses got. So the checker does not explore a
//! model of the code, but the code itself. The seeded faults show that the search is useful: it
//! must find each of them.
//!
//! The checker does not cover orders weaker than sequential consistency. On x86-64 the exchanges
//! are full barriers and loads are not reordered with loads; on aarch64 loads acquire and exchanges
//! do both.

mod scenarios;
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
    Step(usize),
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
        let moves = moves(&world);
        if !moves.iter().any(|next| matches!(next, Move::Step(_)) || is_dying(&world, *next)) {
            world.clone().check_end().map_err(|what| tell(&what, path.as_ref()))?;
        }
        for next in moves {
            let mut after = world.clone();
            let result = make(&mut after, next, fault).and_then(|()| after.check());
            let path = || Some(Rc::new(Path { last: next, before: path.clone() }));
            result.map_err(|what| tell(&what, path().as_ref()))?;
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
            moves.push(Move::Step(number));
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

fn make(world: &mut World, next: Move, fault: Fault) -> Result<(), String> {
    match next {
        Move::Step(number) => world.step(number, fault),
        Move::Die(number) => {
            if world.actors[number].breath == Breath::Alive {
                world.kills_left -= 1;
            }
            world.die(number);
            Ok(())
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
            Move::Step(number) => write!(text, " {number}"),
            Move::Die(number) => write!(text, " ✝{number}"),
        };
    }
    text
}
