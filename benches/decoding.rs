//! How many pictures a second are decoded: the engine alone, the library through its C function,
//! and peers, in one run.
//!
//! `cargo bench -p seatmeter --bench decoding -- [folder of pictures]`; peers are python3 with the
//! package `zxing-cpp` (another interpreter: `ZXING_PYTHON`) and `zbarimg`, where they are there.
//!
//! The candidates take turns in every round, and what to look at are the ratios.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, asks how it was called, and ends where it cannot go on"
)]

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use seatmeter::capi::dbr::decode::DBR_DecodeBuffer;
use seatmeter::capi::dbr::instances::{DBR_CreateInstance, DBR_DestroyInstance};
use seatmeter::capi::dbr::settings::DBR_AppendTplStringToRuntimeSettings;
use seatmeter::reader::{GrayImage, load_gray};
use zxingcpp::{BarcodeReader, ImageFormat, ImageView};

const ROUNDS: usize = 5;

/// For a round of one candidate.
const TIME: Duration = Duration::from_millis(1500);

type Run<'a> = Box<dyn Fn() + Sync + 'a>;

/// Return the words of the command line, without the option that cargo adds.
fn words() -> impl Iterator<Item = String> {
    std::env::args().skip(1).filter(|word| !word.starts_with("--"))
}

fn main() {
    let folder = words().next().map_or_else(|| PathBuf::from("c_examples/images"), PathBuf::from);
    let pictures: Vec<GrayImage<'_>> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|file| load_gray(&file.unwrap().path()).ok())
        .collect();
    let pixels: u64 = pictures.iter().map(|p| u64::from(p.width) * u64::from(p.height)).sum();
    println!(
        "{} pictures with {:.1} megapixels from {}",
        pictures.len(),
        pixels as f64 / 1e6,
        folder.display()
    );
    let fast = c"{\"ImageParameter\":{\"Name\":\"Fast\",\"DeblurLevel\":0}}";
    for threads in [1, 2] {
        let candidates: Vec<(&str, Run<'_>)> = vec![
            ("the engine alone, with its defaults", Box::new(|| pictures.iter().for_each(bare))),
            ("DBR_DecodeBuffer", Box::new(|| with_reader(None, &pictures))),
            ("DBR_DecodeBuffer, DeblurLevel 0", Box::new(|| with_reader(Some(fast), &pictures))),
        ];
        compare(threads, &pictures, &candidates);
    }
    peers(&pictures);
}

fn bare(picture: &GrayImage<'_>) {
    let view =
        ImageView::from_slice(&picture.pixels, picture.width, picture.height, ImageFormat::Lum)
            .unwrap();
    let _ = BarcodeReader::new().from(view).unwrap();
}

/// Without a license everything is decoded and masked; counting is measured by `through_c`.
fn with_reader(template: Option<&std::ffi::CStr>, pictures: &[GrayImage<'_>]) {
    let reader = DBR_CreateInstance();
    if let Some(template) = template {
        // SAFETY: the reader lives, the text is NUL-terminated, and no message is wanted.
        let code = unsafe {
            DBR_AppendTplStringToRuntimeSettings(
                reader,
                template.as_ptr(),
                2,
                std::ptr::null_mut(),
                0,
            )
        };
        assert_eq!(code, 0);
    }
    pictures.iter().for_each(|picture| decode(reader, picture));
    // SAFETY: made above, and not used again.
    unsafe { DBR_DestroyInstance(reader) };
}

fn decode(reader: *mut c_void, picture: &GrayImage<'_>) {
    let (width, height) = (picture.width.cast_signed(), picture.height.cast_signed());
    // SAFETY: the reader lives, and the picture has as many bytes as is said.
    unsafe {
        DBR_DecodeBuffer(
            reader,
            picture.pixels.as_ptr(),
            width,
            height,
            width,
            2,
            std::ptr::null(),
        );
    }
}

/// Pictures a second, all threads together: the best round of each, for others use this machine
/// too.
fn compare(threads: usize, pictures: &[GrayImage<'_>], candidates: &[(&str, Run<'_>)]) {
    let mut best = vec![0_f64; candidates.len()];
    for _ in 0..ROUNDS {
        for ((_, run), best) in candidates.iter().zip(&mut best) {
            *best = best.max(rate(threads, pictures.len(), run));
        }
    }
    println!("\n{threads} thread(s)");
    for ((name, _), rate) in candidates.iter().zip(&best) {
        println!("  {name:<52} {rate:>9.1} pictures/s   {:>6.3} ×", rate / best[0]);
    }
}

fn rate(threads: usize, count: usize, run: &Run<'_>) -> f64 {
    let start = Instant::now();
    let done: usize = std::thread::scope(|scope| {
        let work = || {
            let mut done = 0;
            while start.elapsed() < TIME {
                run();
                done += count;
            }
            done
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    done as f64 / start.elapsed().as_secs_f64()
}

const PYTHON: &str = "
import sys, time, zxingcpp, array
pictures = []
for path in sys.argv[1:]:
    data = open(path, 'rb').read()
    head, rest = data.split(b'\\n', 1)
    width, height = map(int, head.split()[1:3])
    pictures.append(memoryview(rest).cast('B', (height, width)))
best = 0
for _ in range(5):
    start = time.perf_counter()
    done = 0
    while time.perf_counter() - start < 1.5:
        for picture in pictures:
            zxingcpp.read_barcodes(picture)
        done += len(pictures)
    best = max(best, done / (time.perf_counter() - start))
print(best)
";

fn peers(pictures: &[GrayImage<'_>]) {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> =
        pictures.iter().enumerate().map(|(i, p)| pgm(folder.path(), i, p)).collect();
    println!("\npeers, one thread");
    let python = std::env::var("ZXING_PYTHON").unwrap_or_else(|_| "python3".into());
    match Command::new(&python).arg("-c").arg(PYTHON).args(&files).output() {
        Ok(output) if output.status.success() => {
            let rate: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
            println!("  zxing-cpp of Python{:<33} {rate:>9.1} pictures/s", "");
        }
        _ => println!("  zxing-cpp of Python: not there"),
    }
    let start = Instant::now();
    match Command::new("zbarimg").args(["--quiet", "--raw"]).args(&files).output() {
        Ok(_) => {
            let rate = pictures.len() as f64 / start.elapsed().as_secs_f64();
            println!("  zbarimg, with reading its files{:<21} {rate:>9.1} pictures/s", "");
        }
        Err(_) => println!("  zbarimg: not there"),
    }
}

fn pgm(folder: &Path, i: usize, picture: &GrayImage<'_>) -> PathBuf {
    let path = folder.join(format!("{i}.pgm"));
    let head = format!("P5 {} {} 255\n", picture.width, picture.height);
    std::fs::write(&path, [head.as_bytes(), &picture.pixels].concat()).unwrap();
    path
}
