//! The bounds of a local license: all that the vendor signed about its item.
//!
//! A licensee who runs a server can sign anything with the server's own key. So the device compares
//! every field of a local license, and its own request, with the item in the vendor's file. A
//! license may narrow the item, but never widen it.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::grace::{self, METERED_GRACE_PERCENT};
use seatmeter_protocol::license::{CountAllowance, DAY_SECONDS, LicenseItem, LocalLicense};
use seatmeter_protocol::slot::SLOT_SECONDS;
use seatmeter_protocol::version::Version;

use crate::built_in;
use crate::parameters::Parameters;

/// The request of a program, as far as the item must cover it.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    /// The deployment type of the request.
    deployment_type: DeploymentType,
    /// Bits of the products asked for.
    products: u32,
    /// Names of the modules asked for.
    modules: &'a [String],
    /// The version of the product, if its vendor has built one in.
    version: Option<&'a Version>,
    /// The edition of the product, if its vendor has built one in.
    edition: Option<&'a str>,
    /// The host of the website, or empty.
    website: &'a str,
}

/// Check that a license stays within its item. This verifies no signature.
///
/// # Errors
/// Returns the reason in a sentence.
pub(super) fn within(local: &LocalLicense, item: &LicenseItem) -> Result<(), String> {
    let wider = |what: &str, has: u64, may: u64| {
        Err(format!("the license server grants {what} {has}, and the vendor issued {may}"))
    };
    if local.charge_way != item.charge_way {
        return Err("the license has another charge way than its item".into());
    }
    if u64::from(local.seats) > item.quota {
        return Err(format!(
            "the license grants {} seats, its item has {}",
            local.seats, item.quota
        ));
    }
    if local.issued_at < item.starts_at {
        return wider("from the instant", local.issued_at, item.starts_at);
    }
    if local.item_expires_at > item.expires_at {
        return wider("an item until the instant", local.item_expires_at, item.expires_at);
    }
    if local.valid_until > item.grace_ends_at() {
        return Err("the license is valid for longer than its item".into());
    }
    let offline = match item.offline_days {
        0 => SLOT_SECONDS,
        days => u64::from(days) * DAY_SECONDS,
    };
    if local.valid_until.saturating_sub(local.issued_at) > offline {
        let seconds = local.valid_until.saturating_sub(local.issued_at);
        return wider("so many seconds without contact:", seconds, offline);
    }
    local.allowances.iter().try_for_each(|allowance| match limit(item, allowance) {
        // What is used already is no permission.
        Some(limit) if allowance.allowed > limit.max(allowance.used) => {
            wider("the total", allowance.allowed, limit)
        }
        Some(_) => Ok(()),
        None => Err(format!("the license allows module {}, its item does not", allowance.module)),
    })
}

/// Return the quota and grace of what an allowance counts; `None` where the item has no such quota.
fn limit(item: &LicenseItem, allowance: &CountAllowance) -> Option<u64> {
    let mut quotas = item.metered_quotas().into_iter();
    let (_, quota) = quotas.find(|(module, _)| *module == allowance.module)?;
    Some(grace::limit(quota, METERED_GRACE_PERCENT))
}

/// Check that an item covers what a program with these parameters asks for. This verifies no
/// signature. Otherwise a license of the item does not serve the program, whatever the reason why
/// its server granted it.
///
/// # Errors
/// Returns the reason in a sentence.
pub fn covers(item: &LicenseItem, parameters: &Parameters) -> Result<(), String> {
    let version = built_in::product_version()?;
    let wanted = Wanted {
        deployment_type: parameters.deployment_type,
        products: parameters.products,
        modules: &parameters.modules,
        version: version.as_ref(),
        edition: built_in::PRODUCT_EDITION,
        website: &parameters.settings.website_domain,
    };
    covers_wanted(item, &wanted)
}

