mod segments;
mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LocalLicense;
use seatmeter_protocol::message::{Problem, TOTALS_MAX, UsageKind};
use seatmeter_protocol::request_auth::Agreement;
use seatmeter_protocol::signature::{PublicKey, Signed, SigningKey};

use super::round::files;
use super::{Reported, Reporting, report};
use crate::clock::test_support::HandClock;
use crate::clock::{Clock, Deadline};
use crate::device::Device;
use crate::error::Result;
use crate::license::ServerRecord;
use crate::license::test_support as license_support;
use crate::sync::exchange::Servers;
use crate::sync::scripted::{RunningFile, Scripted, Step};
use crate::usage::{
    Attribution, Counter, Durable, SEGMENT_ENDING, Segment, SlotEntries, attribution,
};

const LICENSE: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";

/// Return the result of a first report.
fn reported(totals: usize, removed: usize, refused: usize) -> Reported {
    Reported { totals, removed, refused, ..Reported::default() }
}

struct Bench {
    folder: tempfile::TempDir,
    transport: Scripted,
    key: SigningKey,
    /// The key that must sign the answers.
    signer: SigningKey,
    durable: Durable,
    notes: crate::os::locks::Mutex<Vec<String>>,
}

impl Bench {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let key = || SigningKey::from_seed(&hex::encode([1; 32])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let transport = Scripted::new(key(), steps);
        Self {
            folder,
            transport,
            key: key(),
            signer: key(),
            durable: Durable::default(),
            notes: crate::os::locks::Mutex::default(),
        }
    }

    fn counter(&self) -> Counter {
        Counter::new(self.folder.path().to_owned(), attribution(LICENSE, LICENSE))
    }

    fn report(&self) -> Result<Reported> {
        self.report_after_grant("")
    }

    fn report_after_grant(&self, epoch: &str) -> Result<Reported> {
        self.report_by(&HandClock::at(0), epoch)
    }

    fn report_by(&self, clock: &dyn Clock, epoch: &str) -> Result<Reported> {
        let urls = ["http://main".to_owned()];
        let servers = Servers { transport: &self.transport, clock, urls: &urls, known_key: None };
        let deadline = Deadline::after(clock, Duration::from_secs(10));
        self.durable.begin_round();
        let reported = report(&Reporting {
            device: &Device::with_former(LICENSE, OTHER),
            record: &ServerRecord::at(&self.folder.path().join("none")),
            servers: &servers,
            folder: self.folder.path(),
            key: self.key.public(),
            signer: self.signer.public(),
            epoch,
            store: None,
            durable: &self.durable,
            is_ours: true,
            deadline,
        });
        let lines =
            reported.notes.iter().map(|note| format!("{} {}", note.path.display(), note.what));
        self.notes.lock().extend(lines);
        let Reported { totals, removed, refused, again, .. } = reported.into_result()?;
        Ok(Reported { totals, removed, refused, again, ..Reported::default() })
    }

    /// Return the number of files that are still to be reported or swept away.
    fn files(&self) -> usize {
        let is_kept = |path: &PathBuf| path.extension().is_none_or(|e| e == "acknowledged");
        files(self.folder.path()).unwrap().iter().filter(|path| !is_kept(path)).count()
    }

    /// Return the totals of the nth request.
    fn sent(&self, n: usize) -> Vec<u64> {
        let asked = self.transport.asked.lock();
        let totals = asked[n].1["segments"][0]["totals"].as_array().unwrap();
        totals.iter().filter_map(|total| total["total"].as_u64()).collect()
    }
}

/// Count scans as a process that then dies.
fn count_and_die(bench: &Bench, n: u64) {
    let counter = bench.counter();
    counter.count(&mut SlotEntries::default(), 0, &[(UsageKind::Scan, 4, n)]).unwrap();
}
