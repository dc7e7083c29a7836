//! Templates from their JSON text.
//!
//! ```text
//! { "Version": "3.0",
//!   "ImageParameter": { "Name": …, settings … }            or "ImageParameterContentArray": [ … ]
//!   "RegionDefinition": { "Name": …, "Left": … }           or "RegionDefinitionArray": [ … ]
//!   "FormatSpecification": { "Name": …, … } }              or "FormatSpecificationArray": [ … ]
//! ```
//!
//! `settings_table.rs` lists the settings. Other keys are kept and written out again, and
//! `without_effect.rs` lists them. `null` means "not set" everywhere: it is removed first.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::pages::Pages;
use super::profile::Profile;
use super::reading_error as code;
use super::settings::Region;
use super::settings_table::{Entry, FORMATS, FORMATS_2, Kind, Name, TABLE};
use super::specification::Specification;
use super::templates::Conflict;
use super::without_effect;
use crate::error::{Error, Result};

/// Most bytes of a text. Templates that people write have some kilobytes.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;

const PARAMETERS: [&str; 3] =
    ["ImageParameter", "ImageParameterContentArray", "ImageParameterArray"];
const REGIONS: [&str; 2] = ["RegionDefinition", "RegionDefinitionArray"];
const SPECIFICATIONS: [&str; 2] = ["FormatSpecification", "FormatSpecificationArray"];

/// A template of a text.
pub(super) struct Template {
    pub(super) name: String,
    values: Map<String, Value>,
    regions: Vec<Region>,
    specifications: Vec<Specification>,
    pages: Pages,
    /// Parts and keys of the text that no template uses.
    unused: Vec<String>,
}

/// Return the text of a file in UTF-8, or in UTF-16 with the byte-order mark that some editors
/// write in front.
pub fn text_of_file(bytes: &[u8]) -> Cow<'_, str> {
    let units = |from: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes[2..].chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => String::from_utf16_lossy(&units(u16::from_le_bytes)).into(),
        [0xfe, 0xff, ..] => String::from_utf16_lossy(&units(u16::from_be_bytes)).into(),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// Return the JSON in a text, without a byte-order mark, white space and NULs around it. Programs
/// may write a whole buffer, or count the NUL of a string as one of its bytes.
fn without_surroundings(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}')
}

/// Read the templates of a text.
///
/// # Errors
/// -10030 to -10037, with a message that names the fault.
pub(super) fn parse(text: &str) -> Result<Vec<Template>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(failed(
            code::JSON_PARSE_FAILED,
            format!("a text has {TEXT_BYTES_MAX} bytes at most"),
        ));
    }
    let mut document: Value = serde_json::from_str(without_surroundings(text))
        .map_err(|e| failed(code::JSON_PARSE_FAILED, e.to_string()))?;
    drop_nulls(&mut document);
    let document = object(&document, "the text")?;
    let specifications = parts(document, &SPECIFICATIONS)?;
    let specifications =
        specifications.into_iter().map(Specification::new).collect::<Result<Vec<_>>>()?;
    let regions = parts(document, &REGIONS)?;
    let regions = regions
        .into_iter()
        .map(|part| region(part, &specifications))
        .collect::<Result<Vec<_>>>()?;
    let parameters = parts(document, &PARAMETERS)?;
    if parameters.is_empty() {
        return Err(failed(code::JSON_KEY_INVALID, "there is no ImageParameter"));
    }
    let unused = unused(document, &parameters, &regions, &specifications);
    let template = |values| template(values, &regions, &specifications, &unused);
    parameters.into_iter().map(template).collect()
}

/// Remove every key and every entry that is null.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(entries) => {
            entries.retain(|entry| !entry.is_null());
            entries.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

