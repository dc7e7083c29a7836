//! The charge ways of license items, and the places where they may be used. The numbers are those
//! of the C API.

use serde::{Deserialize, Serialize};

/// The unit by which a license item is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

    /// Return its number in the C API.
    #[must_use]
    pub fn number(self) -> i32 {
        Self::ALL.iter().find(|(way, _)| *way == self).map_or(0, |(_, number)| *number)
    }

    /// Return whether items with this charge way are only for servers.
    #[must_use]
    pub const fn is_for_servers(self) -> bool {
        matches!(self, Self::Server | Self::ConcurrentInstance)
    }

    /// Return the deployment types for which items with this charge way are usually sold. A vendor
    /// may choose others.
    ///
    /// | charge way | usual types | because |
    /// | --- | --- | --- |
    /// | server, concurrent instance | server | there are no others |
    /// | client device, active device, concurrent device | desktop, embedded, mobile, browser | what a client device is |
    /// | domain | browser, server | the pages of a website, and what serves them |
    /// | barcode scan, page | all but OEM | the work is charged, wherever it is done |
    ///
    /// OEM, a place inside somebody else's product, is always a contract of its own.
    #[must_use]
    pub const fn usual_deployment_types(self) -> &'static [DeploymentType] {
        use DeploymentType::{Browser, Desktop, Embedded, Mobile, Server};
        match self {
            Self::Server | Self::ConcurrentInstance => &[Server],
            Self::ClientDevice | Self::ActiveDevice | Self::ConcurrentDevice => {
                &[Desktop, Embedded, Mobile, Browser]
            }
            Self::Domain => &[Browser, Server],
            Self::BarcodeScan | Self::Page => &[Server, Desktop, Embedded, Mobile, Browser],
        }
    }

    /// Return whether devices hold seats for a window of days.
    #[must_use]
    pub const fn has_window(self) -> bool {
        matches!(self, Self::ClientDevice | Self::ActiveDevice | Self::Server)
    }

    /// Return whether simultaneous use is charged, which then has an overuse budget.
    #[must_use]
    pub const fn is_concurrent(self) -> bool {
        matches!(self, Self::ConcurrentDevice | Self::ConcurrentInstance)
    }

    /// Return whether scans or pages are used up.
    #[must_use]
    pub const fn is_metered(self) -> bool {
        matches!(self, Self::BarcodeScan | Self::Page)
    }

    /// Return the deployment type as which a request counts under an item with this charge way.
    ///
    /// Programs leave the deployment type at its initial value, desktop. Where only servers are
    /// charged, that can mean nothing but a server.
    #[must_use]
    pub const fn counts_as(self, asked: DeploymentType) -> DeploymentType {
        match asked {
            DeploymentType::Desktop if self.is_for_servers() => DeploymentType::Server,
            other => other,
        }
    }

    /// Return the charge way with this number. 0, "let the server choose", is `Ok(None)`.
    ///
    /// # Errors
    /// Returns the number itself, when no charge way has it.
    pub fn from_number(number: i32) -> Result<Option<Self>, i32> {
        match number {
            0 => Ok(None),
            _ => Self::ALL
                .iter()
                .find(|(_, n)| *n == number)
                .map(|(way, _)| Some(*way))
                .ok_or(number),
        }
    }
}

/// The kind of place where the software runs; a license item lists the types for which it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

    /// Return its number in the C API.
    #[must_use]
    pub fn number(self) -> i32 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, number)| *number)
    }

    /// Return the deployment type with this number.
    ///
    /// # Errors
    /// Returns the number itself, when no deployment type has it.
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
        assert!(DeploymentType::ALL.iter().all(|(kind, number)| kind.number() == *number));
    }

    #[test]
    fn a_desktop_counts_as_a_server_where_only_servers_are_charged() {
        for (way, _) in ChargeWay::ALL {
            let for_servers = [ChargeWay::Server, ChargeWay::ConcurrentInstance].contains(&way);
            for (kind, _) in DeploymentType::ALL {
                let expected = match kind {
                    DeploymentType::Desktop if for_servers => DeploymentType::Server,
                    other => other,
                };
                assert_eq!(way.counts_as(kind), expected, "{way:?}, {kind:?}");
            }
        }
    }
}
