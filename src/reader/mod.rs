//! Readers: what a program creates, decodes with, and destroys; each holds one seat while it lives.

mod barcode_counter;
#[cfg(feature = "decode")]
mod decode;

pub use barcode_counter::{BarcodeCounter, FORGET_MS_DEFAULT, FORGET_MS_MAX, ForgetTime};
#[cfg(feature = "decode")]
pub use decode::*;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result};
use crate::licensed::Licensed;
use crate::os::Uncanceled;
#[cfg(feature = "decode")]
use crate::os::locks::Mutex;
use crate::os::locks::{BriefMutex, NAP};
use crate::runtime::{Runtime, runtime};
use crate::seats::Seat;
use crate::usage::Barcode;

/// A reader object.
///
/// Kept small: what decoding needs is made by the first decode.
///
/// | hold | seat | |
/// |---|---|---|
/// | none | – | made without a license or seat; the next use tries again |
/// | this process's | some | licensed by seats |
/// | this process's | none | licensed otherwise |
/// | this process's, from before a shutdown | any | counts as none: its seat went back then |
/// | another process's | any | inherited by fork: counts as none, and is never given back here. Whoever was at work with it there may have left its locks taken: then it can only be destroyed |
pub struct Reader {
    /// The address of the runtime of the process in which its locks are known to be whole: in a
    /// forked child's copy another thread of the parent's may have them for ever.
    process: AtomicUsize,
    use_of: BriefMutex<Use>,
    forget: ForgetTime,
    /// Counted by the instance pool of the DBR API.
    is_instance: bool,
    #[cfg(feature = "decode")]
    decoding: Mutex<Option<Box<Decoding>>>,
    #[cfg(feature = "decode")]
    frames: Mutex<Option<Box<Frames>>>,
}

/// What a reader holds, and what it counts under that: made by the first count.
struct Use {
    hold: Option<Hold>,
    tally: Option<Box<BarcodeCounter>>,
}

/// How often a reader that came from another process is looked at: each time a nap long.
const LOOKS_AT_LOCKS: u32 = 100;

fn address(runtime: &'static Runtime) -> usize {
    std::ptr::from_ref(runtime).addr()
}

// A program may have tens of thousands of readers.
const _: () = assert!(size_of::<Reader>() <= 128);

/// The right to have a reader: a seat, where the license has seats.
#[derive(Clone, Copy)]
pub struct Hold {
    runtime: &'static Runtime,
    licensed: &'static Licensed,
    seat: Option<Seat>,
    /// How often the license had been closed when this was taken.
    closings: u32,
}

impl Hold {
    /// Takes a seat.
    ///
    /// # Errors
    /// -20000 without a license, -20008 without a free seat.
    #[inline(always)]
    pub fn take() -> Result<Self> {
        match Self::take_at_once() {
            Some(hold) => Ok(hold),
            None => Self::take_slowly(),
        }
    }

    /// Takes a seat if one exchange does it. Cannot panic.
    #[inline(always)]
    fn take_at_once() -> Option<Self> {
        let runtime = runtime();
        let licensed = runtime.licensed_at_once()?;
        let closings = licensed.closings();
        Some(Self { runtime, licensed, seat: licensed.take_seat_at_once()?, closings })
    }

    #[cold]
    fn take_slowly() -> Result<Self> {
        Self::by(Licensed::take_seat)
    }

    /// Takes a seat, for which it waits up to `wait`.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_within(wait: Duration) -> Result<Self> {
        Self::by(|licensed| licensed.take_seat_within(wait))
    }

    fn by(take: impl FnOnce(&Licensed) -> Result<Option<Seat>>) -> Result<Self> {
        let runtime = runtime();
        let licensed = runtime.licensed()?;
        let closings = licensed.closings();
        let hold = Self { runtime, licensed, seat: take(licensed)?, closings };
        if hold.is_good() {
            return Ok(hold);
        }
        // The license was closed while this waited: the seat is of a place that was taken anew, for
        // nobody.
        hold.give_seat();
        Self::take()
    }

    #[inline(always)]
    fn is_of_this_process(&self) -> bool {
        std::ptr::eq(self.runtime, runtime())
    }

    #[inline(always)]
    fn is_good(&self) -> bool {
        self.is_of_this_process() && self.licensed.closings() == self.closings
    }

    /// Gives the seat back, if there is one that is this process's.
    #[inline(always)]
    fn give_seat(self) {
        if let Some(seat) = self.seat
            && self.is_of_this_process()
        {
            self.licensed.give_seat(seat);
        }
    }
}

impl Reader {
    /// A reader that holds nothing: it takes a seat when it is used.
    pub fn vacant() -> Self {
        Self {
            process: AtomicUsize::new(0),
            use_of: BriefMutex::new(Use { hold: None, tally: None }),
            forget: ForgetTime::default(),
            is_instance: false,
            #[cfg(feature = "decode")]
            decoding: Mutex::new(None),
            #[cfg(feature = "decode")]
            frames: Mutex::new(None),
        }
    }

    /// Lets a vacant reader hold this.
    #[inline(always)]
    pub fn occupy(&mut self, hold: Hold) {
        *self.process.get_mut() = address(hold.runtime);
        self.use_of.get_mut().hold = Some(hold);
    }

    /// The reader, if it can be used in this process.
    ///
    /// # Errors
    /// -10000 for one that another thread was at work with while this process was forked.
    #[inline(always)]
    pub fn here(&self) -> Result<&Self> {
        if self.process.load(Ordering::Relaxed) == address(runtime()) {
            Ok(self)
        } else {
            self.arrive()
        }
    }

