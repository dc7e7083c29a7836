//! What a soak of counts compares: a witness of what was performed, the state of a device, and the
//! export of a server.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use seatmeter::reader::Reader;
use seatmeter::runtime::runtime;
use seatmeter::usage::{Barcode, SEGMENT_ENDING, Segment};
use seatmeter_protocol::message::UsageKind;

pub(crate) const KINDS: [UsageKind; 3] = [UsageKind::Scan, UsageKind::Image, UsageKind::Page];

/// The different barcodes of an image, of two symbologies.
const CODES: [Barcode<'static>; 3] = [
    Barcode { format: 0x20, bytes: b"4006381333931" },
    Barcode { format: 0x20, bytes: b"4012345678901" },
    Barcode { format: 0x400_0000, bytes: b"https://example.org" },
];

/// A record of what was performed: numbers in a shared page, two for each kind.
pub(crate) struct Witness {
    page: &'static [AtomicU64; 6],
}

impl Witness {
    pub(crate) fn open(path: &Path) -> Self {
        let file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
        file.set_len(4096).unwrap();
        // SAFETY: a fresh shared mapping of an open file touches no existing memory.
        let page = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: the page is as long as the file, aligned, and never unmapped.
        Self { page: unsafe { &*page.cast() } }
    }

    fn begin(&self, kind: UsageKind, n: u64) {
        self.page[place(kind)].fetch_add(n, Ordering::SeqCst);
    }

    fn end(&self, kind: UsageKind, n: u64) {
        self.page[place(kind) + 1].fetch_add(n, Ordering::SeqCst);
    }

    /// Count a page of a program without a reader.
    pub(crate) fn count_page(&self) {
        self.begin(UsageKind::Page, 1);
        let licensed = runtime().licensed().unwrap();
        licensed.count_without_reader(&[(UsageKind::Page, 1, 1)]).unwrap();
        self.end(UsageKind::Page, 1);
    }

    /// Count an image with this number of barcodes, three at most.
    pub(crate) fn count_image(&self, reader: &mut Reader, barcodes: usize) {
        let codes = &CODES[..barcodes];
        self.begin(UsageKind::Image, 1);
        self.begin(UsageKind::Scan, codes.len() as u64);
        assert_eq!(reader.count_image(codes).unwrap(), codes.len() as u64);
        self.end(UsageKind::Scan, codes.len() as u64);
        self.end(UsageKind::Image, 1);
    }

    /// Return the upper bound of what was performed.
    pub(crate) fn begun(&self, kind: UsageKind) -> u64 {
        self.page[place(kind)].load(Ordering::SeqCst)
    }

    /// Return the lower bound of what was performed.
    pub(crate) fn ended(&self, kind: UsageKind) -> u64 {
        self.page[place(kind) + 1].load(Ordering::SeqCst)
    }
}

fn place(kind: UsageKind) -> usize {
    2 * KINDS.iter().position(|known| *known == kind).unwrap()
}

/// A device, as its files and its witness show it.
pub(crate) struct Device {
    pub(crate) state: PathBuf,
    pub(crate) witness: Witness,
    pub(crate) witness_path: PathBuf,
}

impl Device {
    pub(crate) fn new(folder: &Path, number: usize) -> Self {
        let witness_path = folder.join(format!("witness-{number}"));
        let witness = Witness::open(&witness_path);
        Self { state: folder.join(format!("state-{number}")), witness, witness_path }
    }

    pub(crate) fn has_performed(&self) -> bool {
        KINDS.into_iter().all(|kind| self.witness.ended(kind) > 0)
    }

    /// Return every file in the folders of usage.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let list = |folder: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect()
        };
        list(&self.state.join("usage")).iter().flat_map(|folder| list(folder)).collect()
    }

    /// Return a file with counts that no server has acknowledged, if there is one.
    pub(crate) fn unreported(&self) -> Option<PathBuf> {
        let is_left = |path: &PathBuf| {
            let kept = [".damaged-", ".acknowledged", "/epoch-"];
            !kept.iter().any(|part| path.to_string_lossy().contains(part))
        };
        self.files().into_iter().find(is_left)
    }

    /// Return the total that its segments have recorded as acknowledged.
    pub(crate) fn acknowledged(&self, kind: UsageKind) -> u64 {
        let is_segment =
            |path: &PathBuf| path.extension().is_some_and(|ending| ending == SEGMENT_ENDING);
        let segments = self
            .files()
            .into_iter()
            .filter(is_segment)
            .filter_map(|path| Segment::open(&path).ok());
        let totals = segments.flat_map(|segment| segment.totals());
        totals.filter(|total| total.usage.kind == kind).map(|total| total.acknowledged).sum()
    }

    /// Return the id under which the server knows the device, once it has one.
    pub(crate) fn uuid(&self) -> Option<String> {
        let bytes = std::fs::read(self.state.join("device")).ok()?;
        let json: serde_json::Value = serde_json::from_slice(bytes.get(56..)?).ok()?;
        Some(json["uuid"].as_str()?.to_owned())
    }

    /// Return what an export of the server has of it.
    pub(crate) fn billed(&self, export: &[serde_json::Value], kind: UsageKind) -> u64 {
        let uuid = self.uuid();
        let kind = serde_json::to_value(kind).unwrap();
        let rows = export
            .iter()
            .filter(|row| row["kind"] == kind && row["device_uuid"].as_str() == uuid.as_deref());
        rows.map(|row| row["total"].as_u64().unwrap()).sum()
    }
}

/// Check the law at this instant: acknowledged ≤ billed ≤ performed. Each value that is read can
/// only have grown when the next one is read.
pub(crate) fn check_law(devices: &[Device], export: impl FnOnce() -> Vec<serde_json::Value>) {
    let acknowledged: Vec<_> =
        devices.iter().map(|device| KINDS.map(|kind| device.acknowledged(kind))).collect();
    let export = export();
    for (device, acknowledged) in devices.iter().zip(acknowledged) {
        for (kind, acknowledged) in KINDS.into_iter().zip(acknowledged) {
            let billed = device.billed(&export, kind);
            let performed = device.witness.begun(kind);
            assert!(
                acknowledged <= billed && billed <= performed,
                "{kind:?}: acknowledged {acknowledged} ≤ billed {billed} ≤ performed {performed}"
            );
        }
    }
}

/// Check that what each device has performed is billed, and print it.
#[allow(clippy::print_stderr, reason = "a soak shows its figures")]
pub(crate) fn check_end(devices: &[Device], export: &[serde_json::Value]) {
    for (number, device) in devices.iter().enumerate() {
        assert_eq!(device.unreported(), None, "all is acknowledged, and so removed");
        for kind in KINDS {
            let (ended, begun) = (device.witness.ended(kind), device.witness.begun(kind));
            let billed = device.billed(export, kind);
            eprintln!("device {number}: {kind:?}: performed {ended} to {begun}, billed {billed}");
            assert!(ended <= billed && billed <= begun, "{kind:?}");
        }
    }
}
