//! The connection parameters of a program, copied and checked.

use std::path::PathBuf;

use reqwest::Url;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::handshake_code;
use seatmeter_protocol::license::SEATS_MAX;
use seatmeter_protocol::license_module::license_module_name;
use seatmeter_protocol::message::TEXT_BYTES_MAX;
use seatmeter_protocol::signature::digest_hex;

use crate::device::UuidMethod;
use crate::environment::Environment;
use crate::error::{Error, Result};

/// The fewest days without contact that a program can request; a smaller number is raised to this.
pub const BUFFER_DAYS_MIN: u32 = 7;

/// The connection parameters as the caller gave them, with integers that are not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawParameters {
    /// URL of the main server, or empty.
    pub main_server: String,
    /// URL of the standby server, or empty.
    pub standby_server: String,
    /// The handshake code, or empty.
    pub handshake_code: String,
    /// The session password, or empty.
    pub session_password: String,
    /// The organization, or empty.
    pub organization_id: String,
    /// The number of the deployment type.
    pub deployment_type: i32,
    /// The number of the charge way.
    pub charge_way: i32,
    /// The method for a new UUID: 1 random, 2 hardware.
    pub uuid_generation_method: i32,
    /// The requested days without contact.
    pub max_buffer_days: i32,
    /// The number of seats requested.
    pub max_concurrent_instance_count: i32,
    /// The requested products, one bit each.
    pub products: i32,
    /// The numbers of the requested modules.
    pub modules: Vec<i32>,
    /// The settings from before initialization.
    pub settings: Settings,
}

/// The settings that a program makes before it initializes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The host of the website, or empty.
    pub website_domain: String,
    /// The id of the application, or empty.
    pub application_id: String,
    /// The name of the device for people, or empty.
    pub friendly_name: String,
    /// The file with the certificates of a company's own authority.
    pub ca_file: Option<PathBuf>,
}

/// A fact about the application that a program can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationField {
    /// The website's domain, number 0.
    WebsiteDomain,
    /// The application's id, number 1.
    ApplicationId,
}

impl ValidationField {
    /// Return the field with this number.
    ///
    /// # Errors
    /// Returns -10038 when there is none, or when the library determines this fact by itself.
    pub fn from_number(number: i32) -> Result<Self> {
        match number {
            0 => Ok(Self::WebsiteDomain),
            1 => Ok(Self::ApplicationId),
            2 => Err(invalid(
                "validation field 2, the process name, comes from the operating system: do not \
                 set it"
                    .to_owned(),
            )),
            _ => Err(invalid(format!(
                "validation field {number} does not exist: set 0 (the website's domain) or 1 (the \
                 application's id)"
            ))),
        }
    }
}

/// The parameters after all checks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parameters {
    /// The URLs of the servers, main server first.
    pub servers: Vec<String>,
    /// The handshake code, or empty.
    pub handshake_code: String,
    /// The session password, or empty.
    pub session_password: String,
    /// The organization, or empty.
    pub organization_id: String,
    /// The deployment type: where the software runs.
    pub deployment_type: DeploymentType,
    /// The charge way, if the caller requires one.
    pub charge_way: Option<ChargeWay>,
    /// The method by which a new device gets its UUID.
    pub uuid_method: UuidMethod,
    /// The days without contact.
    pub buffer_days: u32,
    /// The number of seats requested.
    pub seats: u32,
    /// The requested products, one bit each.
    pub products: u32,
    /// The names of the requested modules.
    pub modules: Vec<String>,
    /// The settings from before initialization.
    pub settings: Settings,
    /// The name of this process's executable file.
    pub program: String,
}

