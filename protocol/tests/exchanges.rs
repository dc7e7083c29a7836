//! Whole HTTP exchanges, with every signature: `tests/vectors/exchanges.json` has them byte for
//! byte, and `docs/wire.md` shows some.
//!
//! `UPDATE_VECTORS=1 UPDATE_WIRE=1 cargo test -p seatmeter-protocol --test exchanges` writes both
//! anew.

#![allow(clippy::unwrap_used, reason = "everything here is a test")]
#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

mod page;
mod vector;

use page::Page;
use seatmeter_protocol::challenge::Challenge;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::*;
use seatmeter_protocol::request_auth::RequestFacts;
use seatmeter_protocol::signature::{AnswerFacts, PublicKey, Signed, SigningKey};
use serde::Serialize;
use serde_json::{Value, json};
use vector::*;

/// One request with its answer.
struct Exchange {
    name: &'static str,
    why: &'static str,
    method: &'static str,
    path: String,
    request_headers: Vec<(&'static str, String)>,
    request_body: String,
    status: u16,
    answer_headers: Vec<(&'static str, String)>,
    answer_body: String,
}

/// What proves a request.
enum By {
    Device,
    ReportKey,
    /// Nothing: a browser asks for its page, and the nonce is in the query.
    Page,
}

/// How an exchange begins.
struct Asked {
    name: &'static str,
    why: &'static str,
    path: &'static str,
    by: By,
    known_key: Option<PublicKey>,
    body: String,
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// Complete an exchange: prove the request, sign the answer, and check both as a reader does.
fn exchange(asked: Asked, status: u16, answer: String, signer: &SigningKey) -> Exchange {
    let Asked { name, why, path, by, known_key, body } = asked;
    // Each exchange has a nonce of its own.
    let nonce = seatmeter_protocol::signature::digest_hex(name.as_bytes())[..32].to_owned();
    let facts = RequestFacts::new(path, &nonce, body.as_bytes());
    let (method, address, mut request_headers) = match by {
        By::Page => {
            ("GET", format!("{path}?nonce={nonce}"), vec![("Origin", "https://company.com".into())])
        }
        By::Device | By::ReportKey => {
            let json = ("Content-Type", "application/json".to_owned());
            ("POST", path.to_owned(), vec![json, ("Seatmeter-Nonce", nonce.clone())])
        }
    };
    request_headers.extend(known_key.map(|key| ("Seatmeter-Key-Id", key.id())));
    match by {
        By::Device => {
            let signature = facts.sign(&key("03"));
            facts.verify(&signature, key("03").public()).unwrap();
            request_headers.push(("Seatmeter-Device-Signature", signature));
        }
        By::ReportKey => {
            request_headers.push(("Seatmeter-Report-Key-Id", report_key().id()));
            request_headers.push(("Seatmeter-Report-Tag", facts.tag(&report_key())));
        }
        By::Page => {}
    }
    let key_id = signer.public().id();
    let answered = AnswerFacts {
        request_body: body.as_bytes(),
        nonce: &nonce,
        status,
        server_time: NOW,
        key_id: &key_id,
    };
    let signature = answered.sign(answer.as_bytes(), signer);
    answered.verify(answer.as_bytes(), &signature, signer.public()).unwrap();
    let kind = if status == 200 { "application/json" } else { "application/problem+json" };
    let answer_headers = vec![
        ("Content-Type", kind.to_owned()),
        ("Seatmeter-Time", NOW.to_string()),
        ("Seatmeter-Key-Id", key_id),
        ("Seatmeter-Signature", signature),
    ];
    Exchange {
        name,
        why,
        method,
        path: address,
        request_headers,
        request_body: body,
        status,
        answer_headers,
        answer_body: answer,
    }
}

fn authorize() -> Exchange {
    let asked = Asked {
        name: "authorize",
        why: "the first contact of a device",
        path: AUTHORIZATIONS_PATH,
        by: By::Device,
        known_key: None,
        body: text(&request()),
    };
    exchange(asked, 200, text(&grant(&local(), &key("02"))), &key("02"))
}

fn renewal_after_a_replaced_key() -> Exchange {
    let held = Signed::seal(&local(), &key("02")).unwrap();
    let asked = Asked {
        name: "renewal after a replaced key",
        why: "the device asks for the previous key; the grant is signed by the one that the newest \
              issue of the license file names",
        path: AUTHORIZATIONS_PATH,
        by: By::Device,
        known_key: Some(key("02").public().clone()),
        body: text(&AuthorizationRequest {
            held_license: Some(held),
            first_contact: String::new(),
            receipt: "receipt".into(),
            ..request()
        }),
    };
    let generation = seatmeter_protocol::license::Generation { branch: 1, step: 2 };
    let next = LocalLicense { serial: local().serial + 1, generation, ..local() };
    exchange(asked, 200, text(&grant(&next, &key("04"))), &key("04"))
}

/// Return the request of a device that was put back to its first license, when it had others.
fn of_restored_device(challenge: Option<Signed>) -> AuthorizationRequest {
    AuthorizationRequest {
        held_license: Some(Signed::seal(&local(), &key("02")).unwrap()),
        first_contact: String::new(),
        receipt: "receipt".into(),
        challenge,
        ..request()
    }
}

fn made_challenge() -> Signed {
    Signed::seal(&Challenge { device_uuid: uuid(), made_at: NOW }, &key("02")).unwrap()
}

fn challenge() -> Exchange {
    let asked = Asked {
        name: "challenge",
        why: "the device was restored to a state in which it had an earlier license",
        path: AUTHORIZATIONS_PATH,
        by: By::Device,
        known_key: Some(key("02").public().clone()),
        body: text(&of_restored_device(None)),
    };
    let problem = Problem {
        kind: "/problems/challenge".into(),
        title: "The request must be sent again with the challenge of this answer".into(),
        challenge: Some(Box::new(made_challenge())),
        ..Problem::new(
            401,
            ErrorCode::DEVICE_NOT_MATCH,
            "the request must be sent again with the challenge of this answer",
        )
    };
    exchange(asked, 401, text(&problem), &key("02"))
}

fn answered_challenge() -> Exchange {
    let asked = Asked {
        name: "answered challenge",
        why: "the same request again, with the challenge: the grant begins a branch",
        path: AUTHORIZATIONS_PATH,
        by: By::Device,
        known_key: Some(key("02").public().clone()),
        body: text(&of_restored_device(Some(made_challenge()))),
    };
    let generation = seatmeter_protocol::license::Generation { branch: 2, step: 2 };
    let next = LocalLicense { serial: local().serial + 3, generation, ..local() };
    exchange(asked, 200, text(&grant(&next, &key("02"))), &key("02"))
}

fn origin() -> Exchange {
    let asked = Asked {
        name: "origin",
        why: "a page asks whether its website is licensed; the signed request body is empty",
        path: ORIGIN_PATH,
        by: By::Page,
        known_key: None,
        body: String::new(),
    };
    let answer = OriginAnswer { origin: "https://company.com".into() };
    exchange(asked, 200, text(&answer), &key("02"))
}

fn refusal() -> Exchange {
    let asked = Asked {
        name: "refusal",
        why: "more seats than are free; the refusal is signed as a grant is",
        path: AUTHORIZATIONS_PATH,
        by: By::Device,
        known_key: Some(key("02").public().clone()),
        body: text(&AuthorizationRequest { seats: 3, ..request() }),
    };
    let numbers = ProblemNumbers {
        requested: 3,
        quota: 4,
        used: 2,
        grace: 0,
        next_free_at: Some(NOW + 180),
        holders: vec![Holder { name: "till".into(), seats: 2, until: NOW + 180 }],
    };
    let problem = Problem {
        numbers: Some(Box::new(numbers)),
        epoch: epoch(),
        ..Problem::new(403, ErrorCode::QUOTA_EXCEEDED, "3 seats are asked for, and 2 of 4 are free")
    };
    exchange(asked, 403, text(&problem), &key("02"))
}

fn check() -> Exchange {
    let asked = Asked {
        name: "check",
        why: "what an authorization would be",
        path: AUTHORIZATION_CHECKS_PATH,
        by: By::Device,
        known_key: None,
        body: text(&request()),
    };
    let answer = AuthorizationCheck {
        handshake_code: "CODE".into(),
        item_id: "seats".into(),
        charge_way: local().charge_way,
        seats: 2,
        valid_until: local().valid_until,
        epoch: epoch(),
        meters: meters(),
    };
    exchange(asked, 200, text(&answer), &key("02"))
}

/// Return the report of two totals, with its local license if the server may have forgotten it.
fn reported(local_license: Option<Signed>) -> UsageReport {
    let totals = vec![
        UsageTotal { slot: 10_000_000, kind: UsageKind::Scan, what: 0x400_0000, total: 3 },
        UsageTotal { slot: 10_000_000, kind: UsageKind::Image, what: 0, total: 5 },
    ];
    let segment = SegmentReport {
        segment_id: "55".repeat(16),
        license_id: local().license_id,
        local_license,
        totals,
    };
    UsageReport {
        protocol: 1,
        device: request().device,
        newest_license: Some(Signed::seal(&local(), &key("02")).unwrap()),
        receipt: "receipt".into(),
        segments: vec![segment],
        ended: Vec::new(),
    }
}

fn report() -> Exchange {
    let asked = Asked {
        name: "report",
        why: "totals of one slot, under the report key of the first exchange",
        path: USAGE_PATH,
        by: By::ReportKey,
        known_key: Some(key("02").public().clone()),
        body: text(&reported(None)),
    };
    exchange(asked, 200, text(&recorded(epoch())), &key("02"))
}

fn unknown_report_key() -> Exchange {
    let asked = Asked {
        name: "unknown report key",
        why: "the server was restored from a backup, and does not know the report key",
        path: USAGE_PATH,
        by: By::ReportKey,
        known_key: Some(key("02").public().clone()),
        body: text(&reported(None)),
    };
    let problem = Problem {
        epoch: "67".repeat(16),
        ..Problem::new(403, ErrorCode::DEVICE_NOT_MATCH, "the report key is not known here")
    };
    exchange(asked, 403, text(&problem), &key("02"))
}

fn signed_report() -> Exchange {
    let license = Signed::seal(&local(), &key("02")).unwrap();
    let asked = Asked {
        name: "signed report",
        why: "all totals again in the new epoch, signed, with the license of the segment",
        path: USAGE_PATH,
        by: By::Device,
        known_key: Some(key("02").public().clone()),
        body: text(&reported(Some(license))),
    };
    exchange(asked, 200, text(&recorded("67".repeat(16))), &key("02"))
}

fn recorded(epoch: String) -> UsageAnswer {
    UsageAnswer {
        recorded: vec!["55".repeat(16)],
        epoch,
        standings: vec![ItemStanding { item_id: "seats".into(), meters: meters() }],
        receipt: "receipt".into(),
        ..UsageAnswer::default()
    }
}

/// Fold lines as RFC 8792 does with a single backslash.
fn folded(line: &str) -> String {
    const WIDTH: usize = 98;
    let (mut lines, mut rest) = (String::new(), line);
    while rest.chars().count() > WIDTH {
        let chars: Vec<(usize, char)> = rest.char_indices().collect();
        // A line must not begin with a space, because that would get lost.
        let at = (1..WIDTH).rev().find(|at| chars[*at].1 != ' ').unwrap();
        let (part, more) = rest.split_at(chars[at].0);
        lines.push_str(part);
        lines.push_str("\\\n");
        rest = more;
    }
    lines + rest + "\n"
}

impl Exchange {
    /// Return the exchange as the page shows it.
    fn shown(&self) -> String {
        let mut lines =
            vec![format!("{} {} HTTP/1.1", self.method, self.path), "Host: license.example".into()];
        let header = |(name, value): &(&str, String)| format!("{name}: {value}");
        lines.extend(self.request_headers.iter().map(header));
        if !self.request_body.is_empty() {
            lines.extend([String::new(), self.request_body.clone()]);
        }
        lines.push(String::new());
        lines.push(format!("HTTP/1.1 {}", self.status));
        lines.extend(self.answer_headers.iter().map(header));
        lines.extend([String::new(), self.answer_body.clone()]);
        let text: String = lines.iter().map(|line| folded(line)).collect();
        format!(
            "Lines are folded as in RFC 8792 with `\\`; the bodies are one line each.\n\n```text\n\
             {text}```\n"
        )
    }

    fn vector(&self) -> Value {
        let headers = |list: &[(&str, String)]| -> Value {
            list.iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({ "name": self.name, "why": self.why,
                "request": { "method": self.method, "path": self.path,
                             "headers": headers(&self.request_headers), "body": self.request_body },
                "answer": { "status": self.status, "headers": headers(&self.answer_headers),
                            "body": self.answer_body } })
    }
}

#[test]
fn exchanges_are_as_committed_and_as_the_page_shows_them() {
    let all = [
        authorize(),
        renewal_after_a_replaced_key(),
        refusal(),
        challenge(),
        answered_challenge(),
        check(),
        report(),
        unknown_report_key(),
        signed_report(),
        origin(),
    ];
    let mut page = Page::open();
    for name in ["authorize", "refusal", "challenge", "check", "report", "origin"] {
        let shown = all.iter().find(|exchange| exchange.name == name).unwrap();
        page.part(&format!("exchange {name}"), &shown.shown());
    }
    let exchanges: Vec<_> = all.iter().map(Exchange::vector).collect();
    let keys = json!({
        "vendor_seed": "01".repeat(32), "vendor_public": key("01").public(),
        "server_seed": "02".repeat(32), "server_public": key("02").public(),
        "new_server_seed": "04".repeat(32), "new_server_public": key("04").public(),
        "device_seed": "03".repeat(32), "device_public": key("03").public(),
        "report_key": String::from(report_key()),
        "key_share_secret": AGREEMENT[0],
    });
    vector("exchanges", &json!({ "keys": keys, "exchanges": exchanges }));
    page.close("exchanges");
}