/// Return the parts of a document, which are single or in an array, each with its own name.
fn parts<'a>(
    document: &'a Map<String, Value>,
    keys: &[&str],
) -> Result<Vec<&'a Map<String, Value>>> {
    let mut found: Vec<&Map<String, Value>> = Vec::new();
    for key in keys {
        let parts = match document.get(*key) {
            None => continue,
            Some(Value::Array(parts)) => parts.iter().collect(),
            Some(part) => vec![part],
        };
        for part in parts {
            let part = object(part, key)?;
            let name = name_of(part, key)?;
            if found.iter().any(|other| name_of(other, key).is_ok_and(|known| known == name)) {
                return Err(failed(
                    code::JSON_NAME_VALUE_DUPLICATED,
                    format!("two of {key} have the Name {name}"),
                ));
            }
            found.push(part);
        }
    }
    Ok(found)
}

/// List the unknown keys of the document, and the parts that nothing refers to.
fn unused(
    document: &Map<String, Value>,
    parameters: &[&Map<String, Value>],
    regions: &[Region],
    specifications: &[Specification],
) -> Vec<String> {
    let known = |key: &str| {
        let parts = PARAMETERS.iter().chain(&REGIONS).chain(&SPECIFICATIONS);
        parts.chain(&["Version", without_effect::KEY]).any(|known| *known == key)
    };
    let names = |part: &Map<String, Value>, key: &str| -> Vec<String> {
        let names = part.get(key).and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let of_all = |key| parameters.iter().flat_map(|part| names(part, key)).collect::<Vec<_>>();
    let mut used = of_all("FormatSpecificationNameArray");
    used.extend(
        regions.iter().flat_map(|region| &region.specifications).map(|one| one.name().to_owned()),
    );
    let used_regions = of_all("RegionDefinitionNameArray");
    let keys = document.keys().filter(|key| !known(key)).cloned();
    let regions = regions.iter().filter(|region| !used_regions.contains(&region.name));
    let specifications =
        specifications.iter().filter(|one| !used.iter().any(|name| name == one.name()));
    keys.chain(regions.map(|region| format!("RegionDefinition {}", region.name)))
        .chain(specifications.map(|one| format!("FormatSpecification {}", one.name())))
        .collect()
}

pub(super) fn name_of<'a>(part: &'a Map<String, Value>, key: &str) -> Result<&'a str> {
    match part.get("Name") {
        Some(Value::String(name)) if !name.is_empty() => Ok(name),
        Some(Value::String(_)) | None => {
            Err(failed(code::JSON_NAME_KEY_MISSING, format!("{key} has no Name")))
        }
        Some(_) => Err(failed(code::JSON_TYPE_INVALID, format!("the Name of {key} is not a text"))),
    }
}

