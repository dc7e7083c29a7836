//! Templates from their JSON text.
//!
//! ```text
//! { "Version": "3.0",
//!   "ImageParameter": { "Name": …, settings … }            or "ImageParameterContentArray": [ … ]
//!   "RegionDefinition": { "Name": …, "Left": … }           or "RegionDefinitionArray": [ … ]
//!   "FormatSpecification": { "Name": …, … } }              or "FormatSpecificationArray": [ … ]
//! ```
//!
//! Which settings there are says `settings_table.rs`. Other keys are kept and given back.

use serde_json::{Map, Value};

use super::profile::Profile;
use super::reading_error as code;
use super::settings::Region;
use super::settings_table::{Entry, Kind, Name, TABLE};
use super::templates::Conflict;
use crate::error::{Error, Result};

/// The longest text: templates that people write have some kilobytes.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;

/// One template of a text.
pub(super) struct Template {
    pub(super) name: String,
    values: Map<String, Value>,
    regions: Vec<Region>,
    specifications: Vec<Value>,
}

/// Reads a text.
///
/// # Errors
/// -10030 to -10037, naming what is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<Template>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(failed(code::JSON_PARSE_FAILED, format!("a text has {TEXT_BYTES_MAX} bytes at most")));
    }
    let document: Value =
        serde_json::from_str(text).map_err(|e| failed(code::JSON_PARSE_FAILED, e.to_string()))?;
    let document = object(&document, "the text")?;
    let regions = parts(document, &["RegionDefinition", "RegionDefinitionArray"])?;
    let regions: Vec<Region> = regions.into_iter().map(region).collect::<Result<_>>()?;
    let specifications = parts(document, &["FormatSpecification", "FormatSpecificationArray"])?;
    let names = ["ImageParameter", "ImageParameterContentArray", "ImageParameterArray"];
    let parameters = parts(document, &names)?;
    if parameters.is_empty() {
        return Err(failed(code::JSON_KEY_INVALID, "there is no ImageParameter"));
    }
    parameters.into_iter().map(|values| template(values, &regions, &specifications)).collect()
}

/// The parts of a document that stand alone or in an array, each with a name of its own.
fn parts<'a>(document: &'a Map<String, Value>, keys: &[&str]) -> Result<Vec<&'a Map<String, Value>>> {
    let mut found: Vec<&Map<String, Value>> = Vec::new();
    for key in keys {
        let parts = match document.get(*key) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(parts)) => parts.iter().collect(),
            Some(part) => vec![part],
        };
        for part in parts {
            let part = object(part, key)?;
            let name = name_of(part, key)?;
            if found.iter().any(|other| name_of(other, key).is_ok_and(|known| known == name)) {
                return Err(failed(code::JSON_NAME_VALUE_DUPLICATED, format!("two of {key} are {name}")));
            }
            found.push(part);
        }
    }
    Ok(found)
}

fn name_of<'a>(part: &'a Map<String, Value>, key: &str) -> Result<&'a str> {
    match part.get("Name") {
        Some(Value::String(name)) if !name.is_empty() => Ok(name),
        Some(Value::String(_)) | None => {
            Err(failed(code::JSON_NAME_KEY_MISSING, format!("{key} has no Name")))
        }
        Some(_) => Err(failed(code::JSON_TYPE_INVALID, format!("the Name of {key} is no text"))),
    }
}

fn region(part: &Map<String, Value>) -> Result<Region> {
    let number = |key: &str, otherwise: i32| match part.get(key) {
        None => Ok(otherwise),
        Some(value) => integer(value, key),
    };
    let is_in_percent = number("MeasuredByPercentage", 0)? != 0;
    let end = if is_in_percent { 100 } else { i32::MAX };
    let sides = [number("Top", 0)?, number("Left", 0)?, number("Right", end)?, number("Bottom", end)?];
    let region = Region { name: name_of(part, "RegionDefinition")?.to_owned(), sides, is_in_percent };
    region
        .check()
        .map_err(|e| failed(code::JSON_VALUE_INVALID, format!("{}: {}", region.name, e.message)))?;
    Ok(region)
}

fn template(
    values: &Map<String, Value>,
    regions: &[Region],
    specifications: &[&Map<String, Value>],
) -> Result<Template> {
    let name = name_of(values, "ImageParameter")?.to_owned();
    let named = |key: &str| -> Result<Vec<&str>> {
        let Some(names) = values.get(key) else { return Ok(Vec::new()) };
        let names =
            names.as_array().ok_or_else(|| failed(code::JSON_TYPE_INVALID, format!("{key} is no array")))?;
        let text = |name: &'_ Value| -> Result<String> { Ok(text_of(name, key)?.to_owned()) };
        names.iter().try_for_each(|name| text(name).map(|_| ()))?;
        Ok(names.iter().filter_map(Value::as_str).collect())
    };
    let missing = |what: &str| {
        failed(code::JSON_NAME_REFERENCE_INVALID, format!("{name} names {what}, which is not there"))
    };
    let find_region = |wanted: &&str| {
        regions.iter().find(|region| region.name == **wanted).cloned().ok_or_else(|| missing(wanted))
    };
    let find_specification = |wanted: &&str| {
        let found =
            specifications.iter().find(|part| part.get("Name").and_then(Value::as_str) == Some(*wanted));
        found.map(|part| Value::Object((*part).clone())).ok_or_else(|| missing(wanted))
    };
    let regions = named("RegionDefinitionNameArray")?.iter().map(find_region).collect::<Result<_>>()?;
    let specifications =
        named("FormatSpecificationNameArray")?.iter().map(find_specification).collect::<Result<_>>()?;
    let template = Template { name, values: values.clone(), regions, specifications };
    // What cannot be is found out here, and not when the template is used.
    template.apply(&mut Profile::default(), Conflict::Overwrite)?;
    Ok(template)
}

