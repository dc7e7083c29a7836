//! Detection of two installations that present one client UUID.
//!
//! Each local license has a generation, and names the generation that the device showed when it
//! requested this license: its parent. The generations that one installation shows therefore form a
//! path: each is the one shown before it, or a child of that one. A lost answer only leaves a child
//! that no device ever shows. Two installations that were copied from one another both get children
//! of the same generation, and the second one to ask shows a generation off the path:
//!
//! ```text
//! L1 ─▶ L2 (shown) ─▶ L3      the first installation continues
//!   └─▶ L2' (shown)           -20151
//! ```
//!
//! | shown now | shown before | outcome |
//! | --- | --- | --- |
//! | nothing | anything | fine; the new license has no parent: with it the device begins anew |
//! | one from another life of the data | anything | fine: this server was restored from a backup since |
//! | L | nothing, one from another life, L, or the parent of L | fine |
//! | L, which has no parent | one with a lower serial | fine: the device had given that one back, or lost it |
//! | L | anything else | -20151 |
//!
//! The generation that a device shows becomes the one shown before, with one exception: a license
//! from another life does not replace one from this life. Requests may arrive late, in two ways. A
//! request from before a restore can arrive when the device has already continued after it. A
//! request that shows a license can arrive when the device has already given this license back and
//! begun anew.

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Refusal;

/// The data that a device shows of the local license that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The generation of the license.
    pub generation: &'a str,
    /// The generation that was shown to get the license, or empty.
    pub parent: &'a str,
    /// The serial of the license.
    pub serial: u32,
    /// Whether the license was granted in this life of the server's data.
    pub of_this_life: bool,
}

/// The license that the device has shown before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before<'a> {
    /// The generation of that license.
    pub generation: &'a str,
    /// The serial of that license.
    pub serial: u32,
    /// Whether that license was granted in this life of the server's data.
    pub of_this_life: bool,
}

/// Check that the license shown now follows the one shown before. Return `Ok(true)` when it becomes
/// the one shown before.
///
/// # Errors
/// Returns -20151, by the table above.
pub fn goes_on(shown: Shown<'_>, before: Option<Before<'_>>) -> Result<bool, Refusal> {
    // The server no longer knows what came after a license of another life.
    let Some(before) = before.filter(|before| before.of_this_life) else { return Ok(true) };
    if !shown.of_this_life {
        return Ok(false);
    }
    let has_begun_anew = shown.parent.is_empty() && shown.serial > before.serial;
    if shown.generation == before.generation || shown.parent == before.generation || has_begun_anew
    {
        return Ok(true);
    }
    Err(Refusal::new(
        ErrorCode::DEVICE_CLONED,
        "another installation uses the UUID of this one, and has continued its history: this \
        installation must take a fresh UUID, and loses nothing",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return the outcome for the license shown now and the one shown before: generation, parent,
    /// serial, and whether it is of this life.
    fn outcome(shown: (&str, &str, u32, bool), before: Option<(&str, u32, bool)>) -> Option<bool> {
        let (generation, parent, serial, of_this_life) = shown;
        let shown = Shown { generation, parent, serial, of_this_life };
        let before = before.map(|(generation, serial, of_this_life)| Before {
            generation,
            serial,
            of_this_life,
        });
        goes_on(shown, before).ok()
    }

    #[test]
    fn every_row_of_the_table_holds() {
        assert_eq!(outcome(("L5", "L4", 5, false), None), Some(true));
        assert_eq!(outcome(("L5", "L4", 5, false), Some(("L1", 1, false))), Some(true));
        assert_eq!(outcome(("L1", "", 1, true), None), Some(true));
        assert_eq!(outcome(("L2", "L1", 2, true), Some(("L2", 2, true))), Some(true));
        assert_eq!(outcome(("L2", "L1", 2, true), Some(("L1", 1, true))), Some(true));
        assert_eq!(outcome(("L3", "", 3, true), Some(("L1", 1, true))), Some(true));
        assert_eq!(outcome(("L2'", "L1", 3, true), Some(("L2", 2, true))), None);
        assert_eq!(outcome(("L1", "", 1, true), Some(("L2", 2, true))), None);
    }

    #[test]
    fn what_is_late_from_another_life_does_not_set_back_the_history() {
        let late = ("L1", "", 1, false);
        assert_eq!(outcome(late, Some(("L2", 2, true))), Some(false), "L2 is what was shown last");
        assert_eq!(
            outcome(("L3", "L2", 3, true), Some(("L2", 2, true))),
            Some(true),
            "so it goes on"
        );
    }

    #[test]
    fn who_was_granted_anew_after_a_restore_goes_on_whatever_was_shown_before_it() {
        assert_eq!(outcome(("M2", "M1", 2, true), Some(("L1", 1, false))), Some(true));
    }
}
