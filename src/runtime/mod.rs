//! The runtime: the one object of a process, created at the first call and created anew in a forked
//! child.

pub mod background_thread;
pub mod instance_pool;
pub mod server_calls;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seatmeter_protocol::error_code::ErrorCode;

use crate::clock::{Clock, Deadline, DeviceClock, SystemClock};
use crate::device::{Device, UuidMethod};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::licensed::Licensed;
use crate::log::panic_hook;
use crate::log::{self, Level, say};
use crate::os::locks::{Mutex, RESUMING, SESSIONS};
use crate::os::{PerProcess, Published, Undisturbed, has_room_for, is_root};
use crate::parameters::{Parameters, RawParameters, Settings};
use crate::runtime::background_thread::BackgroundThread;
use crate::runtime::instance_pool::InstancePool;
use crate::runtime::server_calls::{Ending, ServerCalls};
use crate::session::{self, Dependencies, FIRST_CONTACT_BOUND, Session};
use crate::state::StateDirectory;
use crate::status::{Status, Trouble};
use crate::sync::HttpTransport;

/// The most memory that a request to a server takes, in bytes, with the threads of the HTTP client:
/// TLS, certificates and an answer.
const ROOM_BYTES: usize = 16 << 20;

/// The time after which the keeper checks again whether there is memory to work with.
const PAUSE_WITHOUT_ROOM: Duration = Duration::from_secs(10);

/// The time within which a canceled request ends; most end within a millisecond.
const CALLED_OFF_BOUND: Duration = Duration::from_millis(250);
/// The interval between two checks of the mapped files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

static RUNTIME: PerProcess<Runtime> = PerProcess::new();
static CLOCK: SystemClock = SystemClock;

/// The state of this library in one process.
pub struct Runtime {
    /// The state directory that was set before initialization. It survives a fork.
    state_directory: Published<PathBuf>,
    settings: Published<Settings>,
    /// All settings that there ever were: a forked child may still read replaced ones.
    all_settings: Mutex<Vec<&'static Settings>>,
    /// The session in use.
    current: Published<Session>,
    /// The session that found no server, while no other is in use. It is licensed as soon as a
    /// server answers.
    waiting: Published<Session>,
    /// Every session of this process; this is also the lock under which sessions are created.
    sessions: Mutex<Vec<&'static Session>, SESSIONS>,
    /// The reason why there is no session, after initialization has failed.
    failure: Mutex<Option<Failure>>,
    /// The reason why the log that the environment names cannot be written.
    log_trouble: Mutex<Option<Trouble>>,
    transport: Published<HttpTransport>,
    keeper: BackgroundThread,
    talks: ServerCalls,
    /// The thread that checks the files once a second. The keeper cannot do this, because it may be
    /// waiting for a server, and a count waits for nothing.
    watch: BackgroundThread,
    instances: InstancePool,
    /// The session of the process from which this one was forked.
    inherited: Option<&'static Session>,
    /// Whether no session can be inherited any more: it was inherited, or this process was shut
    /// down.
    resumed: AtomicBool,
    /// The lock for resuming: one thread resumes, and the others wait for the result.
    resuming: Mutex<(), RESUMING>,
}

/// A failed initialization.
#[derive(Clone)]
struct Failure {
    trouble: Trouble,
    /// The monotonic clock at that moment. Clocks that somebody sets meanwhile would not show which
    /// event came first.
    order_ms: u64,
}

/// Require the memory that this library needs beside counting and seats. Without it, code that is
/// not ours would end the process.
fn require_room() -> Result<()> {
    if has_room_for(ROOM_BYTES) {
        return Ok(());
    }
    let message = format!("there are no {} MiB of memory left for this process", ROOM_BYTES >> 20);
    Err(Error::new(ErrorCode::NO_MEMORY, message))
}

/// Return this process's runtime.
#[inline(always)]
pub fn runtime() -> &'static Runtime {
    RUNTIME.get(Runtime::new)
}

