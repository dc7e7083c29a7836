//! Runs the scenarios in `tests/scenarios`: what is asked of a server, and what must come of it, as
//! readable text.
//!
//! ```text
//! item ID CHARGE_WAY KEY=VALUE…       an item for the next import; values are JSON, or texts as they stand
//! import ORGANIZATION CODE            a license file with these items, and a handshake code over them
//! reissue ORGANIZATION                the last license file anew, a second later, with these items
//! at +SECONDS | expiry+SECONDS        sets the clock; 3d is three days
//! ask KEY=VALUE… -> granted KEY=VALUE…   fields of the request, and of the local license that comes
//! ask KEY=VALUE… -> CODE KEY=VALUE… "text"   … of the problem that comes; its detail holds the text
//! use NAME KIND=TOTAL… [in=SEGMENT] [at=+SECONDS] [x=COUNT] -> KEY=VALUE…
//!                                     reports totals under the license kept as NAME; fields of the
//!                                     standing that comes back; `x`: so many slots, one by one
//! end NAME…                           … that these have ended, which are of one device
//! admin METHOD PATH [JSON] -> STATUS "text"  the admin API; the answer holds the text
//! crowd NAME COUNT KEY=VALUE… -> GRANTED      so many devices ask, NAME-1 and on; so many are granted
//! command WORDS… -> "text"            a command that asks; its output holds the text, apart from spaces
//! ```
//! `device=NAME` stands for a device with its key; `held=NAME` for the local license that `as=NAME`
//! has kept. A device also shows the newest license that it has got, or that of `shows=NAME`.

use std::collections::HashMap;

use seatmeter_protocol::license::{LicenseItem, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::Signed;
use seatmeter_protocol::slot::slot_of;
use seatmeter_server::cli::queries::run_at;
use seatmeter_server::clock::Clock;
use serde_json::{Value, json};

use crate::support::*;

#[test]
fn every_scenario_goes_as_it_is_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the scenarios are there");
    for path in paths {
        let mut scenario = Scenario::new();
        for (number, line) in (1..).zip(std::fs::read_to_string(&path).unwrap().lines()) {
            if let Err(why) = scenario.step(line) {
                panic!("{}:{number}: {line}\n{why}", path.display());
            }
        }
        assert!(scenario.expectations > 0, "{} expects nothing", path.display());
    }
}

/// Edges are instants of UTC, wherever the server stands.
#[test]
fn the_scenarios_go_alike_in_every_time_zone() {
    for zone in ["Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu"] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scenarios::every_scenario_goes_as_it_is_written"])
            .env("TZ", zone)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{zone}: {told}");
    }
}

#[test]
fn a_scenario_that_expects_something_else_fails() {
    let mut scenario = Scenario::new();
    scenario.step("item a concurrent_instance quota=4").unwrap();
    scenario.step("import acme CODE").unwrap();
    scenario.step("ask seats=4 -> granted seats=4").unwrap();
    for wrong in [
        "ask seats=4 -> granted seats=3",
        "ask seats=4 -> -20008",
        "ask seats=5 -> granted",
        "ask seats=5 -> -20104",
        "ask seats=5 -> -20008 \"no such words\"",
        "ask seats=5 -> -20008 numbers.quota=5",
        "admin GET /items -> 404",
        "frobnicate",
    ] {
        assert!(scenario.step(wrong).is_err(), "{wrong}");
    }
}

struct Scenario {
    server: TestServer,
    items: Vec<LicenseItem>,
    imports: u32,
    reissues: u32,
    code: String,
    devices: HashMap<String, String>,
    kept: HashMap<String, Signed>,
    expectations: u32,
}

type Outcome = Result<(), String>;

impl Scenario {
    fn new() -> Self {
        Self {
            server: TestServer::empty(),
            items: Vec::new(),
            imports: 0,
            reissues: 0,
            code: String::new(),
            devices: HashMap::new(),
            kept: HashMap::new(),
            expectations: 0,
        }
    }

    fn step(&mut self, line: &str) -> Outcome {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if line.is_empty() {
            return Ok(());
        }
        let (asked, expected) = line.split_once(" -> ").unwrap_or((line, ""));
        let words: Vec<&str> = asked.split_whitespace().collect();
        if !expected.is_empty() {
            self.expectations += 1;
        }
        match words.as_slice() {
            ["item", id, way, settings @ ..] => self.item(id, way, settings),
            ["import", organization, code] => self.import(organization, code),
            ["reissue", organization] => self.reissue(organization),
            ["at", when] => self.at(when),
            ["ask", fields @ ..] => self.ask(fields, expected),
            ["use", license, words @ ..] => self.report_use(license, words, expected),
            ["end", licenses @ ..] => self.end(licenses),
            ["crowd", name, count, fields @ ..] => self.crowd(name, count, fields, expected),
            ["command", words @ ..] => self.command(words, expected),
            ["admin", method, path, ..] => {
                let body = asked.split_once(path).map_or("", |(_, rest)| rest.trim());
                self.admin(method, path, body, expected)
            }
            _ => Err("there is no such step".into()),
        }
    }

