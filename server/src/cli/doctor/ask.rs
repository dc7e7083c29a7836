//! The doctor's check of licensing: the server's answer to the program's request for a license. The
//! server decides as for a real request, and records nothing. No seat is taken, and the device's
//! history with the server stays as it was.
//!
//! | given | request |
//! | --- | --- |
//! | `--handshake-code` or `--organization` | the values on the command line; the others as in the device's license of that code, or the programs' defaults |
//! | neither, but the device has licenses | whether each would be renewed |
//! | neither, and it has none | nothing |

#![allow(
    clippy::disallowed_methods,
    reason = "the session password comes by the environment, as it is no word for a command line"
)]

use clap::Args;
use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::built_in::BuiltIn;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::handshake_code;
use seatmeter_protocol::license::Generation;
use seatmeter_protocol::message::{
    AUTHORIZATION_CHECKS_PATH, AuthorizationCheck, AuthorizationRequest, DeviceFacts, Problem,
    ValidationFacts,
};

use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::{PublicKey, Signed, SigningKey};

use super::network::{Answer, Way};
use super::state::{Device, Held, numbers};
use super::{Findings, Health};
use crate::error::Error;
use crate::random::fresh_id;
use crate::utc;

/// The environment variable with the session password.
const PASSWORD: &str = "SEATMETER_SESSION_PASSWORD";

/// The defaults, as `InitDLSConnectionParameters` sets them.
const SEATS: u32 = 1;
const BUFFER_DAYS: u32 = 7;
const PRODUCTS_ALL: u32 = 0xffff;

/// The request that a program would make.
#[derive(Args, Debug, Default)]
pub(super) struct AskArguments {
    /// Make the request of a program with this handshake code: nothing is granted. Its session
    /// password goes into the variable SEATMETER_SESSION_PASSWORD
    #[arg(long, value_name = "CODE")]
    handshake_code: Option<String>,
    /// The organization that the program names
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// The deployment type that the program names
    #[arg(long, value_enum)]
    deployment_type: Option<DeploymentType>,
    /// The charge way that the program names
    #[arg(long, value_enum)]
    charge_way: Option<ChargeWay>,
    /// The number of seats that the program requests
    #[arg(long, value_name = "N")]
    seats: Option<u32>,
    /// The website domain that the program sets
    #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
    website_domain: String,
    /// The application id that the program sets
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    application_id: String,
    /// The name of the program's executable file
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    process_name: String,
}

impl AskArguments {
    fn names_somebody(&self) -> bool {
        self.handshake_code.is_some() || self.organization.is_some()
    }

    /// Return the handshake code without the white space around it, which programs ignore, too.
    fn code(&self) -> Option<&str> {
        self.handshake_code.as_deref().map(str::trim)
    }
}

/// Make the request, and report what the server would do.
pub(super) fn examine(
    way: &Way,
    arguments: &AskArguments,
    library: Option<&BuiltIn>,
    device: &Device,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    if !arguments.names_somebody() {
        if device.licenses.is_empty() {
            let finding = "the server was not asked whether it would grant a license";
            return findings.say(
                Health::Note,
                "licensing",
                finding,
                "name what the program asks with: --handshake-code",
            );
        }
        for held in &device.licenses {
            ask(way, arguments, Some(held), library, device, findings)?;
        }
        return Ok(());
    }
    if let Some(code) = arguments.code()
        && let Some(flaw) = handshake_code::flaw(code)
    {
        // A program gets this answer from its library, which does not ask the server.
        let finding = format!(
            "a program would be refused with {}: the code {code:?} {flaw}",
            ErrorCode::HANDSHAKE_CODE_INVALID
        );
        let todo = "copy the code again, from the operator of the license server";
        return findings.say(Health::Broken, "licensing", &finding, todo);
    }
    let is_same =
        |held: &&Held| arguments.code().is_some_and(|code| held.local.handshake_code == code);
    ask(way, arguments, device.licenses.iter().find(is_same), library, device, findings)
}

