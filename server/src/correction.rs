//! A correction by the vendor of what is used of an item.
//!
//! A device that belongs to somebody else can report a wrong number, within what a device can do.
//! Then an item may count as used up although it is not. Only the vendor can set its sum right,
//! because the sum is what he bills. The recorded usage stays as it is: it tells what was reported.
//! Later reports add to the corrected sum. Devices are not concerned.

use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use seatmeter_protocol::signature::{Document, PublicKey, Signed};
use serde::{Deserialize, Serialize};

/// The content of a correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Correction {
    /// Version of this document's format.
    pub version: u32,
    /// The id of the correction: each is applied once.
    pub correction_id: String,
    /// The licensee.
    pub organization_id: String,
    /// The item to correct.
    pub item_id: String,
    /// The module of pages; 0 for scans.
    pub module: u32,
    /// What is used of the item from now on.
    pub used: u64,
    /// The reason, for people.
    pub reason: String,
    /// Instant of issue, Unix seconds.
    pub issued_at: u64,
}

impl Document for Correction {
    const CONTEXT: &'static str = "license correction";
}

/// A correction in the form in which a vendor hands it over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IssuedCorrection {
    /// The vendor's root key.
    #[cfg_attr(test, schemars(with = "super::document_schema::Key"))]
    pub root_key: PublicKey,
    /// The correction, signed with the root key.
    #[cfg_attr(test, schemars(with = "super::document_schema::Envelope"))]
    pub correction: Signed,
}

/// Refuse a correction that makes no sense for any server.
///
/// # Errors
/// Returns what is wrong with it, as a clause for a sentence.
pub fn require_sound(correction: &Correction) -> Result<(), String> {
    if correction.version != DOCUMENT_VERSION {
        return Err(format!(
            "it has version {}, this program reads {DOCUMENT_VERSION}",
            correction.version
        ));
    }
    if i64::try_from(correction.used).is_err() {
        return Err(format!("it sets {} as used, more than can be recorded", correction.used));
    }
    let Correction { correction_id, organization_id, item_id, reason, .. } = correction;
    for (name, text) in [
        ("correction id", correction_id),
        ("organization", organization_id),
        ("item", item_id),
        ("reason", reason),
    ] {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!(
                "its {name} is empty, has more than {TEXT_BYTES_MAX} bytes, or control characters"
            ));
        }
    }
    Ok(())
}
