//! Readers, which a program creates, decodes with, and destroys. Each holds one seat while it
//! lives.

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
use crate::os::locks::{BriefMutex, NAP};
#[cfg(feature = "decode")]
use crate::os::locks::{DECODING, FRAMES, Mutex};
use crate::runtime::{Runtime, runtime};
use crate::seats::Seat;
use crate::usage::Barcode;

/// A reader object.
///
/// The object is small: the first decode makes what decoding needs.
///
/// | hold | seat | |
/// |---|---|---|
/// | none | – | made without a license or seat; the next use tries again |
/// | this process's | some | licensed by seats |
/// | this process's | none | licensed otherwise |
/// | this process's, from before a shutdown | any | counts as none: its seat went back then |
/// | another process's | any | inherited by fork: counts as none, and is never given back here. A thread of the parent may have held its locks at the fork: then it can only be destroyed |
pub struct Reader {
    /// The address of the runtime of the process in which the reader's locks are known to be free.
    /// In a forked child, a lock that another thread of the parent held would stay locked forever.
    process: AtomicUsize,
    use_of: BriefMutex<Use>,
    forget: ForgetTime,
    /// Whether the instance pool of the DBR API counts this reader.
    is_instance: bool,
    #[cfg(feature = "decode")]
    decoding: Mutex<Option<Box<Decoding>>, DECODING>,
    #[cfg(feature = "decode")]
    frames: Mutex<Option<Box<Frames>>, FRAMES>,
}

/// What a reader holds, and the counter of its work under that license. The first count makes the
/// counter.
struct Use {
    hold: Option<Permit>,
    counter: Option<Box<BarcodeCounter>>,
}

/// Most attempts to find the locks of a reader from another process free, one nap apart.
const LOOKS_AT_LOCKS: u32 = 100;

fn address(runtime: &'static Runtime) -> usize {
    std::ptr::from_ref(runtime).addr()
}

// A program may have tens of thousands of readers.
const _: () = assert!(size_of::<Reader>() <= 128);

/// The right to have a reader, with a seat if the license has seats.
#[derive(Clone, Copy)]
pub struct Permit {
    runtime: &'static Runtime,
    licensed: &'static Licensed,
    seat: Option<Seat>,
    /// The number of times that the license had been closed when this was taken.
    closings: u32,
}

impl Permit {
    /// Take a seat.
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

    /// Take a seat if one exchange is enough for it. Cannot panic.
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

    /// Take a seat, and wait for it up to `wait`.
    ///
    /// # Errors
    /// Fails as [`Self::take`] does.
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
        // The license was closed during the wait, and the seat comes from a pool entry that was
        // taken anew after that. No reader holds this seat: give it back and begin again.
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

    /// Give the seat back, if there is a seat and it belongs to this process.
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
    /// Return a reader that holds nothing; its first use takes a seat.
    pub fn vacant() -> Self {
        Self {
            process: AtomicUsize::new(0),
            use_of: BriefMutex::new(Use { hold: None, counter: None }),
            forget: ForgetTime::default(),
            is_instance: false,
            #[cfg(feature = "decode")]
            decoding: Mutex::ranked(None),
            #[cfg(feature = "decode")]
            frames: Mutex::ranked(None),
        }
    }

    /// Make a vacant reader hold this.
    #[inline(always)]
    pub fn occupy(&mut self, hold: Permit) {
        *self.process.get_mut() = address(hold.runtime);
        self.use_of.get_mut().hold = Some(hold);
    }

    /// Return the reader, if it can be used in this process.
    ///
    /// # Errors
    /// -10000 for a reader that another thread was using while this process was forked.
    #[inline(always)]
    pub fn here(&self) -> Result<&Self> {
        if self.process.load(Ordering::Relaxed) == address(runtime()) {
            Ok(self)
        } else {
            self.arrive()
        }
    }

    /// Handle the first use in this process: find out whether the locks are free.
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
            // The lock may be held by another thread of this process that makes the same check.
            std::thread::sleep(NAP);
        }
        let message = "another thread was using this reader while the process was forked: destroy \
                       it in this process, and create another";
        Err(Error::new(ErrorCode::UNKNOWN, message))
    }

    fn is_at_rest(&self) -> bool {
        let is_at_rest = self.use_of.try_lock().is_some();
        #[cfg(feature = "decode")]
        let is_at_rest =
            is_at_rest && self.decoding.try_lock().is_some() && self.frames.try_lock().is_some();
        is_at_rest
    }

    /// Give back what the reader holds, and restore the state of a new reader.
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
        let has_counted = self.use_of.get_mut().counter.is_some();
        !(has_counted | has_decoded | self.is_instance | !self.forget.is_default())
    }

    #[cold]
    fn make_anew(&mut self) {
        let before = std::mem::replace(self, Self::vacant());
        // A thread of the parent may have been changing the old state, so it cannot be dropped.
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

    /// Return a reader of the instance pool. Wait for a seat as long as the pool's settings say.
    ///
    /// # Errors
    /// Fails as [`Permit::take`] does.
    pub fn of_instance_pool() -> Result<Self> {
        let instances = runtime().instances();
        let rest = instances.begin()?;
        match Permit::take_within(rest) {
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

    /// Return the license under which the reader works, with a seat if one is needed.
    ///
    /// # Errors
    /// Fails as [`Permit::take`] does.
    pub fn licensed(&self) -> Result<&'static Licensed> {
        self.here()?.use_of.lock().licensed()
    }

    /// Count the barcodes of one still image; return the number of different ones.
    ///
    /// # Errors
    /// Fails when there is no license or seat, or the count cannot be kept. Then nothing was
    /// counted.
    #[inline]
    pub fn count_image(&self, barcodes: &[Barcode<'_>]) -> Result<u64> {
        let mut use_of = self.here()?.use_of.lock();
        let (licensed, counter) = use_of.licensed_counter()?;
        counter.image(licensed, barcodes)
    }

    /// Count the barcodes of one frame of a sequence; return the number of those that counted.
    ///
    /// # Errors
    /// Fails as [`Self::count_image`] does.
    #[inline]
    pub fn count_frame(&self, barcodes: &[Barcode<'_>]) -> Result<u64> {
        let mut use_of = self.here()?.use_of.lock();
        let (licensed, counter) = use_of.licensed_counter()?;
        counter.frame(licensed, barcodes, &self.forget)
    }

    /// Count scans that the caller has made unique.
    ///
    /// # Errors
    /// Fails as [`Self::count_image`] does.
    pub fn count_scans(&self, format: u32, n: u64) -> Result<()> {
        let mut use_of = self.here()?.use_of.lock();
        let (licensed, counter) = use_of.licensed_counter()?;
        counter.scans(licensed, format, n)
    }

    /// Return the time for which a counted barcode of a frame sequence does not count again.
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
        let taken = Permit::take()?;
        if let Some(counter) = &mut self.counter {
            counter.begin_anew();
        }
        if let Some(hold) = self.hold.replace(taken) {
            // This seat is gone already, unless the license was closed while the new one was taken.
            hold.give_seat();
        }
        Ok(taken.licensed)
    }

    #[inline(always)]
    fn licensed_counter(&mut self) -> Result<(&'static Licensed, &mut BarcodeCounter)> {
        Ok((self.licensed()?, self.counter.get_or_insert_default()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.give_back();
    }
}
