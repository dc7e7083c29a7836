//! The choice of the handshake code that a request means.
//!
//! | handshake code | organization | outcome |
//! | --- | --- | --- |
//! | – | – | -20123 |
//! | known | – | the code |
//! | known | its owner | the code |
//! | known | another, known | -20122 |
//! | known | unknown | -20121 |
//! | unknown | any | -20101 |
//! | – | known, with a default code | the default code |
//! | – | unknown, or without a default code | -20121 |

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::Refusal;

/// The names in a request; an empty text names nothing.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The handshake code in the request.
    pub handshake_code: &'a str,
    /// The organization in the request.
    pub organization_id: &'a str,
}

/// The store's knowledge of these names.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The owner of the handshake code, when there is such a code.
    pub code_owner: Option<String>,
    /// Whether there is such an organization.
    pub organization: bool,
    /// The organization's default handshake code.
    pub default_code: Option<String>,
}

/// Return the handshake code that the request means.
///
/// # Errors
/// Returns -20101, -20121, -20122 or -20123, by the table above.
pub fn resolve(asked: Asked<'_>, known: &Known) -> Result<String, Refusal> {
    let Asked { handshake_code: code, organization_id: organization } = asked;
    if code.is_empty() && organization.is_empty() {
        return Err(Refusal::new(
            ErrorCode::NO_HANDSHAKE_CODE,
            "neither handshakeCode nor organizationID is set: set one of them",
        ));
    }
    if code.is_empty() {
        return known.default_code.clone().ok_or_else(|| organization_refusal(organization, known));
    }
    let Some(owner) = &known.code_owner else {
        return Err(Refusal::new(
            ErrorCode::HANDSHAKE_CODE_UNKNOWN,
            format!(
                "there is no handshake code {code:?} on this server; check it for typing errors"
            ),
        ));
    };
    if organization.is_empty() || organization == owner {
        return Ok(code.to_owned());
    }
    if !known.organization {
        return Err(organization_refusal(organization, known));
    }
    Err(Refusal::new(
        ErrorCode::HANDSHAKE_CODE_OF_OTHER_ORGANIZATION,
        format!(
            "handshake code {code:?} does not belong to organization {organization:?}; leave the \
             organization out, or use one of its own codes"
        ),
    ))
}

fn organization_refusal(organization: &str, known: &Known) -> Refusal {
    let why = if known.organization {
        format!("organization {organization:?} has no default handshake code: set handshakeCode")
    } else {
        format!(
            "there is no organization {organization:?} on this server; check it for typing errors"
        )
    };
    Refusal::new(ErrorCode::ORGANIZATION_UNKNOWN, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_holds() {
        let rows: [(&str, &str, Result<&str, ErrorCode>); 10] = [
            ("", "", Err(ErrorCode::NO_HANDSHAKE_CODE)),
            ("CODE-A", "", Ok("CODE-A")),
            ("CODE-A", "a", Ok("CODE-A")),
            ("CODE-A", "b", Err(ErrorCode::HANDSHAKE_CODE_OF_OTHER_ORGANIZATION)),
            ("CODE-A", "nobody", Err(ErrorCode::ORGANIZATION_UNKNOWN)),
            ("typo", "", Err(ErrorCode::HANDSHAKE_CODE_UNKNOWN)),
            ("typo", "a", Err(ErrorCode::HANDSHAKE_CODE_UNKNOWN)),
            ("", "a", Ok("CODE-A")),
            ("", "b", Err(ErrorCode::ORGANIZATION_UNKNOWN)),
            ("", "nobody", Err(ErrorCode::ORGANIZATION_UNKNOWN)),
        ];
        for (handshake_code, organization_id, expected) in rows {
            // Organization a owns CODE-A, which is its default; organization b has no code at all.
            let known = Known {
                code_owner: (handshake_code == "CODE-A").then(|| "a".to_owned()),
                organization: ["a", "b"].contains(&organization_id),
                default_code: (organization_id == "a").then(|| "CODE-A".to_owned()),
            };
            let got = resolve(Asked { handshake_code, organization_id }, &known);
            let got = got.as_deref().map_err(|refusal| refusal.code);
            assert_eq!(got, expected, "code {handshake_code:?}, organization {organization_id:?}");
        }
    }
}
