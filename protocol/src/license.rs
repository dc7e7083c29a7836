//! The two signed documents: the license file that a vendor sells, and the local license of a
//! device.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::charge_way::{ChargeWay, DeploymentType};
use crate::page_module::PAGE_MODULES;
pub use crate::product::PRODUCTS_ALL;
use crate::signature::{Document, PublicKey};
use crate::version::Version;

/// Seconds of a day.
pub const DAY_SECONDS: u64 = 86_400;

/// Days after an item's expiry in which it still works, with a warning.
pub const EXPIRY_GRACE_DAYS: u64 = 7;

/// Most seats that a device may ask for. A concurrent-instance item grants one device at most as
/// many.
pub const SEATS_MAX: u32 = 65_536;

/// The file that a vendor issues and signs: license items for one organization, bound to one
/// server's key.
///
/// Items are read one by one: an item that this version does not understand leaves the others
/// usable. Other fields that are unknown are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenseFile {
    /// Version of this document's format.
    pub version: u32,
    /// Id of the license file.
    pub file_id: String,
    /// Id of the licensee.
    pub organization_id: String,
    /// Name of the licensee, for people.
    pub organization_name: String,
    /// The key of the only server that may grant from these items.
    pub server_key: PublicKey,
    /// Instant of issue, Unix seconds.
    pub issued_at: u64,
    /// The license items that were sold.
    pub items: Vec<LicenseItem>,
    /// The items that this version does not understand. Nothing can be granted from them here.
    pub unknown_items: Vec<UnknownItem>,
}

impl Document for LicenseFile {
    const CONTEXT: &'static str = "license file";
}

/// A license item that this version does not understand, because a newer one has written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownItem {
    /// Id of the item; empty if it has none.
    pub item_id: String,
    /// What is not known of it, as a clause that follows the item: `has the charge way "hour"`.
    pub what: String,
    /// The item as it is written.
    pub written: Value,
}

/// A license file as it is written, with items that are read or only taken over.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Written<I> {
    version: u32,
    file_id: String,
    organization_id: String,
    organization_name: String,
    server_key: PublicKey,
    issued_at: u64,
    items: Vec<I>,
}

/// An item of a file that is written.
#[derive(Serialize)]
#[serde(untagged)]
enum WrittenItem<'a> {
    Known(&'a LicenseItem),
    Unknown(&'a Value),
}

impl LicenseFile {
    /// Read a file that must not have unknown items: a draft, whose author wants to know what is
    /// wrong and where.
    ///
    /// # Errors
    /// Returns the first fault with its line.
    pub fn from_draft(text: &str) -> serde_json::Result<Self> {
        let mut file: Written<LicenseItem> = serde_json::from_str(text)?;
        let items = std::mem::take(&mut file.items);
        Ok(Self::with_items(file, items, Vec::new()))
    }

    fn with_items<I>(
        file: Written<I>,
        items: Vec<LicenseItem>,
        unknown_items: Vec<UnknownItem>,
    ) -> Self {
        Self {
            version: file.version,
            file_id: file.file_id,
            organization_id: file.organization_id,
            organization_name: file.organization_name,
            server_key: file.server_key,
            issued_at: file.issued_at,
            items,
            unknown_items,
        }
    }
}

impl<'de> Deserialize<'de> for LicenseFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut file = Written::<Value>::deserialize(deserializer)?;
        let (mut items, mut unknown_items) = (Vec::new(), Vec::new());
        for written in std::mem::take(&mut file.items) {
            match LicenseItem::deserialize(&written) {
                Ok(item) => items.push(item),
                Err(error) => unknown_items.push(UnknownItem::new(written, &error)),
            }
        }
        Ok(Self::with_items(file, items, unknown_items))
    }
}

impl Serialize for LicenseFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self.items.iter().map(WrittenItem::Known);
        let unknown = self.unknown_items.iter().map(|item| WrittenItem::Unknown(&item.written));
        Written {
            version: self.version,
            file_id: self.file_id.clone(),
            organization_id: self.organization_id.clone(),
            organization_name: self.organization_name.clone(),
            server_key: self.server_key.clone(),
            issued_at: self.issued_at,
            items: known.chain(unknown).collect(),
        }
        .serialize(serializer)
    }
}

