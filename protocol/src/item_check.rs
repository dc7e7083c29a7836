//! The checks of a license file beyond its signature: the values that a vendor may write into it.
//!
//! The vendor's tool and the server's import apply the same checks, so that the server can import
//! every file that the tool signs. Settings that belong to each charge way:
//!
//! | setting | charge ways | range | absent means |
//! | --- | --- | --- | --- |
//! | `quota` | all but page and domain | 1 to 2^50 | – |
//! | `page_quotas` | page | at least one module above 0 | – |
//! | `domains` | domain | 1 to 1024 | – |
//! | `window_days` | client device, active device, server | 1, 30, 90, 365 | 90; server 1 |
//! | `overuse_budget`, `overuse_growth_per_day` | concurrent device, concurrent instance | up to 2^60 | 1000·N, 0 |
//! | `strict` | scan, page | | false |
//!
//! A setting that belongs to another charge way is an error, because its author expects an effect.

use crate::charge_way::{ChargeWay, DeploymentType};
use crate::license::{LicenseFile, LicenseItem, PageQuotas, UnknownItem};
use crate::license_module::spelling_of;
use crate::message::TEXT_BYTES_MAX;

/// The version of license files and local licenses.
pub const DOCUMENT_VERSION: u32 = 1;

/// Most items of one license file.
pub const ITEMS_MAX: usize = 1_024;

/// Most days that an item may allow a device to work without contact.
pub const OFFLINE_DAYS_MAX: u32 = 365;

/// The greatest N: 1000·N still fits into 64 bits with headroom for a sum.
pub const QUOTA_MAX: u64 = 1 << 50;

/// The greatest overuse budget and growth.
pub const BUDGET_MAX: u64 = 1 << 60;

/// Most entries of a list of texts: domains, modules, required items.
pub const LIST_MAX: usize = 1_024;

/// The windows that an item can state.
pub const WINDOWS_DAYS: [u32; 4] = [1, 30, 90, 365];

/// Check a license file with all its items.
///
/// # Errors
/// Returns the first fault, as a clause for a sentence.
pub fn check_file(file: &LicenseFile) -> Result<(), String> {
    if file.version != DOCUMENT_VERSION {
        return Err(format!(
            "it has version {}, this program reads {DOCUMENT_VERSION}",
            file.version
        ));
    }
    let texts = [&file.file_id, &file.organization_id, &file.organization_name];
    if texts.into_iter().any(|text| !is_text(text)) {
        return Err(format!("an id or name in it {}", no_text()));
    }
    if let Some(UnknownItem { item_id, what, .. }) = file.unknown_items.first() {
        return Err(format!(
            "item \"{item_id}\" {what}, which this version does not know: install a newer seatmeterd"
        ));
    }
    if file.items.is_empty() || file.items.len() > ITEMS_MAX {
        return Err(format!("it has {} items; 1 to {ITEMS_MAX} are allowed", file.items.len()));
    }
    for item in &file.items {
        check_item(item).map_err(|why| format!("item \"{}\" {why}", item.item_id))?;
        if file.items.iter().filter(|other| other.item_id == item.item_id).count() > 1 {
            return Err(format!("item \"{}\" is in it twice", item.item_id));
        }
    }
    Ok(())
}

/// Check one item.
///
/// # Errors
/// Returns the first fault, as the end of a sentence that begins with the item.
pub fn check_item(item: &LicenseItem) -> Result<(), String> {
    if !is_text(&item.item_id) {
        return Err(format!("has an id that {}", no_text()));
    }
    if item.deployment_types.is_empty() || item.products == 0 {
        return Err("permits nothing: deployment types or products are empty".into());
    }
    if item.starts_at >= item.expires_at {
        return Err("expires before it starts".into());
    }
    if item.offline_days > OFFLINE_DAYS_MAX {
        return Err(format!("has more than {OFFLINE_DAYS_MAX} offline days"));
    }
    check_quota(item)?;
    check_window(item)?;
    check_overuse(item)?;
    if item.strict && !item.charge_way.is_metered() {
        return Err(belongs_elsewhere("strict", "scans and pages"));
    }
    let for_servers = match item.charge_way {
        ChargeWay::ConcurrentInstance => Some("concurrent instances"),
        ChargeWay::Server => Some("servers"),
        _ => None,
    };
    if let Some(what) = for_servers.filter(|_| item.deployment_types != [DeploymentType::Server]) {
        return Err(format!(
            "is charged by {what}, which are for servers only: its deployment_types must be \
             [\"server\"]"
        ));
    }
    if !item.versions.has_any() {
        return Err("covers a range of versions that ends below its start".into());
    }
    check_texts(item)
}

