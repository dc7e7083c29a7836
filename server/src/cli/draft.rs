//! Drafts of licence files, as vendors edit them by hand.
//!
//! A reader of licence files passes over settings that it does not know, for they may be of a later version. Whoever
//! writes one wants each of his to count: a misspelt `overuse_budget` would be a licence of another kind than was sold.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::{
    DAY_SECONDS, LicenseFile, LicenseItem, PRODUCTS_ALL, PageQuotas, VersionRange,
};
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::version::Version;
use serde_json::Value;

use crate::utc;

/// How far the clocks of who drafts and who signs may be apart.
const CLOCKS_DIFFER_SECONDS_MAX: u64 = DAY_SECONDS;

/// Refuses a draft that says what no server would hear, or that no later issue could replace.
///
/// # Errors
/// What is wrong with it, as a clause for a sentence.
pub(super) fn check(draft: &Value, file: &LicenseFile, now: u64) -> Result<(), String> {
    let known = serde_json::to_value(every_setting(&file.server_key)).map_err(|e| e.to_string())?;
    if let Some(name) = first_unknown(draft, &known) {
        return Err(format!(
            "it has {name:?}, which is no setting of a licence file; check it for typing errors"
        ));
    }
    if file.issued_at > now.saturating_add(CLOCKS_DIFFER_SECONDS_MAX) {
        return Err(format!(
            "its issued_at is {}, in the future: no issue before that could take its place. Write {now} for now",
            utc::text(file.issued_at)
        ));
    }
    Ok(())
}

fn first_unknown<'d>(draft: &'d Value, known: &Value) -> Option<&'d str> {
    match (draft, known) {
        (Value::Object(draft), Value::Object(known)) => {
            draft.iter().find_map(|(name, value)| match known.get(name) {
                Some(known) => first_unknown(value, known),
                None => Some(name.as_str()),
            })
        }
        (Value::Array(draft), Value::Array(known)) => {
            let known = known.first()?;
            draft.iter().find_map(|value| first_unknown(value, known))
        }
        _ => None,
    }
}

/// A file in which each setting is written, whether or not they go together. Without `..`, so that none is forgotten.
fn every_setting(server_key: &PublicKey) -> LicenseFile {
    let version: Option<Version> = "1".parse().ok();
    let item = LicenseItem {
        item_id: String::new(),
        charge_way: ChargeWay::Page,
        quota: 1,
        deployment_types: vec![DeploymentType::Server],
        products: PRODUCTS_ALL,
        starts_at: 0,
        expires_at: 1,
        offline_days: 1,
        window_days: Some(1),
        page_quotas: Some(PageQuotas::default()),
        domains: vec![String::new()],
        overuse_budget: Some(1),
        overuse_growth_per_day: 1,
        strict: true,
        modules: vec![String::new()],
        versions: VersionRange { from: version.clone(), to: version },
        edition: Some(String::new()),
        requires: vec![String::new()],
        trial: true,
    };
    LicenseFile {
        version: DOCUMENT_VERSION,
        file_id: String::new(),
        organization_id: String::new(),
        organization_name: String::new(),
        server_key: server_key.clone(),
        issued_at: 0,
        items: vec![item],
    }
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::signature::SigningKey;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn check_changed(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let (key, _) = SigningKey::generate().unwrap();
        let mut file = every_setting(key.public());
        file.issued_at = NOW;
        let mut draft = serde_json::to_value(&file).unwrap();
        change(&mut draft);
        check(&draft, &serde_json::from_value(draft.clone()).unwrap(), NOW)
    }

    #[test]
    fn every_setting_is_known_and_a_misspelt_one_is_named_wherever_it_stands() {
        assert_eq!(check_changed(|_| ()), Ok(()));
        let misspelt = |place: &str, name: &str| {
            let told = check_changed(|draft| draft.pointer_mut(place).unwrap()[name] = 1.into());
            assert!(told.unwrap_err().contains(&format!("{name:?}")));
        };
        misspelt("", "isued_at");
        misspelt("/items/0", "overuse_buget");
        misspelt("/items/0/page_quotas", "orc");
        misspelt("/items/0/versions", "until");
    }

    #[test]
    fn an_issue_of_the_future_is_refused() {
        assert_eq!(check_changed(|draft| draft["issued_at"] = (NOW + DAY_SECONDS).into()), Ok(()));
        for at in [NOW + DAY_SECONDS + 1, 1 << 60] {
            let told = check_changed(|draft| draft["issued_at"] = at.into()).unwrap_err();
            assert!(told.contains("in the future") && told.contains("1800000000"), "{told}");
        }
    }
}
