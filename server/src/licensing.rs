//! The way from a request to a signed grant: check the input, ask the store, sign the answer.
//!
//! A request is checked completely before the store gets it: a request refused here is malformed,
//! and a request refused by the store violates the license rules.

use std::net::IpAddr;
use std::sync::Arc;

use seatmeter_protocol::PROTOCOL_VERSION;
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::item_check::{DOCUMENT_VERSION, LIST_MAX, check_file};
use seatmeter_protocol::license::{CountAllowance, LicenseFile, LocalLicense};
use seatmeter_protocol::message::{
    AuthorizationAnswer, AuthorizationCheck, AuthorizationRequest, DeviceFacts, ENDED_MAX,
    LOST_MAX, NEEDED_MAX, SEGMENTS_MAX, TEXT_BYTES_MAX, TOTALS_MAX, UsageAnswer, UsageKind,
    UsageReport, UsageTotal,
};
use seatmeter_protocol::page_module::PAGE_MODULE_MAX;
use seatmeter_protocol::request_auth::{Agreement, KeyShare, Proof, ReportKey, RequestFacts};
use seatmeter_protocol::signature::{PublicKey, Signed};

use crate::access::By;
use crate::challenge;
use crate::clock::Clock;
use crate::correction::{self, Correction, IssuedCorrection};
use crate::error::{Error, Refusal};
use crate::keyring::Keyring;
use crate::operator::commands::{Actor, Change, Correct, Import, require_code};
use crate::password::{Asker, PASSWORDS};
use crate::policy::Claim;
use crate::policy::charge_way::per_domain;
use crate::policy::select::access;
use crate::policy::strict_allowance::Allowance;
use crate::random::fresh_id;
use crate::receipt::Receipt;
use crate::store::{
    Authorization, Decision, Granted, Reply, Report, ReportProof, ShownLicense, Store,
};

/// The number of hexadecimal digits in a client UUID and in a segment id.
const ID_DIGITS: usize = 32;

/// The server's side of the protocol.
pub struct Licensing {
    /// The storage of the server.
    pub store: Arc<dyn Store>,
    /// The keys that license files name, and that sign local licenses and answers.
    pub keys: Keyring,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Licensing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Licensing").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Licensing {
    /// Decide one authorization.
    ///
    /// # Errors
    /// Fails when the request is malformed, the rules refuse it, or it cannot be recorded.
    pub async fn authorize(
        &self,
        request: AuthorizationRequest,
        proof: &RequestProof,
    ) -> Result<AuthorizationAnswer, Error> {
        let (mut authorization, password) = self.understand(&request, proof)?;
        let (key_share, report_key) = agree(&request)?;
        authorization.report_key = Some(report_key);
        let now = authorization.claim.now;
        let granted = self
            .decide(authorization, password, proof, |request| self.store.authorize(request))
            .await?;
        let local_license = LocalLicense {
            version: DOCUMENT_VERSION,
            license_id: granted.license_id,
            serial: granted.grant.serial,
            item_id: granted.item.item_id.clone(),
            handshake_code: granted.handshake_code,
            device_uuid: request.device.uuid,
            charge_way: granted.item.charge_way,
            seats: granted.grant.seats,
            issued_at: now,
            valid_until: granted.grant.valid_until,
            item_expires_at: granted.item.expires_at,
            device_key: request.device_key,
            generation: granted.generation,
            epoch: granted.epoch.clone(),
            allowances: granted.grant.allowances.into_iter().map(count_allowance).collect(),
        };
        let key = self.keys.of_file(&granted.server_key_id).ok_or_else(|| {
            Error::Internal("the store has granted what this server cannot sign".to_owned())
        })?;
        let signed = self.keys.seal(&local_license, key).await;
        let local_license = signed.map_err(|e| Error::Internal(e.to_string()))?;
        Ok(AuthorizationAnswer {
            root_key: granted.root_key,
            license_file: Arc::unwrap_or_clone(granted.license_file),
            local_license,
            key_share,
            epoch: granted.epoch,
            meters: granted.meters,
            any_program: granted.any_program,
            receipt: granted.receipt,
        })
    }

