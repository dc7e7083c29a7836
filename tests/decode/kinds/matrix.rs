//! Every kind that Pillow writes, compared with what Pillow reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::read;

/// The greatest difference between two decoders of JPEG.
const JPEG_TOLERANCE: u8 = 3;

/// Return a Python with Pillow, in an environment of its own below `target`; `None` if it cannot be
/// installed.
fn python() -> Option<PathBuf> {
    let home = seatmeter_e2e::root().join("target/pillow");
    let python = home.join("bin/python");
    let runs = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let has_pillow = || runs(Command::new(&python).args(["-c", "import PIL"]));
    if !has_pillow() {
        runs(Command::new("python3").args(["-m", "venv"]).arg(&home));
        runs(Command::new(&python).args(["-m", "pip", "install", "--quiet", "pillow==13.0.0"]));
    }
    has_pillow().then_some(python)
}

fn page(path: &Path) -> (u32, u32, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(0), number(4), bytes[8..].to_vec())
}

/// Return the difference between both readings, if there is one.
fn difference(path: &Path) -> Option<String> {
    let beside = |suffix: &str| PathBuf::from(format!("{}.{suffix}", path.display()));
    let (pages, failure) = read(&std::fs::read(path).unwrap());
    if let Ok(word) = std::fs::read_to_string(beside("refused")) {
        let is_refused = pages.is_empty()
            && failure.as_ref().is_some_and(|(_, message)| message.contains(&word));
        return (!is_refused).then(|| format!("not refused as {word}: {failure:?}"));
    }
    if let Some(failure) = failure {
        return Some(format!("{failure:?}"));
    }
    let expected: Vec<_> =
        (0..).map(|i| beside(&format!("{i}.gray"))).take_while(|path| path.exists()).collect();
    if pages.len() != expected.len() {
        return Some(format!("{} pages instead of {}", pages.len(), expected.len()));
    }
    let name = path.file_name()?.to_string_lossy();
    let tolerance =
        if name.ends_with(".jpg") || name.starts_with("jpeg") { JPEG_TOLERANCE } else { 0 };
    pages.iter().zip(&expected).find_map(|((number, (width, height, shades)), expected)| {
        let (expected_width, expected_height, expected) = page(expected);
        if (*width, *height) != (expected_width, expected_height) {
            return Some(format!("page {number} has {width} by {height} pixels"));
        }
        let most = shades.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max()?;
        (most > tolerance).then(|| format!("page {number} differs by up to {most}"))
    })
}

#[test]
fn every_kind_that_pillow_writes_is_read_as_pillow_reads_it_or_refused_by_name() {
    let Some(python) = python() else {
        eprintln!(
            "SKIPPED: no Python with Pillow can be had (python3 -m venv, pip install pillow)"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = seatmeter_e2e::root().join("tests/decode/kinds/matrix.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let pictures: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|kind| kind != "gray" && kind != "refused"))
        .collect();
    assert!(pictures.len() > 200, "{} kinds", pictures.len());
    let differences = pictures.iter().filter_map(|path| {
        let what = difference(path)?;
        Some(format!("{}: {what}", path.file_name().unwrap().display()))
    });
    let differences: Vec<String> = differences.collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
