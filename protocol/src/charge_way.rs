//! By what a licence item is charged, and where it may be used. The numbers are those of the C API.

use serde::{Deserialize, Serialize};

/// By what a licence item is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum ChargeWay {
    /// Client devices within a window (90 days unless the item says otherwise).
    ClientDevice,
    /// Unique barcodes.
    BarcodeScan,
    /// Devices active in the same slot.
    ConcurrentDevice,
    /// Unlimited use under named domains.
    Domain,
    /// Client devices within a window that the item states.
    ActiveDevice,
    /// Servers.
    Server,
    /// Reader objects alive at the same time.
    ConcurrentInstance,
    /// Pages.
    Page,
}

impl ChargeWay {
    /// Every charge way with its number in the C API.
    pub const ALL: [(Self, i32); 8] = [
        (Self::ClientDevice, 1),
        (Self::BarcodeScan, 2),
        (Self::ConcurrentDevice, 3),
        (Self::Domain, 6),
        (Self::ActiveDevice, 8),
        (Self::Server, 9),
        (Self::ConcurrentInstance, 10),
        (Self::Page, 20),
    ];

    /// Its number in the C API.
    #[must_use]
    pub fn number(self) -> i32 {
        Self::ALL.iter().find(|(way, _)| *way == self).map_or(0, |(_, number)| *number)
    }

    /// The charge way with this number. 0, "let the server choose", is `Ok(None)`.
    ///
    /// # Errors
    /// The number itself, when no charge way has it.
    pub fn from_number(number: i32) -> Result<Option<Self>, i32> {
        match number {
            0 => Ok(None),
            _ => Self::ALL.iter().find(|(_, n)| *n == number).map(|(way, _)| Some(*way)).ok_or(number),
        }
    }
}

/// Where the software runs; a licence item lists the types that it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum DeploymentType {
    /// A machine that works for others.
    Server,
    /// A computer that works for its own user.
    Desktop,
    /// ARM Linux.
    Embedded,
    /// Built into somebody else's product.
    Oem,
    /// iOS or Android.
    Mobile,
    /// A browser profile on one origin.
    Browser,
}

impl DeploymentType {
    /// Every deployment type with its number in the C API.
    pub const ALL: [(Self, i32); 6] = [
        (Self::Server, 1),
        (Self::Desktop, 2),
        (Self::Embedded, 6),
        (Self::Oem, 7),
        (Self::Mobile, 9),
        (Self::Browser, 20),
    ];

    /// The deployment type with this number.
    ///
    /// # Errors
    /// The number itself, when no deployment type has it.
    pub fn from_number(number: i32) -> Result<Self, i32> {
        Self::ALL.iter().find(|(_, n)| *n == number).map(|(kind, _)| *kind).ok_or(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_belong_together() {
        assert_eq!(ChargeWay::from_number(10), Ok(Some(ChargeWay::ConcurrentInstance)));
        assert!(ChargeWay::ALL.iter().all(|(way, number)| way.number() == *number));
        assert_eq!(ChargeWay::from_number(0), Ok(None));
        assert_eq!(ChargeWay::from_number(4), Err(4));
        assert_eq!(DeploymentType::from_number(1), Ok(DeploymentType::Server));
        assert_eq!(DeploymentType::from_number(3), Err(3));
    }
}
