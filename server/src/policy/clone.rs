//! Two installations that present one client UUID.
//!
//! A device shows, with each request, the local licence that it holds; the licence that it then gets has the
//! shown one as its parent. What one installation shows is therefore a path: each licence is the one shown
//! before, or a child of it. A lost answer only leaves a child behind that nobody ever shows. Two
//! installations that were copied from one another both get children of the same licence, and the one that
//! comes second shows a licence that is off the path:
//!
//! ```text
//! L1 ─▶ L2 (shown) ─▶ L3      the first installation goes on
//!   └─▶ L2' (shown)           -20151
//! ```
//!
//! | shown now | shown before | outcome |
//! | --- | --- | --- |
//! | nothing | anything | fine; the new licence takes the one shown before as its parent |
//! | a licence that this server does not know | anything | fine: it was restored from an older backup |
//! | L | nothing, L, or the parent of L | fine |
//! | L | anything else | -20151 |

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Refusal;

/// A local licence that a device shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub license_id: String,
    /// The licence that was shown for it; `None` when this server does not know it.
    pub parent: Option<String>,
}

/// Whether what is shown goes on from what was shown before.
///
/// # Errors
/// -20151, by the table above.
pub fn goes_on(shown: Option<&Shown>, before: Option<&str>) -> Result<(), Refusal> {
    let (Some(shown), Some(before)) = (shown, before) else { return Ok(()) };
    let Some(parent) = &shown.parent else { return Ok(()) };
    if shown.license_id == before || parent == before {
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

    fn outcome(shown: Option<(&str, Option<&str>)>, before: Option<&str>) -> bool {
        let shown =
            shown.map(|(id, parent)| Shown { license_id: id.into(), parent: parent.map(str::to_owned) });
        goes_on(shown.as_ref(), before).is_ok()
    }

    #[test]
    fn every_row_of_the_table_holds() {
        assert!(outcome(None, None));
        assert!(outcome(None, Some("L1")));
        assert!(outcome(Some(("L1", None)), Some("L9")));
        assert!(outcome(Some(("L1", Some(""))), None));
        assert!(outcome(Some(("L2", Some("L1"))), Some("L2")));
        assert!(outcome(Some(("L2", Some("L1"))), Some("L1")));
        assert!(!outcome(Some(("L2'", Some("L1"))), Some("L2")));
        assert!(!outcome(Some(("L1", Some(""))), Some("L2")));
    }
}
