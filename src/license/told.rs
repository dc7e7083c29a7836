//! What the server has last told of the item's use. It is for people: the status shows it, and nothing is decided
//! by it. This is the one place where such numbers are kept; an answer that brings them hands them to
//! [`super::GrantStore::note_told`].

use seatmeter_protocol::message::ProblemNumbers;
use serde::{Deserialize, Serialize};

/// The numbers of an item, as the server saw them. `None` where it has not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// When it was said, Unix seconds.
    pub at: u64,
    /// What is in use, or used up.
    pub used: Option<u64>,
    /// N of the item.
    pub quota: Option<u64>,
    /// How much beyond N is granted all the same.
    pub grace: Option<u64>,
}

impl Told {
    /// What a refusal says.
    pub fn by_refusal(at: u64, numbers: &ProblemNumbers) -> Self {
        Self { at, used: Some(numbers.used), quota: Some(numbers.quota), grace: Some(numbers.grace) }
    }
}
