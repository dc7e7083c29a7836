use super::*;

const NOW: u64 = 1_800_000_000;

fn place(branch: u32, step: u32) -> Generation {
    Generation { branch, step }
}

/// A device, and a server that knows it.
#[derive(Clone, Default)]
struct World {
    history: History,
    heard_at: u64,
    runs: bool,
    is_same_contact: bool,
    is_forgotten: bool,
    /// Whether the last request that was granted has to prove that it is sent now.
    must_be_fresh: bool,
}

impl World {
    /// Ask, as a device that shows this place of the current epoch, at `NOW`.
    fn ask(&mut self, shown: Option<Generation>) -> Result<(Generation, Finding), ErrorCode> {
        self.ask_of(shown, EpochKind::Current, true)
    }

    fn ask_of(
        &mut self,
        shown: Option<Generation>,
        epoch: EpochKind,
        runs: bool,
    ) -> Result<(Generation, Finding), ErrorCode> {
        let known = Known {
            history: &self.history,
            heard_at: self.heard_at,
            runs: self.runs,
            is_same_contact: self.is_same_contact,
        };
        let is_forgotten = self.is_forgotten;
        let shown = shown.map(|generation| Shown { generation, epoch, runs, is_forgotten });
        let next = next(known, shown, NOW).map_err(|refusal| refusal.code)?;
        self.history = next.history;
        self.runs = true;
        self.must_be_fresh = next.must_be_fresh;
        Ok((next.generation, next.finding))
    }

    /// A device that has shown this step of its first branch, and was granted the next one.
    fn at_step(step: u32) -> Self {
        let mut world = Self::default();
        let mut newest = None;
        for _ in 0..=step {
            newest = Some(world.ask(newest).unwrap().0);
        }
        world
    }
}

const COPIED: Result<(Generation, Finding), ErrorCode> = Err(ErrorCode::DEVICE_CLONED);

#[test]
fn a_device_goes_on_step_by_step() {
    let mut world = World::default();
    assert_eq!(world.ask(None), Ok((place(1, 1), Finding::Nothing)));
    assert_eq!(world.ask(Some(place(1, 1))), Ok((place(1, 2), Finding::Nothing)));
    assert_eq!(world.ask(Some(place(1, 2))), Ok((place(1, 3), Finding::Nothing)));
    assert_eq!(world.history.forks, [Fork(1, 0, 0)]);
}

#[test]
fn whichever_of_the_answers_to_a_repeated_request_arrives_the_device_goes_on_with_it() {
    for arrives in [place(1, 5), place(2, 5), place(3, 5)] {
        let mut world = World::at_step(4);
        world.heard_at = NOW;
        assert_eq!(world.ask(Some(place(1, 4))).unwrap().0, place(2, 5));
        assert_eq!(world.ask(Some(place(1, 4))).unwrap().0, place(3, 5));
        let (next, finding) = world.ask(Some(arrives)).unwrap();
        assert_eq!((next, finding), (place(arrives.branch, 6), Finding::Nothing));
        for left in [place(1, 5), place(2, 5), place(3, 5)] {
            if left != arrives {
                assert_eq!(world.clone().ask(Some(left)), COPIED, "{left:?} at {arrives:?}");
            }
        }
    }
}

#[test]
fn a_request_that_arrives_late_changes_nothing_for_the_device() {
    let mut world = World::at_step(6);
    // While the device is heard, the request is refused. Later, it begins a branch that nobody
    // shows.
    world.heard_at = NOW;
    assert_eq!(world.ask(Some(place(1, 3))), COPIED);
    world.heard_at = NOW - ALIVE;
    assert_eq!(world.ask(Some(place(1, 3))), Ok((place(2, 4), Finding::DeviceRolledBack)));
    assert_eq!(world.ask(Some(place(1, 7))), Ok((place(1, 8), Finding::Nothing)));
    assert_eq!(world.ask(Some(place(2, 4))), COPIED, "both cannot go on");
}

#[test]
fn a_device_is_alive_for_two_slots_after_it_was_heard_and_that_is_known_to_two_slots() {
    let at_once = |heard_at| {
        let mut world = World { heard_at, ..World::at_step(6) };
        let outcome = world.ask(Some(place(1, 3)));
        assert_eq!(world.must_be_fresh, outcome.is_ok(), "it ends what went before");
        outcome
    };
    let restored = Ok((place(2, 4), Finding::DeviceRolledBack));
    assert_eq!(at_once(NOW - 4 * 180 + 1), COPIED);
    assert_eq!(at_once(NOW - 4 * 180), restored);
    assert_eq!(at_once(NOW + 180), COPIED, "clocks of servers are not the same");
    assert_eq!(at_once(NOW + 181), restored, "a clock was ahead");
}

