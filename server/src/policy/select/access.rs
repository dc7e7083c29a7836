//! The validation fields, which restrict the use of a handshake code.
//!
//! A field for which the code lists nothing accepts every value. A website domain matches when it
//! is a listed domain or a host under one. Scheme, port, a dot at the end, upper and lower case,
//! and Unicode do not matter. An application id or process name must match exactly.
//!
//! | field | mismatch |
//! | --- | --- |
//! | website domain | -20103 |
//! | application id, process name | -20114 |

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::message::ValidationFacts;

use crate::error::Refusal;
use crate::policy::charge_way::host::Host;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The facts of an application that must match; an empty list accepts every value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// The domains of websites; hosts under them match, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub website_domains: Vec<String>,
    /// The application ids, which must match exactly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub application_ids: Vec<String>,
    /// The names of the executable file, which must match exactly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub process_names: Vec<String>,
}

/// Return the refusal of a request with a session password that is missing or wrong.
#[must_use]
pub fn wrong_session_password() -> Refusal {
    Refusal::new(
        ErrorCode::SESSION_PASSWORD_WRONG,
        "the session password is missing or wrong: set sessionPassword to that of this handshake \
         code; its owner knows it",
    )
}

/// Check whether an application with these facts may use a code with these validation lists.
///
/// # Errors
/// Returns -20103 or -20114, by the table above.
pub fn may_use(facts: &ValidationFacts, asked: &Validation) -> Result<(), Refusal> {
    let is_listed =
        asked.website_domains.iter().any(|domain| lies_under(&facts.website_domain, domain));
    if !asked.website_domains.is_empty() && facts.website_domain.is_empty() {
        return Err(Refusal::new(
            ErrorCode::DOMAIN_MISMATCH,
            "this handshake code is for certain websites, and the program names none: set its \
             website domain with \
             SM_SetValidationField",
        ));
    }
    if !asked.website_domains.is_empty() && !is_listed {
        return Err(Refusal::new(
            ErrorCode::DOMAIN_MISMATCH,
            format!(
                "website domain {:?} is not one for which this handshake code was made; set it \
                 with \
                 SM_SetValidationField, or ask the code's owner to add it",
                facts.website_domain
            ),
        ));
    }
    for (name, fact, listed) in [
        ("application id", &facts.application_id, &asked.application_ids),
        ("process name", &facts.process_name, &asked.process_names),
    ] {
        if !listed.is_empty() && !listed.contains(fact) {
            return Err(Refusal::new(
                ErrorCode::VALIDATION_FIELD_MISMATCH,
                format!(
                    "{name} {fact:?} is not one for which this handshake code was made; ask its \
                     owner"
                ),
            ));
        }
    }
    Ok(())
}

/// Return whether `host` is `domain` or lies under it. A text that is not a host lies under
/// nothing, and nothing lies under it.
pub fn lies_under(host: &str, domain: &str) -> bool {
    let domain = domain.trim().trim_start_matches("*.");
    let (Ok(host), Ok(domain)) = (Host::parse(host), Host::parse(domain)) else { return false };
    let rest = host.as_text().strip_suffix(domain.as_text());
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lies_under_its_domain_only() {
        for (host, domain, expected) in [
            ("company.com", "company.com", true),
            ("Shop.Company.com.:8443", "company.com", true),
            ("a.company.com", "*.company.com", true),
            ("company.com.evil.org", "company.com", false),
            ("mycompany.com", "company.com", false),
            ("company.com", "shop.company.com", false),
            ("https://shop.company.com/till", "company.com", true),
            ("www.bücher.example", "xn--bcher-kva.example", true),
            ("[::1]:8443", "::1", true),
            ("", "company.com", false),
            ("company.com", "", false),
        ] {
            assert_eq!(lies_under(host, domain), expected, "{host} under {domain}");
        }
    }

    #[test]
    fn each_field_has_its_code_and_an_empty_list_lets_pass() {
        let facts = ValidationFacts {
            website_domain: "a.example".into(),
            application_id: "app".into(),
            process_name: "till".into(),
        };
        let code = |asked: Validation| may_use(&facts, &asked).err().map(|refusal| refusal.code);
        let one = |text: &str| vec![text.to_owned()];
        assert_eq!(code(Validation::default()), None);
        let all = Validation {
            website_domains: one("a.example"),
            application_ids: one("app"),
            process_names: one("till"),
        };
        assert_eq!(code(all.clone()), None);
        let domain = Validation { website_domains: one("b.example"), ..all.clone() };
        assert_eq!(code(domain), Some(ErrorCode::DOMAIN_MISMATCH));
        let application = Validation { application_ids: one("APP"), ..all.clone() };
        assert_eq!(code(application), Some(ErrorCode::VALIDATION_FIELD_MISMATCH));
        let process = Validation { process_names: one("till2"), ..all };
        assert_eq!(code(process), Some(ErrorCode::VALIDATION_FIELD_MISMATCH));
    }

    #[test]
    fn a_program_that_names_nothing_passes_where_nothing_is_listed_and_only_there() {
        let nothing = ValidationFacts::default();
        assert_eq!(may_use(&nothing, &Validation::default()), Ok(()));
        let one = vec!["a.example".to_owned()];
        let domain = Validation { website_domains: one.clone(), ..Validation::default() };
        let refusal = may_use(&nothing, &domain).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::DOMAIN_MISMATCH);
        assert!(refusal.detail.contains("the program names none"), "{}", refusal.detail);
        for asked in [
            Validation { application_ids: one.clone(), ..Validation::default() },
            Validation { process_names: one, ..Validation::default() },
        ] {
            let refusal = may_use(&nothing, &asked).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::VALIDATION_FIELD_MISMATCH, "{asked:?}");
        }
    }
}
