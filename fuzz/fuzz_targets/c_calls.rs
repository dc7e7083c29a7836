//! Sequences of C calls, in any order and with any arguments that C allows, against a real server
//! in this process. A model of a few numbers says what must come back.
#![no_main]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use libfuzzer_sys::fuzz_target;
use seatmeter::capi::count::{
    SM_Barcode, SM_CountFrame, SM_CountImage, SM_CountPages, SM_CountScans,
    SM_SetDuplicateForgetTime,
};
use seatmeter::capi::dbr::decode::{DBR_DecodeBuffer, DBR_FreeTextResults, DBR_GetAllTextResults};
use seatmeter::capi::dbr::instances::{DBR_CreateInstance, DBR_DestroyInstance};
use seatmeter::capi::dbr::settings::{DBR_GetModeArgument, DBR_InitRuntimeSettingsWithString};
use seatmeter::capi::information::SM_GetErrorString;
use seatmeter::capi::license::{
    DM_DLSConnectionParameters, GetIdleInstancesCount, InitDLSConnectionParameters,
    InitLicenseFromDLS, SM_GetDeviceUUID, SM_SetDeviceFriendlyName, SM_SetStateDirectory,
    SM_SetValidationField, SM_Shutdown,
};
use seatmeter::capi::reader::{
    SM_CreateReader, SM_CreateReaderWithin, SM_DestroyReader, SM_Holder, SM_ListHolders, SM_Reader,
};
use seatmeter::capi::status::{SM_GetStatus, SM_Status, SM_Sync};
use seatmeter_fuzz::{SEATS, serve_demo};

const READERS: usize = 8;

/// The handshake code of the license.
const DEMO: &CStr = c"FUZZ-4-SEATS";

/// The server's address; the state directory is in memory. Both live as long as the process.
fn server() -> &'static str {
    static SERVER: OnceLock<(String, tempfile::TempDir)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| {
        let state = tempfile::tempdir_in("/dev/shm").expect("there is memory");
        let path = CString::new(state.path().to_str().expect("a path in text")).expect("a path");
        // SAFETY: a string that ends with a zero.
        assert_eq!(unsafe { SM_SetStateDirectory(path.as_ptr()) }, 0);
        (serve_demo(), state)
    });
    url
}

/// What the input has next.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (now, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        now
    }

    fn text(&mut self) -> CString {
        let length = usize::from(self.byte() % 40);
        CString::new(self.bytes(length).iter().filter(|b| **b != 0).copied().collect::<Vec<_>>())
            .expect("no zero is left")
    }

    /// One of a few: of parameters and settings that differ the library keeps each.
    fn name(&mut self) -> &'static std::ffi::CStr {
        [c"", c"FUZZ", c"a b", c"shop.example", c"\xff\xfe", c"NO-SUCH-CODE", c"%n%s", DEMO]
            [usize::from(self.byte() % 8)]
    }
}

struct Program {
    readers: [*mut SM_Reader; READERS],
    /// Which of them hold a seat: of those that outlived a shutdown the ones that have taken
    /// another since.
    seated: [bool; READERS],
    is_licensed: bool,
    /// Calls that may wait for the server, so that an input stays short.
    talks: u32,
    /// Calls that read files or pictures: a hundred times as long as the rest.
    slow: u32,
}

impl Program {
    fn held(&self) -> usize {
        self.seated.iter().filter(|is_seated| **is_seated).count()
    }

    fn may_be_slow(&mut self) -> bool {
        let may_be = self.slow > 0;
        self.slow -= u32::from(may_be);
        may_be
    }