impl UnknownItem {
    fn new(written: Value, error: &serde_json::Error) -> Self {
        let is_unknown_type = |kind: &&Value| DeploymentType::deserialize(*kind).is_err();
        let types = written.get("deployment_types").and_then(Value::as_array);
        let what = if let Some(way) =
            written.get("charge_way").filter(|way| ChargeWay::deserialize(*way).is_err())
        {
            format!("has the charge way {way}")
        } else if let Some(kind) = types.and_then(|types| types.iter().find(is_unknown_type)) {
            format!("has the deployment type {kind}")
        } else {
            format!("has another form ({error})")
        };
        let item_id = written.get("item_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { item_id, what, written }
    }
}

/// A permit of a license file.
///
/// Every setting that has a default may be absent from a license file. `docs/wire.md` says which
/// belong to which charge way, and [`crate::item_check`] checks that, with their ranges. A setting
/// that this version does not know may restrict the item, so an item that has one is not
/// understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LicenseItem {
    /// Id of the item, unique for the server.
    pub item_id: String,
    /// The charge way of the item.
    pub charge_way: ChargeWay,
    /// N: scans, devices, servers or instances. 0 for pages, whose modules have quotas of their
    /// own, and for domains, whose use is unlimited.
    #[serde(default)]
    pub quota: u64,
    /// Deployment types for which it may be used.
    pub deployment_types: Vec<DeploymentType>,
    /// Bits of the products that it covers, as in the C API.
    pub products: u32,
    /// First instant at which the item is valid, Unix seconds.
    pub starts_at: u64,
    /// First instant at which the item is no longer valid, Unix seconds; the grace comes after it.
    pub expires_at: u64,
    /// Most days for which a device may work without contact. 0 means one slot.
    #[serde(default = "default_offline_days")]
    pub offline_days: u32,
    /// Client devices, active devices and servers: days for which a device keeps its seat. See
    /// [`LicenseItem::window_days`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_days: Option<u32>,
    /// Pages: the quota of each module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_quotas: Option<PageQuotas>,
    /// Domain: the domains under which it may be used, as `company.com` or `*.company.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Concurrent devices and instances: device- or instance-slots above N in a license year. See
    /// [`LicenseItem::overuse_budget`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overuse_budget: Option<u64>,
    /// Concurrent devices and instances: growth of the budget per day.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overuse_growth_per_day: u64,
    /// Scans and pages: whether devices count only within allowances that the server has set aside
    /// for them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Names of the modules that it covers; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Versions of the product that it covers.
    #[serde(default, skip_serializing_if = "VersionRange::is_unbounded")]
    pub versions: VersionRange,
    /// The edition of the product that it covers; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<String>,
    /// Ids of required items: they must be under the same handshake code and in effect, or this
    /// item grants nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Whether the item is a trial; the application can see that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trial: bool,
}

/// The number of pages that each module may count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PageQuotas {
    /// Pages acquired from a scanner or imported.
    pub core: u64,
    /// Frames captured.
    pub webcam: u64,
    /// Pages rasterised from PDF.
    pub pdfr: u64,
    /// Pages recognized.
    pub ocr: u64,
}

/// Versions from one to another, both included where they are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VersionRange {
    /// The first version that is covered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The last version that is covered, with all versions that begin with it: `9` covers 9.6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Version>,
}

fn default_offline_days() -> u32 {
    30
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl VersionRange {
    /// Return whether the range covers all versions.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Return whether the range covers any version. The range from 9.1 to 9 does, because `9`
    /// stands for all versions that begin with it.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.from
            .as_ref()
            .is_none_or(|from| self.to.as_ref().is_none_or(|to| from <= to || from.begins_with(to)))
    }

    /// Return whether the range covers this version.
    #[must_use]
    pub fn covers(&self, version: &Version) -> bool {
        self.from.as_ref().is_none_or(|from| version >= from)
            && self.to.as_ref().is_none_or(|to| version <= to || version.begins_with(to))
    }
}

impl PageQuotas {
    /// Return the number of each module, with its quota.
    #[must_use]
    pub fn by_module(self) -> [(u32, u64); PAGE_MODULES.len()] {
        let quotas = [self.core, self.webcam, self.pdfr, self.ocr];
        std::array::from_fn(|at| (PAGE_MODULES[at].1, quotas[at]))
    }
}