fn region(part: &Map<String, Value>, specifications: &[Specification]) -> Result<Region> {
    let number = |key: &str, otherwise: i32| {
        part.get(key).map_or(Ok(otherwise), |value| integer(value, key))
    };
    let is_in_percent = number("MeasuredByPercentage", 0)? != 0;
    let end = if is_in_percent { 100 } else { i32::MAX };
    let sides =
        [number("Top", 0)?, number("Left", 0)?, number("Right", end)?, number("Bottom", end)?];
    let specifications =
        named(part, "FormatSpecificationNameArray", specifications, |one, name| {
            one.name() == name
        })?;
    let expected = part.get("ExpectedBarcodesCount");
    let expected = expected
        .map(|count| number_within(count, "ExpectedBarcodesCount", 0, i32::MAX))
        .transpose()?;
    let is_other = |key: &str| !without_effect::REGION_KEYS.contains(&key);
    let region = Region {
        name: name_of(part, "RegionDefinition")?.to_owned(),
        sides,
        is_in_percent,
        formats: formats_of(part, &specifications)?,
        expected_count: expected.map(|count| count.unsigned_abs() as usize),
        specifications,
        rest: part
            .iter()
            .filter(|(key, _)| is_other(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    };
    region
        .check()
        .map_err(|e| failed(code::JSON_VALUE_INVALID, format!("{}: {}", region.name, e.message)))?;
    Ok(region)
}

/// Return each format word that a region chooses, either by itself or by its specifications.
fn formats_of(
    part: &Map<String, Value>,
    specifications: &[Specification],
) -> Result<[Option<u32>; 2]> {
    let word = |names, key| {
        part.get(key).map(|value| bits(names, value, key).map(i32::cast_unsigned)).transpose()
    };
    let own = [word(FORMATS, "BarcodeFormatIds")?, word(FORMATS_2, "BarcodeFormatIds_2")?];
    if own.iter().any(Option::is_some) {
        return Ok(own);
    }
    Ok(formats_together(specifications)
        .map_or([None, None], |(first, second)| [Some(first), Some(second)]))
}

/// Return the formats that specifications name together; none if one of them applies to all
/// formats.
///
/// A part that chooses no formats by itself, and names specifications of some formats, has only
/// these formats read.
fn formats_together(specifications: &[Specification]) -> Option<(u32, u32)> {
    if specifications.is_empty() || specifications.iter().any(Specification::is_for_all) {
        return None;
    }
    let formats = specifications.iter().filter_map(Specification::formats);
    formats.reduce(|all, one| (all.0 | one.0, all.1 | one.1))
}

/// Return the parts that a list of names refers to.
fn named<T: Clone>(
    part: &Map<String, Value>,
    key: &str,
    all: &[T],
    has_name: impl Fn(&T, &str) -> bool,
) -> Result<Vec<T>> {
    let Some(names) = part.get(key) else { return Ok(Vec::new()) };
    let not_an_array = || failed(code::JSON_TYPE_INVALID, format!("{key} is not an array"));
    let find = |name: &Value| {
        let name = text_of(name, key)?;
        let missing = || {
            let message = format!("{key} names {name}, which the text does not define");
            failed(code::JSON_NAME_REFERENCE_INVALID, message)
        };
        all.iter().find(|one| has_name(one, name)).cloned().ok_or_else(missing)
    };
    names.as_array().ok_or_else(not_an_array)?.iter().map(find).collect()
}

fn template(
    values: &Map<String, Value>,
    regions: &[Region],
    specifications: &[Specification],
    unused: &[String],
) -> Result<Template> {
    let specifications =
        named(values, "FormatSpecificationNameArray", specifications, |one, name| {
            one.name() == name
        })?;
    let template = Template {
        name: name_of(values, "ImageParameter")?.to_owned(),
        values: with_those_of_specifications(values.clone(), &specifications),
        regions: named(values, "RegionDefinitionNameArray", regions, |region, name| {
            region.name == name
        })?,
        specifications,
        pages: values.get("Pages").map_or(Ok(Pages::default()), Pages::understand)?,
        unused: unused.to_vec(),
    };
    // Find an invalid value now, and not when the template is used.
    template.apply(&mut Profile::default(), Conflict::Overwrite)?;
    Ok(template)
}

/// Set what the specifications require of every barcode, so that a program finds it in the
/// settings.
fn with_those_of_specifications(
    mut values: Map<String, Value>,
    specifications: &[Specification],
) -> Map<String, Value> {
    if !values.contains_key("BarcodeFormatIds")
        && !values.contains_key("BarcodeFormatIds_2")
        && let Some((formats, formats_2)) = formats_together(specifications)
    {
        values.insert("BarcodeFormatIds".into(), formats.cast_signed().into());
        values.insert("BarcodeFormatIds_2".into(), formats_2.cast_signed().into());
    }
    for one in specifications.iter().filter(|one| one.is_for_all()) {
        let length = match &one.text_lengths.0[..] {
            [(first, i32::MAX)] => Some(*first),
            _ => None,
        };
        let numbers = [
            ("MinResultConfidence", one.confidence_min),
            ("BarcodeZoneMinDistanceToImageBorders", one.border_distance_min),
            ("MinBarcodeTextLength", length),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                values.insert(key.into(), number.into());
            }
        }
    }
    values
}

impl Template {
    /// Set what the template sets.
    ///
    /// # Errors
    /// -10031 or -10033 for an invalid value.
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
                None if key == "Pages" => profile.pages = self.pages.clone(),
                None if key == "Name" => continue,
                None => {
                    profile.rest.insert(key.clone(), value.clone());
                }
            }
            profile.chosen.insert(key.clone());
        }
        profile.unused.extend(self.unused.iter().cloned());
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