    /// The first use in this process: finds out whether its locks came open.
    #[cold]
    fn arrive(&self) -> Result<&Self> {
        let _uncanceled = Uncanceled::hold();
        for _ in 0..LOOKS_AT_LOCKS {
            if self.process.load(Ordering::Acquire) == address(runtime()) {
                return Ok(self);
            }
            if self.is_at_rest() {
                self.process.store(address(runtime()), Ordering::Release);
                return Ok(self);
            }
            // It may be another thread of this process that looks.
            std::thread::sleep(NAP);
        }
        let message = "another thread was at work with this reader while the process was forked: \
            destroy it here, and \
                       make another";
        Err(Error::new(ErrorCode::UNKNOWN, message))
    }

    fn is_at_rest(&self) -> bool {
        let is_at_rest = self.use_of.try_lock().is_some();
        #[cfg(feature = "decode")]
        let is_at_rest =
            is_at_rest && self.decoding.try_lock().is_some() && self.frames.try_lock().is_some();
        is_at_rest
    }

    /// Gives back what the reader holds, and lets it be as it was when it was made.
    #[inline(always)]
    pub fn vacate(&mut self) {
        let is_as_made = self.is_as_made();
        self.give_back();
        if !is_as_made {
            self.make_anew();
        }
    }

    #[inline(always)]
    fn is_as_made(&mut self) -> bool {
        #[cfg(feature = "decode")]
        let has_decoded = self.decoding.get_mut().is_some() | self.frames.get_mut().is_some();
        #[cfg(not(feature = "decode"))]
        let has_decoded = false;
        let has_counted = self.use_of.get_mut().tally.is_some();
        !(has_counted | has_decoded | self.is_instance | !self.forget.is_default())
    }

    #[cold]
    fn make_anew(&mut self) {
        let before = std::mem::replace(self, Self::vacant());
        // What a thread of the parent's was changing cannot be taken apart.
        if before.here().is_err() {
            std::mem::forget(before);
        }
    }

    #[inline(always)]
    fn give_back(&mut self) {
        if let Some(hold) = self.use_of.get_mut().hold.take() {
            hold.give_seat();
            if self.is_instance && hold.is_of_this_process() {
                hold.runtime.instances().end();
            }
        }
    }

    /// A reader of the instance pool: waits for a seat as long as the pool's settings say.
    ///
    /// # Errors
    /// As [`Hold::take`].
    pub fn of_instance_pool() -> Result<Self> {
        let instances = runtime().instances();
        let rest = instances.begin()?;
        match Hold::take_within(rest) {
            Ok(hold) => {
                let mut reader = Self::vacant();
                reader.occupy(hold);
                reader.is_instance = true;
                Ok(reader)
            }
            Err(error) => {
                instances.end();
                Err(error)
            }
        }
    }

    /// The license under which it works, with a seat where one is needed.
    ///
    /// # Errors
    /// As [`Hold::take`].
    pub fn licensed(&self) -> Result<&'static Licensed> {
        self.here()?.use_of.lock().licensed()
    }

    /// Counts the barcodes of one still image; gives the number of different ones.
    ///
    /// # Errors
    /// When there is no license or seat, or the count cannot be kept: then nothing was counted.
    #[inline]
    pub fn count_image(&self, barcodes: &[Barcode<'_>]) -> Result<u64> {
        let mut use_of = self.here()?.use_of.lock();
        let (licensed, tally) = use_of.licensed_tally()?;
        tally.image(licensed, barcodes)
    }

    /// Counts the barcodes of one frame of a sequence; gives the number of those that counted.
    ///
    /// # Errors
    /// As [`Self::count_image`].
    #[inline]
    pub fn count_frame(&self, barcodes: &[Barcode<'_>]) -> Result<u64> {
        let mut use_of = self.here()?.use_of.lock();
        let (licensed, tally) = use_of.licensed_tally()?;
        tally.frame(licensed, barcodes, &self.forget)
    }

    /// Counts scans that the caller has made unique.
    ///
    /// # Errors
    /// As [`Self::count_image`].
    pub fn count_scans(&self, format: u32, n: u64) -> Result<()> {
        let mut use_of = self.here()?.use_of.lock();
        let (licensed, tally) = use_of.licensed_tally()?;
        tally.scans(licensed, format, n)
    }

    /// For how long a counted barcode of a frame sequence does not count again.
    pub fn forget_time(&self) -> &ForgetTime {
        &self.forget
    }
}

impl Use {
    #[inline(always)]
    fn licensed(&mut self) -> Result<&'static Licensed> {
        match self.hold {
            Some(held) if held.is_good() => Ok(held.licensed),
            _ => self.take_anew(),
        }
    }

    #[cold]
    fn take_anew(&mut self) -> Result<&'static Licensed> {
        let taken = Hold::take()?;
        if let Some(tally) = &mut self.tally {
            tally.begin_anew();
        }
        if let Some(hold) = self.hold.replace(taken) {
            // Gone already, unless the license was closed while it was taken.
            hold.give_seat();
        }
        Ok(taken.licensed)
    }

    #[inline(always)]
    fn licensed_tally(&mut self) -> Result<(&'static Licensed, &mut BarcodeCounter)> {
        Ok((self.licensed()?, self.tally.get_or_insert_default()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.give_back();
    }
}
