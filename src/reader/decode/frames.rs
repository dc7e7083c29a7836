//! Decoding the frames of a sequence on a thread of the reader's own.
//!
//! | state | frames | thread |
//! |---|---|---|
//! | idle | none are taken | none |
//! | running | wait in a queue; one too many takes the place of the oldest | decodes, then calls the listeners |
//! | stopped | are dropped | ends after its current frame; the caller of stop waits for that, unless it is that thread itself |
//! | of another process | belong to the parent of a fork | does not exist here: nothing waits for it |
//!
//! The thread is one of the two kinds that this library starts: a program asks for it, and it lives
//! as long as the program wants frames decoded.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use seatmeter_protocol::error_code::ErrorCode;

use super::decoding::{Outcome, search_image};
use super::gray::reserve;
use super::pixels::PixelLayout;
use super::profile::Profile;
use super::reading_error::{FRAME_DECODING_THREAD_EXISTS, STOP_DECODING_THREAD_FAILED, explained};
use super::zxing::ZxingEngine;
use crate::error::{Error, Result};
use crate::os::locks::{Condvar, Mutex};
use crate::os::{Uncanceled, with_signals_blocked};
use crate::reader::Reader;
use crate::runtime::{Runtime, runtime};
use crate::usage::{Barcode, DuplicateFilter};

/// Most frames that wait at one time.
const FRAMES_MAX: usize = 4096;

/// Most bytes of all waiting frames together; a single frame may be larger.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// The stack size of the thread in bytes. The engine needs little, and the system's default may be
/// 8 MiB.
const STACK_BYTES: usize = 2 << 20;

/// A listener that receives the number of a frame and the outcome of its decoding.
pub type OnResults = Arc<dyn Fn(i32, &Outcome) + Send + Sync>;

/// A listener that receives the number of a frame and of an error.
pub type OnError = Arc<dyn Fn(i32, ErrorCode) + Send + Sync>;

/// The listeners of a reader's frames.
#[derive(Clone, Default)]
pub struct Listeners {
    /// The listener for all barcodes of each frame.
    pub results: Option<OnResults>,
    /// The listener for barcodes that were not seen within the forget time.
    pub unique: Option<OnResults>,
    /// The listener for errors.
    pub errors: Option<OnError>,
}

/// The listeners, and the thread while there is one.
#[derive(Default)]
pub(in crate::reader) struct Frames {
    listeners: Listeners,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    runtime: &'static Runtime,
}

struct Shared {
    layout: PixelLayout,
    frames_max: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(i32, Vec<u8>)>,
    /// Buffers of finished frames, to be reused.
    spare: Vec<Vec<u8>>,
    next: i32,
    is_stopped: bool,
}

/// The parameters of frame decoding.
#[derive(Clone, Debug)]
pub struct FrameOptions {
    /// Most frames that wait at one time.
    pub queue_length: i32,
    /// The pixel layout of the frames.
    pub layout: PixelLayout,
    /// Milliseconds after which a barcode counts again; `None` for the reader's forget time.
    pub forget_ms: Option<i32>,
}

impl Reader {
    /// Set a listener.
    ///
    /// # Errors
    /// -10049 while frames are being decoded.
    pub fn listen(&self, choose: impl FnOnce(&mut Listeners)) -> Result<()> {
        let mut slot = self.frames.lock();
        let frames = slot.get_or_insert_default();
        if frames.is_running() {
            return Err(explained(FRAME_DECODING_THREAD_EXISTS));
        }
        choose(&mut frames.listeners);
        Ok(())
    }

