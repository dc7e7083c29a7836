//! The settings as the JSON text of a template: what `template_in.rs` reads.

use serde_json::{Map, Value, json};

use super::profile::Profile;
use super::settings::Region;
use super::settings_table::{Entry, Kind, Name, TABLE};

/// The name of the region of the settings, which has none.
const REGION_NAME: &str = "Region";

pub(super) fn text(profile: &Profile, name: &str) -> String {
    let mut parameter = profile.rest.clone();
    parameter.insert("Name".into(), name.into());
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
        let names: Vec<&Value> = profile.specifications.iter().filter_map(|one| one.get("Name")).collect();
        parameter.insert("FormatSpecificationNameArray".into(), json!(names));
        document.insert("FormatSpecificationArray".into(), profile.specifications.clone().into());
    }
    document.insert("ImageParameter".into(), parameter.into());
    Value::Object(document).to_string()
}

fn region(region: &Region) -> Value {
    let [top, left, right, bottom] = region.sides;
    json!({
        "Name": region.name, "Top": top, "Left": left, "Right": right, "Bottom": bottom,
        "MeasuredByPercentage": i32::from(region.is_in_percent),
    })
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
        // Numbers go out as numbers, as templates have them.
        let value = argument.parse::<i64>().map_or_else(|_| argument.as_str().into(), Value::from);
        mode.insert(name.clone(), value);
    }
    mode.into()
}

/// The name of a number; one that has none stays a number.
fn name_of(names: &[Name], number: i32) -> Value {
    names.iter().find(|(_, known)| *known == number).map_or_else(|| number.into(), |(name, _)| (*name).into())
}

/// Names of bits: as few as there can be, for names of groups stand first.
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