    /// Return what an authorization would be, and change nothing.
    ///
    /// # Errors
    /// Fails as [`Self::authorize`] does.
    pub async fn check(
        &self,
        request: AuthorizationRequest,
        proof: &RequestProof,
    ) -> Result<AuthorizationCheck, Error> {
        let (mut authorization, password) = self.understand(&request, proof)?;
        // A check changes nothing, so an old request does no harm.
        authorization.is_fresh = true;
        let granted = self
            .decide(authorization, password, proof, |request| self.store.check(request))
            .await?;
        Ok(AuthorizationCheck {
            handshake_code: granted.handshake_code,
            item_id: granted.item.item_id.clone(),
            charge_way: granted.item.charge_way,
            seats: granted.grant.seats,
            valid_until: granted.grant.valid_until,
            epoch: granted.epoch,
            meters: granted.meters,
        })
    }

    /// Check a request and who sends it, and convert it to the terms of the rules. Also return the
    /// session password.
    fn understand(
        &self,
        request: &AuthorizationRequest,
        proof: &RequestProof,
    ) -> Result<(Authorization, String), Error> {
        require_authorization(request)?;
        proof.require_signature(&request.device_key)?;
        let own = |shown: &Option<Signed>| self.own(shown.as_ref()?, request);
        let is_another = request.newest_license != request.held_license;
        let authorization = Authorization {
            handshake_code: request.handshake_code.clone(),
            organization_id: request.organization_id.clone(),
            device: request.device.clone(),
            claim: Claim {
                deployment_type: request.deployment_type,
                charge_way: request.charge_way,
                products: request.products,
                seats: request.seats,
                modules: request.modules.clone(),
                product_version: request.product_version.clone(),
                product_edition: request.product_edition.clone(),
                buffer_days: request.buffer_days,
                website: request.validation.website_domain.clone(),
                needed: request.needed,
                lost: request.lost.clone(),
                now: self.clock.unix_seconds(),
            },
            proven_hash: None,
            has_wrong_password: false,
            validation: request.validation.clone(),
            held: own(&request.held_license),
            newest: if is_another { own(&request.newest_license) } else { None },
            device_key: request.device_key.clone(),
            first_contact: request.first_contact.clone(),
            report_key: None,
            receipt: Receipt::from_text(&request.receipt, &self.keys),
            is_fresh: self.is_fresh(request),
            license_id: fresh_id()?,
            keys: self.keys.clone(),
        };
        Ok((authorization, request.session_password.clone()))
    }

    fn is_fresh(&self, request: &AuthorizationRequest) -> bool {
        let (uuid, now) = (&request.device.uuid, self.clock.unix_seconds());
        let is_good = |given: &Signed| challenge::is_good(given, uuid, &self.keys, now);
        request.challenge.as_ref().is_some_and(is_good)
    }

    /// Let the store decide. A session password is checked outside the store, because that is slow
    /// on purpose.
    async fn decide(
        &self,
        mut authorization: Authorization,
        password: String,
        proof: &RequestProof,
        ask: impl Fn(Authorization) -> Reply<Decision>,
    ) -> Result<Granted, Error> {
        let (uuid, now) = (authorization.device.uuid.clone(), authorization.claim.now);
        let not_fresh = async || {
            let made = challenge::make(&uuid, &self.keys, now).await;
            made.map_or_else(|error| error, Error::NotFresh)
        };
        let hash = match ask(authorization.clone()).await? {
            Decision::Granted(granted) => return Ok(*granted),
            Decision::ProveFresh => return Err(not_fresh().await),
            Decision::ProvePassword(hash) => hash,
        };
        let asker = match authorization.held {
            Some(_) => Asker::Device(&authorization.device.uuid),
            None => Asker::Site(proof.site),
        };
        let code = match authorization.handshake_code.as_str() {
            "" => &authorization.organization_id,
            code => code,
        };
        if !PASSWORDS.is_right(asker, code, password, hash.clone()).await? {
            // The store refuses, so that the refusal is recorded like all others.
            authorization.has_wrong_password = true;
        } else {
            authorization.proven_hash = Some(hash);
        }
        match ask(authorization).await? {
            Decision::Granted(granted) => Ok(*granted),
            Decision::ProveFresh => Err(not_fresh().await),
            // The password was changed in between.
            Decision::ProvePassword(_) => Err(access::wrong_session_password().into()),
        }
    }

