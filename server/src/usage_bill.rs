//! The signed export of usage, from which a vendor writes a bill.
//!
//! ```text
//! root key ──signs──▶ license files ──name──▶ server keys ──sign──▶ usage export
//! ```
//!
//! The export contains the license files of its items, so the vendor needs nothing but the root key
//! to check it. It is signed by every server key that one of these files names: after a rotation,
//! some files still name the old key.
//!
//! The operator owns the server's key. A signature shows that the export comes from his server and
//! was not changed since; it does not show that his server has counted right. The epochs that were
//! begun and the head of the audit log let the vendor compare one export with the next.

use std::collections::BTreeMap;

use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::{Document, PublicKey, Signed};
use serde::{Deserialize, Serialize};

use crate::audit_chain::AuditHead;
use crate::error::Error;
use crate::keyring::Keyring;
use crate::operator::commands::IssuedFile;
use crate::utc;

/// The content of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UsageExport {
    /// Version of this document's format.
    pub version: u32,
    /// The server's time, Unix seconds.
    pub exported_at: u64,
    /// The first slot of the period.
    pub from_slot: u32,
    /// The first slot after the period; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_slot: Option<u32>,
    /// The current epoch of the server's data.
    pub epoch: String,
    /// The number of epochs that began after the first one.
    pub epochs_begun: u64,
    /// The last line of the audit log.
    pub audit_head: AuditHead,
    /// The license files of the items, as the vendor signed them.
    #[cfg_attr(test, schemars(with = "Vec<super::document_schema::Envelope>"))]
    pub license_files: Vec<Signed>,
    /// The items, also those without usage.
    pub items: Vec<ExportedItem>,
    /// The usage of the period: one total for each handshake code, item, kind, and symbology or
    /// module.
    pub totals: Vec<ExportedTotal>,
}

/// An item of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedItem {
    /// The id of the item.
    pub item_id: String,
    /// The id of its license file.
    pub file_id: String,
    /// The time of its revocation, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
    /// What is used of the item at the time of the export, whatever the period is.
    pub used: Vec<ExportedUse>,
}

/// How much of an item is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedUse {
    /// The kind of work.
    #[cfg_attr(test, schemars(with = "super::document_schema::Kind"))]
    pub kind: UsageKind,
    /// The module of pages; 0 for scans.
    pub module: u32,
    /// The sum that counts against the quota.
    pub used: u64,
}

/// A total of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportedTotal {
    /// The handshake code.
    pub handshake_code: String,
    /// The id of the item.
    pub item_id: String,
    /// The kind of work.
    #[cfg_attr(test, schemars(with = "super::document_schema::Kind"))]
    pub kind: UsageKind,
    /// The symbology or module.
    pub what: u32,
    /// The sum over all devices and slots of the period.
    pub total: u64,
}

impl Document for UsageExport {
    const CONTEXT: &'static str = "usage export";
}

/// An export as the server writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SignedExport {
    /// The export, as JSON text.
    pub usage_export: String,
    /// The signatures over this text.
    pub signatures: Vec<KeySignature>,
}

/// A signature by one of the server's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeySignature {
    /// Id of the key that signed.
    pub key_id: String,
    /// Ed25519 over context and text, 128 hexadecimal digits.
    pub signature: String,
}

/// An export whose signatures fit.
#[derive(Clone, Debug)]
pub struct VerifiedExport {
    /// The content.
    pub export: UsageExport,
    /// The license files, by their ids.
    pub files: BTreeMap<String, LicenseFile>,
}

impl SignedExport {
    /// Sign an export with each key that its license files name.
    ///
    /// # Errors
    /// Fails when a key is missing.
    pub fn seal(
        export: &UsageExport,
        files: &[LicenseFile],
        keys: &Keyring,
    ) -> Result<Self, Error> {
        let mut named: Vec<String> = files.iter().map(|file| file.server_key.id()).collect();
        named.sort();
        named.dedup();
        let mut usage_export = String::new();
        let mut signatures = Vec::with_capacity(named.len());
        for id in named {
            let key = keys.with_id(&id).ok_or_else(|| {
                Error::Setup(format!(
                    "a license file names server key {id}, which is not in the data directory. \
                     Copy the file of that key there."
                ))
            })?;
            let signed = Signed::seal(export, key).map_err(|e| Error::Internal(e.to_string()))?;
            usage_export = signed.payload;
            signatures.push(KeySignature { key_id: signed.key_id, signature: signed.signature });
        }
        Ok(Self { usage_export, signatures })
    }