fn covers_wanted(item: &LicenseItem, wanted: &Wanted<'_>) -> Result<(), String> {
    let refused = |asked: String, what: &str| {
        Err(format!(
            "{asked} was asked for, and the license server granted item \"{}\", which the vendor \
             issued for other {what}",
            item.item_id
        ))
    };
    if !item.serves(wanted.deployment_type) {
        let asked = format!("deploymentType {}", wanted.deployment_type.number());
        return refused(asked, "deployment types");
    }
    if wanted.products & !item.products != 0 {
        return refused(format!("products {:#x}", wanted.products), "products");
    }
    let lacks = |module: &&String| !item.modules.is_empty() && !item.modules.contains(module);
    if let Some(module) = wanted.modules.iter().find(lacks) {
        return refused(format!("module {module}"), "modules");
    }
    let is_covered = wanted
        .version
        .map_or(item.versions.is_unbounded(), |version| item.versions.covers(version));
    if !is_covered {
        let version = wanted.version.map_or("none".to_owned(), Version::to_string);
        return refused(format!("version {version}"), "versions");
    }
    if item.edition.is_some() && item.edition.as_deref() != wanted.edition {
        return refused(format!("edition {}", wanted.edition.unwrap_or("none")), "editions");
    }
    if item.charge_way == ChargeWay::Domain && !is_near(wanted.website, &item.domains) {
        return refused(format!("website {}", wanted.website), "domains");
    }
    Ok(())
}

