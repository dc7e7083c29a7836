//! What the library costs, called as a C program calls it, beside peers in the same run.
//!
//! Timings on shared machines are noisy: each figure is the median over rounds in which all candidates take
//! turns, and what to look at are the ratios.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use seatmeter::capi::count::SM_Barcode;
use seatmeter::capi::license::DM_DLSConnectionParameters;
use seatmeter::reader::{DecodeEngine, ZxingEngine, load_gray};
use seatmeter_e2e::server::{DEMO_CODE, Server};

const ROUNDS: usize = 31;

/// The library's functions, found by name in the shared library.
struct Library {
    handle: *mut c_void,
}

impl Library {
    fn load() -> Self {
        let path = seatmeter_e2e::build_folder().join("libseatmeter.so");
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: loads our own library, whose initialisers do nothing.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{} cannot be loaded", path.display());
        Self { handle }
    }

    /// # Safety
    /// `F` is the type of the function of this name.
    unsafe fn function<F: Copy>(&self, name: &str) -> F {
        let name = CString::new(name).unwrap();
        // SAFETY: the handle is open; the caller vouches for the type.
        unsafe {
            let address = libc::dlsym(self.handle, name.as_ptr());
            assert!(!address.is_null());
            std::mem::transmute_copy(&address)
        }
    }
}

type Init = unsafe extern "C" fn(*mut DM_DLSConnectionParameters) -> c_int;
type Licence = unsafe extern "C" fn(*const DM_DLSConnectionParameters, *mut c_char, c_int) -> c_int;
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
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect();
    for ((name, _), median) in candidates.iter().zip(&medians) {
        println!("  {name:<52} {median:>12.1} ns   {:>7.2} ×", median / medians[0]);
    }
}

fn main() {
    let server = Server::with_demo_license();
    let state = tempfile::tempdir().unwrap();
    let library = Library::load();
    license(&library, server.url(), state.path());
    seats(&library);
    counting(&library);
    decoding(&library);
    println!("\nmedians of {ROUNDS} rounds; ratios to the first line of each table");
}

fn license(library: &Library, url: &str, state: &Path) {
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
        parameters.maxConcurrentInstanceCount = 4;
        let init = library.function::<Licence>("InitLicenseFromDLS");
        assert_eq!(init(&raw const parameters, std::ptr::null_mut(), 0), 0);
    }
}

fn seats(library: &Library) {
    // SAFETY: the types are those of the header.
    let (create, destroy, idle) = unsafe {
        (
            library.function::<Create>("SM_CreateReader"),
            library.function::<Destroy>("SM_DestroyReader"),
            library.function::<Idle>("GetIdleInstancesCount"),
        )
    };
    let name = CString::new(format!("/seatmeter-bench-{}", std::process::id())).unwrap();
    // SAFETY: makes a semaphore of our own name, removed again at once; it lives until the process ends.
    let semaphore = unsafe {
        let semaphore = libc::sem_open(name.as_ptr(), libc::O_CREAT | libc::O_EXCL, 0o600, 4);
        libc::sem_unlink(name.as_ptr());
        assert!(semaphore != libc::SEM_FAILED);
        semaphore
    };
    compare(
        "a seat taken and given back",
        100_000,
        vec![
            (
                "named POSIX semaphore: sem_trywait, sem_post",
                Box::new(|n| {
                    for _ in 0..n {
                        // SAFETY: the semaphore is open.
                        unsafe { black_box(libc::sem_trywait(semaphore) + libc::sem_post(semaphore)) };
                    }
                }),
            ),
            (
                "malloc, free of 64 bytes",
                Box::new(|n| {
                    for _ in 0..n {
                        // SAFETY: frees what it got.
                        unsafe { libc::free(black_box(libc::malloc(64))) };
                    }
                }),
            ),
            (
                "SM_CreateReader, SM_DestroyReader",
                Box::new(|n| {
                    for _ in 0..n {
                        let mut reader = std::ptr::null_mut();
                        // SAFETY: the reader goes from one to the other.
                        unsafe {
                            assert_eq!(create(&raw mut reader, std::ptr::null_mut(), 0), 0);
                            destroy(black_box(reader));
                        }
                    }
                }),
            ),
        ],
    );
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
                        black_box(unsafe { idle() });
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
        assert_eq!(
            library.function::<Create>("SM_CreateReader")(&raw mut reader, std::ptr::null_mut(), 0),
            0
        );
        library.function::<Count>("SM_CountImage")
    };
    let texts: Vec<String> = (0..4).map(|n| format!("{n:016}")).collect();
    let barcodes: Vec<SM_Barcode> =
        texts.iter().map(|t| SM_Barcode { format: 4, bytes: t.as_ptr(), length: t.len() }).collect();
    let call = |barcodes: &[SM_Barcode], n: u32| {
        for _ in 0..n {
            // SAFETY: the barcodes outlive the call.
            assert_eq!(unsafe { count(reader, barcodes.as_ptr(), barcodes.len(), std::ptr::null_mut()) }, 0);
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
    unsafe { library.function::<Destroy>("SM_DestroyReader")(reader) };
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
                        assert_eq!(ZxingEngine.decode(&load_gray(&path).unwrap()).unwrap().len(), 4);
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