#[test]
fn of_two_copies_that_show_one_license_the_second_to_go_on_is_refused() {
    let mut world = World::at_step(4);
    let (first, _) = world.ask(Some(place(1, 5))).unwrap();
    let (second, _) = world.ask(Some(place(1, 5))).unwrap();
    world.ask(Some(first)).unwrap();
    assert_eq!(world.ask(Some(second)), COPIED);
    assert_eq!(world.ask(Some(place(2, 7))), COPIED, "nor with a step that was never granted");
}

#[test]
fn a_device_that_was_restored_goes_on_from_there_each_time() {
    let mut world = World::at_step(9);
    for night in 0..40_u32 {
        let (next, finding) = world.ask(Some(place(1, 3))).unwrap();
        assert_eq!((next, finding), (place(2 + night, 4), Finding::DeviceRolledBack));
        assert_eq!(world.ask(Some(next)).unwrap(), (place(2 + night, 5), Finding::Nothing));
        assert!(world.history.forks.len() <= 2, "{:?}", world.history);
    }
    // Branches within branches are bounded, too.
    let mut newest = world.history.shown;
    for _ in 0..40 {
        let later = world.ask(Some(newest)).unwrap().0;
        world.ask(Some(later)).unwrap();
        let (again, finding) = world.ask(Some(newest)).unwrap();
        assert_eq!(finding, Finding::DeviceRolledBack);
        world.ask(Some(again)).unwrap();
        newest = again;
        assert!(world.history.forks.len() <= FORKS_MAX);
    }
    assert!(world.history.forks.len() > 30, "{:?}", world.history);
    assert_eq!(world.ask(Some(newest)).unwrap().1, Finding::Nothing);
}

#[test]
fn of_too_many_branches_those_that_nobody_has_shown_are_forgotten_first() {
    let mut world = World::at_step(3);
    assert_eq!(world.ask(Some(place(1, 2))), Ok((place(2, 3), Finding::DeviceRolledBack)));
    world.ask(Some(place(2, 3))).unwrap();
    // One answer after another is lost.
    for branch in 3..43 {
        assert_eq!(world.ask(Some(place(2, 3))), Ok((place(branch, 4), Finding::Nothing)));
        assert!(world.history.forks.len() <= FORKS_MAX);
    }
    assert_eq!(world.history.place(place(3, 4)), Relation::Left, "it is forgotten");
    assert_eq!(world.history.place(place(42, 4)), Relation::Granted);
    let restored = world.ask(Some(place(1, 1)));
    assert_eq!(restored, Ok((place(43, 2), Finding::DeviceRolledBack)), "the way is known");
}

#[test]
fn nothing_is_shown_by_a_first_request_by_one_that_is_repeated_and_by_one_that_begins_anew() {
    let mut world = World { is_same_contact: true, ..World::default() };
    assert_eq!(world.ask(None), Ok((place(1, 1), Finding::Nothing)));
    assert_eq!(world.ask(None), Ok((place(2, 1), Finding::Nothing)), "its answer was lost");
    let mut other = World { is_same_contact: false, ..world.clone() };
    assert_eq!(other.ask(None), COPIED, "another installation");
    world.ask(Some(place(2, 1))).unwrap();
    assert_eq!(world.ask(None), COPIED, "its device file was copied before the first contact");
    assert_eq!(world.clone().ask(Some(place(1, 1))), COPIED, "… and it was granted as well");
    assert!(!world.must_be_fresh);
    world.runs = false;
    let anew = world.ask(None);
    assert_eq!(anew, Ok((place(3, 1), Finding::StateLost)), "nothing runs any more");
    assert!(world.must_be_fresh, "a request of before would end what the device has now");
    assert_eq!(world.ask(None), Ok((place(4, 1), Finding::Nothing)), "and this answer was lost");
    assert_eq!(world.ask(Some(place(4, 1))).unwrap().0, place(4, 2));
}

#[test]
fn what_is_newer_than_known_tells_of_a_restore_or_that_the_data_was_put_back() {
    for (epoch, runs, finding) in [
        (EpochKind::Earlier, true, Finding::Nothing),
        (EpochKind::Earlier, false, Finding::Nothing),
        (EpochKind::Foreign, true, Finding::Nothing),
        (EpochKind::Current, true, Finding::ServerRolledBack),
        (EpochKind::Current, false, Finding::Nothing),
        (EpochKind::Unknown, true, Finding::ServerRolledBack),
        (EpochKind::Unknown, false, Finding::Nothing),
    ] {
        for shown in [place(1, 7), place(2, 5)] {
            let mut world = World::at_step(4);
            let next = place(shown.branch, shown.step + 1);
            assert_eq!(world.ask_of(Some(shown), epoch, runs), Ok((next, finding)), "{epoch:?}");
            let mut unknown = World::default();
            assert_eq!(unknown.ask_of(Some(shown), epoch, runs), Ok((next, finding)));
        }
    }
}