fn check_quota(item: &LicenseItem) -> Result<(), String> {
    let in_range = |quota: u64| (1..=QUOTA_MAX).contains(&quota);
    let is_domain = item.charge_way == ChargeWay::Domain;
    match (item.charge_way, item.page_quotas) {
        (ChargeWay::Page, None) => {
            return Err("permits nothing: an item by pages needs page_quotas".into());
        }
        (ChargeWay::Page, Some(PageQuotas { core, webcam, pdfr, ocr })) => {
            let quotas = [core, webcam, pdfr, ocr];
            if quotas == [0; 4] || quotas.iter().any(|quota| *quota > QUOTA_MAX) || item.quota != 0
            {
                return Err(format!(
                    "must have page_quotas of up to {QUOTA_MAX}, not all of them 0, and no quota \
                     in addition"
                ));
            }
        }
        (_, Some(_)) => return Err(belongs_elsewhere("page_quotas", "pages")),
        (ChargeWay::Domain, None) if item.quota != 0 => {
            return Err("has a quota, but use under a domain is unlimited".into());
        }
        (_, None) if !is_domain && !in_range(item.quota) => {
            return Err(format!(
                "permits nothing: its quota is {}; 1 to {QUOTA_MAX} are allowed",
                item.quota
            ));
        }
        _ => {}
    }
    if is_domain == item.domains.is_empty() {
        return Err(match is_domain {
            true => "permits nothing: an item by domain needs domains".into(),
            false => belongs_elsewhere("domains", "domain"),
        });
    }
    Ok(())
}

fn check_window(item: &LicenseItem) -> Result<(), String> {
    let Some(days) = item.window_days else { return Ok(()) };
    if !item.charge_way.has_window() {
        return Err(belongs_elsewhere("window_days", "client devices, active devices and servers"));
    }
    if !WINDOWS_DAYS.contains(&days) {
        return Err(format!("has a window of {days} days; it can be 1, 30, 90 or 365"));
    }
    Ok(())
}

fn check_overuse(item: &LicenseItem) -> Result<(), String> {
    if item.overuse_budget.is_none() && item.overuse_growth_per_day == 0 {
        return Ok(());
    }
    if !item.charge_way.is_concurrent() {
        return Err(belongs_elsewhere("an overuse budget", "concurrent devices and instances"));
    }
    if item.overuse_budget() > BUDGET_MAX || item.overuse_growth_per_day > BUDGET_MAX {
        return Err(format!("has an overuse budget above {BUDGET_MAX}"));
    }
    Ok(())
}

fn check_texts(item: &LicenseItem) -> Result<(), String> {
    for (name, list) in
        [("domains", &item.domains), ("modules", &item.modules), ("required items", &item.requires)]
    {
        if list.len() > LIST_MAX || list.iter().any(|text| !is_text(text)) {
            return Err(format!("has more than {LIST_MAX} {name}, or one that {}", no_text()));
        }
    }
    for name in &item.modules {
        if let Some(known) = spelling_of(name).filter(|known| known != name) {
            return Err(format!("has the module \"{name}\": its name is spelled \"{known}\""));
        }
    }
    if item.requires.contains(&item.item_id) {
        return Err("requires itself".into());
    }
    if item.edition.as_ref().is_some_and(|edition| !is_text(edition)) {
        return Err(format!("has an edition that {}", no_text()));
    }
    Ok(())
}

fn belongs_elsewhere(setting: &str, charge_way: &str) -> String {
    format!("has {setting}, which belongs to items charged by {charge_way}")
}

/// Return why something is not a text, as the end of a clause.
fn no_text() -> String {
    format!("is empty, has more than {TEXT_BYTES_MAX} bytes, or control characters")
}