/// Return whether a website can lie under one of these domains, as far as that is known without the
/// list of public suffixes, which the server has: it is one of them, or has its last two labels.
fn is_near(website: &str, domains: &[String]) -> bool {
    let host = website.split_once("://").map_or(website, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or(host);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split_once(']').map_or(address, |(address, _)| address),
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    // A name in other letters is compared by the server alone.
    if !host.is_ascii() {
        return true;
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    domains.iter().any(|domain| {
        let domain = domain.trim_start_matches("*.").trim_end_matches('.').to_ascii_lowercase();
        let domain = domain.trim_start_matches('[').trim_end_matches(']');
        let ends_alike = || end_of(&host).is_some_and(|end| Some(end) == end_of(domain));
        !domain.is_ascii() || host == domain || ends_alike()
    })
}

fn end_of(host: &str) -> Option<(&str, &str)> {
    let (rest, last) = host.rsplit_once('.')?;
    Some((rest.rsplit_once('.').map_or(rest, |(_, label)| label), last))
}

#[cfg(test)]
mod tests {
    use super::super::grant::test_support::{NOW, item, local};
    use super::*;
    use seatmeter_protocol::license::{LicenseFile, PageQuotas, VersionRange};
    use seatmeter_protocol::message::{AuthorizationAnswer, AuthorizationRequest};
    use seatmeter_protocol::page_module::PAGE_MODULES;

    fn widened(change: impl FnOnce(&mut LocalLicense)) -> Result<(), String> {
        let mut local = local();
        change(&mut local);
        within(&local, &item())
    }

    #[test]
    fn a_license_that_is_wider_than_its_item_in_any_field_is_refused() {
        assert_eq!(widened(|_| {}), Ok(()));
        let wide: [fn(&mut LocalLicense); 7] = [
            |local| local.charge_way = ChargeWay::Server,
            |local| local.seats = 5,
            |local| local.issued_at = NOW - 1,
            |local| local.item_expires_at += 1,
            |local| local.valid_until = NOW + 17 * DAY_SECONDS + 1,
            |local| (local.issued_at, local.valid_until) = (NOW, NOW + 31 * DAY_SECONDS),
            |local| {
                local.allowances = vec![CountAllowance { module: 0, allowed: 1, used: 0 }];
            },
        ];
        for (number, change) in wide.into_iter().enumerate() {
            assert!(widened(change).is_err(), "{number}");
        }
    }

    #[test]
    fn the_days_without_contact_are_those_of_the_item() {
        let item = LicenseItem { offline_days: 0, ..item() };
        let local = |seconds| LocalLicense { valid_until: NOW + seconds, ..local() };
        assert_eq!(within(&local(SLOT_SECONDS), &item), Ok(()));
        assert!(within(&local(SLOT_SECONDS + 1), &item).is_err());
    }

    #[test]
    fn an_allowance_goes_to_quota_and_grace_and_stays_when_it_is_used_already() {
        let item = LicenseItem { charge_way: ChargeWay::BarcodeScan, quota: 100, ..item() };
        let local = |allowed, used| LocalLicense {
            charge_way: ChargeWay::BarcodeScan,
            seats: 0,
            allowances: vec![CountAllowance { module: 0, allowed, used }],
            ..local()
        };
        assert_eq!(within(&local(105, 0), &item), Ok(()));
        assert!(within(&local(106, 0), &item).is_err());
        assert_eq!(within(&local(200, 200), &item), Ok(()), "the vendor has sold less since");
        let quotas = PageQuotas { core: 100, ..PageQuotas::default() };
        let item = LicenseItem { charge_way: ChargeWay::Page, page_quotas: Some(quotas), ..item };
        let (_, core) = PAGE_MODULES[0];
        let local = |module| LocalLicense {
            charge_way: ChargeWay::Page,
            allowances: vec![CountAllowance { module, allowed: 105, used: 0 }],
            ..local(0, 0)
        };
        assert_eq!(within(&local(core), &item), Ok(()));
        assert!(within(&local(PAGE_MODULES[1].1), &item).is_err());
    }

    #[test]
    fn the_items_of_the_vectors_cover_the_requests_of_good_grants_alone() {
        let text = include_str!("../../protocol/tests/vectors/refused.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let covers = |case: &serde_json::Value| {
            let answer: AuthorizationAnswer =
                serde_json::from_value(case["answer"].clone()).unwrap();
            let asked: AuthorizationRequest =
                serde_json::from_value(case["request"].clone()).unwrap();
            let file: LicenseFile = answer.license_file.peek().unwrap();
            let local: LocalLicense = answer.local_license.peek().unwrap();
            let item = file.items.iter().find(|item| item.item_id == local.item_id).unwrap();
            let wanted = Wanted {
                deployment_type: asked.deployment_type,
                products: asked.products,
                modules: &asked.modules,
                version: asked.product_version.as_ref(),
                edition: asked.product_edition.as_deref(),
                website: &asked.validation.website_domain,
            };
            covers_wanted(item, &wanted)
        };
        for case in vectors["good_grants"].as_array().unwrap() {
            assert_eq!(covers(case), Ok(()), "{}", case["why"]);
        }
        let is_of_request = |case: &&serde_json::Value| case["clause"].as_u64().unwrap() > 12;
        let cases: Vec<_> =
            vectors["grants"].as_array().unwrap().iter().filter(is_of_request).collect();
        assert!(cases.len() > 9, "{}", cases.len());
        for case in cases {
            assert!(covers(case).is_err(), "{}", case["why"]);
        }
    }

    #[test]
    fn an_item_for_something_else_serves_no_program() {
        let wanted = Wanted {
            deployment_type: DeploymentType::Server,
            products: 1,
            modules: &[],
            version: None,
            edition: None,
            website: "",
        };
        let modules = ["Core".to_owned()];
        let serves = |change: &dyn Fn(&mut LicenseItem), wanted: &Wanted<'_>| {
            let mut item = item();
            change(&mut item);
            covers_wanted(&item, wanted).is_ok()
        };
        assert!(serves(&|_| {}, &wanted));
        assert!(!serves(&|_| {}, &Wanted { deployment_type: DeploymentType::Mobile, ..wanted }));
        assert!(!serves(&|item| item.products = 2, &wanted));
        let core = Wanted { modules: &modules, ..wanted };
        assert!(serves(&|_| {}, &core), "an item without modules has all");
        assert!(!serves(&|item| item.modules = vec!["Other".into()], &core));
        let two = "2".parse().unwrap();
        let of_two = |item: &mut LicenseItem| {
            item.versions = VersionRange { from: None, to: Some("2".parse().unwrap()) };
        };
        assert!(serves(&of_two, &Wanted { version: Some(&two), ..wanted }));
        assert!(!serves(&of_two, &wanted), "a program that names no version");
        let pro = |item: &mut LicenseItem| item.edition = Some("pro".into());
        assert!(serves(&pro, &Wanted { edition: Some("pro"), ..wanted }));
        assert!(!serves(&pro, &Wanted { edition: Some("free"), ..wanted }));
        assert!(!serves(&pro, &wanted));
        let domain = |item: &mut LicenseItem| {
            item.charge_way = ChargeWay::Domain;
            item.domains = vec!["*.company.com".into(), "127.0.0.1".into()];
        };
        for (website, is_near) in [
            ("https://shop.company.com:8443/x", true),
            ("COMPANY.com.", true),
            ("127.0.0.1:80", true),
            ("company.com.example.org", false),
            ("example.com", false),
            ("", false),
        ] {
            assert_eq!(serves(&domain, &Wanted { website, ..wanted }), is_near, "{website}");
        }
    }
}