#[test]
fn a_branch_that_nobody_has_shown_has_one_step_and_a_later_one_was_granted_before_a_restore() {
    let mut world = World::at_step(4);
    assert_eq!(world.ask(Some(place(1, 4))).unwrap().0, place(2, 5));
    for (shown, expected) in [
        (place(2, 5), Relation::Granted),
        (place(2, 6), Relation::Newer),
        (place(2, 7), Relation::Newer),
        (place(2, 4), Relation::Left),
        (place(2, 3), Relation::Left),
    ] {
        assert_eq!(world.history.place(shown), expected, "{shown:?}");
    }
    let own = world.clone().ask(Some(place(2, 6)));
    assert_eq!(own, Ok((place(2, 7), Finding::ServerRolledBack)));
    assert_eq!(world.ask(Some(place(2, 4))), COPIED, "the branch begins after this step");
}

#[test]
fn what_another_server_with_the_key_has_granted_by_the_same_numbers_is_no_copy() {
    let mut world = World::at_step(4);
    world.heard_at = NOW;
    // Answers are lost: branches 2 and 3 are left when the device shows a license of branch 1.
    assert_eq!(world.ask(Some(place(1, 4))).unwrap().0, place(2, 5));
    assert_eq!(world.ask(Some(place(1, 4))).unwrap().0, place(3, 5));
    world.ask(Some(place(1, 5))).unwrap();
    // The other server has the earlier history, and has continued from there.
    for shown in [place(3, 6), place(1, 4)] {
        let mut own = world.clone();
        assert_eq!(own.ask_of(Some(shown), EpochKind::Earlier, true), COPIED, "{shown:?}");
        let next = place(4, shown.step + 1);
        let mut again = own.clone();
        let adopted = own.ask_of(Some(shown), EpochKind::Unknown, true);
        assert_eq!(adopted, Ok((next, Finding::ServerRolledBack)), "{shown:?}");
        let known =
            Known { history: &again.history, heard_at: NOW, runs: true, is_same_contact: false };
        let asked =
            Shown { generation: shown, epoch: EpochKind::Foreign, runs: true, is_forgotten: false };
        assert!(super::next(known, Some(asked), NOW).unwrap().must_be_fresh, "{shown:?}");
        let adopted = again.ask_of(Some(shown), EpochKind::Foreign, true);
        assert_eq!(adopted, Ok((next, Finding::Nothing)), "{shown:?}");
        own.ask(Some(next)).unwrap();
        assert_eq!(own.ask(Some(place(1, 6))), COPIED, "a copy that stayed here is told");
    }
}

#[test]
fn a_device_that_a_restored_server_has_left_behind_for_its_own_late_requests_is_no_copy() {
    // Before the restore, the device has continued from step 2 by branch 2. After the restore,
    // earlier requests arrive, and the same numbers are granted once more.
    let mut world = World::at_step(1);
    assert_eq!(world.ask(Some(place(1, 1))).unwrap().0, place(2, 2));
    world.ask(Some(place(1, 2))).unwrap();
    let shown = Some(place(2, 3));
    assert_eq!(world.clone().ask_of(shown, EpochKind::Earlier, true), COPIED);
    world.is_forgotten = true;
    let adopted = world.ask_of(shown, EpochKind::Earlier, true);
    assert_eq!(adopted, Ok((place(3, 4), Finding::Nothing)));
    let restored = world.ask_of(Some(place(1, 1)), EpochKind::Earlier, true);
    assert_eq!(restored, Ok((place(4, 2), Finding::Nothing)), "of the time before, too");
}

#[test]
fn a_license_that_was_granted_and_not_shown_proves_nothing() {
    let mut world = World::at_step(4);
    assert_eq!(world.ask(Some(place(1, 5))), Ok((place(1, 6), Finding::Nothing)));
    let history = &world.history;
    for (shown, expected) in [
        (place(1, 5), Relation::Newest),
        (place(1, 6), Relation::Granted),
        (place(1, 7), Relation::Newer),
        (place(1, 1), Relation::Earlier),
        (place(2, 6), Relation::Newer),
    ] {
        assert_eq!(history.place(shown), expected, "{shown:?}");
    }
}