/// Return whether a text has no control character. Nobody can type one on a command line, no
/// database of text accepts a NUL, and a terminal obeys them.
fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::VersionRange;

    type Change = &'static dyn Fn(&mut LicenseItem);

    fn item(charge_way: ChargeWay) -> LicenseItem {
        let mut item = LicenseItem::new("item", charge_way, 10, 1, 2);
        match charge_way {
            ChargeWay::Page => {
                item.quota = 0;
                item.page_quotas = Some(PageQuotas { ocr: 5, ..PageQuotas::default() });
            }
            ChargeWay::Domain => {
                item.quota = 0;
                item.domains = vec!["company.com".into()];
            }
            _ => {}
        }
        item
    }

    #[test]
    fn a_plain_item_of_every_charge_way_is_accepted() {
        for (way, _) in ChargeWay::ALL {
            assert_eq!(check_item(&item(way)), Ok(()), "{way:?}");
        }
    }

    #[test]
    fn each_setting_belongs_to_its_charge_ways() {
        use ChargeWay::*;
        let settings: [(Change, &[ChargeWay]); 6] = [
            (&|i| i.window_days = Some(30), &[ClientDevice, ActiveDevice, Server]),
            (&|i| i.overuse_budget = Some(7), &[ConcurrentDevice, ConcurrentInstance]),
            (&|i| i.overuse_growth_per_day = 7, &[ConcurrentDevice, ConcurrentInstance]),
            (&|i| i.strict = true, &[BarcodeScan, Page]),
            (&|i| i.domains = vec!["a.example".into()], &[Domain]),
            (&|i| i.page_quotas = Some(PageQuotas { core: 1, ..PageQuotas::default() }), &[Page]),
        ];
        for (set, ways) in settings {
            for (way, _) in ChargeWay::ALL {
                let mut item = item(way);
                set(&mut item);
                assert_eq!(check_item(&item).is_ok(), ways.contains(&way), "{item:?}");
            }
        }
    }

    #[test]
    fn each_range_is_kept() {
        let changes: [(ChargeWay, Change); 20] = [
            (ChargeWay::BarcodeScan, &|i| i.quota = 0),
            (ChargeWay::BarcodeScan, &|i| i.quota = QUOTA_MAX + 1),
            (ChargeWay::Page, &|i| i.quota = 1),
            (ChargeWay::Page, &|i| i.page_quotas = None),
            (ChargeWay::Page, &|i| i.page_quotas = Some(PageQuotas::default())),
            (ChargeWay::Domain, &|i| i.domains.clear()),
            (ChargeWay::Domain, &|i| i.quota = 1),
            (ChargeWay::ClientDevice, &|i| i.window_days = Some(7)),
            (ChargeWay::ConcurrentDevice, &|i| i.overuse_budget = Some(BUDGET_MAX + 1)),
            (ChargeWay::ConcurrentInstance, &|i| i.deployment_types.push(DeploymentType::Desktop)),
            (ChargeWay::Server, &|i| i.deployment_types.push(DeploymentType::Desktop)),
            (ChargeWay::Server, &|i| i.deployment_types.clear()),
            (ChargeWay::Server, &|i| i.products = 0),
            (ChargeWay::Server, &|i| i.expires_at = i.starts_at),
            (ChargeWay::Server, &|i| i.offline_days = OFFLINE_DAYS_MAX + 1),
            (ChargeWay::Server, &|i| i.item_id.clear()),
            (ChargeWay::Server, &|i| i.item_id.push('\0')),
            (ChargeWay::Server, &|i| i.modules = vec!["\u{1b}[2J".into()]),
            (ChargeWay::Server, &|i| i.requires = vec!["item".into()]),
            (ChargeWay::Server, &|i| i.edition = Some(String::new())),
        ];
        for (way, change) in changes {
            let mut item = item(way);
            change(&mut item);
            assert!(check_item(&item).is_err(), "{item:?}");
        }
    }

    #[test]
    fn the_names_of_modules_have_one_spelling() {
        let with =
            |name: &str| LicenseItem { modules: vec![name.into()], ..item(ChargeWay::Server) };
        for good in ["OCR", "QR_CODE", "A module of our own"] {
            assert_eq!(check_item(&with(good)), Ok(()), "{good}");
        }
        for bad in ["ocr", "Ocr", "qr_code"] {
            let said = check_item(&with(bad)).unwrap_err();
            assert!(said.contains(bad) && said.contains("is spelled"), "{said}");
        }
    }

    #[test]
    fn a_range_of_versions_that_has_any_is_accepted() {
        let between = |from: &str, to: &str| {
            let version = |text: &str| Some(text.parse().unwrap());
            let versions = VersionRange { from: version(from), to: version(to) };
            check_item(&LicenseItem { versions, ..item(ChargeWay::Server) })
        };
        for (from, to) in [("9.1", "9"), ("9.6.1", "9.6"), ("9", "9"), ("8.8", "9")] {
            assert_eq!(between(from, to), Ok(()), "{from} to {to}");
        }
        for (from, to) in [("9.1", "8"), ("9.1", "9.0"), ("10", "9"), ("9.6.1", "9.5")] {
            assert!(between(from, to).is_err(), "{from} to {to}");
        }
    }

    #[test]
    fn settings_that_are_absent_have_their_defaults() {
        let text = r#"{"item_id":"a","charge_way":"server","quota":3,"deployment_types":["server"],
                       "products":1,"starts_at":1,"expires_at":2}"#;
        let item: LicenseItem = serde_json::from_str(text).unwrap();
        assert_eq!(
            item,
            LicenseItem { products: 1, ..LicenseItem::new("a", ChargeWay::Server, 3, 1, 2) }
        );
        assert_eq!((item.offline_days, item.window_days(), item.overuse_budget()), (30, 1, 3_000));
        assert_eq!(LicenseItem { charge_way: ChargeWay::ClientDevice, ..item }.window_days(), 90);
    }
}
