//! The IndexedDB database of one profile on one origin, by the table of
//! `bindings/web/src/store.js`.
//!
//! A transaction is atomic. A renderer can be killed before it is committed and after that; what is
//! committed is there for the other pages and for the next start.

use std::collections::BTreeMap;
use std::rc::Rc;

use seatmeter::fault_injection::disk::Disk;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::{Meter, UsageKind};
use seatmeter_protocol::request_auth::ReportKey;
use seatmeter_protocol::signature::{PublicKey, Signed, SigningKey};

use super::clock::StoredClock;
use super::errors::{Failure, Halt, Outcome, fail};

/// The identity of a profile on an origin.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) uuid: String,
    pub(crate) key: Rc<SigningKey>,
}

/// The history of a device with a server.
#[derive(Clone)]
pub(super) struct ServerRow {
    pub(super) uuid: String,
    pub(super) key_id: String,
    pub(super) key: PublicKey,
    pub(super) urls: Vec<&'static str>,
    pub(super) newest: Signed,
    pub(super) receipt: String,
    pub(super) epoch: String,
    pub(super) report_key: ReportKey,
}

/// A grant, for one set of credentials.
#[derive(Clone)]
pub(super) struct LicenseRow {
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) key_id: String,
    pub(super) item: String,
    pub(super) license_file: Signed,
    pub(super) local_license: Signed,
    pub(super) notice: Notice,
    pub(super) asked_at: i64,
}

/// What the server has said of a grant since.
#[derive(Clone, Default)]
pub(super) struct Notice {
    pub(super) meters: Vec<Meter>,
    pub(super) refusal: Option<Failure>,
}

/// The license under which a page counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentRow {
    pub(super) id: String,
    pub(super) uuid: String,
    pub(super) key_id: String,
    pub(super) license: String,
    pub(super) item: String,
    pub(super) envelope: Signed,
}

/// The key of a total: segment, slot, kind, what.
pub(super) type TotalKey = (String, u32, UsageKind, u32);

/// What a page has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TotalRow {
    pub(super) total: u64,
    pub(super) is_unsent: bool,
    /// The slot as which it is reported since it was sent first, and the segment under which, if
    /// its slot was ahead of the time then.
    pub(super) sent_as: Option<(u32, Option<String>)>,
}

#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) device: Option<String>,
    pub(super) clock: Option<StoredClock>,
    pub(super) root: Option<PublicKey>,
    /// The ids of first contacts, by UUID.
    pub(super) first: BTreeMap<String, String>,
    /// The instants of issue of the license files that were accepted, by id.
    pub(super) issues: BTreeMap<String, u64>,
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) servers: BTreeMap<(String, String), ServerRow>,
    pub(super) licenses: BTreeMap<String, LicenseRow>,
    pub(super) segments: BTreeMap<String, SegmentRow>,
    pub(super) totals: BTreeMap<TotalKey, TotalRow>,
    /// What was counted under strict items, by UUID, item and module.
    pub(super) spent: BTreeMap<(String, String, u32), u64>,
}

impl Content {
    /// Return the identity in use.
    pub(super) fn device(&self) -> Option<&Device> {
        self.devices.get(self.device.as_ref()?)
    }
}

pub(super) struct Store {
    pub(super) content: Content,
    pub(super) health: Disk,
    /// The number of kill points after which the renderer is killed.
    pub(super) cut_off: Option<u32>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self { content: Content::default(), health: Disk::Sound, cut_off: None }
    }

    /// Pass a point at which a renderer can be killed.
    pub(super) fn kill_point(&mut self) -> Outcome<()> {
        match self.cut_off {
            Some(0 | 1) => {
                self.cut_off = None;
                Err(Halt::Killed)
            }
            Some(left) => {
                self.cut_off = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn aborts(&mut self) -> bool {
        match self.health {
            Disk::FailsOnce(0 | 1) => {
                self.health = Disk::Sound;
                true
            }
            Disk::FailsOnce(left) => {
                self.health = Disk::FailsOnce(left - 1);
                false
            }
            health => health != Disk::Sound,
        }
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Content) -> T) -> Outcome<T> {
        if self.health == Disk::Dead {
            return fail(ErrorCode::LICENSE_BUFFER_FAILED, "IndexedDB failed");
        }
        Ok(work(&self.content))
    }

    /// Do work in one transaction, and return what it returns once everything is stored.
    pub(super) fn write<T>(&mut self, work: impl FnOnce(&mut Content) -> T) -> Outcome<T> {
        self.kill_point()?;
        if self.aborts() {
            // The page has seen what it wrote, and nothing of it is stored.
            work(&mut self.content.clone());
            return fail(ErrorCode::LICENSE_BUFFER_FAILED, "IndexedDB failed");
        }
        let result = work(&mut self.content);
        self.kill_point()?;
        Ok(result)
    }
}