impl Runtime {
    fn new(parent: Option<&'static Self>) -> Self {
        panic_hook::tell_the_log();
        let runtime = Self {
            state_directory: Published::absent(),
            settings: Published::absent(),
            all_settings: Mutex::default(),
            current: Published::absent(),
            waiting: Published::absent(),
            sessions: Mutex::default(),
            failure: Mutex::default(),
            log_trouble: Mutex::default(),
            transport: Published::absent(),
            keeper: BackgroundThread::new("seatmeter-keep"),
            talks: ServerCalls::default(),
            watch: BackgroundThread::new("seatmeter-watch"),
            instances: InstancePool::default(),
            inherited: parent.and_then(Self::to_inherit),
            resumed: AtomicBool::new(false),
            resuming: Mutex::default(),
        };
        if let Some(directory) = parent.and_then(|parent| parent.state_directory.get()) {
            runtime.state_directory.publish(directory);
        }
        if let Some(settings) = parent.and_then(|parent| parent.settings.get()) {
            runtime.settings.publish(settings);
        }
        runtime
    }

    /// Return the session under which a child continues. If the parent has not resumed yet, this is
    /// the session that the parent inherited. Only those objects of the parent are read that need
    /// no lock: a lock may have been held at the fork.
    fn to_inherit(&self) -> Option<&'static Session> {
        let own = self.current.get().or_else(|| self.waiting.get());
        own.or_else(|| self.inherited.filter(|_| !self.resumed.load(Ordering::Acquire)))
    }

    /// Set the state directory, before initialization.
    ///
    /// # Errors
    /// Returns -20009 if a session is open already.
    pub fn set_state_directory(&self, path: &Path) -> Result<()> {
        self.require_no_session("SM_SetStateDirectory")?;
        let path = std::path::absolute(path).map_err(|e| Error::state(path, "find", &e))?;
        self.state_directory.publish_new(path);
        Ok(())
    }

    fn require_no_session(&self, function: &str) -> Result<()> {
        if self.current.get().is_none() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::LICENSE_INIT_SEQUENCE_FAILED,
            format!("{function} must be called before InitLicenseFromDLS, or after SM_Shutdown"),
        ))
    }

    /// Change the settings from which the next initialization starts.
    ///
    /// # Errors
    /// Returns -20009 if a session is open already.
    pub fn set(&self, function: &str, change: impl FnOnce(&mut Settings)) -> Result<()> {
        // The lock is held so that two changes do not overwrite each other.
        let mut all = self.all_settings.lock();
        self.require_no_session(function)?;
        let mut settings = self.settings.get().cloned().unwrap_or_default();
        change(&mut settings);
        all.push(self.settings.publish_new(settings));
        Ok(())
    }

    /// Set the file of certificates to trust beside the system's.
    ///
    /// # Errors
    /// Returns -20009 after this process has contacted a server, because the connections exist
    /// already.
    pub fn set_ca_file(&self, path: &Path) -> Result<()> {
        if self.transport.get().is_some() {
            return Err(Error::new(
                ErrorCode::LICENSE_INIT_SEQUENCE_FAILED,
                "SM_SetCaFile must be called before the first InitLicenseFromDLS of the process",
            ));
        }
        let path = std::path::absolute(path).map_err(|e| Error::state(path, "find", &e))?;
        self.set("SM_SetCaFile", |settings| settings.ca_file = Some(path))
    }

    /// Return the client UUID of this device. A new device gets a random one now.
    ///
    /// # Errors
    /// Fails if the state directory cannot be used.
    pub fn device_uuid(&self) -> Result<String> {
        if let Some(session) = self.current.get() {
            return Ok(session.device_uuid());
        }
        let state = StateDirectory::open(self.state_path(&Environment::read())?)?;
        Ok(Device::load_or_create(&state, UuidMethod::Random)?.uuid().to_owned())
    }

    fn state_path(&self, environment: &Environment) -> Result<PathBuf> {
        let explicit = self.state_directory.get().map(PathBuf::as_path);
        StateDirectory::locate(explicit, environment, is_root())
    }

    /// License this process.
    ///
    /// # Errors
    /// See [`Session::initialize`]. A session that was in use before stays in use.
    pub fn initialize(&'static self, raw: &RawParameters) -> Result<()> {
        let talk = self.talks.begin(FIRST_CONTACT_BOUND)?;
        let (session, outcome) = match self.session_of(raw) {
            Ok((session, parameters)) => {
                (Some(session), session.initialize(parameters, FIRST_CONTACT_BOUND))
            }
            Err(error) => (None, Err(error)),
        };
        let outcome = talk.outcome(outcome);
        match (&outcome, session) {
            (Ok(()), Some(session)) => self.use_session(session),
            (Err(error), Some(session))
                if session::is_passing(error.code) && self.current.get().is_none() =>
            {
                self.wait_with(session);
            }
            _ => {}
        }
        if let Err(error) = &outcome {
            say(Level::Error, format_args!("not licensed: {error}"));
            self.note_failure(error);
        }
        outcome
    }

    fn use_session(&'static self, session: &'static Session) {
        *self.failure.lock() = None;
        self.waiting.withdraw();
        self.current.publish(session);
        self.keeper.ensure_running(move || self.keep());
        self.watch.ensure_running(move || self.check_files());
        say(Level::Info, format_args!("licensed"));
    }

    /// Make the keeper request this session's license.
    fn wait_with(&'static self, session: &'static Session) {
        self.waiting.publish(session);
        self.keeper.ensure_running(move || self.keep());
    }

    /// Use the session that found no server, if it has found one since.
    fn use_waiting(&'static self) {
        if let Some(session) = self.waiting.get()
            && session.licensed().is_some_and(|licensed| licensed.check().is_ok())
            && self.current.get().is_none()
        {
            self.use_session(session);
        }
    }

    fn session_of(&'static self, raw: &RawParameters) -> Result<(&'static Session, Parameters)> {
        require_room()?;
        let environment = Environment::read();
        if let Some(path) = &environment.log {
            self.use_log(path);
        }
        if let Some(transport) = self.transport.get() {
            transport.heed_environment();
        }
        let seats = self.instances.seats(raw.max_concurrent_instance_count);
        let settings = self.settings.get().cloned().unwrap_or_default();
        let raw = RawParameters { max_concurrent_instance_count: seats, settings, ..raw.clone() };
        let parameters = Parameters::understand(&raw, &environment)?;
        let path = self.state_path(&environment)?;
        Ok((self.session_for(&parameters, path)?, parameters))
    }

    /// Use the log file. If it cannot be written, this stops nothing: the log callback gets a
    /// message, and the status shows it.
    fn use_log(&self, path: &Path) {
        let outcome = log::use_file(path);
        if let Err(error) = &outcome {
            say(Level::Warning, format_args!("{error}"));
        }
        *self.log_trouble.lock() =
            outcome.err().map(|error| Trouble { at: CLOCK.unix_seconds(), error });
    }

    fn session_for(
        &'static self,
        parameters: &Parameters,
        path: PathBuf,
    ) -> Result<&'static Session> {
        let mut sessions = self.sessions.lock();
        if let Some(known) = sessions.iter().find(|session| session.is_for(parameters, &path)) {
            return Ok(known);
        }
        let state = StateDirectory::open(path)?;
        let dependencies = self.dependencies(&sessions, &state);
        // An open session in this directory knows the device, even if the device's file was
        // deleted.
        if let Some(known) = sessions.iter().find(|session| session.is_in(&state)) {
            known.device_uuid();
        }
        let session: &'static Session =
            Box::leak(Box::new(Session::open(parameters.clone(), state, dependencies)?));
        sessions.push(session);
        Ok(session)
    }

    /// Return the real dependencies. The caller holds the sessions' lock, so there is one
    /// transport, and one clock for each state directory.
    fn dependencies(&self, sessions: &[&'static Session], state: &StateDirectory) -> Dependencies {
        let transport = self.transport.get().unwrap_or_else(|| {
            let explicit = self.settings.get().and_then(|settings| settings.ca_file.clone());
            let ca_file = explicit.or_else(|| Environment::read().ca_file);
            self.transport.publish_new(HttpTransport::trusting(ca_file))
        });
        let known =
            sessions.iter().find(|session| session.is_in(state)).map(|session| session.clock());
        let clock = known.unwrap_or_else(|| Box::leak(Box::new(DeviceClock::open(state, &CLOCK))));
        Dependencies { clock, transport, wake: || runtime().keeper.wake() }
    }

    /// Return the license in use.
    ///
    /// # Errors
    /// Returns the error of the last initialization, or -20000 if there was none.
    #[inline(always)]
    pub fn licensed(&'static self) -> Result<&'static Licensed> {
        match self.licensed_at_once() {
            Some(licensed) => Ok(licensed),
            None => self.licensed_slow(),
        }
    }

    /// Return the license in use, if there is one.
    #[inline(always)]
    pub fn licensed_at_once(&'static self) -> Option<&'static Licensed> {
        self.current.get().and_then(Session::licensed)
    }

    #[cold]
    fn licensed_slow(&'static self) -> Result<&'static Licensed> {
        let _undisturbed = Undisturbed::hold();
        if let Some(licensed) = self.resume() {
            return Ok(licensed);
        }
        Err(self.why_unlicensed())
    }

    fn note_failure(&self, error: &Error) {
        let trouble = Trouble { at: CLOCK.unix_seconds(), error: error.clone() };
        *self.failure.lock() = Some(Failure { trouble, order_ms: CLOCK.monotonic_ms() });
    }

    fn why_unlicensed(&self) -> Error {
        let failure = self.failure.lock().clone();
        failure.map_or_else(|| ErrorCode::NO_LICENSE.into(), |failure| failure.trouble.error)
    }

    /// Return the state of this process's license. The trouble in it is that of the last
    /// initialization if it failed, else that of the keeper.
    pub fn status(&'static self) -> Status {
        // A forked child continues under its parent's license: this call finds it.
        let _ = self.licensed();
        let without = || match self.waiting.get() {
            Some(waiting) => {
                Status { root_keys: waiting.trusted_roots(), ..Status::without_license() }
            }
            None => Status::without_license(),
        };
        let mut status = self.current.get().map(Session::status).unwrap_or_else(without);
        // A failed initialization is not shown any more after a server has answered.
        let failure = self
            .failure
            .lock()
            .clone()
            .filter(|failure| failure.order_ms >= status.contact_order_ms);
        let failure = failure.map(|failure| failure.trouble);
        status.trouble = failure.or(status.trouble).or_else(|| self.log_trouble.lock().clone());
        status
    }

    /// Renew and report now.
    ///
    /// # Errors
    /// Returns the errors of [`Session::sync`], or the reason why there is no license.
    pub fn sync(&'static self, bound: Duration) -> Result<()> {
        let deadline = Deadline::after(&CLOCK, bound);
        let talk = self.talks.begin(bound)?;
        require_room()?;
        let _ = self.licensed();
        let session = self.current.get().or_else(|| self.waiting.get());
        let outcome = talk.outcome(session.ok_or_else(|| self.why_unlicensed())?.sync(deadline));
        self.use_waiting();
        outcome
    }

    /// Continue in a forked child under its parent's license, with seats and counters of its own.
    /// The next call tries again what fails.
    fn resume(&'static self) -> Option<&'static Licensed> {
        let (parameters, path) = self.inherited?.origin()?;
        let _turn = self.resuming.lock();
        if self.resumed.load(Ordering::Acquire) {
            return self.licensed_at_once();
        }
        let session = self.session_for(parameters, path.to_owned());
        match session.and_then(|session| Ok((session, session.use_stored_grant()?))) {
            Ok((session, Some(_))) => self.use_session(session),
            // This is the state after an initialization that has found no server.
            Ok((session, None)) => self.wait_with(session),
            Err(error) => {
                self.note_failure(&error);
                return None;
            }
        }
        self.resumed.store(true, Ordering::Release);
        self.licensed_at_once()
    }

    fn keep(&'static self) -> Duration {
        if require_room().is_err() {
            return PAUSE_WITHOUT_ROOM;
        }
        let mut sessions = self.sessions.lock().clone();
        // A refused session is not renewed again until the program initializes it.
        let waits = |session: &Session| {
            self.waiting.get().is_some_and(|waiting| std::ptr::eq(waiting, session))
        };
        sessions.retain(|session| session.licensed().is_some() || waits(session));
        let pause = sessions.iter().map(|session| session.keep()).min();
        self.use_waiting();
        pause.unwrap_or(Duration::from_secs(60))
    }

    /// Check the files of all sessions.
    fn check_files(&'static self) -> Duration {
        let sessions = self.sessions.lock().clone();
        sessions.iter().for_each(|session| session.watch());
        LOOK_EVERY
    }

    /// Send the last report of this process, and end its sessions. The process can be initialized
    /// again.
    ///
    /// # Errors
    /// Fails if not everything could be reported in time: the next process of this device reports
    /// the rest. Fails if another thread is shutting down for all that time.
    pub fn shut_down(&self, bound: Duration) -> Result<()> {
        let deadline = Deadline::after(&CLOCK, bound);
        let ending = self.talks.begin_ending(bound)?;
        {
            let _turn = self.resuming.lock();
            self.resumed.store(true, Ordering::Release);
        }
        self.end_talks(&ending, deadline);
        let outcome = self.close_sessions(deadline);
        drop(ending);
        log::settle(deadline.remaining(&CLOCK).max(CALLED_OFF_BOUND));
        outcome
    }

    /// End the keeper and the calls that are talking to a server. They have half of the time to end
    /// by themselves.
    fn end_talks(&self, ending: &Ending<'_>, deadline: Deadline) {
        let half = Deadline::after(&CLOCK, deadline.remaining(&CLOCK) / 2);
        let stop = |until: Deadline| {
            let has_ended = self.keeper.stop(until.remaining(&CLOCK));
            let are_silent = ending.wait_for_talks(&CLOCK, until);
            // A call that was licensed just now starts the keeper, and is licensed no longer.
            self.current.withdraw();
            self.waiting.withdraw();
            has_ended && are_silent && self.keeper.stop(until.remaining(&CLOCK))
        };
        self.current.withdraw();
        self.waiting.withdraw();
        // The watch thread waits for no server, so it ends within a moment.
        let watch_ends =
            |bound: Deadline| self.watch.stop(bound.remaining(&CLOCK).max(CALLED_OFF_BOUND));
        if stop(half) {
            watch_ends(half);
            return;
        }
        let transport = self.transport.get();
        if let Some(transport) = transport {
            transport.cancel_requests(true);
        }
        let bound = Deadline::after(&CLOCK, deadline.remaining(&CLOCK).max(CALLED_OFF_BOUND));
        stop(bound);
        watch_ends(bound);
        if let Some(transport) = transport {
            transport.cancel_requests(false);
        }
    }

    fn close_sessions(&self, deadline: Deadline) -> Result<()> {
        let sessions = self.sessions.lock().clone();
        // Without memory, everything is given back, and the last report is left to the next
        // program.
        let deadline =
            require_room().map_or_else(|_| Deadline::after(&CLOCK, Duration::ZERO), |()| deadline);
        let mut outcome = Ok(());
        for session in sessions {
            session.end_watch();
            outcome = outcome.and(session.close(deadline).map(|_| ()));
        }
        outcome
    }

    /// Return the instance pool of the DBR API.
    pub fn instances(&self) -> &InstancePool {
        &self.instances
    }
}