    /// Start to decode frames, with the settings in use at each frame or with those of a template.
    ///
    /// # Errors
    /// -10049 when frames are being decoded already; -10036; -10038; -10000 when the system cannot
    /// start a thread.
    pub fn start_frames(&'static self, options: &FrameOptions, template: &str) -> Result<()> {
        let fixed = self.with_profiles(|profiles| profiles.named(template).cloned())?;
        let fixed = (!template.is_empty()).then_some(fixed);
        let queue_length = usize::try_from(options.queue_length).map_err(|_| {
            let message =
                format!("maxQueueLength is {}; it must not be negative", options.queue_length);
            Error::new(ErrorCode::PARAMETER_VALUE_INVALID, message)
        })?;
        let mut slot = self.frames.lock();
        let frames = slot.get_or_insert_default();
        if frames.is_running() {
            return Err(explained(FRAME_DECODING_THREAD_EXISTS));
        }
        if let Some(ms) = options.forget_ms {
            self.forget_time().set(ms)?;
        }
        let shared = Arc::new(Shared {
            layout: options.layout,
            frames_max: queue_length.clamp(1, FRAMES_MAX),
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let work = Work {
            reader: self,
            shared: shared.clone(),
            fixed,
            listeners: frames.listeners.clone(),
        };
        let builder =
            std::thread::Builder::new().name("seatmeter-frame".into()).stack_size(STACK_BYTES);
        let thread = with_signals_blocked(|| builder.spawn(move || work.run())).map_err(|e| {
            Error::new(ErrorCode::UNKNOWN, format!("the system cannot start a thread: {e}"))
        })?;
        frames.running = Some(Running { shared, thread: Some(thread), runtime: runtime() });
        Ok(())
    }

    /// Return the pixel layout of the running sequence.
    ///
    /// # Errors
    /// -10002 when no frames are being decoded.
    pub fn frame_layout(&self) -> Result<PixelLayout> {
        Ok(self.shared_frames()?.layout)
    }

    /// Append a frame; return its number.
    ///
    /// # Errors
    /// -10002 when no frames are being decoded; -10001 when there is no memory for the frame, which
    /// then has no number.
    pub fn append_frame(&self, bytes: &[u8]) -> Result<i32> {
        self.shared_frames()?.append(bytes)
    }

    /// Return the number of frames that wait.
    pub fn waiting_frames(&self) -> usize {
        self.shared_frames().map_or(0, |shared| shared.queue.lock().waiting.len())
    }

    /// Stop decoding frames.
    ///
    /// # Errors
    /// -10050 when no frames are being decoded.
    pub fn stop_frames(&self) -> Result<()> {
        // Release the lock before waiting for the thread: its listeners may call this reader.
        let running = self.frames.lock().as_mut().and_then(|frames| frames.running.take());
        match running {
            Some(running) if running.is_of_this_process() => {
                drop(running);
                Ok(())
            }
            _ => Err(explained(STOP_DECODING_THREAD_FAILED)),
        }
    }

    fn shared_frames(&self) -> Result<Arc<Shared>> {
        let slot = self.frames.lock();
        let running = slot.as_ref().and_then(|frames| frames.running.as_ref());
        let running = running.filter(|running| running.is_of_this_process());
        running.map(|running| running.shared.clone()).ok_or_else(|| {
            let message = "no frames are being decoded: call DBR_StartFrameDecoding first";
            Error::new(ErrorCode::NULL_POINTER, message)
        })
    }
}

impl Frames {
    fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(Running::is_of_this_process)
    }
}

impl Running {
    fn is_of_this_process(&self) -> bool {
        std::ptr::eq(self.runtime, runtime())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let _uncanceled = Uncanceled::hold();
        if !self.is_of_this_process() {
            // That thread does not exist in this process, and it may have left its locks held.
            std::mem::forget(thread);
            std::mem::forget(self.shared.clone());
            return;
        }
        let mut queue = self.shared.queue.lock();
        queue.is_stopped = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.changed.notify_all();
        // A listener cannot wait for its own end.
        if thread.thread().id() != std::thread::current().id() {
            // The thread ends without a panic: see `run`.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn append(&self, bytes: &[u8]) -> Result<i32> {
        let mut queue = self.queue.lock();
        let frames_max = self.frames_max.min((WAITING_BYTES_MAX / bytes.len().max(1)).max(1));
        while queue.waiting.len() >= frames_max {
            if let Some((_, buffer)) = queue.waiting.pop_front() {
                queue.spare.push(buffer);
            }
        }
        // All frames of a sequence have the same size, so the buffer of a dropped frame is large
        // enough. Only a frame for which none was dropped can be refused.
        let mut buffer = queue.spare.pop().unwrap_or_default();
        buffer.clear();
        reserve(&mut buffer, bytes.len())?;
        buffer.extend_from_slice(bytes);
        let number = queue.next;
        queue.next = queue.next.wrapping_add(1) & i32::MAX;
        queue.waiting.push_back((number, buffer));
        drop(queue);
        self.changed.notify_one();
        Ok(number)
    }

    /// Return the next frame; `None` when no more will come.
    fn next(&self, done: Option<Vec<u8>>) -> Option<(i32, Vec<u8>)> {
        let mut queue = self.queue.lock();
        queue.spare.extend(done);
        // Keep one buffer for the next frame, and one for the frame that is appended meanwhile.
        queue.spare.truncate(2);
        loop {
            if queue.is_stopped {
                return None;
            }
            if let Some(frame) = queue.waiting.pop_front() {
                return Some(frame);
            }
            self.changed.wait(&mut queue);
        }
    }

    fn is_stopped(&self) -> bool {
        self.queue.lock().is_stopped
    }
}

/// The data of the thread. The reader outlives the thread, because every destructor of a reader
/// stops the thread first.
struct Work {
    reader: &'static Reader,
    shared: Arc<Shared>,
    /// Settings of a template; `None` for the settings in use.
    fixed: Option<Profile>,
    listeners: Listeners,
}

impl Work {
    fn run(self) {
        let mut engine = ZxingEngine;
        let mut duplicates = self.listeners.unique.as_ref().and_then(|_| DuplicateFilter::new());
        let start = Instant::now();
        let mut done = None;
        while let Some((number, frame)) = self.shared.next(done.take()) {
            // A panic in one frame must end neither the host nor the sequence.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.decode(&mut engine, &frame)))
                .unwrap_or_else(|_| Outcome::unread(ErrorCode::UNKNOWN.into()));
            let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let unique =
                duplicates.as_mut().map(|duplicates| self.unique(duplicates, &outcome, now_ms));
            self.tell(number, &outcome, unique.as_ref());
            done = Some(frame);
        }
    }

