//! The runtime: the one object of a process, made at the first call and made anew in a forked
//! child.

pub mod instance_pool;
pub mod keeper;
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
use crate::os::locks::Mutex;
use crate::os::{PerProcess, Published, Undisturbed, has_room_for, is_root};
use crate::parameters::{Parameters, RawParameters, Settings};
use crate::runtime::instance_pool::InstancePool;
use crate::runtime::keeper::Keeper;
use crate::runtime::server_calls::{Ending, ServerCalls};
use crate::session::{self, Dependencies, FIRST_CONTACT_BOUND, Session};
use crate::state::StateDirectory;
use crate::status::{Status, Trouble};
use crate::sync::HttpTransport;

/// What a talk with a server takes at most, with the threads of the HTTP client: TLS, certificates,
/// an answer.
const ROOM_BYTES: usize = 16 << 20;

/// Until the keeper looks again whether there is memory to work with.
const PAUSE_WITHOUT_ROOM: Duration = Duration::from_secs(10);

/// What is called off ends within this; most often within a millisecond.
const CALLED_OFF_BOUND: Duration = Duration::from_millis(250);
/// How often files that are mapped are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

static RUNTIME: PerProcess<Runtime> = PerProcess::new();
static CLOCK: SystemClock = SystemClock;

/// Everything that a process has of this library.
pub struct Runtime {
    /// What was set before initializing. Survives a fork.
    state_directory: Published<PathBuf>,
    settings: Published<Settings>,
    /// All settings that there ever were: a forked child may still read what was replaced.
    all_settings: Mutex<Vec<&'static Settings>>,
    /// The session in use.
    current: Published<Session>,
    /// The session that found no server, while there is no other: it is licensed as soon as one is
    /// there.
    waiting: Published<Session>,
    /// Every session of this process; also the lock under which they are made.
    sessions: Mutex<Vec<&'static Session>>,
    /// Why there is no session, once initializing has failed.
    failure: Mutex<Option<Failure>>,
    /// Why the log that the environment names cannot be written.
    log_trouble: Mutex<Option<Trouble>>,
    transport: Published<HttpTransport>,
    keeper: Keeper,
    talks: ServerCalls,
    /// The thread that looks after files once a second: the keeper may be waiting for a server, and
    /// who counts waits for nothing.
    watch: Keeper,
    instances: InstancePool,
    /// The session of the process that this one was forked from.
    inherited: Option<&'static Session>,
    /// Nothing is to be inherited any more: it was, or this process was shut down.
    resumed: AtomicBool,
    /// One thread at a time resumes; the others wait for what comes of it.
    resuming: Mutex<()>,
}

/// An initialization that failed.
#[derive(Clone)]
struct Failure {
    trouble: Trouble,
    /// The monotonic clock at that moment: what came first is not told by clocks that are set
    /// meanwhile.
    order_ms: u64,
}

/// Memory for what this library does beside counting and seats; without it, code that is not ours
/// would end the process.
fn require_room() -> Result<()> {
    if has_room_for(ROOM_BYTES) {
        return Ok(());
    }
    let message = format!("there are no {} MiB of memory left for this process", ROOM_BYTES >> 20);
    Err(Error::new(ErrorCode::NO_MEMORY, message))
}

