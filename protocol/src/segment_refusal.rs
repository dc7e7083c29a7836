//! The reasons for which a server does not record a segment of a report, or only a part of it.
//!
//! A program reads the code, and a person the text beside it. Each row says whether the other slots
//! of the segment are recorded, and whether the same segment can be recorded later.

/// Define the reasons, each with its code, whether the other slots are recorded, whether it is
/// worth sending the segment again, and the meaning.
macro_rules! refusals {
    ($($reason:ident = $code:literal, $partly:literal, $again:literal, $meaning:literal;)*) => {
        /// The reason for which a segment is not recorded.
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum SegmentFault {
            $(#[doc = $meaning] #[serde(rename = $code)] $reason,)*
            /// A reason that a later version has, or none.
            #[default]
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        /// Every reason that a server gives.
        pub static SEGMENT_FAULTS: &[SegmentFaultEntry] = &[
            $(SegmentFaultEntry {
                fault: SegmentFault::$reason,
                code: $code,
                records_other_slots: $partly,
                may_pass: $again,
                meaning: $meaning,
            },)*
        ];
    };
}

/// A row of the table of reasons.
#[derive(Debug)]
pub struct SegmentFaultEntry {
    /// The reason.
    pub fault: SegmentFault,
    /// Its name on the wire.
    pub code: &'static str,
    /// Whether the slots that are not at fault are recorded.
    pub records_other_slots: bool,
    /// Whether the same segment may be recorded later.
    pub may_pass: bool,
    /// What is wrong, as a sentence.
    pub meaning: &'static str,
}

refusals! {
    SlotTooEarly = "slot_too_early", true, false, "A slot is more than a day before the first license of the device.";
    SlotTooLate = "slot_too_late", true, true, "A slot is more than a day ahead of the server's time.";
    TotalTooLarge = "total_too_large", false, false, "A total is above 20 000 000 000.";
    SumTooLarge = "sum_too_large", false, true, "A counter is above 20 000 000 000 together with the segments before it in the report.";
    TooManyCounters = "too_many_counters", false, false, "A slot has more than 64 counters, together with those recorded before.";
    LicenseUnknown = "license_unknown", false, true, "The server knows no local license with this id, and the segment shows none of its own.";
    LicenseOfOtherDevice = "license_of_other_device", false, false, "The local license belongs to another device.";
    SegmentOfOtherLicense = "segment_of_other_license", false, false, "The segment is known under another local license.";
    ItemNotReady = "item_not_ready", false, true, "The license file of the item cannot be trusted until the operator has imported it again.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_one_code_and_an_unknown_code_spoils_nothing() {
        for entry in SEGMENT_FAULTS {
            let written = serde_json::to_value(entry.fault).unwrap();
            assert_eq!(written, entry.code);
            assert_eq!(serde_json::from_value::<SegmentFault>(written).unwrap(), entry.fault);
            assert_eq!(SEGMENT_FAULTS.iter().filter(|other| other.code == entry.code).count(), 1);
        }
        let later: SegmentFault = serde_json::from_str("\"eclipsed\"").unwrap();
        assert_eq!(later, SegmentFault::Unknown);
    }
}