fn ask(
    way: &Way,
    arguments: &AskArguments,
    held: Option<&Held>,
    library: Option<&BuiltIn>,
    device: &Device,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    let asker = Asker::of(device)?;
    let request = request(arguments, held, library, &asker)?;
    let body = serde_json::to_string(&request).map_err(|e| Error::Internal(e.to_string()))?;
    let key = held.map(|held| &held.server_key);
    let key_id = key.map(PublicKey::id);
    let answered = way.ask(AUTHORIZATION_CHECKS_PATH, &body, key_id.as_deref(), Some(&asker.key));
    let answer = match answered {
        Ok(answer) => answer,
        Err(why) => {
            let finding = format!(
                "it is not known whether the server would grant a license: its answer is \
                incomplete: {why}"
            );
            return findings.say(Health::Warning, "licensing", &finding, "try again");
        }
    };
    let who = match (&request.handshake_code, &request.organization_id) {
        (code, _) if !code.is_empty() => format!("code {code}"),
        (_, organization) => format!("organization {organization}"),
    };
    let epoch = judge(&answer, &who, key, arguments, findings)?;
    let (Some(key), Some(epoch)) = (key, epoch.filter(|epoch| !epoch.is_empty())) else {
        return Ok(());
    };
    match device.epochs.get(&key.id()) {
        Some(known) if *known != epoch => {
            let finding = "the server's data is not what this device knew: a backup was restored, \
                or it was made anew";
            findings.say(
                Health::Warning,
                "epoch",
                finding,
                "let a program reach the server: it reports all counts of the device again",
            )
        }
        Some(_) => {
            findings.good("epoch", "the server has the data to which this device has reported")
        }
        None => Ok(()),
    }
}

/// The device in whose name the server is asked.
struct Asker<'a> {
    uuid: String,
    key: SigningKey,
    /// The newest license of the device.
    newest: Option<&'a Held>,
}

impl<'a> Asker<'a> {
    /// Ask as this device, if its key can be read. Otherwise, ask as one that is new, because the
    /// server answers nobody else about a device.
    fn of(device: &'a Device) -> Result<Self, Error> {
        if let (Some(uuid), Ok(key)) = (&device.uuid, SigningKey::from_seed(&device.key_seed)) {
            let place = |held: &&Held| {
                let Generation { branch, step } = held.local.generation;
                (branch, step)
            };
            let newest = device.licenses.iter().max_by_key(place);
            return Ok(Self { uuid: uuid.clone(), key, newest });
        }
        let (key, _) = SigningKey::generate().map_err(|e| Error::Internal(e.to_string()))?;
        Ok(Self { uuid: fresh_id()?, key, newest: None })
    }

    fn shows(&self, held: &Held) -> Option<Signed> {
        (held.local.device_uuid == self.uuid).then(|| held.signed.clone())
    }
}

fn request(
    arguments: &AskArguments,
    held: Option<&Held>,
    library: Option<&BuiltIn>,
    asker: &Asker<'_>,
) -> Result<AuthorizationRequest, Error> {
    // A check agrees on no report key: the half goes nowhere.
    let agreement = Agreement::begin()
        .ok_or_else(|| Error::Internal("the system gives no random numbers".to_owned()))?;
    let built_in = library.cloned().unwrap_or_default();
    let renewed = held.filter(|_| !arguments.names_somebody());
    Ok(AuthorizationRequest {
        protocol: PROTOCOL_VERSION,
        handshake_code: match (arguments.code(), renewed) {
            (Some(code), _) => code.to_owned(),
            (None, Some(held)) => held.local.handshake_code.clone(),
            (None, None) => String::new(),
        },
        organization_id: arguments.organization.clone().unwrap_or_default(),
        session_password: std::env::var(PASSWORD).unwrap_or_default(),
        device: DeviceFacts {
            uuid: asker.uuid.clone(),
            friendly_name: String::new(),
            library_version: built_in.library,
        },
        deployment_type: arguments
            .deployment_type
            .or_else(|| held.and_then(|held| held.item.deployment_types.first().copied()))
            .unwrap_or(DeploymentType::Desktop),
        charge_way: arguments.charge_way.or_else(|| renewed.map(|held| held.item.charge_way)),
        products: PRODUCTS_ALL,
        seats: arguments
            .seats
            .unwrap_or_else(|| held.map_or(SEATS, |held| held.local.seats.max(SEATS))),
        buffer_days: BUFFER_DAYS,
        modules: Vec::new(),
        product_version: built_in.product_version.parse().ok(),
        product_edition: Some(built_in.product_edition).filter(|edition| !edition.is_empty()),
        validation: ValidationFacts {
            website_domain: arguments.website_domain.clone(),
            application_id: arguments.application_id.clone(),
            process_name: arguments.process_name.clone(),
        },
        held_license: held.and_then(|held| asker.shows(held)),
        newest_license: asker.newest.and_then(|newest| asker.shows(newest)),
        device_key: asker.key.public().clone(),
        key_share: agreement.share().clone(),
        first_contact: String::new(),
        needed: 0,
        lost: Vec::new(),
        receipt: String::new(),
        challenge: None,
    })
}