    /// Return the local license in this envelope, if this server has signed it for the device of
    /// the request.
    fn own(&self, signed: &Signed, request: &AuthorizationRequest) -> Option<LocalLicense> {
        let license: LocalLicense =
            signed.open(self.keys.with_id(&signed.key_id)?.public()).ok()?;
        let is_own =
            license.device_uuid == request.device.uuid && license.device_key == request.device_key;
        is_own.then_some(license)
    }

    /// Return the local license in this envelope, with its signature to be checked if it matters.
    fn shown(&self, signed: &Signed, device_uuid: &str) -> Option<ShownLicense> {
        let license: LocalLicense = signed.peek().ok()?;
        // The license is not verified yet, and the store looks up the names in it.
        for text in [&license.license_id, &license.item_id, &license.handshake_code] {
            require_text("a local license", text).ok()?;
        }
        self.keys.with_id(&signed.key_id)?;
        Some(self.shown_as(license, signed, device_uuid))
    }

    /// Return the local license that was read from this envelope.
    fn shown_as(&self, license: LocalLicense, signed: &Signed, device_uuid: &str) -> ShownLicense {
        let (keys, signed, device_uuid) =
            (self.keys.clone(), signed.clone(), device_uuid.to_owned());
        let is_ours = move || {
            let key = keys.with_id(&signed.key_id);
            let opened = key.and_then(|key| signed.open::<LocalLicense>(key.public()).ok());
            opened.is_some_and(|license| license.device_uuid == device_uuid)
        };
        ShownLicense { license, is_ours: Box::new(is_ours) }
    }

    /// Record one usage report.
    ///
    /// # Errors
    /// Fails when the report is malformed, does not prove who sends it, or cannot be recorded; it
    /// can then be repeated unchanged.
    pub async fn record(
        &self,
        report: UsageReport,
        proof: RequestProof,
    ) -> Result<UsageAnswer, Error> {
        require_protocol(report.protocol)?;
        require_device(&report.device)?;
        require_segments(&report)?;
        let uuid = &report.device.uuid;
        let newest = report.newest_license.as_ref().and_then(|held| self.shown(held, uuid));
        let mut envelopes: Vec<&Signed> =
            report.segments.iter().filter_map(|segment| segment.local_license.as_ref()).collect();
        envelopes.dedup();
        // A report usually shows the newest license as that of its segments.
        let again = |held: &Signed| {
            let newest =
                newest.as_ref().filter(|_| report.newest_license.as_ref() == Some(held))?;
            Some(self.shown_as(newest.license.clone(), held, uuid))
        };
        let shown = |held| again(held).or_else(|| self.shown(held, uuid));
        let shown: Vec<_> = envelopes.into_iter().filter_map(shown).collect();
        let signed_by = proof.signer(newest.iter().chain(&shown));
        let RequestProof { facts, proof, .. } = proof;
        let proof = ReportProof { facts, proof, signed_by };
        let now = self.clock.unix_seconds();
        let receipt = Receipt::from_text(&report.receipt, &self.keys);
        let keys = self.keys.clone();
        self.store.record(Report { report, proof, newest, shown, receipt, keys, now }).await
    }

    /// Import a license file that a vendor has signed. The handshake code becomes the default code
    /// of an organization that has none.
    ///
    /// # Errors
    /// Fails when the signature is wrong, the file is for another server, an item is invalid, or
    /// the file was imported already.
    pub async fn import(
        &self,
        envelope: Signed,
        root_key: PublicKey,
        handshake_code: Option<String>,
        by: impl Into<By>,
    ) -> Result<(), Error> {
        self.import_file(envelope, root_key, handshake_code, false, by).await.map(|_| ())
    }

    /// Import as [`Self::import`] does. With `make_default`, the handshake code becomes the default
    /// code in any case. Return the content of the file.
    ///
    /// # Errors
    /// Fails as [`Self::import`] does.
    pub async fn import_file(
        &self,
        envelope: Signed,
        root_key: PublicKey,
        handshake_code: Option<String>,
        make_default: bool,
        by: impl Into<By>,
    ) -> Result<LicenseFile, Error> {
        let file: LicenseFile = envelope
            .open(&root_key)
            .map_err(|e| Error::bad_request(format!("the license file cannot be imported: {e}")))?;
        require_usable(&file, &self.keys)?;
        if let Some(code) = &handshake_code {
            require_code(code)?;
        }
        let now = self.clock.unix_seconds();
        let imported = file.clone();
        let import = Import { file, envelope, root_key, handshake_code, make_default, now };
        self.change(Change::Import(Box::new(import)), by).await?;
        Ok(imported)
    }