impl Template {
    /// Sets what the template sets.
    ///
    /// # Errors
    /// -10031 or -10033 for a value that cannot be.
    pub(super) fn apply(&self, profile: &mut Profile, conflict: Conflict) -> Result<()> {
        let earlier = profile.chosen.clone();
        for (key, value) in &self.values {
            if conflict == Conflict::Ignore && earlier.contains(key) {
                continue;
            }
            match TABLE.iter().find(|entry| entry.name == key) {
                Some(entry) => set(profile, entry, value)?,
                None if key == "RegionDefinitionNameArray" => {
                    profile.regions.clone_from(&self.regions);
                    profile.settings.set_region(self.regions.first().unwrap_or(&Region::default()));
                }
                None if key == "FormatSpecificationNameArray" => {
                    profile.specifications.clone_from(&self.specifications);
                }
                None if key == "Name" => continue,
                None => {
                    profile.rest.insert(key.clone(), value.clone());
                }
            }
            profile.chosen.insert(key.clone());
        }
        Ok(())
    }
}

fn set(profile: &mut Profile, entry: &'static Entry, value: &Value) -> Result<()> {
    let numbers = match entry.kind {
        Kind::Number(..) => vec![integer(value, entry.name)?],
        Kind::One(names) => vec![one_of(names, value, entry.name)?],
        Kind::Bits(names) => vec![bits(names, value, entry.name)?],
        Kind::OneMode(names) | Kind::Modes(names) => modes(profile, entry, names, value)?,
    };
    for number in &numbers {
        entry.check(*number).map_err(|e| failed(code::JSON_VALUE_INVALID, e.message))?;
    }
    let places = profile.settings.values_mut(entry);
    places.fill(0);
    places[..numbers.len()].copy_from_slice(&numbers);
    Ok(())
}

/// Modes with their arguments: `[{"Mode": "BM_LOCAL_BLOCK", "BlockSizeX": 0}]`, or their names alone.
fn modes(profile: &mut Profile, entry: &'static Entry, names: &[Name], value: &Value) -> Result<Vec<i32>> {
    let all = match value {
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    if all.len() > entry.count {
        let message = format!("{} has {} places, not {}", entry.name, entry.count, all.len());
        return Err(failed(code::JSON_VALUE_INVALID, message));
    }
    profile.arguments.retain(|(name, _), _| *name != entry.name);
    let mut numbers = Vec::with_capacity(all.len());
    for (index, mode) in all.into_iter().enumerate() {
        let Value::Object(mode) = mode else {
            numbers.push(one_of(names, mode, entry.name)?);
            continue;
        };
        let name = mode
            .get("Mode")
            .ok_or_else(|| failed(code::JSON_KEY_INVALID, format!("{}[{index}] has no Mode", entry.name)))?;
        numbers.push(one_of(names, name, entry.name)?);
        let arguments = mode.iter().filter(|(name, _)| *name != "Mode");
        let arguments = arguments.map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        profile.arguments.entry((entry.name, index)).or_default().extend(arguments);
    }
    Ok(numbers)
}

fn one_of(names: &[Name], value: &Value, key: &str) -> Result<i32> {
    if value.is_number() {
        return integer(value, key);
    }
    let text = text_of(value, key)?;
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let is_skip = text.ends_with("_SKIP");
    found
        .or(is_skip.then_some(0))
        .ok_or_else(|| failed(code::JSON_VALUE_INVALID, format!("{key} is {text}, which is not known")))
}

fn bits(names: &[Name], value: &Value, key: &str) -> Result<i32> {
    match value {
        Value::Array(all) => all.iter().try_fold(0, |bits, one| Ok(bits | one_of(names, one, key)?)),
        // Several names in one text, as older templates have them.
        Value::String(text) => text
            .split(['|', ','])
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .try_fold(0, |bits, name| Ok(bits | one_of(names, &Value::String(name.to_owned()), key)?)),
        one => integer(one, key),
    }
}

fn integer(value: &Value, key: &str) -> Result<i32> {
    let number = value.as_i64().ok_or_else(|| {
        failed(code::JSON_TYPE_INVALID, format!("{key} is {value}, and not a whole number"))
    })?;
    // Bits may be written as a number without sign.
    i32::try_from(number)
        .or_else(|_| u32::try_from(number).map(u32::cast_signed))
        .map_err(|_| failed(code::JSON_VALUE_INVALID, format!("{key} is {number}, which is out of range")))
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| failed(code::JSON_TYPE_INVALID, format!("{what} is no object")))
}

fn text_of<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| failed(code::JSON_TYPE_INVALID, format!("{key} is {value}, and not a name")))
}

fn failed(code: seatmeter_protocol::error_code::ErrorCode, message: impl Into<String>) -> Error {
    Error::new(code, message)
}
