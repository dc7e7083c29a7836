//! The settings as the JSON text of a template, which `template_in.rs` can read.

use serde_json::{Map, Value, json};

use super::profile::Profile;
use super::settings::Region;
use super::settings_table::{Entry, FORMATS, FORMATS_2, Kind, Name, TABLE};
use super::specification::Specification;
use super::without_effect;

/// The name that the region of the settings gets, because it has none.
const REGION_NAME: &str = "Region";

pub(super) fn text(profile: &Profile, name: &str) -> String {
    let mut parameter = profile.rest.clone();
    parameter.insert("Name".into(), name.into());
    parameter.insert("Pages".into(), profile.pages.written.as_str().into());
    for entry in TABLE {
        parameter.insert(entry.name.into(), value(profile, entry));
    }
    let mut regions = profile.regions();
    for region in &mut regions {
        if region.name.is_empty() {
            REGION_NAME.clone_into(&mut region.name);
        }
    }
    let mut document = Map::new();
    document.insert("Version".into(), "3.0".into());
    if !regions.is_empty() {
        let names: Vec<&str> = regions.iter().map(|region| region.name.as_str()).collect();
        parameter.insert("RegionDefinitionNameArray".into(), json!(names));
        document.insert("RegionDefinitionArray".into(), regions.iter().map(region).collect());
    }
    if !profile.specifications.is_empty() {
        parameter.insert("FormatSpecificationNameArray".into(), names_of(&profile.specifications));
    }
    let specifications = specifications(profile);
    if !specifications.is_empty() {
        document.insert("FormatSpecificationArray".into(), specifications.into());
    }
    let without_effect = profile.without_effect();
    if !without_effect.is_empty() {
        document.insert(without_effect::KEY.into(), without_effect.into());
    }
    document.insert("ImageParameter".into(), parameter.into());
    Value::Object(document).to_string()
}

fn names_of(specifications: &[Specification]) -> Value {
    specifications.iter().map(Specification::name).collect()
}

/// Return every specification once, whether it belongs to the picture or to a region.
fn specifications(profile: &Profile) -> Vec<Value> {
    let of_regions = profile.regions.iter().flat_map(|region| &region.specifications);
    let mut all: Vec<&Specification> = Vec::new();
    for specification in profile.specifications.iter().chain(of_regions) {
        if !all.iter().any(|known| known.name() == specification.name()) {
            all.push(specification);
        }
    }
    all.into_iter().map(|one| one.written.clone().into()).collect()
}

fn region(region: &Region) -> Value {
    let [top, left, right, bottom] = region.sides;
    let mut part = region.rest.clone();
    let mut set = |key: &str, value: Value| part.insert(key.to_owned(), value);
    set("Name", region.name.as_str().into());
    for (key, side) in [("Top", top), ("Left", left), ("Right", right), ("Bottom", bottom)] {
        set(key, side.into());
    }
    set("MeasuredByPercentage", i32::from(region.is_in_percent).into());
    let words = [("BarcodeFormatIds", FORMATS), ("BarcodeFormatIds_2", FORMATS_2)];
    for ((key, names), word) in words.into_iter().zip(region.formats) {
        if let Some(word) = word {
            set(key, bits(names, word.cast_signed()));
        }
    }
    if let Some(count) = region.expected_count {
        set("ExpectedBarcodesCount", count.into());
    }
    if !region.specifications.is_empty() {
        set("FormatSpecificationNameArray", names_of(&region.specifications));
    }
    part.into()
}

fn value(profile: &Profile, entry: &Entry) -> Value {
    let values = profile.settings.values(entry);
    match entry.kind {
        Kind::Number(..) => values[0].into(),
        Kind::One(names) => name_of(names, values[0]),
        Kind::Bits(names) => bits(names, values[0]),
        Kind::OneMode(names) => mode(profile, entry, names, 0),
        Kind::Modes(names) => {
            let count = values.iter().rposition(|mode| *mode != 0).map_or(0, |last| last + 1);
            (0..count).map(|index| mode(profile, entry, names, index)).collect()
        }
    }
}

fn mode(profile: &Profile, entry: &Entry, names: &[Name], index: usize) -> Value {
    let number = profile.settings.values(entry)[index];
    let mut mode = Map::new();
    mode.insert("Mode".into(), name_of(names, number));
    for (name, argument) in profile.arguments.get(&(entry.name, index)).into_iter().flatten() {
        // Write numbers as JSON numbers, as templates have them.
        let value = argument.parse::<i64>().map_or_else(|_| argument.as_str().into(), Value::from);
        mode.insert(name.clone(), value);
    }
    mode.into()
}

/// Return the name of a number; a number without a name stays a number.
fn name_of(names: &[Name], number: i32) -> Value {
    names
        .iter()
        .find(|(_, known)| *known == number)
        .map_or_else(|| number.into(), |(name, _)| (*name).into())
}

/// Return the names of bits. Names of groups stand first, so that the list is as short as possible.
fn bits(names: &[Name], number: i32) -> Value {
    let mut left = number;
    let mut found: Vec<&str> = Vec::new();
    for (name, bits) in names {
        let is_new = left & bits != 0;
        if (*bits != 0 && number & bits == *bits && is_new) || *bits == number {
            found.push(name);
            left &= !bits;
        }
        if left == 0 && !found.is_empty() {
            return json!(found);
        }
    }
    number.into()
}