    fn item(&mut self, id: &str, way: &str, settings: &[&str]) -> Outcome {
        let plain = LicenseItem::new(
            id,
            serde_json::from_value(json!(way)).map_err(text)?,
            0,
            START,
            EXPIRY,
        );
        let mut item = serde_json::to_value(plain).map_err(text)?;
        for setting in settings {
            let (key, value) = pair(setting)?;
            set(&mut item, key, value);
        }
        self.items.push(serde_json::from_value(item).map_err(text)?);
        Ok(())
    }

    fn import(&mut self, organization: &str, code: &str) -> Outcome {
        self.imports += 1;
        self.code = code.to_owned();
        let mut file = license_file(organization, std::mem::take(&mut self.items));
        file.file_id = format!("file-{}", self.imports);
        self.server.import(&file, Some(code)).map_err(text)
    }

    fn reissue(&mut self, organization: &str) -> Outcome {
        let mut file = license_file(organization, std::mem::take(&mut self.items));
        file.file_id = format!("file-{}", self.imports);
        self.reissues += 1;
        file.issued_at += u64::from(self.reissues);
        self.server.import(&file, None).map_err(text)
    }

    fn at(&mut self, when: &str) -> Outcome {
        let (from, plus) = match when.strip_prefix("expiry") {
            Some(plus) => (EXPIRY, plus),
            None => (START, when),
        };
        let (plus, unit) = plus.strip_suffix('d').map_or((plus, 1), |days| (days, 86_400));
        let seconds: i64 = plus.parse().map_err(text)?;
        self.server.clock.set(from.checked_add_signed(seconds * unit).ok_or("out of range")?);
        Ok(())
    }

    fn ask(&mut self, fields: &[&str], expected: &str) -> Outcome {
        let mut asked = serde_json::to_value(request(&self.device("default"), 1)).map_err(text)?;
        asked["handshake_code"] = json!(self.code);
        let mut keep = None;
        for field in fields {
            match pair(field)? {
                ("device", name) => {
                    let uuid = self.device(&words(&name));
                    asked["device_key"] = json!(device_key(&uuid).public());
                    asked["first_contact"] = json!(uuid);
                    asked["device"]["uuid"] = json!(uuid);
                }
                ("shows", name) => {
                    asked["newest_license"] = match words(&name).as_str() {
                        "nothing" => Value::Null,
                        name => serde_json::to_value(self.kept(name)?).map_err(text)?,
                    }
                }
                ("as", name) => keep = Some(words(&name)),
                ("held", name) => {
                    let held = self.kept(&words(&name))?;
                    asked["held_license"] = serde_json::to_value(held).map_err(text)?;
                }
                (key, value) => set(&mut asked, key, value),
            }
        }
        let outcome: Result<AuthorizationAnswer, Problem> =
            self.server.post(AUTHORIZATIONS_PATH, &asked);
        match outcome {
            Ok(answer) => {
                let license: LocalLicense =
                    answer.local_license.open(server_key().public()).map_err(text)?;
                if let Some(name) = keep {
                    self.kept.insert(name, answer.local_license);
                }
                let rest = expected
                    .strip_prefix("granted")
                    .ok_or(format!("it was granted: {license:?}"))?;
                compare(&serde_json::to_value(license).map_err(text)?, "", rest)
            }
            Err(problem) => {
                let told = format!("it was refused: {problem:?}");
                let rest = expected.strip_prefix(&problem.code.to_string()).ok_or(told)?;
                let detail = problem.detail.clone();
                compare(&serde_json::to_value(problem).map_err(text)?, &detail, rest)
            }
        }
    }

    fn crowd(&mut self, name: &str, count: &str, fields: &[&str], expected: &str) -> Outcome {
        let count: u32 = count.parse().map_err(text)?;
        let mut granted = 0;
        for number in 1..=count {
            let uuid = self.device(&format!("{name}-{number}"));
            let mut asked = serde_json::to_value(request(&uuid, 1)).map_err(text)?;
            asked["handshake_code"] = json!(self.code);
            asked["device"]["friendly_name"] = json!(format!("{name}-{number}"));
            for field in fields {
                let (key, value) = pair(field)?;
                set(&mut asked, key, value);
            }
            let outcome: Result<AuthorizationAnswer, Problem> =
                self.server.post(AUTHORIZATIONS_PATH, &asked);
            granted += u32::from(outcome.is_ok());
        }
        let told = format!("{granted} were granted");
        if granted.to_string() == expected.trim() { Ok(()) } else { Err(told) }
    }