    /// Set what is used of an item, as a vendor has signed it.
    ///
    /// # Errors
    /// Fails when the signature is wrong, the item is not of this vendor, or the correction was
    /// applied already.
    pub async fn correct(&self, issued: IssuedCorrection, by: impl Into<By>) -> Result<(), Error> {
        let IssuedCorrection { root_key, correction: envelope } = issued;
        let no =
            |why: String| Error::bad_request(format!("the correction cannot be applied: {why}"));
        let correction: Correction = envelope.open(&root_key).map_err(|e| no(e.to_string()))?;
        correction::require_sound(&correction).map_err(no)?;
        let correct = Correct { correction, envelope, root_key };
        self.change(Change::Correct(Box::new(correct)), by).await
    }

    /// Return the author of a change that is made now.
    #[must_use]
    pub fn actor(&self, name: &str) -> Actor {
        Actor { name: name.to_owned(), now: self.clock.unix_seconds() }
    }
}

/// The proof of who sends a request, as it came.
#[derive(Clone, Debug)]
pub struct RequestProof {
    /// The facts of the request that the proof covers.
    pub facts: RequestFacts,
    /// The proof; `None` when there is none.
    pub proof: Option<Proof>,
    /// The site that the request comes from, if it is known.
    pub site: Option<IpAddr>,
}

impl RequestProof {
    /// Refuse a request that this key has not signed.
    fn require_signature(&self, key: &PublicKey) -> Result<(), Error> {
        let why = match &self.proof {
            Some(Proof::Signature(signature)) if self.facts.verify(signature, key).is_ok() => {
                return Ok(());
            }
            Some(Proof::Signature(_)) => {
                "the signature of the request does not belong to it and to its device_key: it was \
                 changed on its way, or the library is of another version; try again"
            }
            _ => {
                "the request is not signed by its device_key: header Seatmeter-Device-Signature \
                 must come with it; update the library of this device"
            }
        };
        Err(Error::Unproven(why))
    }

    /// Return the key that has signed the request, if it is that of the first license shown.
    fn signer<'a>(&self, mut shown: impl Iterator<Item = &'a ShownLicense>) -> Option<PublicKey> {
        let Some(Proof::Signature(signature)) = &self.proof else { return None };
        let key = &shown.next()?.license.device_key;
        self.facts.verify(signature, key).is_ok().then(|| key.clone())
    }
}

/// Agree with a device on its next report key. Return the server's half, and the key.
fn agree(request: &AuthorizationRequest) -> Result<(KeyShare, ReportKey), Error> {
    let agreement = Agreement::begin().ok_or_else(|| {
        Error::Internal("the system gives no random numbers for a report key".to_owned())
    })?;
    let share = agreement.share().clone();
    let key = agreement
        .of_server(&request.key_share, &request.device.uuid)
        .map_err(|e| Error::bad_request(format!("key_share cannot be agreed with: {e}")))?;
    Ok((share, key))
}

fn count_allowance((module, allowance): (u32, Allowance)) -> CountAllowance {
    CountAllowance { module, allowed: allowance.allowed, used: allowance.used }
}