/// Read modes with their arguments: `[{"Mode": "BM_LOCAL_BLOCK", "BlockSizeX": 0}]`, or only their
/// names.
fn modes(
    profile: &mut Profile,
    entry: &'static Entry,
    names: &[Name],
    value: &Value,
) -> Result<Vec<i32>> {
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
        // A mode without any key, for example after its nulls are removed, counts as skipped.
        let skipped = Value::from(0);
        let name = match mode.get("Mode") {
            None if mode.is_empty() => &skipped,
            None => {
                return Err(failed(
                    code::JSON_KEY_INVALID,
                    format!("{}[{index}] has no Mode", entry.name),
                ));
            }
            Some(name) => name,
        };
        numbers.push(one_of(names, name, entry.name)?);
        let arguments = mode.iter().filter(|(name, _)| *name != "Mode");
        let arguments = arguments.map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        profile.arguments.entry((entry.name, index)).or_default().extend(arguments);
    }
    Ok(numbers)
}

pub(super) fn one_of(names: &[Name], value: &Value, key: &str) -> Result<i32> {
    if value.is_number() {
        return integer(value, key);
    }
    let text = text_of(value, key)?;
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let is_skip = text.ends_with("_SKIP");
    found.or(is_skip.then_some(0)).ok_or_else(|| {
        failed(code::JSON_VALUE_INVALID, format!("{key} is {text}, which is not known"))
    })
}

pub(super) fn bits(names: &[Name], value: &Value, key: &str) -> Result<i32> {
    match value {
        Value::Array(all) => {
            all.iter().try_fold(0, |bits, one| Ok(bits | one_of(names, one, key)?))
        }
        // Older templates have several names in one text.
        Value::String(text) => text
            .split(['|', ','])
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .try_fold(0, |bits, name| {
                Ok(bits | one_of(names, &Value::String(name.to_owned()), key)?)
            }),
        one => integer(one, key),
    }
}

pub(super) fn integer(value: &Value, key: &str) -> Result<i32> {
    let number = value.as_i64().ok_or_else(|| {
        failed(code::JSON_TYPE_INVALID, format!("{key} is {value}, and not a whole number"))
    })?;
    // Bits may be written as an unsigned number.
    i32::try_from(number).or_else(|_| u32::try_from(number).map(u32::cast_signed)).map_err(|_| {
        failed(code::JSON_VALUE_INVALID, format!("{key} is {number}, which is out of range"))
    })
}

/// Return a number after a check that it lies within a range.
pub(super) fn number_within(value: &Value, key: &str, first: i32, last: i32) -> Result<i32> {
    let number = integer(value, key)?;
    if (first..=last).contains(&number) {
        return Ok(number);
    }
    Err(failed(code::JSON_VALUE_INVALID, format!("{key} is {number}; it can be {first} to {last}")))
}

pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>> {
    value
        .as_object()
        .ok_or_else(|| failed(code::JSON_TYPE_INVALID, format!("{what} is not a JSON object")))
}

pub(super) fn text_of<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value
        .as_str()
        .ok_or_else(|| failed(code::JSON_TYPE_INVALID, format!("{key} is {value}, and not a name")))
}

pub(super) fn failed(
    code: seatmeter_protocol::error_code::ErrorCode,
    message: impl Into<String>,
) -> Error {
    Error::new(code, message)
}
