//! The laws, each with the sentence of the rules that it checks.

mod alerts;
mod billing;
mod end;
mod limits;
mod pages;
mod time;
mod work;

use crate::world::World;
use alerts::{alerts_are_told_once, thresholds_are_told};
use billing::{acknowledged_was_billed, billed_was_performed};
pub(crate) use billing::{nothing_is_missing, only_its_item_counted};
pub(crate) use end::converged;
use limits::{
    each_item_has_its_own, holders_are_those_of_the_model, strict_is_never_exceeded,
    strict_is_never_granted_twice, sums_are_sums, two_servers_are_named,
    what_is_given_back_is_gone,
};
use pages::{a_profile_is_one_device, time_of_pages_is_not_stretched};
pub(crate) use time::{heard_the_time, is_not_outlived, may_work, who_wakes_takes_nothing};
use time::{programs_agree_on_the_time, time_never_goes_back};
pub(crate) use work::{
    may_refuse_work, seats_are_those_of_the_grant, standby_was_asked, the_highest_is_had,
};

/// The result of a law: it holds, or the sentence that says what breaks it.
pub(crate) type Check = Result<(), String>;

/// Check every law that must hold after every step.
pub(crate) fn look(world: &mut World) -> Check {
    billed_was_performed(world)?;
    {
        let net = world.net.lock();
        if net.is_judged() {
            for (server, books) in net.judged().zip([&world.books, &world.books_of_copy]) {
                let (store, model) = (&server.store, &server.model);
                sums_are_sums(store, books, model)?;
                holders_are_those_of_the_model(store, model, server.time.now())?;
                strict_is_never_granted_twice(world, books, model)?;
                alerts_are_told_once(server)?;
                thresholds_are_told(server, books)?;
            }
            strict_is_never_exceeded(world, &net)?;
            two_servers_are_named(&net)?;
        } else {
            each_item_has_its_own(world, &net)?;
        }
    }
    what_is_given_back_is_gone(world);
    acknowledged_was_billed(world)?;
    programs_agree_on_the_time(world)?;
    a_profile_is_one_device(world)?;
    time_of_pages_is_not_stretched(world)?;
    time_never_goes_back(world)
}