fn require_authorization(request: &AuthorizationRequest) -> Result<(), Error> {
    require_protocol(request.protocol)?;
    require_device(&request.device)?;
    for (name, text) in [
        ("handshake_code", &request.handshake_code),
        ("organization_id", &request.organization_id),
        ("session_password", &request.session_password),
        ("validation.website_domain", &request.validation.website_domain),
        ("validation.application_id", &request.validation.application_id),
        ("validation.process_name", &request.validation.process_name),
        ("first_contact", &request.first_contact),
    ] {
        require_text(name, text)?;
    }
    if request.needed > NEEDED_MAX {
        return Err(Error::bad_request(format!(
            "needed is {}, at most {NEEDED_MAX} are allowed",
            request.needed
        )));
    }
    if request.lost.len() > LOST_MAX {
        return Err(Error::bad_request(format!("more than {LOST_MAX} lost allowances are named")));
    }
    request.lost.iter().try_for_each(|lost| require_text("lost.item_id", &lost.item_id))?;
    if request.modules.len() > LIST_MAX {
        return Err(Error::bad_request(format!("more than {LIST_MAX} modules are asked for")));
    }
    request.modules.iter().try_for_each(|module| require_text("a module", module))?;
    request.product_edition.iter().try_for_each(|edition| require_text("product_edition", edition))
}

/// Refuse a version of the protocol other than that of this server.
pub(crate) fn require_protocol(protocol: u32) -> Result<(), Error> {
    if protocol == PROTOCOL_VERSION {
        return Ok(());
    }
    let detail = format!(
        "the request speaks protocol {protocol}, this server speaks {PROTOCOL_VERSION}; update \
         the older side"
    );
    Err(Refusal::new(ErrorCode::PROTOCOL_MISMATCH, detail).into())
}

/// Refuse a text that is too long, or that no database can store.
pub(crate) fn require_text(name: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::bad_request(format!(
            "{name} has a NUL byte, which no database can store"
        )));
    }
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "{name} has {} bytes, at most {TEXT_BYTES_MAX} are allowed",
        text.len()
    )))
}

fn require_id(name: &str, id: &str) -> Result<(), Error> {
    if id.len() == ID_DIGITS && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(Error::bad_request(format!("{name} must be {ID_DIGITS} hexadecimal digits in lower case")))
}

fn require_device(device: &DeviceFacts) -> Result<(), Error> {
    require_id("device.uuid", &device.uuid)?;
    require_text("device.friendly_name", &device.friendly_name)?;
    require_text("device.library_version", &device.library_version)
}

fn require_segments(report: &UsageReport) -> Result<(), Error> {
    let segments = report.segments.len();
    let totals: usize = report.segments.iter().map(|segment| segment.totals.len()).sum();
    for (what, count, max) in [
        ("segments", segments, SEGMENTS_MAX),
        ("totals", totals, TOTALS_MAX),
        ("ended licenses", report.ended.len(), ENDED_MAX),
    ] {
        if count > max {
            return Err(Error::bad_request(format!(
                "the report has {count} {what}, at most {max} are allowed; send the rest in \
                 another report"
            )));
        }
    }
    for segment in &report.segments {
        require_id("segment_id", &segment.segment_id)?;
        require_text("license_id", &segment.license_id)?;
        segment.totals.iter().try_for_each(require_module)?;
    }
    report.ended.iter().try_for_each(|ended| require_text("license_id", &ended.license_id))
}

/// Refuse numbers of modules that are too high. Each module has a sum of its own with each item, so
/// their number must be bounded.
fn require_module(counter: &UsageTotal) -> Result<(), Error> {
    if counter.kind != UsageKind::Page || counter.what <= PAGE_MODULE_MAX {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "pages of module {} are reported, and the numbers of modules go up to {PAGE_MODULE_MAX}",
        counter.what
    )))
}

/// Check a correctly signed license file for this server.
pub(crate) fn require_usable(file: &LicenseFile, keys: &Keyring) -> Result<(), Error> {
    let no = |why: String| {
        Err(Error::bad_request(format!(
            "license file \"{}\" cannot be imported: {why}",
            file.file_id
        )))
    };
    if !keys.holds(&file.server_key) {
        return no(format!(
            "it was issued for the server with key {}, this server's key is {}",
            file.server_key.id(),
            keys.current().public().id()
        ));
    }
    require_sound(file).or_else(no)
}

/// Check the rules for every license file, for whichever server: it is consistent in itself, and
/// its domains are not public suffixes.
///
/// # Errors
/// Returns what is wrong with the file, as a clause for a sentence.
pub fn require_sound(file: &LicenseFile) -> Result<(), String> {
    check_file(file)?;
    for item in &file.items {
        per_domain::Domains::listed(&item.domains)
            .map_err(|why| format!("item \"{}\" {why}", item.item_id))?;
    }
    Ok(())
}
