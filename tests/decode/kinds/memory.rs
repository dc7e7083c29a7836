//! Large pictures in little memory. Each is read in a process of its own, whose peak is that of the
//! picture.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use seatmeter::reader::{Picture, Reader, for_each_page};

const WIDTH: u32 = 11_000;
const HEIGHT: u32 = 9_000;

/// The memory of the picture in gray.
const GRAY_KIB: u64 = WIDTH as u64 * HEIGHT as u64 / 1024;

/// The memory that a process needs beside pictures.
const REST_KIB: u64 = 40 << 10;

/// Make a white picture of 1 bit for each pixel, packed by PackBits, in one strip.
fn small_file_of_a_large_picture() -> Vec<u8> {
    let row = [[0x81, 0xff].repeat(WIDTH.div_ceil(8) as usize / 128), vec![0x81, 0xff]].concat();
    let strip = row.repeat(HEIGHT as usize);
    tiff(1, 32_773, &strip)
}

/// Make the same picture in colors, packed by Deflate.
fn colors() -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = vec![255; WIDTH as usize * 3];
    (0..HEIGHT).for_each(|_| std::io::Write::write_all(&mut encoder, &row).unwrap());
    tiff(3, 8, &encoder.finish().unwrap())
}

fn tiff(samples: u32, compression: u32, strip: &[u8]) -> Vec<u8> {
    let length = strip.len() as u32;
    let (bits, photometric) = if samples == 1 { (1, 1) } else { (8, 2) };
    let entries = [
        (256, WIDTH),
        (257, HEIGHT),
        (258, bits),
        (259, compression),
        (262, photometric),
        (273, 8),
        (277, samples),
        (278, HEIGHT),
        (279, length),
    ];
    let mut file =
        [&b"II*\0"[..], &(8 + length).to_le_bytes(), strip, &[entries.len() as u8, 0]].concat();
    for (tag, value) in entries {
        file.extend(u16::to_le_bytes(tag));
        file.extend([4, 0, 1, 0, 0, 0]);
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}

fn png_file() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let row = vec![255; WIDTH as usize * 3];
    (0..HEIGHT).for_each(|_| std::io::Write::write_all(&mut stream, &row).unwrap());
    stream.finish().unwrap();
    drop(writer);
    bytes
}

/// Run the part below in a process of its own, and in a control group if there is one.
fn in_a_process(what: &str, file: &Path, group: Option<&Path>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "kinds::memory::part_of_other_tests"]);
    command.env("KINDS_WHAT", what).env("KINDS_FILE", file);
    if let Some(group) = group {
        command.env("KINDS_GROUP", group.join("cgroup.procs"));
    }
    command.output().unwrap()
}

#[test]
#[ignore = "runs as a process of the other tests"]
#[allow(clippy::disallowed_methods, reason = "a part is told by its environment what to do")]
fn part_of_other_tests() {
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(processes) = variable("KINDS_GROUP") {
        std::fs::write(processes, std::process::id().to_string()).unwrap();
    }
    let Some(file) = variable("KINDS_FILE") else { return };
    let bytes = std::fs::read(file).unwrap();
    let code = if variable("KINDS_WHAT").unwrap() == "read" {
        for_each_page(&bytes, &mut |_, _| Ok(true)).err()
    } else {
        // Without a license the reader returns the license's error. So the picture's own error is
        // searched for page by page.
        let mut found = None;
        let read = for_each_page(&bytes, &mut |_, page| {
            found = seatmeter::reader::read_page(
                &mut seatmeter::reader::ZxingEngine,
                &seatmeter::reader::Profile::default(),
                &page,
            )
            .err();
            Ok(true)
        });
        let _ = Reader::vacant().decode(Picture::Bytes(&bytes), "");
        read.err().or(found)
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.split_whitespace().next().unwrap();
    eprintln!("CODE {} PEAK {peak} END", code.map_or(0, |error| error.code.0));
}

/// Return the code and the peak in KiB.
fn outcome(output: &Output) -> (i32, u64) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}", output.status);
    let words: Vec<&str> = text.split_whitespace().skip_while(|word| *word != "CODE").collect();
    (words[1].parse().unwrap(), words[3].parse().unwrap())
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_picture_is_read_into_its_shades_and_nothing_as_large_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("bits", small_file_of_a_large_picture()), ("colors", colors()), ("png", png_file())]
    {
        let file = written(folder.path(), name, &bytes);
        let (code, peak_kib) = outcome(&in_a_process("read", &file, None));
        assert_eq!(code, 0, "{name}");
        let most_kib = GRAY_KIB + REST_KIB + bytes.len() as u64 / 1024;
        assert!(
            peak_kib >= GRAY_KIB && peak_kib <= most_kib,
            "{name}: {peak_kib} KiB, at most {most_kib}"
        );
    }
}

/// A control group with a limit of memory, which is removed with the value. `None` if this process
/// cannot make one.
struct Group(PathBuf);

impl Group {
    fn new(mib: u64) -> Option<Self> {
        let name = format!("seatmeter-kinds-{}", std::process::id());
        let places =
            [("memory", "memory.limit_in_bytes"), ("", "memory.max"), ("unified", "memory.max")];
        places.into_iter().find_map(|(version, limit)| {
            let folder = Path::new("/sys/fs/cgroup").join(version).join(&name);
            std::fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            let is_limited = group.0.join(limit).exists()
                && group.0.join("cgroup.procs").exists()
                && std::fs::write(group.0.join(limit), (mib << 20).to_string()).is_ok();
            is_limited.then_some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // No process is in it any more.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_picture_that_the_control_group_has_no_memory_for_is_an_error_and_the_process_lives() {
    let Some(group) = Group::new(256) else {
        eprintln!("SKIPPED: no control group with a limit can be made here (needs root)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "large.tif", &small_file_of_a_large_picture());
    let (code, peak_kib) = outcome(&in_a_process("search", &file, Some(&group.0)));
    assert_eq!(code, -10001);
    assert!(peak_kib < 256 << 10, "{peak_kib} KiB");
}
