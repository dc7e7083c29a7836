//! Two installations that present one client UUID.
//!
//! Each local licence has a generation, and names the one that the device showed when it asked for it: its parent.
//! What one installation shows is therefore a path: each generation is the one shown before, or a child of it. A
//! lost answer only leaves a child behind that nobody ever shows. Two installations that were copied from one
//! another both get children of the same generation, and the one that comes second shows one that is off the path:
//!
//! ```text
//! L1 ─▶ L2 (shown) ─▶ L3      the first installation goes on
//!   └─▶ L2' (shown)           -20151
//! ```
//!
//! | shown now | shown before | outcome |
//! | --- | --- | --- |
//! | nothing | anything | fine; the new licence takes the generation shown before as its parent |
//! | one from another life of the data | anything | fine: this server was restored from a backup since |
//! | L | nothing, L, or the parent of L | fine |
//! | L | anything else | -20151 |

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Refusal;

/// What a device shows of the local licence that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Its generation.
    pub generation: &'a str,
    /// The generation that was shown for it.
    pub parent: &'a str,
    /// Whether it was granted in this life of the server's data.
    pub of_this_life: bool,
}

/// Whether what is shown goes on from what was shown before.
///
/// # Errors
/// -20151, by the table above.
pub fn goes_on(shown: Option<Shown<'_>>, before: Option<&str>) -> Result<(), Refusal> {
    let (Some(shown), Some(before)) = (shown, before) else { return Ok(()) };
    if !shown.of_this_life || shown.generation == before || shown.parent == before {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::DEVICE_CLONED,
        "another installation uses the UUID of this one, and has gone on with it: this one must take a fresh \
         UUID, and loses nothing by it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(shown: Option<(&str, &str, bool)>, before: Option<&str>) -> bool {
        let shown =
            shown.map(|(generation, parent, of_this_life)| Shown { generation, parent, of_this_life });
        goes_on(shown, before).is_ok()
    }

    #[test]
    fn every_row_of_the_table_holds() {
        assert!(outcome(None, None));
        assert!(outcome(None, Some("L1")));
        assert!(outcome(Some(("L5", "L4", false)), Some("L1")));
        assert!(outcome(Some(("L1", "", true)), None));
        assert!(outcome(Some(("L2", "L1", true)), Some("L2")));
        assert!(outcome(Some(("L2", "L1", true)), Some("L1")));
        assert!(!outcome(Some(("L2'", "L1", true)), Some("L2")));
        assert!(!outcome(Some(("L1", "", true)), Some("L2")));
    }
}
