//! The commands `seatmeterd usage export --signed` and `seatmeterd vendor verify-export`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use seatmeter_protocol::item_check::DOCUMENT_VERSION;
use seatmeter_protocol::license::LicenseFile;
use seatmeter_protocol::message::UsageKind;
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::slot::slot_start;

use super::operator::{Operator, read_issued, read_json, write_json};
use super::usage_show::Counts;
use super::{DataOption, kind_noun, output_error};
use crate::error::Error;
use crate::policy::select::item_choice::name;
use crate::store::{BillFrame, UsageFilter};
use crate::usage_bill::{
    ExportedItem, ExportedTotal, ExportedUse, SignedExport, UsageExport, VerifiedExport,
};
use crate::utc;

/// Check a signed export of a license server, and show the bill
#[derive(Args, Debug)]
pub(super) struct VerifyArguments {
    /// The export; "-" for standard input
    file: PathBuf,
    /// The public half of the root key that has signed the license files; repeat for more
    #[arg(long, value_name = "HEX", required = true)]
    root_key: Vec<PublicKey>,
    /// A license file that the export must have in this issue or a later one; repeat for more
    #[arg(long, value_name = "FILE")]
    license_file: Vec<PathBuf>,
    /// Write JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Write a signed export of the usage of a period.
pub(super) fn write(
    data: &DataOption,
    filter: UsageFilter,
    organization: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let operator = Operator::open(data)?;
    let reader = data.location().read_usage()?;
    let BillFrame { epoch, epochs_begun, audit_head, files, items } =
        reader.bill_frame(organization)?;
    let (envelopes, files): (Vec<_>, Vec<LicenseFile>) = files.into_iter().unzip();
    if files.is_empty() {
        return Err(Error::Setup(
            "there is no license file, and nothing to bill: import one first.".to_owned(),
        ));
    }
    require_one_vendor(&files, envelopes.iter().map(|signed| signed.key_id.as_str()))?;
    let mut sums: BTreeMap<(String, String, UsageKind, u32), u128> = BTreeMap::new();
    reader.for_each(filter, |row| {
        if items.iter().any(|item| item.item_id == row.item_id) {
            *sums.entry((row.handshake_code, row.item_id, row.kind, row.what)).or_default() +=
                row.total;
        }
        Ok(())
    })?;
    let totals = sums.into_iter().map(|((handshake_code, item_id, kind, what), total)| {
        let total = u64::try_from(total).unwrap_or(u64::MAX);
        ExportedTotal { handshake_code, item_id, kind, what, total }
    });
    let export = UsageExport {
        version: DOCUMENT_VERSION,
        exported_at: operator.licensing.clock.unix_seconds(),
        from_slot: filter.from_slot,
        until_slot: filter.until_slot,
        epoch,
        epochs_begun,
        audit_head,
        license_files: envelopes,
        items,
        totals: totals.collect(),
    };
    write_json(&SignedExport::seal(&export, &files, &operator.licensing.keys)?, output)
}

/// Refuse an export for several vendors: each must see only its own licenses.
fn require_one_vendor<'a>(
    files: &[LicenseFile],
    mut root_key_ids: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let first = root_key_ids.next();
    if root_key_ids.all(|id| Some(id) == first) {
        return Ok(());
    }
    let mut organizations: Vec<&str> =
        files.iter().map(|file| file.organization_id.as_str()).collect();
    organizations.sort_unstable();
    organizations.dedup();
    Err(Error::Setup(format!(
        "the license files are of several vendors, and each must see only its own. Name one \
         organization with --organization: {}.",
        organizations.join(", ")
    )))
}

/// Check an export, and show what is in it.
pub(super) fn verify(arguments: &VerifyArguments, output: &mut dyn Write) -> Result<(), Error> {
    let signed: SignedExport = read_json(&arguments.file)?;
    let newest = arguments.license_file.iter().map(|path| read_issued(path));
    let newest: Vec<_> = newest.collect::<Result<_, _>>()?;
    let verified = signed.verify(&arguments.root_key, &newest).map_err(|why| {
        Error::Setup(format!("{} cannot be trusted: {why}.", arguments.file.display()))
    })?;
    if arguments.json {
        return write_json(&verified.export, output);
    }
    show(&verified, output).map_err(output_error)
}

fn show(verified: &VerifiedExport, output: &mut dyn Write) -> std::io::Result<()> {
    let VerifiedExport { export, files } = verified;
    let until = export.until_slot.map_or(export.exported_at, slot_start);
    writeln!(
        output,
        "usage from {} to {}, exported at {}",
        utc::text(slot_start(export.from_slot)),
        utc::text(until),
        utc::text(export.exported_at)
    )?;
    writeln!(
        output,
        "epoch {} ({} begun after the first), audit log up to line {}, {}",
        export.epoch, export.epochs_begun, export.audit_head.audit_id, export.audit_head.hash
    )?;
    for (file_id, file) in files {
        writeln!(
            output,
            "\nlicense file {file_id} of {}, \"{}\"\n  issued at {}, server key {}",
            file.organization_id,
            file.organization_name.escape_debug(),
            utc::text(file.issued_at),
            file.server_key.id()
        )?;
        for item in export.items.iter().filter(|item| item.file_id == *file_id) {
            show_item(export, file, item, output)?;
        }
    }
    Ok(())
}

fn show_item(
    export: &UsageExport,
    file: &LicenseFile,
    item: &ExportedItem,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let sold = file.items.iter().find(|sold| sold.item_id == item.item_id);
    let charge_way = sold.map_or_else(String::new, |sold| name(&sold.charge_way));
    write!(output, "\n  item {} ({charge_way}", item.item_id)?;
    if let Some(sold) = sold.filter(|sold| sold.quota > 0) {
        write!(output, ", quota {}", sold.quota)?;
    }
    match item.revoked_at {
        Some(at) => writeln!(output, "), revoked at {}", utc::text(at))?,
        None => writeln!(output, ")")?,
    }
    let mut by_code: BTreeMap<&str, Counts> = BTreeMap::new();
    for total in export.totals.iter().filter(|total| total.item_id == item.item_id) {
        let counts = by_code.entry(&total.handshake_code).or_default();
        counts.add(total.kind, total.what, total.total.into());
    }
    for (code, counts) in &by_code {
        writeln!(
            output,
            "    handshake code {}: {}",
            code.escape_debug(),
            counts.texts().join(", ")
        )?;
    }
    if by_code.is_empty() {
        writeln!(output, "    no usage in this period")?;
    }
    for ExportedUse { kind, module, used } in &item.used {
        let what = super::what_name(*kind, *module);
        let of = if *kind == UsageKind::Page { format!(" ({what})") } else { String::new() };
        writeln!(output, "    used in all: {used} {}{of}", kind_noun(*kind, (*used).into()))?;
    }
    Ok(())
}
