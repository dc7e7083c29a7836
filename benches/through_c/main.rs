//! What the library costs, called as a C program calls it, beside peers in the same run.
//!
//! Timings on shared machines are noisy: each figure is the median over rounds in which all
//! candidates take turns, and what to look at are the ratios.

//!
//! `cargo bench -p seatmeter --bench through_c [seats] [free] [counting] [decoding] [starting]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

mod peers;
mod starting;

use std::ffi::{CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use seatmeter::capi::count::SM_Barcode;
use seatmeter::capi::license::DM_DLSConnectionParameters;
use seatmeter::reader::{DecodeEngine, Search, ZxingEngine, load_gray};
use seatmeter_e2e::server::{DEMO_CODE, Server};

use peers::Peer;

const ROUNDS: usize = 31;
/// Pairs of a round.
const PAIRS: u32 = 50_000;

/// The library's functions, found by name in the shared library.
struct Library {
    handle: *mut c_void,
    create: Create,
    destroy: Destroy,
    idle: Idle,
}

// SAFETY: the handle is never closed, and functions may be called by any thread.
unsafe impl Sync for Library {}

impl Library {
    fn load() -> Self {
        let path = seatmeter_e2e::build_folder().join("libseatmeter.so");
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: loads our own library, whose initializers do nothing.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{} cannot be loaded", path.display());
        // SAFETY: the types are those of the header.
        unsafe {
            Self {
                handle,
                create: function(handle, "SM_CreateReader"),
                destroy: function(handle, "SM_DestroyReader"),
                idle: function(handle, "GetIdleInstancesCount"),
            }
        }
    }

    /// # Safety
    /// `F` is the type of the function of this name.
    unsafe fn function<F: Copy>(&self, name: &str) -> F {
        // SAFETY: the handle is open; the caller vouches for the type.
        unsafe { function(self.handle, name) }
    }
}

/// # Safety
/// The handle is open, and `F` is the type of the function of this name.
unsafe fn function<F: Copy>(handle: *mut c_void, name: &str) -> F {
    let name = CString::new(name).unwrap();
    // SAFETY: the caller's promise.
    unsafe {
        let address = libc::dlsym(handle, name.as_ptr());
        assert!(!address.is_null());
        std::mem::transmute_copy(&address)
    }
}

type Init = unsafe extern "C" fn(*mut DM_DLSConnectionParameters) -> c_int;
type License = unsafe extern "C" fn(*const DM_DLSConnectionParameters, *mut c_char, c_int) -> c_int;
type Create = unsafe extern "C" fn(*mut *mut c_void, *mut c_char, usize) -> c_int;
type Destroy = unsafe extern "C" fn(*mut c_void);
type Idle = unsafe extern "C" fn() -> c_int;
type Count = unsafe extern "C" fn(*const c_void, *const SM_Barcode, usize, *mut usize) -> c_int;
type CreateInstance = unsafe extern "C" fn() -> *mut c_void;
type DecodeFile = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int;

/// A candidate: its name, and what it does `n` times.
type Candidate<'a> = (&'a str, Box<dyn FnMut(u32) + 'a>);

/// Prints medians in nanoseconds and each one's ratio to the first candidate.
fn compare(title: &str, calls: u32, mut candidates: Vec<Candidate<'_>>) {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); candidates.len()];
    for round in 0..=ROUNDS {
        for ((_, run), times) in candidates.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run(calls);
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
            }
        }
    }
    println!("\n{title}");
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    for ((name, _), median) in candidates.iter().zip(&medians) {
        println!("  {name:<52} {median:>12.1} ns   {:>7.2} ×", median / medians[0]);
    }
}

fn main() {
    if starting::is_asked_for() {
        return starting::start_once();
    }
    let server = Server::with_demo_license();
    let state = tempfile::tempdir().unwrap();
    let library: &Library = Box::leak(Box::new(Library::load()));
    license(library, server.url(), state.path());
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|part| !part.starts_with("--")).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    // First: the seats' other processes leave a place in the pool, and then the library is not
    // alone in it.
    if is_wanted("free") {
        free_seats(library);
    }
    if is_wanted("seats") {
        seats(library, state.path());
    }
    if is_wanted("counting") {
        counting(library);
    }
    if is_wanted("decoding") {
        decoding(library);
    }
    if is_wanted("starting") {
        starting::compare_starts(server.url(), state.path());
    }
    println!("\nmedians of {ROUNDS} rounds; ratios to the first line of each table");
}