impl LicenseItem {
    /// Days of the window of a client device or an active device, if the item does not state it.
    pub const WINDOW_DAYS_DEFAULT: u32 = 90;
    /// Days of the window of a server, if the item does not state it.
    pub const SERVER_WINDOW_DAYS_DEFAULT: u32 = 1;
    /// Overuse budget for each of N, if the item states no budget.
    pub const OVERUSE_BUDGET_PER_QUOTA: u64 = 1_000;

    /// Return an item for deployment type server and all products, with every setting at its
    /// default.
    #[must_use]
    pub fn new(
        item_id: &str,
        charge_way: ChargeWay,
        quota: u64,
        starts_at: u64,
        expires_at: u64,
    ) -> Self {
        Self {
            item_id: item_id.to_owned(),
            charge_way,
            quota,
            deployment_types: vec![DeploymentType::Server],
            products: PRODUCTS_ALL,
            starts_at,
            expires_at,
            offline_days: default_offline_days(),
            window_days: None,
            page_quotas: None,
            domains: Vec::new(),
            overuse_budget: None,
            overuse_growth_per_day: 0,
            strict: false,
            modules: Vec::new(),
            versions: VersionRange::default(),
            edition: None,
            requires: Vec::new(),
            trial: false,
        }
    }

    /// Return every module that the item counts, with its quota; 0 is the module of scans.
    #[must_use]
    pub fn metered_quotas(&self) -> Vec<(u32, u64)> {
        match self.charge_way {
            ChargeWay::BarcodeScan => vec![(0, self.quota)],
            ChargeWay::Page => {
                let quotas = self.page_quotas.unwrap_or_default().by_module();
                quotas.into_iter().filter(|(_, quota)| *quota > 0).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Return whether the item serves a request with this deployment type.
    #[must_use]
    pub fn serves(&self, asked: DeploymentType) -> bool {
        self.deployment_types.contains(&self.charge_way.counts_as(asked))
    }

    /// Return the first instant at which the grace after expiry is over, too.
    #[must_use]
    pub fn grace_ends_at(&self) -> u64 {
        self.expires_at.saturating_add(EXPIRY_GRACE_DAYS * DAY_SECONDS)
    }

    /// Return the days for which a device keeps its seat: as stated, else 90, for servers 1.
    #[must_use]
    pub fn window_days(&self) -> u32 {
        let default = match self.charge_way {
            ChargeWay::Server => Self::SERVER_WINDOW_DAYS_DEFAULT,
            _ => Self::WINDOW_DAYS_DEFAULT,
        };
        self.window_days.unwrap_or(default)
    }

    /// Return the device- or instance-slots above N in a license year: as stated, else 1000·N.
    #[must_use]
    pub fn overuse_budget(&self) -> u64 {
        self.overuse_budget.unwrap_or(self.quota.saturating_mul(Self::OVERUSE_BUDGET_PER_QUOTA))
    }
}

/// The document that a server signs and gives to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LocalLicense {
    /// Version of this document's format.
    pub version: u32,
    /// Unguessable id; usage reports name it.
    pub license_id: String,
    /// Serial, which grows with every license for the same device and item: the newest grant wins.
    pub serial: u32,
    /// The item from which it is granted.
    pub item_id: String,
    /// The handshake code of the request.
    pub handshake_code: String,
    /// The UUID of the device that may use it.
    pub device_uuid: String,
    /// The charge way of the item.
    pub charge_way: ChargeWay,
    /// Seats of the device; 0 where the charge way has no seats.
    pub seats: u32,
    /// Instant of the grant by the server's clock, Unix seconds.
    pub issued_at: u64,
    /// First instant at which it is no longer valid without renewal, Unix seconds.
    pub valid_until: u64,
    /// First instant of the grace after the item's expiry, Unix seconds.
    pub item_expires_at: u64,
    /// The key of the device that may use it.
    pub device_key: PublicKey,
    /// The place of this license in the history of the device with this server.
    pub generation: Generation,
    /// Epoch of the server's data at the grant: see [`crate::message::UsageAnswer::epoch`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub epoch: String,
    /// Strict items: the totals that the device may reach without another request, one for each
    /// module that it may count; empty where nothing limits it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<CountAllowance>,
}

/// A place in the history of a device with one server. Each license is a step; a device that shows
/// a license before its newest one begins a branch there, because the later ones are lost to it.
///
/// ```text
/// branch 1: 1 ─▶ 2 ─▶ 3 ─▶ 4        an installation that shows 4 now is another one
/// branch 2:      └──▶ 3 ─▶ 4        the device was restored to 2, and continues here
/// ```
///
/// Of two places in a history, the greater one is the newer.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Generation {
    /// The number of the branch; the first one is 1.
    pub branch: u32,
    /// The number of licenses on the way to this one, this one included, without branches that were
    /// left.
    pub step: u32,
}

/// The total up to which a device may count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CountAllowance {
    /// Module of pages; 0 for scans.
    #[serde(default, skip_serializing_if = "is_no_module")]
    pub module: u32,
    /// The largest total that the device may reach, counted since it first used the item.
    pub allowed: u64,
    /// The part of that total that the server had recorded when it granted this license.
    pub used: u64,
}

