//! Server notices: how far the item is used, and whether the server has stopped serving this
//! device.
//!
//! The numbers are for people, and the status shows them. A notice that stops work (a used-up
//! quota, a revoked item) is stored beside the grant, because the grant itself still looks valid.
//! The next grant replaces it.
//!
//! | server notice | work under the grant |
//! | --- | --- |
//! | a refusal that ends grants (`DeviceAction::EndsGrant`) | refused with this error |
//! | the scans are used up | refused, -20120 |
//! | the pages of a module are used up | pages of this module are refused, -20120 |
//! | anything else | continues |
//!
//! The note names its license. A grant without such a note is not used before the server has
//! answered: the missing notice may have been the end of the grant.

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{Meter, MeterState, Metered, ProblemNumbers};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A server notice about an item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerNotice {
    /// The time of the notice, Unix seconds.
    pub at: u64,
    /// The meters of the item: how far its quotas are used.
    pub meters: Vec<Meter>,
    /// The refusal that has ended the grant.
    pub refusal: Option<ErrorCode>,
    /// The message of this refusal.
    pub refused_because: String,
    /// The numbers that came with this refusal.
    pub refused_with: Option<ProblemNumbers>,
    /// The name of the grant that the notice is about, and the id of its local license.
    pub grant_name: String,
    pub license_id: String,
}

impl ServerNotice {
    /// Return the meter in the worst state, which a warning should name.
    pub fn worst(&self) -> Option<Meter> {
        // Among meters in the same state, the one that is used furthest counts.
        let used = |meter: &Meter| u128::from(meter.used) * 1_000 / u128::from(meter.quota.max(1));
        self.meters.iter().copied().max_by_key(|meter| (meter.state, used(meter)))
    }

    /// Return why no work is allowed under the grant, if it is not.
    pub fn stops(&self) -> Option<Error> {
        let scans_are_gone =
            |meter: &Meter| meter.of == Metered::Scans && meter.state == MeterState::UsedUp;
        match self.refusal {
            Some(code) => Some(Error::new(code, self.refused_because.clone())),
            None => self.meters.iter().any(scans_are_gone).then(|| ErrorCode::USED_UP.into()),
        }
    }

    /// Return the modules whose pages are used up, one bit each.
    pub fn used_up_modules(&self) -> u32 {
        let gone = self
            .meters
            .iter()
            .filter(|meter| meter.of == Metered::Pages && meter.state == MeterState::UsedUp);
        gone.fold(0, |bits, meter| bits | 1_u32.checked_shl(meter.module).unwrap_or(0))
    }

    /// Return whether the item is overused: authorizations are then slot by slot.
    pub fn is_overused(&self) -> bool {
        self.meters.iter().any(|meter| meter.state == MeterState::Overused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(of: Metered, module: u32, used: u64, state: MeterState) -> Meter {
        Meter { of, module, quota: 100, used, grace: 5, state }
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let notice = |meters| ServerNotice { meters, ..ServerNotice::default() };
        let stops = |notice: &ServerNotice| notice.stops().map(|why| why.code);
        let scans = |state| notice(vec![meter(Metered::Scans, 0, 0, state)]);
        assert_eq!(stops(&scans(MeterState::UsedUp)), Some(ErrorCode::USED_UP));
        assert_eq!(stops(&scans(MeterState::InGrace)), None);
        let pages = notice(vec![
            meter(Metered::Pages, 1, 0, MeterState::Within),
            meter(Metered::Pages, 4, 0, MeterState::UsedUp),
        ]);
        assert_eq!((stops(&pages), pages.used_up_modules()), (None, 1 << 4));
        let seats = notice(vec![meter(Metered::Devices, 0, 0, MeterState::UsedUp)]);
        assert_eq!(stops(&seats), None, "those that hold a seat go on");
        let revoked = ServerNotice { refusal: Some(ErrorCode::REVOKED), ..ServerNotice::default() };
        assert_eq!(stops(&revoked), Some(ErrorCode::REVOKED));
    }

    #[test]
    fn the_worst_meter_is_the_one_to_warn_of() {
        let notice = ServerNotice {
            meters: vec![
                meter(Metered::Pages, 1, 99, MeterState::Within),
                meter(Metered::Pages, 2, 101, MeterState::InGrace),
                meter(Metered::Pages, 3, 103, MeterState::InGrace),
            ],
            ..ServerNotice::default()
        };
        assert_eq!(notice.worst().map(|meter| meter.module), Some(3));
        assert_eq!(ServerNotice::default().worst(), None);
    }
}