    fn decode(&self, engine: &mut ZxingEngine, frame: &[u8]) -> Outcome {
        let profile = match &self.fixed {
            Some(profile) => profile.clone(),
            None => self.reader.with_profiles(|profiles| profiles.current().clone()),
        };
        let found =
            self.shared.layout.gray(frame).and_then(|image| search_image(engine, &profile, &image));
        match (self.reader.licensed(), found) {
            (_, Err(failure)) => Outcome::unread(failure),
            (Err(failure), Ok(found)) => Outcome::masked(found.barcodes, failure),
            (Ok(_), Ok(found)) => {
                Outcome::counted(found, |barcodes| self.reader.count_frame(barcodes))
            }
        }
    }

    /// Return those barcodes of a frame that were not seen within the forget time. Masked barcodes
    /// of the same format and length cannot be distinguished, so they count as one.
    fn unique(&self, duplicates: &mut DuplicateFilter, outcome: &Outcome, now_ms: u64) -> Outcome {
        let forget_ms = self.reader.forget_time().ms();
        let mut unique = outcome.clone();
        unique.barcodes.retain(|barcode| {
            let hash = duplicates.hash(&Barcode { format: barcode.format, bytes: &barcode.bytes });
            duplicates.counts(hash, now_ms, forget_ms)
        });
        unique
    }

    /// Call the listeners. Each of them may stop the sequence and destroy the reader; then no
    /// further listener is called.
    fn tell(&self, number: i32, outcome: &Outcome, unique: Option<&Outcome>) {
        if let (Some(errors), Some(failure)) = (&self.listeners.errors, &outcome.failure) {
            errors(number, failure.code);
        }
        if let Some(results) = self.listeners.results.as_ref().filter(|_| !self.shared.is_stopped())
        {
            results(number, outcome);
        }
        let unique =
            unique.filter(|unique| !unique.barcodes.is_empty() && !self.shared.is_stopped());
        if let (Some(listener), Some(unique)) = (&self.listeners.unique, unique) {
            listener(number, unique);
        }
    }
}