/// Gets licensed; gives the time that took.
fn license(library: &Library, url: &str, state: &Path) -> Duration {
    let (code, url) = (CString::new(DEMO_CODE).unwrap(), CString::new(url).unwrap());
    let state = CString::new(state.to_str().unwrap()).unwrap();
    let mut parameters = DM_DLSConnectionParameters::default();
    // SAFETY: the types are those of the header; strings outlive the calls.
    unsafe {
        library.function::<unsafe extern "C" fn(*const c_char) -> c_int>("SM_SetStateDirectory")(
            state.as_ptr(),
        );
        library.function::<Init>("InitDLSConnectionParameters")(&raw mut parameters);
        parameters.mainServerURL = url.as_ptr().cast_mut();
        parameters.handshakeCode = code.as_ptr().cast_mut();
        parameters.deploymentType = 1;
        parameters.maxConcurrentInstanceCount = peers::SEATS as c_int;
        let init = library.function::<License>("InitLicenseFromDLS");
        let start = Instant::now();
        assert_eq!(init(&raw const parameters, std::ptr::null_mut(), 0), 0);
        start.elapsed()
    }
}

/// Seats taken and given back: alone, by two threads at once, by two processes at once.
fn seats(library: &'static Library, folder: &Path) {
    let peers = peers::all(library, folder);
    let ways: [Way; 3] = [alone, by_two_threads, by_two_processes];
    let mut times = vec![[const { Vec::new() }; 3]; peers.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        for (peer, times) in peers.iter().zip(&mut times) {
            for (way, times) in ways.iter().zip(times) {
                let pairs = PAIRS / peer.fewer;
                let ns = way(peer, pairs).as_secs_f64() * 1e9 / f64::from(pairs);
                if round > 0 {
                    times.push(ns);
                }
            }
        }
    }
    println!("\na seat taken and given back, ns, and what the library costs of it");
    println!(
        "  {:<46} {:^18} {:^18} {:^18}",
        "", "alone", "each of 2 threads", "each of 2 processes"
    );
    let medians: Vec<[f64; 3]> = times.into_iter().map(|times| times.map(median)).collect();
    for (peer, of_peer) in peers.iter().zip(&medians) {
        print!("  {:<46}", peer.name);
        for (ns, own) in of_peer.iter().zip(medians[0]) {
            print!(" {ns:>8.1} {:>7.3} ×", own / ns);
        }
        println!();
    }
}

type Way = fn(&Peer, u32) -> Duration;

fn alone(peer: &Peer, pairs: u32) -> Duration {
    let mut take = (peer.taker)();
    take(1);
    let start = Instant::now();
    take(pairs);
    start.elapsed()
}

fn by_two_threads(peer: &Peer, pairs: u32) -> Duration {
    let ready = Barrier::new(2);
    let run = || {
        let mut take = (peer.taker)();
        take(1);
        ready.wait();
        let start = Instant::now();
        take(pairs);
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(run);
        run().max(other.join().unwrap())
    })
}

/// The other process takes and gives until this one is done.
fn by_two_processes(peer: &Peer, pairs: u32) -> Duration {
    let state = shared_word();
    // SAFETY: the child does what is allowed after a fork: it takes, gives, and ends without the
    // parent's cleaning up.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let mut take = (peer.taker)();
        while state.load(Ordering::Relaxed) != STOP {
            take((1_000 / peer.fewer).max(1));
            let _ = state.compare_exchange(0, RUNNING, Ordering::Relaxed, Ordering::Relaxed);
        }
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    while state.load(Ordering::Relaxed) != RUNNING {
        std::thread::yield_now();
    }
    let time = alone(peer, pairs);
    state.store(STOP, Ordering::Relaxed);
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the other process failed");
    time
}

const RUNNING: u32 = 1;
const STOP: u32 = 2;

/// A word that a forked child shares, 0 again at each call.
fn shared_word() -> &'static AtomicU32 {
    static WORD: OnceLock<&AtomicU32> = OnceLock::new();
    let word = *WORD.get_or_init(|| {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping of zeros, never unmapped.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), 4096, access, kind, -1, 0);
            assert!(page != libc::MAP_FAILED);
            &*page.cast::<AtomicU32>()
        }
    });
    word.store(0, Ordering::Relaxed);
    word
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn free_seats(library: &Library) {
    let semaphore = peers::open_semaphore();
    compare(
        "the number of free seats",
        100_000,
        vec![
            (
                "sem_getvalue",
                Box::new(|n| {
                    let mut value = 0;
                    for _ in 0..n {
                        // SAFETY: the semaphore is open.
                        unsafe { libc::sem_getvalue(semaphore, &raw mut value) };
                        black_box(value);
                    }
                }),
            ),
            (
                "GetIdleInstancesCount",
                Box::new(|n| {
                    for _ in 0..n {
                        // SAFETY: no arguments.
                        black_box(unsafe { (library.idle)() });
                    }
                }),
            ),
        ],
    );
}