impl Parameters {
    /// Check the caller's parameters. Take from the environment what the caller has left open.
    ///
    /// # Errors
    /// Returns an error for the first parameter that is out of its range.
    pub fn understand(raw: &RawParameters, environment: &Environment) -> Result<Self> {
        for (name, text) in [
            ("mainServerURL", &raw.main_server),
            ("standbyServerURL", &raw.standby_server),
            ("handshakeCode", &raw.handshake_code),
            ("sessionPassword", &raw.session_password),
            ("organizationID", &raw.organization_id),
        ] {
            if text.len() > TEXT_BYTES_MAX {
                return Err(invalid(format!(
                    "{name} has {} bytes: shorten it to {TEXT_BYTES_MAX}",
                    text.len()
                )));
            }
        }
        // White space around a code comes from copying it, and no code contains any. A password may
        // contain some.
        let handshake_code = raw.handshake_code.trim();
        let organization_id = raw.organization_id.trim();
        if handshake_code.is_empty() && organization_id.is_empty() {
            return Err(ErrorCode::NO_HANDSHAKE_CODE.into());
        }
        require_graphic(handshake_code)?;
        Ok(Self {
            servers: servers(raw, environment)?,
            handshake_code: handshake_code.to_owned(),
            session_password: raw.session_password.clone(),
            organization_id: organization_id.to_owned(),
            deployment_type: DeploymentType::from_number(raw.deployment_type).map_err(|n| {
                invalid(format!(
                    "deploymentType {n} does not exist: set 1 (server), 2 (desktop), 6 (embedded), \
                         7 (OEM) or 9 (mobile)"
                ))
            })?,
            charge_way: ChargeWay::from_number(raw.charge_way).map_err(|n| {
                invalid(format!(
                    "chargeWay {n} does not exist: set 0, and the server chooses; or 1 (client \
                     device), \
                     2 (scans), 3 (concurrent devices), 6 (domain), 8 (active devices), 9 \
                     (server), \
                     10 (concurrent instances) or 20 (pages)"
                ))
            })?,
            uuid_method: match raw.uuid_generation_method {
                1 => UuidMethod::Random,
                2 => UuidMethod::Hardware,
                n => {
                    return Err(invalid(format!(
                        "UUIDGenerationMethod {n} does not exist: set 1 (random) or 2 (hardware)"
                    )));
                }
            },
            buffer_days: u32::try_from(raw.max_buffer_days).unwrap_or(0).max(BUFFER_DAYS_MIN),
            seats: seats(raw.max_concurrent_instance_count)?,
            // The bits are a mask; a negative number is one with the highest bit set.
            products: raw.products.cast_unsigned(),
            modules: modules(&raw.modules)?,
            settings: raw.settings.clone(),
            program: environment.program.clone(),
        })
    }

    /// Return the name of the grant for these parameters. Two programs that request the same thing
    /// share one, whatever their number of seats and their server.
    ///
    /// Website domain and application id are part of the name, because a license was granted for
    /// them. The session password and the executable's name are not; `license/presented.rs` says
    /// why, and where they are compared.
    pub fn grant_name(&self) -> String {
        let mut text =
            format!("{:?} {:?} {}", self.deployment_type, self.charge_way, self.products);
        for part in [&self.handshake_code, &self.organization_id].into_iter().chain(&self.modules) {
            text.push_str(&format!(" {}:{part}", part.len()));
        }
        let Settings { website_domain, application_id, .. } = &self.settings;
        if !website_domain.is_empty() || !application_id.is_empty() {
            let (site, application) = (website_domain.len(), application_id.len());
            text.push_str(&format!(" for {site}:{website_domain} {application}:{application_id}"));
        }
        let mut name = digest_hex(text.as_bytes());
        name.truncate(32);
        name
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message)
}

/// Refuse a handshake code with a character that no code contains, and show where it is.
fn require_graphic(code: &str) -> Result<()> {
    let Some(flaw) = handshake_code::flaw(code) else { return Ok(()) };
    Err(Error::new(ErrorCode::HANDSHAKE_CODE_INVALID, format!("handshakeCode {code:?} {flaw}")))
}

fn modules(asked: &[i32]) -> Result<Vec<String>> {
    let name = |number: &i32| {
        license_module_name(*number).map(str::to_owned).ok_or_else(|| {
            invalid(format!(
                "limitedLicenseModules has {number}, which is not one of DM_LicenseModule: remove \
                 it"
            ))
        })
    };
    asked.iter().map(name).collect()
}

fn seats(asked: i32) -> Result<u32> {
    u32::try_from(asked).ok().filter(|seats| (1..=SEATS_MAX).contains(seats)).ok_or_else(|| {
        Error::new(
            ErrorCode::INSTANCE_COUNT_OVER_LIMIT,
            format!("maxConcurrentInstanceCount is {asked}; ask for 1 to {SEATS_MAX} seats"),
        )
    })
}