    /// Check the whole chain from these root keys to the export. `newest` are the vendor's own
    /// copies of license files: the export must have these issues.
    ///
    /// # Errors
    /// Returns what is wrong, as a sentence without its end.
    pub fn verify(
        &self,
        root_keys: &[PublicKey],
        newest: &[IssuedFile],
    ) -> Result<VerifiedExport, String> {
        let envelope = |key_id: &str, signature: &str| Signed {
            payload: self.usage_export.clone(),
            key_id: key_id.to_owned(),
            signature: signature.to_owned(),
        };
        // The content tells by which keys it must be signed. It is believed only afterwards.
        let claimed: UsageExport = envelope("", "")
            .peek()
            .map_err(|e| format!("the export cannot be read: {e}. It was changed, or cut off"))?;
        if claimed.version != DOCUMENT_VERSION {
            return Err(format!(
                "the export has version {}, this program reads {DOCUMENT_VERSION}",
                claimed.version
            ));
        }
        if claimed.license_files.is_empty() {
            return Err("the export has no license file, so no server key is known for it".into());
        }
        let mut files = BTreeMap::new();
        for signed in &claimed.license_files {
            let file = open_file(signed, root_keys)?;
            let id = file.server_key.id();
            let found = self.signatures.iter().find(|signature| signature.key_id == id);
            let Some(KeySignature { key_id, signature }) = found else {
                let by: Vec<&str> = self.signatures.iter().map(|by| by.key_id.as_str()).collect();
                return Err(format!(
                    "the export is signed by server key {}, but license file \"{}\" is for server \
                     key {id}: another server has made it",
                    by.join(", "),
                    file.file_id
                ));
            };
            envelope(key_id, signature)
                .open::<UsageExport>(&file.server_key)
                .map_err(|e| format!("{e} (server key {id}, license file \"{}\")", file.file_id))?;
            files.insert(file.file_id.clone(), file);
        }
        require_items(&claimed, &files)?;
        require_newest(&files, root_keys, newest)?;
        Ok(VerifiedExport { export: claimed, files })
    }
}

fn open_file(signed: &Signed, root_keys: &[PublicKey]) -> Result<LicenseFile, String> {
    let claimed: LicenseFile =
        signed.peek().map_err(|e| format!("a license file in the export cannot be read: {e}"))?;
    let name = claimed.file_id;
    let Some(key) = root_keys.iter().find(|key| key.id() == signed.key_id) else {
        return Err(format!(
            "license file \"{name}\" in the export is signed by root key {}, which is none of \
             those given",
            signed.key_id
        ));
    };
    signed.open(key).map_err(|e| format!("license file \"{name}\" in the export: {e}"))
}

/// Refuse an export whose items are not those of its license files.
fn require_items(
    export: &UsageExport,
    files: &BTreeMap<String, LicenseFile>,
) -> Result<(), String> {
    for ExportedItem { item_id, file_id, .. } in &export.items {
        let file = files.get(file_id);
        if !file.is_some_and(|file| file.items.iter().any(|item| item.item_id == *item_id)) {
            return Err(format!(
                "item \"{item_id}\" is not in license file \"{file_id}\" as the vendor signed it"
            ));
        }
    }
    let is_known =
        |total: &&ExportedTotal| export.items.iter().any(|item| item.item_id == total.item_id);
    match export.totals.iter().find(|total| !is_known(total)) {
        Some(total) => {
            Err(format!("usage of item \"{}\" stands in no license file", total.item_id))
        }
        None => Ok(()),
    }
}

/// Refuse an export that lacks a license file which the vendor has, or has an older issue.
fn require_newest(
    files: &BTreeMap<String, LicenseFile>,
    root_keys: &[PublicKey],
    newest: &[IssuedFile],
) -> Result<(), String> {
    for IssuedFile { license_file, .. } in newest {
        let own = open_file(license_file, root_keys)?;
        let Some(found) = files.get(&own.file_id) else {
            return Err(format!("the export has nothing of license file \"{}\"", own.file_id));
        };
        if found.issued_at < own.issued_at {
            return Err(format!(
                "the export has an older issue of license file \"{}\", of {}; the one given is of \
                 {}. The server has not imported it",
                own.file_id,
                utc::text(found.issued_at),
                utc::text(own.issued_at)
            ));
        }
    }
    Ok(())
}