fn counting(library: &Library) {
    let mut reader = std::ptr::null_mut();
    // SAFETY: the types are those of the header.
    let count = unsafe {
        assert_eq!((library.create)(&raw mut reader, std::ptr::null_mut(), 0), 0);
        library.function::<Count>("SM_CountImage")
    };
    let texts: Vec<String> = (0..4).map(|n| format!("{n:016}")).collect();
    let barcodes: Vec<SM_Barcode> = texts
        .iter()
        .map(|t| SM_Barcode { format: 4, bytes: t.as_ptr(), length: t.len() })
        .collect();
    let call = |barcodes: &[SM_Barcode], n: u32| {
        for _ in 0..n {
            let (start, length) = (barcodes.as_ptr(), barcodes.len());
            // SAFETY: the barcodes outlive the call.
            assert_eq!(unsafe { count(reader, start, length, std::ptr::null_mut()) }, 0);
        }
    };
    compare(
        "an image counted",
        20_000,
        vec![
            (
                "a system call: getppid",
                Box::new(|n| {
                    for _ in 0..n {
                        // SAFETY: no arguments.
                        black_box(unsafe { libc::getppid() });
                    }
                }),
            ),
            ("SM_CountImage, one barcode of 16 bytes", Box::new(|n| call(&barcodes[..1], n))),
            ("SM_CountImage, four barcodes of 16 bytes", Box::new(|n| call(&barcodes, n))),
        ],
    );
    // SAFETY: made above.
    unsafe { (library.destroy)(reader) };
    frames(library);
}

/// A reader of its own, which counts frames with one barcode of 16 bytes.
struct Frames {
    reader: *mut c_void,
    destroy: Destroy,
    count: Count,
    /// The barcode's content: a number, twice.
    content: [u64; 2],
}

// SAFETY: a reader may be used by any thread, one at a time.
unsafe impl Send for Frames {}

impl Frames {
    fn new(library: &Library) -> Self {
        let mut reader = std::ptr::null_mut();
        // SAFETY: the types are those of the header.
        unsafe {
            assert_eq!((library.create)(&raw mut reader, std::ptr::null_mut(), 0), 0);
            let count = library.function("SM_CountFrame");
            Self { reader, destroy: library.destroy, count, content: [0; 2] }
        }
    }

    fn count(&mut self, frames: u32, is_new: bool) {
        for _ in 0..frames {
            if is_new {
                self.content = [self.content[0] + 1; 2];
            }
            let bytes = self.content.as_ptr().cast();
            let barcode = SM_Barcode { format: 4, bytes, length: size_of_val(&self.content) };
            // SAFETY: the reader lives, and so does the barcode during the call.
            let code =
                unsafe { (self.count)(self.reader, &raw const barcode, 1, std::ptr::null_mut()) };
            assert_eq!(code, 0);
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: made by this library, and not used any more.
        unsafe { (self.destroy)(self.reader) };
    }
}

/// One frame after the other, as a video gives them.
fn frames(library: &Library) {
    let (mut alone, mut with_new) = (Frames::new(library), Frames::new(library));
    let (mut first, mut second) = (Frames::new(library), Frames::new(library));
    compare(
        "a frame counted, with one barcode of 16 bytes",
        200_000,
        vec![
            ("SM_CountFrame, the barcode of the frame before", Box::new(|n| alone.count(n, false))),
            ("SM_CountFrame, a barcode that is new", Box::new(|n| with_new.count(n, true))),
            (
                "each of two threads, the barcode of before",
                Box::new(|n| {
                    std::thread::scope(|scope| {
                        scope.spawn(|| second.count(n, false));
                        first.count(n, false);
                    });
                }),
            ),
        ],
    );
}

fn decoding(library: &Library) {
    let path = seatmeter_e2e::program::image("four_barcodes.png");
    let name = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the types are those of the header.
    let (reader, decode) = unsafe {
        let create = library.function::<CreateInstance>("DBR_CreateInstance");
        (create(), library.function::<DecodeFile>("DBR_DecodeFile"))
    };
    compare(
        "a picture with four barcodes decoded",
        10,
        vec![
            (
                "the bare engine: read the file, decode",
                Box::new(|n| {
                    for _ in 0..n {
                        let found =
                            ZxingEngine.decode(&load_gray(&path).unwrap(), &Search::default());
                        assert_eq!(found.unwrap().len(), 4);
                    }
                }),
            ),
            (
                "DBR_DecodeFile: the same, licensed and counted",
                Box::new(|n| {
                    for _ in 0..n {
                        // SAFETY: the reader and the name live.
                        assert_eq!(unsafe { decode(reader, name.as_ptr(), std::ptr::null()) }, 0);
                    }
                }),
            ),
        ],
    );
    // SAFETY: made above.
    unsafe { library.function::<Destroy>("DBR_DestroyInstance")(reader) };
}