fn servers(raw: &RawParameters, environment: &Environment) -> Result<Vec<String>> {
    let choose = |given: &str, from_environment: &Option<String>| {
        if given.is_empty() { from_environment.clone() } else { Some(given.to_owned()) }
    };
    let mut servers: Vec<String> = [
        choose(&raw.main_server, &environment.server),
        choose(&raw.standby_server, &environment.standby_server),
    ]
    .into_iter()
    .flatten()
    .map(|url| match url.trim() {
        // The rest of a bare scheme must not be taken as a host.
        scheme if scheme.ends_with("://") => scheme.to_owned(),
        url => url.trim_end_matches('/').to_owned(),
    })
    .collect();
    servers.dedup();
    if servers.is_empty() {
        let todo = match crate::os::is_privileged() {
            // The environment of this program is not read.
            true => {
                "set mainServerURL: this program runs with more rights than its user, so its \
                 environment is ignored"
            }
            false => "set mainServerURL, or SEATMETER_SERVER in the environment",
        };
        return Err(invalid(format!("no license server: {todo}")));
    }
    // Programs written for other servers give only a host name. A mistyped scheme is not a host
    // name.
    for url in &mut servers {
        let begins_with = |scheme: &str| {
            url.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        let has_scheme = url.contains("://") || begins_with("http:") || begins_with("https:");
        if has_scheme && !begins_with("http://") && !begins_with("https://") {
            return Err(invalid(format!(
                "{url} is not the URL of a license server: it must begin with http:// or https://"
            )));
        }
        if has_scheme {
            // By RFC 3986, section 3.1, capital letters in a scheme make no difference.
            let end = url.find(':').unwrap_or_default();
            url[..end].make_ascii_lowercase();
        } else {
            url.insert_str(0, "https://");
        }
        require_host(url)?;
    }
    Ok(servers)
}

/// Refuse a URL to which no request can be sent, before a connection is tried.
fn require_host(url: &str) -> Result<()> {
    let why = match Url::parse(url) {
        Err(e) => e.to_string(),
        Ok(parsed) if parsed.query().is_some() || parsed.fragment().is_some() => {
            "it must not have a part after ? or #".to_owned()
        }
        Ok(_) => return Ok(()),
    };
    Err(invalid(format!(
        "{url} is not the URL of a license server: {why}. Write it like \
         http://license.example:48080"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawParameters {
        RawParameters {
            main_server: "http://127.0.0.1:48080/".into(),
            handshake_code: "DEMO".into(),
            deployment_type: 1,
            uuid_generation_method: 1,
            max_buffer_days: 7,
            max_concurrent_instance_count: 4,
            products: 0xffff,
            ..RawParameters::default()
        }
    }

    fn understand(raw: &RawParameters) -> Result<Parameters> {
        Parameters::understand(raw, &Environment::default())
    }

    #[test]
    fn good_parameters_are_understood() {
        let parameters = understand(&raw()).unwrap();
        assert_eq!(parameters.servers, ["http://127.0.0.1:48080"]);
        assert_eq!(parameters.seats, 4);
        assert_eq!(parameters.charge_way, None);
    }

    #[test]
    fn each_bad_parameter_has_its_code_and_is_named() {
        let check = |change: &dyn Fn(&mut RawParameters), code: ErrorCode, names: &str| {
            let mut raw = raw();
            change(&mut raw);
            let error = understand(&raw).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(names), "{error}");
        };
        let invalid = ErrorCode::PARAMETER_VALUE_INVALID;
        check(&|raw| raw.handshake_code.clear(), ErrorCode::NO_HANDSHAKE_CODE, "handshakeCode");
        check(
            &|raw| raw.handshake_code = "a b".into(),
            ErrorCode::HANDSHAKE_CODE_INVALID,
            "a space at position 2",
        );
        let strange = "\"CODE\\u{200b}\" has the character U+200B at position 5";
        check(
            &|raw| raw.handshake_code = "CODE\u{200b}".into(),
            ErrorCode::HANDSHAKE_CODE_INVALID,
            strange,
        );
        check(
            &|raw| raw.handshake_code = " \n".into(),
            ErrorCode::NO_HANDSHAKE_CODE,
            "handshakeCode",
        );
        check(&|raw| raw.handshake_code = "x".repeat(513), invalid, "handshakeCode");
        check(&|raw| raw.deployment_type = 3, invalid, "deploymentType");
        check(&|raw| raw.charge_way = 7, invalid, "chargeWay");
        check(&|raw| raw.modules = vec![1, 14], invalid, "limitedLicenseModules has 14");
        check(&|raw| raw.uuid_generation_method = 0, invalid, "UUIDGenerationMethod");
        check(&|raw| raw.main_server.clear(), invalid, "mainServerURL");
        check(&|raw| raw.main_server = "ftp://x".into(), invalid, "http://");
        check(&|raw| raw.main_server = "http:/a".into(), invalid, "must begin with http://");
        check(&|raw| raw.main_server = "http://".into(), invalid, "empty host");
        check(&|raw| raw.main_server = "http://a:99999".into(), invalid, "invalid port");
        check(&|raw| raw.standby_server = "http://a b".into(), invalid, "http://a b");
        check(&|raw| raw.main_server = "http://a/?x=1".into(), invalid, "a part after");
        for seats in [0, -1, 65_537] {
            check(
                &|raw| raw.max_concurrent_instance_count = seats,
                ErrorCode::INSTANCE_COUNT_OVER_LIMIT,
                "maxConcurrentInstanceCount",
            );
        }
    }

    #[test]
    fn the_process_name_is_no_field_to_be_set() {
        assert_eq!(ValidationField::from_number(1).unwrap(), ValidationField::ApplicationId);
        assert!(ValidationField::from_number(2).unwrap_err().message.contains("operating system"));
        assert!(ValidationField::from_number(-1).is_err());
    }

    #[test]
    fn the_environment_fills_in_but_does_not_override() {
        let environment = Environment {
            server: Some("http://main".into()),
            standby_server: Some("http://standby".into()),
            ..Environment::default()
        };
        let given = Parameters::understand(&raw(), &environment).unwrap();
        assert_eq!(given.servers, ["http://127.0.0.1:48080", "http://standby"]);
        let open = RawParameters { main_server: String::new(), ..raw() };
        let filled = Parameters::understand(&open, &environment).unwrap();
        assert_eq!(filled.servers, ["http://main", "http://standby"]);
    }

    #[test]
    fn white_space_around_a_code_is_forgiven_and_that_of_a_password_is_kept() {
        let mut raw = raw();
        (raw.handshake_code, raw.organization_id) = ("\u{a0}DEMO\r\n".into(), " acme\t".into());
        raw.session_password = " secret ".into();
        let parameters = understand(&raw).unwrap();
        assert_eq!(
            (parameters.handshake_code.as_str(), parameters.organization_id.as_str()),
            ("DEMO", "acme")
        );
        assert_eq!(parameters.session_password, " secret ");
    }

    #[test]
    fn a_scheme_in_capitals_is_the_same_scheme() {
        for (given, meant) in [
            ("HTTP://license.example:48080", "http://license.example:48080"),
            ("Https://License.example/", "https://License.example"),
            ("  HTTPS://license.example  ", "https://license.example"),
        ] {
            let raw = RawParameters { main_server: given.into(), ..raw() };
            assert_eq!(understand(&raw).unwrap().servers, [meant]);
        }
    }

    #[test]
    fn a_bare_host_name_means_https_and_few_buffer_days_are_raised() {
        let raw =
            RawParameters { main_server: "license.example".into(), max_buffer_days: -3, ..raw() };
        let parameters = understand(&raw).unwrap();
        assert_eq!(parameters.servers, ["https://license.example"]);
        assert_eq!(parameters.buffer_days, BUFFER_DAYS_MIN);
    }

    #[test]
    fn the_number_of_seats_and_the_server_do_not_make_another_grant() {
        let other = RawParameters {
            max_concurrent_instance_count: 9,
            main_server: "http://b".into(),
            ..raw()
        };
        assert_eq!(
            understand(&raw()).unwrap().grant_name(),
            understand(&other).unwrap().grant_name()
        );
        let code = RawParameters { handshake_code: "OTHER".into(), ..raw() };
        assert_ne!(
            understand(&raw()).unwrap().grant_name(),
            understand(&code).unwrap().grant_name()
        );
        let modules = RawParameters { modules: vec![1], ..raw() };
        assert_ne!(
            understand(&raw()).unwrap().grant_name(),
            understand(&modules).unwrap().grant_name()
        );
    }

    #[test]
    fn each_website_domain_and_each_application_id_has_a_grant_of_its_own() {
        let name = |site: &str, application: &str| {
            let settings = Settings {
                website_domain: site.into(),
                application_id: application.into(),
                ..Settings::default()
            };
            understand(&RawParameters { settings, ..raw() }).unwrap().grant_name()
        };
        let names = [name("", ""), name("a", ""), name("", "a"), name("a", "b"), name("b", "a")];
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }
}
