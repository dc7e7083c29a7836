//! The texts of the statements for tables. A batch runs some forty of them, so each is written once
//! for a thread and not for each batch.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ptr;
use std::rc::Rc;

use crate::store::sql::{Kind, Table, join};

/// The operation of a statement on the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    Find,
    Put,
    Remove,
}

/// A description of a table by the addresses of its parts, which are constants. Equal addresses and
/// lengths are equal parts; a part that the compiler has put down twice only has two texts.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    verb: Verb,
    name: *const str,
    key: *const [(&'static str, Kind)],
    last: *const str,
    rest: *const [(&'static str, Kind)],
}

thread_local! {
    static TEXTS: RefCell<HashMap<Key, Rc<str>>> = RefCell::default();
}

/// Return the statement.
pub(super) fn of(verb: Verb, table: &Table) -> Rc<str> {
    let key = Key {
        verb,
        name: ptr::from_ref(table.name),
        key: ptr::from_ref(table.key),
        last: ptr::from_ref(table.last),
        rest: ptr::from_ref(table.rest),
    };
    TEXTS.with_borrow_mut(|texts| texts.entry(key).or_insert_with(|| write(verb, table)).clone())
}

fn write(verb: Verb, table: &Table) -> Rc<str> {
    let name = table.name;
    let is_it = || table.is_it(str::to_owned, |number, _| format!("?{number}"));
    let text = match verb {
        Verb::Find => format!("SELECT {} FROM {name} WHERE {}", table.names(""), is_it()),
        Verb::Remove => format!("DELETE FROM {name} WHERE {}", is_it()),
        Verb::Put => {
            let places = join((1..=table.columns().count()).map(|n| format!("?{n}")), ", ");
            let (columns, on_conflict) = (table.names(""), table.on_conflict());
            format!("INSERT INTO {name} ({columns}) VALUES ({places}) {on_conflict}")
        }
    };
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::table::{ITEM_DAY, ITEM_DAY_PEAK, LICENSE, SLOT_SUM, SLOTS_FROM};

    #[test]
    fn a_text_is_that_of_its_table_and_verb_also_the_second_time() {
        for table in [&LICENSE, &SLOT_SUM, &SLOTS_FROM, &ITEM_DAY, &ITEM_DAY_PEAK] {
            for verb in [Verb::Find, Verb::Put, Verb::Remove] {
                for _ in 0..2 {
                    assert_eq!(of(verb, table), write(verb, table), "{verb:?} {table:?}");
                }
            }
        }
    }
}