/// This process's runtime.
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
            keeper: Keeper::new("seatmeter-keep"),
            talks: ServerCalls::default(),
            watch: Keeper::new("seatmeter-watch"),
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

    /// The session under which a child goes on: also that of its parent's parent, if the parent has
    /// not got so far. Of the parent's objects only what can be read without a lock: it may have
    /// been held at fork.
    fn to_inherit(&self) -> Option<&'static Session> {
        let own = self.current.get().or_else(|| self.waiting.get());
        own.or_else(|| self.inherited.filter(|_| !self.resumed.load(Ordering::Acquire)))
    }

    /// Says where the state is to be, before initializing.
    ///
    /// # Errors
    /// -20009 when a session is open already.
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

    /// Changes what the next initialization starts from.
    ///
    /// # Errors
    /// -20009 when a session is open already.
    pub fn set(&self, function: &str, change: impl FnOnce(&mut Settings)) -> Result<()> {
        // Held so that two changes do not lose one another.
        let mut all = self.all_settings.lock();
        self.require_no_session(function)?;
        let mut settings = self.settings.get().cloned().unwrap_or_default();
        change(&mut settings);
        all.push(self.settings.publish_new(settings));
        Ok(())
    }

    /// Says whose certificates to trust beside the system's.
    ///
    /// # Errors
    /// -20009 once this process has talked to a server: the connections are made.
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

    /// The client UUID of this device; one that is new gets it now, at random.
    ///
    /// # Errors
    /// When the state directory cannot be used.
    pub fn device_uuid(&self) -> Result<String> {
        if let Some(session) = self.current.get() {
            return Ok(session.device_uuid());
        }
        let state = StateDirectory::open(self.state_path(&Environment::read())?)?;
        Ok(Device::load_or_create(&state, UuidMethod::Random)?.uuid)
    }

    fn state_path(&self, environment: &Environment) -> Result<PathBuf> {
        let explicit = self.state_directory.get().map(PathBuf::as_path);
        StateDirectory::locate(explicit, environment, is_root())
    }

    /// Gets this process licensed.
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
        self.watch.ensure_running(move || self.look());
        say(Level::Info, format_args!("licensed"));
    }

    /// Has the background ask for this session's license.
    fn wait_with(&'static self, session: &'static Session) {
        self.waiting.publish(session);
        self.keeper.ensure_running(move || self.keep());
    }

    /// Uses the session that found no server, if it has found one since.
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

    /// A log that cannot be written stops nothing; a callback hears of it, and the status says it.
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
        // A session that is open there knows the device, also when its file was deleted.
        if let Some(known) = sessions.iter().find(|session| session.is_in(&state)) {
            known.device_uuid();
        }
        let session: &'static Session =
            Box::leak(Box::new(Session::open(parameters.clone(), state, dependencies)?));
        sessions.push(session);
        Ok(session)
    }

    /// The real dependencies. The sessions' lock is held by the caller, so there is one transport,
    /// and one clock for each state directory.
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

    /// The license in use.
    ///
    /// # Errors
    /// Why there is none: that of the last attempt, or -20000 when there was no attempt.
    #[inline(always)]
    pub fn licensed(&'static self) -> Result<&'static Licensed> {
        match self.licensed_at_once() {
            Some(licensed) => Ok(licensed),
            None => self.licensed_slow(),
        }
    }

    /// The license in use, if there is one.
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

    /// How this process stands with its license. What failed is that of the last initialization, if
    /// it failed, else that of the background.
    pub fn status(&'static self) -> Status {
        // A forked child goes on under its parent's license: this finds it.
        let _ = self.licensed();
        let mut status =
            self.current.get().map(Session::status).unwrap_or_else(Status::without_license);
        // An initialization that failed is no trouble any more once a server has answered since.
        let failure = self
            .failure
            .lock()
            .clone()
            .filter(|failure| failure.order_ms >= status.contact_order_ms);
        let failure = failure.map(|failure| failure.trouble);
        status.trouble = failure.or(status.trouble).or_else(|| self.log_trouble.lock().clone());
        status
    }

    /// Renews and reports now.
    ///
    /// # Errors
    /// As [`Session::sync`]; why there is no license, if there is none.
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

    /// A forked child goes on under its parent's license, with seats and counters of its own. What
    /// fails is tried again by the next call.
    fn resume(&'static self) -> Option<&'static Licensed> {
        let (parameters, path) = self.inherited?.origin()?;
        let _turn = self.resuming.lock();
        if self.resumed.load(Ordering::Acquire) {
            return self.licensed_at_once();
        }
        let session = self.session_for(parameters, path.to_owned());
        match session.and_then(|session| Ok((session, session.use_stored_grant()?))) {
            Ok((session, Some(_))) => self.use_session(session),
            // As after an initialization that has found no server.
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
        // Those that were refused are not asked for again until the program does so.
        let waits = |session: &Session| {
            self.waiting.get().is_some_and(|waiting| std::ptr::eq(waiting, session))
        };
        sessions.retain(|session| session.licensed().is_some() || waits(session));
        let pause = sessions.iter().map(|session| session.keep()).min();
        self.use_waiting();
        pause.unwrap_or(Duration::from_secs(60))
    }

    /// Looks after the files of all sessions.
    fn look(&'static self) -> Duration {
        let sessions = self.sessions.lock().clone();
        sessions.iter().for_each(|session| session.watch());
        LOOK_EVERY
    }

    /// The last report of this process, and the end of its sessions. It can be initialized again.
    ///
    /// # Errors
    /// When not everything could be reported in time: the next process of this device will do it.
    /// When another thread is shutting down for all that time.
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

    /// End the keeper and whatever calls talk to a server: half of the time they have for
    /// themselves.
    fn end_talks(&self, ending: &Ending<'_>, deadline: Deadline) {
        let half = Deadline::after(&CLOCK, deadline.remaining(&CLOCK) / 2);
        let stop = |until: Deadline| {
            let has_ended = self.keeper.stop(until.remaining(&CLOCK));
            let are_silent = ending.wait_for_talks(&CLOCK, until);
            // A call that has just been licensed starts the keeper, and is licensed no longer.
            self.current.withdraw();
            self.waiting.withdraw();
            has_ended && are_silent && self.keeper.stop(until.remaining(&CLOCK))
        };
        self.current.withdraw();
        self.waiting.withdraw();
        // It waits for no server: whatever time there is, it ends in a moment.
        let watch_ends =
            |bound: Deadline| self.watch.stop(bound.remaining(&CLOCK).max(CALLED_OFF_BOUND));
        if stop(half) {
            watch_ends(half);
            return;
        }
        let transport = self.transport.get();
        if let Some(transport) = transport {
            transport.call_off(true);
        }
        let bound = Deadline::after(&CLOCK, deadline.remaining(&CLOCK).max(CALLED_OFF_BOUND));
        stop(bound);
        watch_ends(bound);
        if let Some(transport) = transport {
            transport.call_off(false);
        }
    }

    fn close_sessions(&self, deadline: Deadline) -> Result<()> {
        let sessions = self.sessions.lock().clone();
        // Without memory everything is given back, and the last report is left to the next program.
        let deadline =
            require_room().map_or_else(|_| Deadline::after(&CLOCK, Duration::ZERO), |()| deadline);
        let mut outcome = Ok(());
        for session in sessions {
            session.end_watch();
            outcome = outcome.and(session.close(deadline).map(|_| ()));
        }
        outcome
    }

    /// The instance pool of the DBR API.
    pub fn instances(&self) -> &InstancePool {
        &self.instances
    }
}