fn is_no_module(module: &u32) -> bool {
    *module == 0
}

impl Document for LocalLicense {
    const CONTEXT: &'static str = "local license";
    const IS_BATCHED: bool = true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item_check::check_file;
    use crate::signature::SigningKey;

    type Change = fn(&mut Value);

    /// Return a file with the items `a` and `b`, the first of which is changed in its text.
    fn file_with(change: Change) -> LicenseFile {
        let item = |id| LicenseItem::new(id, ChargeWay::Server, 3, 1, 2);
        let file = LicenseFile {
            version: 1,
            file_id: "file".into(),
            organization_id: "acme".into(),
            organization_name: "Acme".into(),
            server_key: SigningKey::from_seed(&"1".repeat(64)).unwrap().public().clone(),
            issued_at: 1,
            items: vec![item("a"), item("b")],
            unknown_items: Vec::new(),
        };
        let mut written = serde_json::to_value(file).unwrap();
        change(&mut written["items"][0]);
        serde_json::from_value(written).unwrap()
    }

    #[test]
    fn an_item_of_a_newer_kind_leaves_the_others_usable_and_is_named_by_who_must_know_it() {
        let newer: [(Change, &str); 6] = [
            (|item| item["charge_way"] = "hour".into(), r#"has the charge way "hour","#),
            (
                |item| item["deployment_types"] = vec!["server", "tv"].into(),
                r#"has the deployment type "tv","#,
            ),
            (|item| item["hours"] = 7.into(), "unknown field `hours`"),
            (|item| item["page_quotas"] = serde_json::json!({"scan_3d": 1}), "`scan_3d`"),
            (|item| item["versions"] = serde_json::json!({"until": "9"}), "`until`"),
            (|item| item["quota"] = "many".into(), r#"invalid type: string "many""#),
        ];
        for (change, named) in newer {
            let file = file_with(change);
            assert_eq!(file.items.iter().map(|item| &item.item_id).collect::<Vec<_>>(), ["b"]);
            let said = check_file(&file).unwrap_err();
            assert!(said.starts_with("item \"a\" has ") && said.contains(named), "{said}");
            assert!(said.contains("install a newer"), "{said}");
        }
    }

    #[test]
    fn an_item_that_is_not_understood_is_kept_as_it_is_written() {
        let file = file_with(|item| item["hours"] = 7.into());
        let again = serde_json::to_value(&file).unwrap();
        assert_eq!(again["items"][1]["hours"], 7);
        assert_eq!(serde_json::from_value::<LicenseFile>(again).unwrap(), file);
    }

    #[test]
    fn a_draft_is_read_strictly_and_its_line_is_named() {
        let written = serde_json::to_string_pretty(&file_with(|_| ())).unwrap();
        assert!(LicenseFile::from_draft(&written).is_ok());
        let wrong = written.replacen("\"server\"", "\"hour\"", 1);
        let said = LicenseFile::from_draft(&wrong).unwrap_err().to_string();
        assert!(said.contains("unknown variant `hour`") && said.contains("line"), "{said}");
    }
}
