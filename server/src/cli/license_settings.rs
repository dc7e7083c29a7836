//! The settings of a license item as flags, for a new draft and for the renewal of a file.

use clap::{ArgAction, Args};
use seatmeter_protocol::charge_way::DeploymentType;
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem, PageQuotas};
use seatmeter_protocol::license_module::spelling_of;
use seatmeter_protocol::version::Version;

use crate::error::Error;
use crate::utc;

/// Settings of an item. A setting that is not given stays as it is.
#[derive(Args, Debug, Default)]
pub(super) struct Settings {
    /// The quota N: scans, devices, servers or instances
    #[arg(long, value_name = "N")]
    quota: Option<u64>,
    /// Pages of module core, webcam, pdfr or ocr, as ocr=1000; repeat for more
    #[arg(long, value_name = "MODULE=N", value_parser = page_quota)]
    pages: Vec<(String, u64)>,
    /// A domain under which the item may be used; repeat for more
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// A deployment type for which the item may be used; repeat for more
    ///
    /// Without it, a new draft gets these: server for server and concurrent-instance; desktop,
    /// embedded, mobile and browser for client-device, active-device and concurrent-device; browser
    /// and server for domain; all but oem for barcode-scan and page.
    #[arg(long, value_enum)]
    deployment: Vec<DeploymentType>,
    /// The first day or instant at which the item is valid, such as 2027-01-01
    #[arg(long, value_name = "TIME")]
    starts: Option<String>,
    /// The first day or instant at which the item is no longer valid, such as 2027-12-31
    #[arg(long, value_name = "TIME", conflicts_with = "days")]
    expires: Option<String>,
    /// Days for which the item is valid, from now on
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: Option<u64>,
    /// Most days for which a device may work without contact; 0 for one slot
    #[arg(long, value_name = "DAYS")]
    offline_days: Option<u32>,
    /// Days for which a device keeps its seat; for devices and servers
    #[arg(long, value_name = "DAYS")]
    window_days: Option<u32>,
    /// Overuse budget of a license year; for the concurrent options
    #[arg(long, value_name = "SLOTS")]
    overuse_budget: Option<u64>,
    /// Growth of the overuse budget for each day; for the concurrent options
    #[arg(long, value_name = "SLOTS")]
    overuse_growth_per_day: Option<u64>,
    /// Let devices count only within allowances that the server sets aside; for scans and pages
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = ArgAction::Set, value_name = "true|false")]
    strict: Option<bool>,
    /// Bits of the products that the item covers, such as 0x3
    #[arg(long, value_name = "BITS", value_parser = bits)]
    products: Option<u32>,
    /// A module that the item covers; repeat for more
    #[arg(long, value_name = "NAME", value_parser = module_name)]
    module: Vec<String>,
    /// The first version of the product that the item covers
    #[arg(long, value_name = "VERSION")]
    version_from: Option<Version>,
    /// The last version of the product that the item covers
    #[arg(long, value_name = "VERSION")]
    version_to: Option<Version>,
    /// The edition of the product that the item covers
    #[arg(long, value_name = "NAME")]
    edition: Option<String>,
    /// An item that must be under the same handshake code; repeat for more
    #[arg(long, value_name = "ID")]
    requires: Vec<String>,
    /// Mark the item as a trial
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = ArgAction::Set, value_name = "true|false")]
    trial: Option<bool>,
}

fn bits(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|e| format!("{e}: write a number such as 3 or 0x3"))
}

fn page_quota(text: &str) -> Result<(String, u64), String> {
    let parsed =
        text.split_once('=').and_then(|(module, n)| Some((module.to_owned(), n.parse().ok()?)));
    parsed
        .filter(|(module, _)| quota_of(&mut PageQuotas::default(), module).is_some())
        .ok_or_else(|| "write core=N, webcam=N, pdfr=N or ocr=N".to_owned())
}

fn quota_of<'q>(quotas: &'q mut PageQuotas, module: &str) -> Option<&'q mut u64> {
    match module {
        "core" => Some(&mut quotas.core),
        "webcam" => Some(&mut quotas.webcam),
        "pdfr" => Some(&mut quotas.pdfr),
        "ocr" => Some(&mut quotas.ocr),
        _ => None,
    }
}

/// Return the name of a module as it is spelled. A name that is none is refused with the file.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
fn module_name(name: &str) -> Result<String, String> {
    Ok(spelling_of(name).unwrap_or(name).to_owned())
}

impl Settings {
    /// Return whether nothing is named but the end of items.
    pub(super) fn is_only_the_end(&self) -> bool {
        let Self { expires, days, .. } = self;
        let ends = Self { expires: expires.clone(), days: *days, ..Self::default() };
        format!("{self:?}") == format!("{ends:?}")
    }

    /// Change an item as these settings say.
    pub(super) fn apply(&self, item: &mut LicenseItem, now: u64) -> Result<(), Error> {
        set(&mut item.quota, self.quota);
        self.apply_pages(item)?;
        set_list(&mut item.domains, &self.domain);
        set_list(&mut item.deployment_types, &once(&self.deployment));
        set(&mut item.starts_at, self.starts.as_deref().map(utc::seconds).transpose()?);
        set(&mut item.expires_at, self.days.map(|days| now + days * DAY_SECONDS));
        set(&mut item.expires_at, self.expires.as_deref().map(utc::seconds).transpose()?);
        set(&mut item.offline_days, self.offline_days);
        set(&mut item.overuse_growth_per_day, self.overuse_growth_per_day);
        set(&mut item.strict, self.strict);
        set(&mut item.products, self.products);
        set(&mut item.trial, self.trial);
        item.window_days = self.window_days.or(item.window_days);
        item.overuse_budget = self.overuse_budget.or(item.overuse_budget);
        set_list(&mut item.modules, &self.module);
        set_list(&mut item.requires, &self.requires);
        if let Some(edition) = &self.edition {
            item.edition = Some(edition.clone());
        }
        if let Some(from) = &self.version_from {
            item.versions.from = Some(from.clone());
        }
        if let Some(to) = &self.version_to {
            item.versions.to = Some(to.clone());
        }
        Ok(())
    }

    fn apply_pages(&self, item: &mut LicenseItem) -> Result<(), Error> {
        for (i, (module, quota)) in self.pages.iter().enumerate() {
            if self.pages[..i].iter().any(|(before, _)| before == module) {
                return Err(Error::Setup(format!(
                    "--pages names {module} twice: write its pages once."
                )));
            }
            let quotas = item.page_quotas.get_or_insert_with(PageQuotas::default);
            if let Some(of_module) = quota_of(quotas, module) {
                *of_module = *quota;
            }
        }
        Ok(())
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn set_list<T: Clone>(place: &mut Vec<T>, values: &[T]) {
    if !values.is_empty() {
        *place = values.to_vec();
    }
}

/// Return each deployment type once.
fn once(kinds: &[DeploymentType]) -> Vec<DeploymentType> {
    let mut chosen = Vec::new();
    for kind in kinds {
        if !chosen.contains(kind) {
            chosen.push(*kind);
        }
    }
    chosen
}