    fn license(&mut self, url: &str, code: &CStr, seats: c_int) {
        let url = CString::new(url).expect("a URL");
        let mut message = [1 as c_char; 64];
        // SAFETY: zeros are a value of plain fields and pointers.
        let mut parameters: DM_DLSConnectionParameters = unsafe { std::mem::zeroed() };
        // SAFETY: everything that is pointed to outlives the calls.
        let outcome = unsafe {
            assert_eq!(InitDLSConnectionParameters(&raw mut parameters), 0);
            parameters.mainServerURL = url.as_ptr().cast_mut();
            parameters.handshakeCode = code.as_ptr().cast_mut();
            parameters.deploymentType = 1;
            parameters.chargeWay = 10;
            parameters.maxConcurrentInstanceCount = seats;
            InitLicenseFromDLS(&raw const parameters, message.as_mut_ptr(), 64)
        };
        assert!(message.contains(&0), "the message has an end");
        self.is_licensed |= outcome == 0;
    }

    fn obey(&mut self, input: &mut Input<'_>, url: &str) {
        let (what, place) = (input.byte() % 20, usize::from(input.byte()) % READERS);
        let mut detail = [1 as c_char; 40];
        let length = usize::from(input.byte() % 41);
        // SAFETY: each pointer is NULL or good for as many bytes as are told; readers are live ones
        // or NULL.
        unsafe {
            match what {
                0..=2 if self.readers[place].is_null() => {
                    let out = (&raw mut self.readers[place])
                        .cast::<MaybeUninit<*mut SM_Reader>>()
                        .as_mut();
                    let code = if what == 0 {
                        SM_CreateReaderWithin(
                            out,
                            c_int::from(self.talks > 0),
                            detail.as_mut_ptr(),
                            length,
                        )
                    } else {
                        SM_CreateReader(out, detail.as_mut_ptr(), length)
                    };
                    assert_eq!(code == 0, !self.readers[place].is_null());
                    self.seated[place] = code == 0;
                    assert!(!self.is_licensed || code == 0 || code == -20008);
                }
                3 | 4 => {
                    let reader = std::mem::replace(&mut self.readers[place], ptr::null_mut());
                    self.seated[place] = false;
                    SM_DestroyReader((!reader.is_null()).then(|| Box::from_raw(reader)));
                }
                5 | 6 => self.count(what == 5, place, input),
                7 => {
                    let (reader, format) =
                        (self.readers[place].as_ref(), c_int::from(input.byte()));
                    let code = SM_CountScans(reader, format, 1 << (length % 40));
                    self.seated[place] |= code == 0;
                }
                8 => {
                    let _ = SM_CountPages(c_int::from(input.byte() % 8) - 1, 1 << (length % 40));
                }
                9 => {
                    let _ = SM_SetDuplicateForgetTime(
                        self.readers[place].as_ref(),
                        (1 << (length % 31)) - 2,
                    );
                }
                10 => {
                    let mut holders: [SM_Holder; 2] = std::mem::zeroed();
                    let mut count = 0;
                    let _ = SM_ListHolders(holders.as_mut_ptr(), length % 3, Some(&mut count));
                    assert!(count <= SEATS);
                }
                11 if self.may_be_slow() => {
                    let mut status: SM_Status = std::mem::zeroed();
                    status.size = if length == 0 { 3 } else { size_of::<SM_Status>() };
                    let code = SM_GetStatus(&raw mut status);
                    assert_eq!(code == 0, length != 0);
                }
                12 if self.may_be_slow() => {
                    let _ = SM_GetDeviceUUID(detail.as_mut_ptr(), length);
                }
                13 => assert!(
                    !SM_GetErrorString(-(c_int::from(input.byte()) << (length % 16))).is_null()
                ),
                14 => {
                    let text = input.name();
                    let _ = SM_SetValidationField(c_int::from(input.byte() % 4), text.as_ptr());
                    let _ = SM_SetDeviceFriendlyName(text.as_ptr());
                }
                15 if self.may_be_slow() => self.decode(input),
                16..=19 if self.talks > 0 => {
                    self.talks -= 1;
                    match what {
                        16 => self.license(url, DEMO, c_int::from(input.byte() % 6)),
                        17 => self.license(url, input.name(), 4),
                        18 => drop(SM_Sync(200, detail.as_mut_ptr(), length)),
                        _ => {
                            let _ = SM_Shutdown(200);
                            self.is_licensed = false;
                            self.seated = [false; READERS];
                        }
                    }
                }
                _ => {}
            }
        }
        assert!(self.held() <= SEATS, "more readers work than there are seats");
        assert!(length == 0 || what > 2 || detail[0] == 1 || detail.contains(&0));
    }

