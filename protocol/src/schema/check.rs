//! A check of values against the part of JSON Schema that the schemas use. A keyword that is not
//! known here is a fault, so that nothing passes because it was not looked at.

use serde_json::Value;

/// Keywords that restrict nothing.
const NOTES: [&str; 7] =
    ["$schema", "$defs", "title", "description", "default", "format", "examples"];

/// Return the faults of a value, each with its place.
pub(super) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema, value, "", &mut faults);
    faults
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known here"),
    }
}

/// Return whether a text has this pattern. The patterns are few.
fn matches(pattern: &str, text: &str) -> bool {
    let hex = |digits: usize| {
        text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    match pattern {
        "^[0-9a-f]{16}$" => hex(16),
        "^[0-9a-f]{32}$" => hex(32),
        "^([0-9a-f]{32})?$" => text.is_empty() || hex(32),
        "^[0-9a-f]{64}$" => hex(64),
        "^[0-9]+(\\.[0-9]+){0,3}$" => text.parse::<crate::version::Version>().is_ok(),
        other => panic!("the pattern {other} is not known here"),
    }
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else { return };
    let number = i128::from(value.as_i64().unwrap_or(0)).max(value.as_u64().unwrap_or(0).into());
    let number = if value.is_i64() { i128::from(value.as_i64().unwrap()) } else { number };
    let bound = |rule: &Value| {
        i128::from(rule.as_i64().unwrap_or(0)).max(rule.as_u64().unwrap_or(0).into())
    };
    let bound = |rule: &Value| {
        if rule.as_i64().is_some_and(|n| n < 0) {
            rule.as_i64().unwrap().into()
        } else {
            bound(rule)
        }
    };
    let length = value.as_str().map(|text| text.chars().count() as i128);
    let count = value.as_array().map(|list| list.len() as i128);
    for (keyword, rule) in keywords {
        let is_good = match keyword.as_str() {
            "type" => match rule {
                Value::Array(types) => {
                    types.iter().any(|name| is_of_type(name.as_str().unwrap(), value))
                }
                name => is_of_type(name.as_str().unwrap(), value),
            },
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => !value.is_number() || number >= bound(rule),
            "maximum" => !value.is_number() || number <= bound(rule),
            "minLength" => length.is_none_or(|length| length >= bound(rule)),
            "maxLength" => length.is_none_or(|length| length <= bound(rule)),
            "minItems" => count.is_none_or(|count| count >= bound(rule)),
            "maxItems" => count.is_none_or(|count| count <= bound(rule)),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            "required" => value.as_object().is_none_or(|fields| {
                rule.as_array()
                    .unwrap()
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().unwrap()))
            }),
            "additionalProperties" if *rule == Value::Bool(false) => {
                value.as_object().is_none_or(|fields| {
                    fields.keys().all(|name| schema["properties"].get(name).is_some())
                })
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(name) {
                        check(root, schema, inner, &format!("{place}/{name}"), faults);
                    }
                }
                true
            }
            "items" => {
                for inner in value.as_array().into_iter().flatten() {
                    check(root, rule, inner, &format!("{place}/[]"), faults);
                }
                true
            }
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().trim_start_matches('#'));
                check(root, target.expect("the schema is there"), value, place, faults);
                true
            }
            "anyOf" | "oneOf" => rule.as_array().unwrap().iter().any(|one| {
                let mut inner = Vec::new();
                check(root, one, value, place, &mut inner);
                inner.is_empty()
            }),
            note if NOTES.contains(&note) => true,
            other => panic!("the keyword {other} is not known here: {schema}"),
        };
        if !is_good {
            faults.push(format!("{place}: {keyword} {rule}"));
        }
    }
}
