//! Licensing with a single text, as in `DBR_InitLicense`.
//!
//! The text is a handshake code, or `DLS2` followed by a JSON object in base64 with connection
//! parameters: `handshakeCode`, `organizationID`, `sessionPassword`, `mainServerURL`,
//! `standbyServerURL`, `deploymentType`, `chargeWay`, `maxConcurrentInstanceCount`. Each may be
//! absent or null. Other keys are meant for other servers, and ignored.

use base64::Engine as _;
use seatmeter_protocol::error_code::ErrorCode;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::parameters::RawParameters;
use crate::runtime::runtime;

const PREFIX: &str = "DLS2";
const SERVER: i32 = 1;

/// Get this process licensed with a key, from this server, or from the server that the key or the
/// environment names.
///
/// # Errors
/// -10053 when a text with the prefix is no key; otherwise fails as `Runtime::initialize` does.
pub fn license_with_key(key: &str, server: &str, defaults: &RawParameters) -> Result<()> {
    let (mut parameters, says_where) = understand(key, defaults)?;
    if !server.is_empty() {
        server.clone_into(&mut parameters.main_server);
    }
    let outcome = runtime().initialize(&parameters);
    let fits_elsewhere =
        |e: &Error| matches!(e.code, ErrorCode::DEPLOYMENT_TYPE_MISMATCH | ErrorCode::NO_ITEM_FITS);
    match outcome {
        // The key does not name a deployment type, and the license is not for desktops.
        Err(e) if !says_where && fits_elsewhere(&e) => {
            parameters.deployment_type = SERVER;
            runtime().initialize(&parameters).map_err(|_| e)
        }
        outcome => outcome,
    }
}

/// Return the parameters, and whether they name a deployment type.
fn understand(key: &str, defaults: &RawParameters) -> Result<(RawParameters, bool)> {
    let mut parameters = defaults.clone();
    // White space and a byte-order mark from an editor or a file do not belong to the key.
    let key = key.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let Some(content) = key.strip_prefix(PREFIX) else {
        key.clone_into(&mut parameters.handshake_code);
        return Ok((parameters, false));
    };
    let no_key = || super::reading_error::explained(super::reading_error::LICENSE_KEY_INVALID);
    let content = super::decoding::BASE64.decode(content).map_err(|_| no_key())?;
    let content: Map<String, Value> = serde_json::from_slice(&content).map_err(|_| no_key())?;
    let texts = [
        ("handshakeCode", &mut parameters.handshake_code),
        ("organizationID", &mut parameters.organization_id),
        ("sessionPassword", &mut parameters.session_password),
        ("mainServerURL", &mut parameters.main_server),
        ("standbyServerURL", &mut parameters.standby_server),
    ];
    for (name, place) in texts {
        match content.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => text.clone_into(place),
            // An organization's id may have only digits, and then come as a JSON number.
            Some(Value::Number(number)) => *place = number.to_string(),
            Some(_) => return Err(no_key()),
        }
    }
    let numbers = [
        ("deploymentType", &mut parameters.deployment_type),
        ("chargeWay", &mut parameters.charge_way),
        ("maxConcurrentInstanceCount", &mut parameters.max_concurrent_instance_count),
    ];
    for (name, place) in numbers {
        let text = match content.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(value) => value.to_string(),
        };
        *place = text.parse().map_err(|_| no_key())?;
    }
    let says_where = content.get("deploymentType").is_some_and(|value| !value.is_null());
    Ok((parameters, says_where))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_handshake_code_or_holds_parameters() {
        let defaults = RawParameters { deployment_type: 2, ..RawParameters::default() };
        let (plain, says_where) = understand("\u{feff} CODE\r\n", &defaults).unwrap();
        assert_eq!((plain.handshake_code.as_str(), says_where), ("CODE", false));
        let content = r#"{"handshakeCode": "CODE", "organizationID": "7", "deploymentType": 1}"#;
        let key = format!("DLS2{}", super::super::decoding::BASE64.encode(content));
        let (held, says_where) = understand(&key, &defaults).unwrap();
        assert_eq!((held.handshake_code.as_str(), held.organization_id.as_str()), ("CODE", "7"));
        assert_eq!((held.deployment_type, says_where), (1, true));
        for bad in ["DLS2", "DLS2*", "DLS2aGVsbG8="] {
            assert_eq!(understand(bad, &defaults).unwrap_err().code.0, -10053);
        }
    }

    #[test]
    fn a_number_may_stand_as_a_text_and_null_is_not_set() {
        let key = |content: &str| format!("DLS2{}", super::super::decoding::BASE64.encode(content));
        let defaults =
            RawParameters { deployment_type: 2, charge_way: 5, ..RawParameters::default() };
        let content = r#"{"organizationID": 200001, "handshakeCode": null, "deploymentType": null,
                          "chargeWay": null, "maxConcurrentInstanceCount": "3", "checkCode": 7}"#;
        let (held, says_where) = understand(&key(content), &defaults).unwrap();
        assert_eq!((held.organization_id.as_str(), held.handshake_code.as_str()), ("200001", ""));
        assert_eq!(
            (held.charge_way, held.max_concurrent_instance_count, says_where),
            (5, 3, false)
        );
        for bad in [
            r#"{"chargeWay": "any"}"#,
            r#"{"handshakeCode": ["A"]}"#,
            r#"{"chargeWay": 3000000000}"#,
        ] {
            assert_eq!(understand(&key(bad), &defaults).unwrap_err().code.0, -10053, "{bad}");
        }
    }
}