/// Report the server's decision. Return the epoch in the answer if the answer can be trusted.
fn judge(
    answer: &Answer,
    who: &str,
    key: Option<&PublicKey>,
    arguments: &AskArguments,
    findings: &mut Findings<'_>,
) -> Result<Option<String>, Error> {
    let is_known = key.is_some_and(|key| answer.is_signed_by(key));
    if key.is_some() && !is_known {
        let finding = format!(
            "it is not known whether the server would grant a license ({who}): its answer is not \
            signed by the license's server"
        );
        return findings
            .say(Health::Warning, "licensing", &finding, "see the line about the signature")
            .map(|()| None);
    }
    let trust = if is_known {
        ""
    } else {
        "; this device knows no key of the server yet, so the signature was not checked"
    };
    if answer.status == 200 {
        let Ok(check) = serde_json::from_slice::<AuthorizationCheck>(&answer.body) else {
            let finding = "it is not known whether the server would grant a license: its answer \
                is of another version";
            return findings
                .say(Health::Warning, "licensing", finding, "update the older side")
                .map(|()| None);
        };
        let seats =
            if check.seats > 0 { format!(", {} seats", check.seats) } else { String::new() };
        let finding = format!(
            "the server would grant {} ({who}{seats}) until {}; nothing was granted{trust}",
            check.item_id,
            utc::text(check.valid_until)
        );
        return findings.good("licensing", &finding).map(|()| Some(check.epoch));
    }
    let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
        let finding = format!(
            "it is not known whether the server would grant a license: it answers with status {}",
            answer.status
        );
        return findings
            .say(Health::Warning, "licensing", &finding, "update the server")
            .map(|()| None);
    };
    if answer.status == 404 && problem.code != ErrorCode::HANDSHAKE_CODE_UNKNOWN {
        let finding = "it is not known whether the server would grant a license: this server does \
        not support the question";
        return findings
            .say(Health::Note, "licensing", finding, "update the server")
            .map(|()| None);
    }
    refused(&problem, who, trust, arguments, findings)?;
    Ok(Some(problem.epoch))
}

fn refused(
    problem: &Problem,
    who: &str,
    trust: &str,
    arguments: &AskArguments,
    findings: &mut Findings<'_>,
) -> Result<(), Error> {
    let with = problem.numbers.as_deref().map_or_else(String::new, numbers);
    let finding = format!(
        "the server would refuse ({who}) with {}: {}{with}{trust}",
        problem.code, problem.detail
    );
    let by_program = match problem.code {
        ErrorCode::SESSION_PASSWORD_WRONG => {
            format!("give the program's session password in {PASSWORD}")
        }
        ErrorCode::DOMAIN_MISMATCH => "give the program's domain with --website-domain".to_owned(),
        ErrorCode::VALIDATION_FIELD_MISMATCH => {
            "give what the program sets with --application-id, --website-domain and --process-name"
                .to_owned()
        }
        _ => String::new(),
    };
    // The request lacked what only the program knows, unless it was given here.
    match by_program.is_empty() || arguments.names_somebody() {
        true => findings.say(
            Health::Broken,
            "licensing",
            &finding,
            "do what the sentence says, or ask the server's operator",
        ),
        false => findings.say(Health::Note, "licensing", &finding, &by_program),
    }
}
