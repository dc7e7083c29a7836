//! Damaged image files are refused or read, without a panic, a crash, or memory that is not freed.
//! `SEATMETER_SOAK_IMAGES` is the number of files for `make soak`. `SEATMETER_SOAK_KIND` selects a
//! kind by the end of a name.

use fastrand::Rng;
use seatmeter::reader::{Picture, Reader};

use crate::made_pictures;
use crate::own_process::in_a_process_of_its_own;

/// `one_qr.jpg` in six scans, each of which makes the picture finer (`jpegtran -progressive`).
const PROGRESSIVE: &[u8] = include_bytes!("progressive.jpg");

fn damage(file: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=random.usize(..8) {
        // Numbers that mislead a decoder are mostly in the head of a file.
        let end = if random.usize(..2) == 0 { bytes.len().min(200) } else { bytes.len() };
        let at = random.usize(..end.max(1));
        match random.usize(..5) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.usize(..5)],
            2 => bytes[at] ^= 1 << random.u32(..8),
            3 => {
                let part = bytes[at..(at + random.usize(..64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let until = (at + random.usize(..16)).min(bytes.len());
                bytes[at..until].fill(0xff);
            }
        }
    }
    bytes
}

#[allow(clippy::disallowed_methods, reason = "a test asks how it was called")]
fn rounds() -> usize {
    std::env::var("SEATMETER_SOAK_IMAGES").map_or(300, |rounds| rounds.parse().unwrap())
}

#[allow(clippy::disallowed_methods, reason = "a test asks how it was called")]
fn kind() -> String {
    std::env::var("SEATMETER_SOAK_KIND").unwrap_or_default()
}

/// Return pictures of all kinds, or of the selected kind.
fn whole_files() -> Vec<Vec<u8>> {
    let folder = made_pictures::pictures();
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("c_examples/images");
    let one = image::open(examples.join("one_qr.png")).unwrap();
    one.to_luma8().save(folder.path().join("gray.jpg")).unwrap();
    for name in ["one_qr.jpg", "four_barcodes.png"] {
        std::fs::copy(examples.join(name), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("progressive.jpg"), PROGRESSIVE).unwrap();
    let paths = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(&kind())).collect();
    assert!(!files.is_empty(), "no picture has a name that ends with {}", kind());
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn damaged_files_are_refused_or_read_and_memory_stays_as_it_is() {
    // Other tests would change the memory of this process.
    in_a_process_of_its_own(|| {
        damage_files_and_watch_memory();
    });
}

#[test]
fn a_jpeg_of_many_scans_is_read_like_one_of_one_scan_and_as_far_as_it_goes() {
    let reader = Reader::vacant();
    let read = |bytes: &[u8]| {
        // Without a license the call returns an error after it has decoded.
        assert!(reader.decode(Picture::Bytes(bytes), "").is_err());
        reader.with_outcome(|outcome| outcome.barcodes.len())
    };
    assert_eq!(read(PROGRESSIVE), 1);
    assert_eq!(read(&PROGRESSIVE[..PROGRESSIVE.len() * 9 / 10]), 1, "in the middle of a scan");
    assert_eq!(read(&PROGRESSIVE[..PROGRESSIVE.len() / 10]), 0, "only a head");
}

fn damage_files_and_watch_memory() {
    let pictures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("c_examples/images");
    let files = whole_files();
    let mut random = Rng::with_seed(1);
    // Without a license the reader decodes all the same, and returns an error.
    let reader = Reader::vacant();
    for _ in 0..rounds() {
        let bytes = damage(&files[random.usize(..files.len())], &mut random);
        assert!(reader.decode(Picture::Bytes(&bytes), "").is_err());
    }

    let whole = std::fs::read(pictures.join("one_qr.png")).unwrap();
    let decode = |times: usize| {
        for _ in 0..times {
            assert!(reader.decode(Picture::Bytes(&whole), "").is_err());
            assert_eq!(reader.with_outcome(|outcome| outcome.barcodes.len()), 1);
        }
        resident_kib()
    };
    let warm = decode(100);
    let later = decode(2 * rounds().min(10_000));
    assert!(later < warm + 8 * 1024, "{warm} KiB grew to {later}");
}
