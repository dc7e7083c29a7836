//! The network of a world. It carries requests to the servers and answers back, and disturbs them
//! as networks do.
//!
//! | disturbance of a request | the server | the device |
//! | --- | --- | --- |
//! | nothing | answers | gets the answer |
//! | it is lost | hears nothing | hears nothing |
//! | its answer is lost | answers | hears nothing |
//! | it is doubled | answers twice | gets the second answer |
//! | it is delayed | answers some other day | hears nothing |
//! | its answer is damaged | answers | gets it with a bit inverted, in body, signature or time |
//! | it is overtaken | answers | gets an answer to an earlier request |

mod installations;
mod page;
mod strangers;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seatmeter::sync::RawAnswer;
use seatmeter_protocol::error_code::{DeviceAction, ErrorCode};
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{AUTHORIZATIONS_PATH, AuthorizationAnswer, Problem, USAGE_PATH};
use seatmeter_protocol::request_auth::Proof;

use crate::plan::{MACHINES, Versions, Weather};
use crate::random::Random;
use crate::server::{Asked, Server};
use crate::time::Time;
use installations::Installations;
pub(crate) use page::PageRequest;
use strangers::Strangers;
pub(crate) use wire::{Stop, Wire};

/// The address of the main server.
pub(crate) const MAIN: &str = "http://main";
pub(crate) const STANDBY: &str = "http://standby";

/// The time that a silent server costs.
const SILENCE_MS: u64 = 4_000;

/// Most letters and answers that are kept; older ones are dropped.
const KEPT_MAX: usize = 32;

/// The network, and the servers behind it.
pub(crate) struct Net {
    pub(crate) server: Server,
    /// The standby with data of its own, if it has such data.
    pub(crate) apart: Option<Server>,
    /// The server with the key of the main server, and a copy of its data.
    pub(crate) copy: Option<Server>,
    /// The machines whose requests to the main server reach its copy, if there is one.
    pub(crate) reaches_copy: [bool; MACHINES],
    time: Arc<Time>,
    pub(crate) weather: Weather,
    pub(crate) random: Random,
    pub(crate) is_unplugged: [bool; MACHINES],
    /// Machines that cannot reach the main server in any case.
    pub(crate) has_lost_main: [bool; MACHINES],
    pub(crate) is_standby_up: bool,
    /// Whether the standby cannot see the main server.
    pub(crate) is_partitioned: bool,
    pub(crate) versions: Versions,
    /// The family of each machine. Copies belong to one family.
    pub(crate) families: [usize; MACHINES],
    /// The machine that used each UUID.
    pub(crate) owners: BTreeMap<String, usize>,
    pub(crate) installations: Installations,
    pub(crate) strangers: Strangers,
    /// The true end of each local license, by license and serial.
    pub(crate) granted: BTreeMap<(String, u32), u64>,
    delayed: Vec<Letter>,
    answers: Vec<(usize, &'static str, RawAnswer)>,
    pub(crate) heard: Heard,
    /// The codes with which machines were ever refused.
    pub(crate) refusals: [BTreeSet<ErrorCode>; MACHINES],
    /// How often each machine had an answer after which a page takes another identity: a refusal
    /// that says so, or one that was changed on its way.
    pub(crate) identity_causes: [u32; MACHINES],
    /// Whether the server has done anything since this was last reset.
    pub(crate) is_touched: bool,
    pub(crate) violation: Option<String>,
}

/// The answers that a machine has received in one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Answers that arrived undamaged.
    pub(crate) answers: u32,
    /// The leads of the servers whose answers are accepted, in seconds.
    pub(crate) ahead: Vec<u64>,
    /// The codes of refusals.
    pub(crate) refusals: Vec<ErrorCode>,
    pub(crate) silences: u32,
    pub(crate) damaged: u32,
}

struct Letter {
    machine: usize,
    /// Whether the letter is late: its sender was stopped before it left, and other programs were
    /// not.
    is_late: bool,
    to_standby: bool,
    path: &'static str,
    body: Vec<u8>,
    nonce: String,
    proof: Proof,
    key_id: Option<String>,
    /// The header `Origin`, which browsers set.
    origin: Option<&'static str>,
}

impl Letter {
    /// Return the UUID under which the letter is sent.
    fn uuid(&self) -> String {
        let body: serde_json::Value =
            serde_json::from_slice(&self.body).expect("requests are JSON");
        body["device"]["uuid"].as_str().unwrap_or_default().to_owned()
    }
}

/// Return the code of a refusal.
fn refused_with(answer: &RawAnswer) -> Option<ErrorCode> {
    if answer.status == 200 {
        return None;
    }
    serde_json::from_slice::<Problem>(&answer.body).ok().map(|problem| problem.code)
}

enum Fate {
    Passes,
    Lost,
    AnswerLost,
    Doubled,
    Delayed,
    Damaged,
    Overtaken,
}

