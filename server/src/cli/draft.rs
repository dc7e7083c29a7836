//! Drafts of license files, which vendors edit by hand.
//!
//! A reader of license files ignores settings that it does not know, because they may be of a later
//! version. The author of a draft, however, wants each setting to count: a misspelled
//! `overuse_budget` would make a license of another kind than was sold.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::{
    DAY_SECONDS, LicenseFile, LicenseItem, PRODUCTS_ALL, PageQuotas, VersionRange,
};
use seatmeter_protocol::signature::{PublicKey, SigningKey};
use seatmeter_protocol::version::Version;
use serde_json::{Map, Value};

use crate::utc;

/// The number of seconds by which the clocks of the draft's author and its signer may differ.
const CLOCKS_DIFFER_SECONDS_MAX: u64 = DAY_SECONDS;

/// Refuse a draft with a setting that no license file has. The error names the place, and the
/// setting that was probably meant.
///
/// This check comes before the draft is parsed: a message about the misspelled name helps more than
/// one about the name that is then missing.
///
/// # Errors
/// Returns what is wrong with the draft, as a clause for a sentence.
pub(super) fn require_known(draft: &Value) -> Result<(), String> {
    let (key, _) = SigningKey::generate().map_err(|e| e.to_string())?;
    let known = serde_json::to_value(every_setting(key.public())).map_err(|e| e.to_string())?;
    let Some(unknown) = first_unknown("", draft, &known) else { return Ok(()) };
    let place = if unknown.place.is_empty() { "it" } else { &unknown.place };
    let name = unknown.name;
    Err(match nearest(name, unknown.known.keys().map(String::as_str)) {
        Some(meant) => format!("{place} has {name:?}, which is no setting there: write {meant:?}"),
        None => {
            let known: Vec<&str> = unknown.known.keys().map(String::as_str).collect();
            format!(
                "{place} has {name:?}, which is no setting there. Remove it, or take one of {}",
                known.join(", ")
            )
        }
    })
}

/// Refuse a draft that no later issue could replace.
///
/// # Errors
/// Returns what is wrong with the draft, as a clause for a sentence.
pub(super) fn check(file: &LicenseFile, now: u64) -> Result<(), String> {
    if file.issued_at > now.saturating_add(CLOCKS_DIFFER_SECONDS_MAX) {
        return Err(format!(
            "its issued_at is {}, in the future: no issue before that time could replace it. Write \
            {now} for now",
            utc::text(file.issued_at)
        ));
    }
    Ok(())
}

/// A setting that is not known.
struct Unknown<'d, 'k> {
    /// The place of the setting, as `items[0].versions`; empty for the file itself.
    place: String,
    name: &'d str,
    /// The settings that are known at this place.
    known: &'k Map<String, Value>,
}

fn first_unknown<'d, 'k>(
    place: &str,
    draft: &'d Value,
    known: &'k Value,
) -> Option<Unknown<'d, 'k>> {
    match (draft, known) {
        (Value::Object(draft), Value::Object(known)) => {
            draft.iter().find_map(|(name, value)| match known.get(name) {
                Some(known) if place.is_empty() => first_unknown(name, value, known),
                Some(known) => first_unknown(&format!("{place}.{name}"), value, known),
                None => Some(Unknown { place: place.to_owned(), name, known }),
            })
        }
        (Value::Array(draft), Value::Array(known)) => {
            let known = known.first()?;
            let mut values = draft.iter().enumerate();
            values.find_map(|(i, value)| first_unknown(&format!("{place}[{i}]"), value, known))
        }
        _ => None,
    }
}

/// Return the setting that a misspelled name resembles most; `None` when it resembles none.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let measured = known.map(|known| (strsim::levenshtein(name, known), known));
    // Two swapped letters are two edits in a name of five. With more edits, the result would be a
    // guess.
    measured.min().filter(|(apart, _)| apart * 5 <= 2 * name.len()).map(|(_, known)| known)
}

/// Return a file in which each setting is written, whether or not the settings fit together. The
/// literal has no `..`, so that no setting is forgotten.
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
        unknown_items: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn check_changed(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let (key, _) = SigningKey::generate().unwrap();
        let mut file = every_setting(key.public());
        file.issued_at = NOW;
        let mut draft = serde_json::to_value(&file).unwrap();
        change(&mut draft);
        require_known(&draft)?;
        check(&serde_json::from_value(draft).unwrap(), NOW)
    }

    #[test]
    fn every_setting_is_known_and_a_misspelt_one_is_named_wherever_it_stands() {
        assert_eq!(check_changed(|_| ()), Ok(()));
        let misspelt = |place: &str, name: &str, told_place: &str, action: &str| {
            let told = check_changed(|draft| draft.pointer_mut(place).unwrap()[name] = 1.into())
                .unwrap_err();
            assert!(
                told.starts_with(&format!("{told_place} has {name:?}")) && told.contains(action),
                "{told}"
            );
        };
        misspelt("", "isued_at", "it", "write \"issued_at\"");
        misspelt("/items/0", "overuse_buget", "items[0]", "write \"overuse_budget\"");
        misspelt("/items/0", "ChargeWay", "items[0]", "write \"charge_way\"");
        misspelt("/items/0", "qouta", "items[0]", "write \"quota\"");
        misspelt(
            "/items/0/page_quotas",
            "orc",
            "items[0].page_quotas",
            "take one of core, ocr, pdfr, webcam",
        );
        misspelt("/items/0/versions", "until", "items[0].versions", "take one of from, to");
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