    unsafe fn count(&mut self, is_image: bool, place: usize, input: &mut Input<'_>) {
        let contents: Vec<&[u8]> = (0..input.byte() % 5)
            .map(|_| {
                let length = usize::from(input.byte() % 20);
                input.bytes(length)
            })
            .collect();
        let raw: Vec<SM_Barcode> = contents
            .iter()
            .map(|bytes| SM_Barcode { format: 4, bytes: bytes.as_ptr(), length: bytes.len() })
            .collect();
        let mut counted = 77;
        // SAFETY: the caller's promise, and barcodes that outlive the call.
        let code = unsafe {
            let reader = self.readers[place].as_ref();
            let call = if is_image { SM_CountImage } else { SM_CountFrame };
            call(reader, raw.as_ptr(), raw.len(), Some(&mut counted))
        };
        self.seated[place] |= code == 0;
        let different = contents.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(counted <= different);
        assert!(code != 0 || !is_image || counted == different);
    }

    fn decode(&mut self, input: &mut Input<'_>) {
        let (text, pixels) = (input.text(), input.bytes(64));
        let (mut results, mut value) = (ptr::null_mut(), [0 as c_char; 16]);
        // SAFETY: everything that is pointed to outlives the calls.
        unsafe {
            let dbr: *mut c_void = DBR_CreateInstance();
            let _ =
                DBR_InitRuntimeSettingsWithString(dbr, text.as_ptr(), 2, value.as_mut_ptr(), 16);
            let _ = DBR_GetModeArgument(
                dbr,
                text.as_ptr(),
                0,
                text.as_ptr(),
                value.as_mut_ptr(),
                16,
                ptr::null_mut(),
                0,
            );
            if pixels.len() == 64 {
                let _ = DBR_DecodeBuffer(dbr, pixels.as_ptr(), 8, 8, 8, 2, c"".as_ptr());
            }
            let _ = DBR_GetAllTextResults(dbr, &raw mut results);
            DBR_FreeTextResults(&raw mut results);
            DBR_DestroyInstance(dbr);
        }
    }
}

/// Whether the process has its license for all seats; an input that talks may have changed it.
static IS_LICENSED: AtomicBool = AtomicBool::new(false);

fn license_for_all_seats(program: &mut Program, url: &str) {
    if !IS_LICENSED.load(Relaxed) {
        program.license(url, DEMO, SEATS as c_int);
        assert!(program.is_licensed);
        IS_LICENSED.store(true, Relaxed);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let url = server();
    let mut input = Input(bytes);
    // A talk with the server takes a thousand times as long as all other calls of an input, and
    // whatever reaches something new by one breeds more such inputs: so those that talk must add up
    // to a round number, too, which few of their offspring do.
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let talks = if input.byte() >= 248 && sum.is_multiple_of(128) { 3 } else { 0 };
    let mut program = Program {
        readers: [ptr::null_mut(); READERS],
        seated: [false; READERS],
        is_licensed: IS_LICENSED.load(Relaxed),
        talks,
        slow: 1,
    };
    license_for_all_seats(&mut program, url);
    while !input.0.is_empty() {
        program.obey(&mut input, url);
    }
    for reader in program.readers {
        // SAFETY: live ones, each once.
        unsafe { SM_DestroyReader((!reader.is_null()).then(|| Box::from_raw(reader))) };
    }
    IS_LICENSED.fetch_and(talks == 0, Relaxed);
    license_for_all_seats(&mut program, url);
    assert_eq!(GetIdleInstancesCount(), SEATS as c_int, "every seat has come back");
});
