//! Versions of a licensed product: one to four numbers with dots, such as `8.8` or `9.6.10.2`.
//!
//! They are compared number by number, and a missing number counts as 0: `9.6` = `9.6.0` < `9.6.1`
//! < `9.10`.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Most numbers of a version.
const PARTS_MAX: usize = 4;

/// A version of a product.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    parts: Vec<u32>,
}

impl Version {
    /// Return whether the first numbers are those of `other`: 9.6.1 begins with 9 and with 9.6.
    #[must_use]
    pub fn begins_with(&self, other: &Self) -> bool {
        other.parts.iter().enumerate().all(|(place, part)| self.part(place) == *part)
    }

    fn part(&self, place: usize) -> u32 {
        self.parts.get(place).copied().unwrap_or(0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (0..PARTS_MAX)
            .map(|place| self.part(place))
            .cmp((0..PARTS_MAX).map(|place| other.part(place)))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl std::str::FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        match parts {
            Ok(parts) if parts.len() <= PARTS_MAX => Ok(Self { parts }),
            _ => Err(format!(
                "{text:?} is not a version: write one to {PARTS_MAX} numbers with dots, as 9.6"
            )),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::VersionRange;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_compared_by_numbers() {
        assert!(version("9.6") < version("9.10"));
        assert!(version("9.6") < version("9.6.1"));
        assert_eq!(version("9.6"), version("9.6.0.0"));
        assert!(version("10") > version("9.99.99.99"));
        assert_eq!(version("8.8").to_string(), "8.8");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in ["", ".", "9.", "9.x", "-1", "1.2.3.4.5", "4294967296", "9 "] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_has_both_its_ends() {
        let range = VersionRange { from: Some(version("8.8")), to: Some(version("9")) };
        for (text, covered) in [
            ("8.7.9", false),
            ("8.8", true),
            ("8.8.0", true),
            ("9", true),
            ("9.99", true),
            ("10.0", false),
        ] {
            assert_eq!(range.covers(&version(text)), covered, "{text}");
        }
        assert!(VersionRange::default().covers(&version("0")));
    }
}