impl Net {
    pub(crate) fn new(server: Server, apart: Option<Server>, time: Arc<Time>) -> Self {
        Self {
            server,
            apart,
            copy: None,
            reaches_copy: [false; MACHINES],
            time,
            weather: Weather::default(),
            random: Random::new(0),
            is_unplugged: [false; MACHINES],
            has_lost_main: [false; MACHINES],
            is_standby_up: true,
            is_partitioned: false,
            versions: Versions::default(),
            families: std::array::from_fn(|machine| machine),
            owners: BTreeMap::new(),
            installations: Installations::default(),
            strangers: Strangers::default(),
            granted: BTreeMap::new(),
            delayed: Vec::new(),
            answers: Vec::new(),
            heard: Heard::default(),
            refusals: Default::default(),
            identity_causes: [0; MACHINES],
            is_touched: true,
            violation: None,
        }
    }

    pub(crate) fn family_of(&self, uuid: &str) -> Option<usize> {
        self.owners.get(uuid).map(|machine| self.families[*machine])
    }

    fn fate(&mut self) -> Fate {
        if !self.random.percent(self.weather.harm) {
            return Fate::Passes;
        }
        match self.random.below(6) {
            0 => Fate::Lost,
            1 => Fate::AnswerLost,
            2 => Fate::Doubled,
            3 => Fate::Delayed,
            4 => Fate::Damaged,
            _ => Fate::Overtaken,
        }
    }

    /// Deliver delayed letters. Nobody waits for their answers any more.
    pub(crate) fn deliver(&mut self) {
        for letter in std::mem::take(&mut self.delayed) {
            let _ = self.ask_as(&letter, true);
        }
    }

    fn ask(&mut self, letter: &Letter) -> Option<RawAnswer> {
        self.ask_as(letter, letter.is_late)
    }

    /// Deliver a letter. A late one may look like a copy's to a server that has received newer
    /// ones.
    fn ask_as(&mut self, letter: &Letter, is_late: bool) -> Option<RawAnswer> {
        if !self.is_up(letter) {
            return None;
        }
        self.note_owner(letter);
        self.is_touched = true;
        let family = self.families[letter.machine];
        let now = self.time.now();
        let may_be_copied = self.may_look_copied(letter.machine, &letter.uuid());
        self.installations.arrives(letter.machine, now, is_late);
        self.strangers.overhear(letter);
        let asked = Asked {
            path: letter.path,
            body: &letter.body,
            nonce: &letter.nonce,
            proof: &letter.proof,
            key_id: letter.key_id.as_deref(),
            origin: letter.origin,
            versions: self.versions,
            is_forged: false,
            is_copied: is_late
                || may_be_copied
                || self.families.iter().filter(|other| **other == family).count() > 1,
        };
        let is_in_charge = !letter.to_standby || !self.server.is_up || self.is_partitioned;
        // Otherwise both servers use one store. A standby with data of its own books at any time
        // what it has licensed.
        let (server, books) = match (&mut self.apart, &mut self.copy) {
            (Some(apart), _) if letter.to_standby => (apart, letter.path == USAGE_PATH),
            (_, Some(copy)) if !letter.to_standby && self.reaches_copy[letter.machine] => {
                (copy, false)
            }
            _ => (&mut self.server, false),
        };
        if !is_in_charge && !books {
            return Some(server.not_in_charge(&asked));
        }
        match server.answer(&asked) {
            Ok(answer) => {
                if refused_with(&answer) == Some(ErrorCode::DEVICE_CLONED) {
                    self.installations.is_told_to_be_a_copy(letter.uuid());
                }
                Some(answer)
            }
            Err(violation) => {
                self.violation.get_or_insert(violation);
                None
            }
        }
    }

    /// Return whether a machine may be told to be a copy because it was put back to an earlier
    /// state. A server that was restored may not know that state.
    pub(crate) fn may_look_copied(&self, m: usize, uuid: &str) -> bool {
        self.installations.may_look_copied(m, uuid, self.time.now())
            || self.installations.was_put_back(m)
                && self.judged().any(|server| server.model.restores > 0)
    }