    fn command(&mut self, words: &[&str], expected: &str) -> Outcome {
        let mut output = Vec::new();
        let now = self.server.clock.unix_seconds();
        run_at(words, &self.server.location, now, &mut output).map_err(text)?;
        let told = String::from_utf8(output).map_err(text)?;
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        compare(&Value::Null, &told, expected)
    }

    fn kept(&self, name: &str) -> Result<&Signed, String> {
        self.kept.get(name).ok_or_else(|| "nothing was kept under this name".to_owned())
    }

    fn held(&self, name: &str) -> Result<LocalLicense, String> {
        let held = self.kept(name)?;
        held.open(server_key().public()).map_err(text)
    }

    fn report_use(&mut self, name: &str, words: &[&str], expected: &str) -> Outcome {
        let license = self.held(name)?;
        let (mut in_segment, mut slots, mut counters) = (name.to_owned(), 1, Vec::new());
        let mut slot = slot_of(self.server.clock.unix_seconds());
        for word in words {
            let (key, value) = word.split_once('=').ok_or("a counter is KIND=TOTAL")?;
            match key {
                "in" => in_segment = value.to_owned(),
                "x" => slots = value.parse().map_err(text)?,
                "at" => slot = slot_of(START + value.parse::<u64>().map_err(text)?),
                _ => counters.push((counter(key)?, value.parse().map_err(text)?)),
            }
        }
        let segment_id = self.device(&format!("segment {in_segment}"));
        let mut totals = Vec::new();
        for slot in slot..slot + slots {
            totals.extend(counters.iter().map(|&((kind, what), total)| UsageTotal {
                slot,
                kind,
                what,
                total,
            }));
        }
        let segments = vec![segment(&segment_id, &license.license_id, totals)];
        let answer = self
            .server
            .try_report(&report(&license.device_uuid, segments))
            .map_err(|p| format!("{p:?}"))?;
        if let Some(refused) = answer.refused.first() {
            return Err(format!("it was not recorded: {refused:?}"));
        }
        let standing = serde_json::to_value(answer.standings.first()).map_err(text)?;
        compare(&standing, "", expected)
    }

    fn end(&mut self, names: &[&str]) -> Outcome {
        let licenses = names.iter().map(|name| self.held(name)).collect::<Result<Vec<_>, _>>()?;
        let device_uuid = licenses.first().ok_or("which license?")?.device_uuid.clone();
        let ended = licenses
            .into_iter()
            .map(|LocalLicense { license_id, serial, .. }| EndedLicense { license_id, serial });
        let report = UsageReport { ended: ended.collect(), ..report(&device_uuid, vec![]) };
        self.server.try_report(&report).map(|_| ()).map_err(|problem| format!("{problem:?}"))
    }

    fn admin(&mut self, method: &str, path: &str, body: &str, expected: &str) -> Outcome {
        let mut path = path.to_owned();
        for (name, uuid) in &self.devices {
            path = path.replace(&format!("{{{name}}}"), uuid);
        }
        let answer =
            Request::json(method, &format!("/admin/v1{path}"), body).send(self.server.address);
        let told = String::from_utf8_lossy(&answer.body).into_owned();
        let (status, rest) = expected.split_once(' ').unwrap_or((expected, ""));
        if status != answer.status.to_string() {
            return Err(format!("{}: {told}", answer.status));
        }
        compare(&serde_json::from_str(&told).map_err(text)?, &told, rest)
    }

    fn device(&mut self, name: &str) -> String {
        self.devices.entry(name.to_owned()).or_insert_with(id).clone()
    }
}

/// What a counter is called: `scan`, `image`, or `page` with the number of its module.
fn counter(name: &str) -> Result<(UsageKind, u32), String> {
    let (kind, what) = name.split_once(':').unwrap_or((name, "1"));
    let kind = serde_json::from_value(json!(kind)).map_err(text)?;
    Ok((kind, what.parse().map_err(text)?))
}

/// Compares fields, and looks for the text in quotation marks.
fn compare(found: &Value, sentence: &str, expected: &str) -> Outcome {
    let (fields, quoted) = expected.split_once('"').map_or((expected, None), |(a, b)| (a, Some(b)));
    for field in fields.split_whitespace() {
        let (key, value) = pair(field)?;
        let pointer = format!("/{}", key.replace('.', "/"));
        if found.pointer(&pointer) != Some(&value) {
            return Err(format!("{key} is {:?} in {found}", found.pointer(&pointer)));
        }
    }
    match quoted.map(|text| text.trim_end_matches('"')) {
        Some(wanted) if !sentence.contains(wanted) => Err(format!("it says: {sentence}")),
        _ => Ok(()),
    }
}

fn pair(text: &str) -> Result<(&str, Value), String> {
    let (key, value) = text.split_once('=').ok_or(format!("{text:?} is not KEY=VALUE"))?;
    Ok((key, serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

fn set(target: &mut Value, key: &str, value: Value) {
    let mut place = target;
    for part in key.split('.') {
        place = &mut place[part];
    }
    *place = value;
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
