//! Messages as older and newer versions send them.

use crate::plan::Version;

/// The fields that requests did not have in the first version.
pub(super) const LATER_IN_REQUESTS: [&str; 3] = ["needed", "lost", "ended"];
pub(super) const LATER_IN_ANSWERS: [&str; 5] =
    ["meters", "standings", "numbers", "allowances", "any_program"];

/// Return a document as a version sends it: an older version has fewer fields, a newer version has
/// more fields wherever it can.
pub(super) fn as_said_by(version: Version, body: &[u8], later: &[&str]) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.to_vec();
    };
    match version {
        Version::This => return body.to_vec(),
        Version::Older => {
            let fields = document.as_object_mut().expect("documents are objects");
            fields.retain(|name, _| !later.contains(&name.as_str()));
            // The document is a problem. Grants and reports have had these fields from the
            // beginning.
            if fields.contains_key("code") {
                fields.remove("epoch");
            }
        }
        Version::Newer => say_more(&mut document),
    }
    serde_json::to_vec(&document).expect("it is JSON")
}

fn say_more(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(say_more);
            fields.insert("of_the_future".into(), serde_json::json!({ "more": [1, null, "x"] }));
            if let Some(serde_json::Value::Array(meters)) = fields.get_mut("meters") {
                let (moons, full) = ("moons", "full");
                meters.push(serde_json::json!(
                    { "of": moons, "module": 0, "quota": 1, "used": 2, "grace": 0, "state": full }
                ));
            }
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(say_more),
        _ => {}
    }
}