    /// Return both servers, or the one if both share their data.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.server).chain(&self.apart)
    }

    /// Return the servers that the model judges: the main server, and its copy if there is one.
    pub(crate) fn judged(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.server).chain(&self.copy)
    }

    /// Begin a second server with the key of the main server and a copy of its data.
    pub(crate) fn copy_server(&mut self) {
        if self.copy.is_none() {
            self.copy = Some(self.server.copy(self.time.clone()));
        }
    }

    /// Import into the copy what was imported into the main server: devices refuse what an earlier
    /// issue of the license file has granted.
    pub(crate) fn issue_to_copy(&mut self) {
        if let Some(copy) = &mut self.copy {
            copy.follow_issue(&self.server);
        }
    }

    /// Shut the copy down. What it has allowed stays with the devices.
    pub(crate) fn stop_copy(&mut self) {
        for (key, promised) in self.copy.take().into_iter().flat_map(|copy| copy.promised) {
            let known = self.server.promised.entry(key).or_default();
            *known = promised.max(*known);
        }
    }

    /// Return whether the model judges answers.
    pub(crate) fn is_judged(&self) -> bool {
        self.server.is_judged()
    }

    /// Return whether the standby would answer a machine that cannot reach the main server.
    pub(crate) fn would_standby_answer(&self, m: usize) -> bool {
        let is_in_charge = !self.server.is_up || self.is_partitioned;
        self.is_standby_up && is_in_charge && !self.is_unplugged[m]
    }

    fn is_up(&self, letter: &Letter) -> bool {
        let to_copy = !letter.to_standby && self.reaches_copy[letter.machine];
        if to_copy && self.copy.is_some() {
            return true;
        }
        if letter.to_standby { self.is_standby_up } else { self.server.is_up }
    }

    /// Repair everything, and give every side this version.
    pub(crate) fn heal(&mut self) {
        self.server.is_up = true;
        self.servers().for_each(|server| server.time.set_ahead(0));
        (self.is_standby_up, self.is_partitioned) = (true, false);
        // The operator shuts the copy down, and imports the file as the vendor has signed it.
        self.stop_copy();
        self.server.mend();
        self.is_unplugged.fill(false);
        self.has_lost_main.fill(false);
        self.versions = Versions::default();
    }

    fn note_owner(&mut self, letter: &Letter) {
        self.owners.entry(letter.uuid()).or_insert(letter.machine);
    }

    fn carry(&mut self, letter: Letter) -> Option<RawAnswer> {
        let (letter_machine, letter_path, asked_key) =
            (letter.machine, letter.path, letter.key_id.clone());
        let fate = self.fate();
        let is_cut_off = !letter.to_standby && self.has_lost_main[letter.machine];
        if self.is_unplugged[letter.machine] || is_cut_off || !self.is_up(&letter) {
            return None;
        }
        let answer = match fate {
            Fate::Passes => self.ask(&letter)?,
            Fate::Lost => return None,
            Fate::AnswerLost => {
                self.ask(&letter);
                return None;
            }
            Fate::Doubled => {
                self.ask(&letter)?;
                self.ask(&letter)?
            }
            Fate::Delayed => {
                if self.delayed.len() < KEPT_MAX {
                    self.delayed.push(letter);
                }
                return None;
            }
            Fate::Damaged => {
                let answer = self.ask(&letter)?;
                self.heard.damaged += 1;
                self.identity_causes[letter.machine] += 1;
                return Some(self.damage(answer));
            }
            Fate::Overtaken => {
                let old = self
                    .answers
                    .iter()
                    .rposition(|(m, path, _)| *m == letter.machine && *path == letter.path);
                self.ask(&letter)?;
                self.heard.damaged += 1;
                self.identity_causes[letter.machine] += 1;
                return old.map(|old| self.answers.swap_remove(old).2);
            }
        };
        if self.answers.len() == KEPT_MAX {
            self.answers.remove(0);
        }
        self.answers.push((letter.machine, letter.path, answer.clone()));
        self.heard.answers += 1;
        if is_granted(letter_path, &answer) || (asked_key.is_some() && answer.key_id == asked_key) {
            self.heard.ahead.push(answer.server_time.unwrap_or(0).saturating_sub(self.time.now()));
        }
        self.note_grant(letter_path, &answer);
        if answer.status != 200 {
            let problem: Problem =
                serde_json::from_slice(&answer.body).expect("refusals are problems");
            // A request that must come again with a challenge is not refused.
            if problem.challenge.is_none() {
                self.heard.refusals.push(problem.code);
                self.refusals[letter_machine].insert(problem.code);
                if problem.code.action() == DeviceAction::TakesFreshUuid {
                    self.identity_causes[letter_machine] += 1;
                }
            }
        }
        Some(answer)
    }

    /// Record when a local license truly reached a device, and for how long it was meant.
    fn note_grant(&mut self, path: &str, answer: &RawAnswer) {
        if !is_granted(path, answer) {
            return;
        }
        let granted: AuthorizationAnswer =
            serde_json::from_slice(&answer.body).expect("it is a grant");
        let local: LocalLicense = granted.local_license.peek().expect("it is a grant");
        let life = local.valid_until.saturating_sub(local.issued_at);
        self.granted.insert((local.license_id, local.serial), self.time.now() + life);
    }

    fn damage(&mut self, mut answer: RawAnswer) -> RawAnswer {
        match self.random.below(3) {
            0 if !answer.body.is_empty() => {
                let at = usize::try_from(self.random.below(answer.body.len() as u64)).unwrap_or(0);
                answer.body[at] ^= 1 << self.random.below(8);
            }
            1 => {
                answer.server_time =
                    answer.server_time.map(|time| time + 1 + self.random.below(1 << 30))
            }
            _ => {
                answer.signature =
                    answer.signature.map(|signature| signature.replace(['0', '7'], "1"))
            }
        }
        answer
    }
}

/// Return whether an answer is a license. Licenses are accepted from either server.
fn is_granted(path: &str, answer: &RawAnswer) -> bool {
    path == AUTHORIZATIONS_PATH && answer.status == 200
}
