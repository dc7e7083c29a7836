//! The port to a system that offers nothing: every name of a port, and errors in place of answers.
//!
//! It shows that the seam is whole: `RUSTFLAGS='--cfg seatmeter_stub_port' cargo check -p seatmeter
//! --lib` builds the library without the files that know Linux. A new port begins as a copy of this
//! file. What cannot exist here has a type without values, so its methods need no body.

use std::io;

fn unsupported<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no port of this library"))
}

/// Descriptors 0, 1 and 2: a system without descriptors has nothing to hold.
pub(super) mod descriptors {
    /// A hold on the three places.
    #[derive(Debug)]
    pub struct StandardDescriptors(());

    impl StandardDescriptors {
        /// Hold nothing.
        pub fn hold() -> Self {
            Self(())
        }
    }
}

/// Errors, as the code above this folder distinguishes them.
pub mod errors {
    use std::io::{self, ErrorKind};

    /// Say whether a path names something else than a file.
    pub fn is_no_plain_file(error: &io::Error) -> bool {
        error.kind() == ErrorKind::IsADirectory
    }

    /// Say whether the file system has no files without names.
    pub fn lacks_unnamed_files(error: &io::Error) -> bool {
        is_not_supported(error)
    }

    /// Say whether the operation is not supported.
    pub fn is_not_supported(error: &io::Error) -> bool {
        error.kind() == ErrorKind::Unsupported
    }

    /// Say whether the process has as many open files as it may.
    pub fn is_over_the_limit_of_files(_: &io::Error) -> bool {
        false
    }

    /// Say whether mapped memory is lost.
    pub fn is_of_lost_memory(_: &io::Error) -> bool {
        false
    }

    /// Return the error of a broken disk, for tests.
    pub fn broken_disk() -> io::Error {
        ErrorKind::Other.into()
    }

    /// Return the error of a file that is not there any more.
    pub fn stale() -> io::Error {
        ErrorKind::NotFound.into()
    }

    /// Return the error of a file system without locks.
    pub fn no_locks() -> io::Error {
        ErrorKind::Unsupported.into()
    }
}

/// File systems, and names that change in one step.
pub(super) mod filesystem {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    /// Return the kind of a file system.
    ///
    /// # Errors
    /// Always.
    pub fn file_system_type(_: &File) -> io::Result<u32> {
        super::unsupported()
    }

    /// Exchange two names.
    ///
    /// # Errors
    /// Always.
    pub fn exchange_names(_: &Path, _: &Path) -> io::Result<()> {
        super::unsupported()
    }

    /// Give a file another name that is not in use.
    ///
    /// # Errors
    /// Always.
    pub fn rename_to_new(_: &Path, _: &Path) -> io::Result<()> {
        super::unsupported()
    }
}

/// Objects of one process: without fork, they are made once.
pub(super) mod fork {
    use std::io;
    use std::ptr::NonNull;
    use std::sync::OnceLock;

    /// A place for one `T` per process, meant for statics.
    #[derive(Debug, Default)]
    pub struct PerProcess<T>(OnceLock<T>);

    impl<T: Send + Sync + 'static> PerProcess<T> {
        /// Make an empty place.
        pub const fn new() -> Self {
            Self(OnceLock::new())
        }

        /// Return this process's object. If there is none, call `make`.
        pub fn get(&'static self, make: impl FnOnce(Option<&'static T>) -> T) -> &'static T {
            self.0.get_or_init(|| make(None))
        }
    }

    /// Return the number of the process among its ancestors.
    pub fn process_generation() -> u64 {
        0
    }

    /// Map pages that a forked child finds zeroed.
    ///
    /// # Errors
    /// Always.
    pub fn wiped_pages(_: usize) -> io::Result<NonNull<u8>> {
        super::unsupported()
    }
}

/// The forks of the host: there are none.
pub mod forks {
    use std::os::fd::RawFd;

    use super::system::FileIdentity;

    /// A moment at which no fork was under way.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Moment;

    pub(crate) fn quiet_moment() -> Moment {
        Moment
    }

    pub(crate) fn none_since(_: Moment) -> bool {
        true
    }

    pub(crate) fn close_in_children(_: RawFd, _: FileIdentity) -> bool {
        true
    }

    pub(crate) fn forget(_: RawFd) {}
}

/// Clocks, random bytes, the user, signals.
pub(super) mod machine {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::OnceLock;
    use std::time::{Instant, UNIX_EPOCH};

    use seatmeter_protocol::time_scope::ClocksAhead;

    /// Return the wall clock in Unix milliseconds.
    #[allow(clippy::disallowed_methods, reason = "a port is the one home of the wall clock")]
    pub fn wall_ms() -> u64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Return the wall clock in Unix seconds.
    pub fn wall_seconds() -> u64 {
        wall_ms() / 1000
    }

    /// Return the milliseconds since the machine was started: here since the first call.
    pub fn boot_ms() -> u64 {
        monotonic_ms()
    }

    /// Return the monotonic clock in milliseconds.
    pub fn monotonic_ms() -> u64 {
        static BEGUN: OnceLock<Instant> = OnceLock::new();
        let since = BEGUN.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Return an id of the machine's start: it has none.
    pub fn boot_id() -> String {
        String::new()
    }

    /// Return by how much this process's clocks are ahead of the machine's: it is not known.
    pub fn clocks_ahead() -> Option<ClocksAhead> {
        None
    }

    /// Return random bytes for names.
    pub fn random_bytes() -> [u8; 16] {
        let half = || RandomState::new().hash_one(0).to_le_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&half());
        bytes[8..].copy_from_slice(&half());
        bytes
    }

    /// Return the user that the process acts as.
    pub fn user_id() -> u32 {
        0
    }

    /// Say whether the process acts as root.
    pub fn is_root() -> bool {
        false
    }

    /// Say whether the process has more rights than the user who started it: it is not known, so
    /// the environment is not believed.
    pub fn is_privileged() -> bool {
        true
    }

    /// Run `body` with all signals blocked: there are none.
    pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
        body()
    }

    /// Return whether the process could have so many more bytes: it is not known.
    pub fn has_room_for(_: usize) -> bool {
        false
    }

    /// End this process as an unforeseen death does.
    #[cfg(feature = "kill-points")]
    #[allow(clippy::disallowed_methods, reason = "this is what it is for")]
    pub(crate) fn kill_own_process() -> ! {
        std::process::abort()
    }
}

/// Memory of files that processes share.
pub(super) mod mapped {
    use std::convert::Infallible;
    use std::fs::File;
    use std::io;
    use std::sync::atomic::{AtomicU32, AtomicU64};

    /// A whole file, mapped shared: no file can be mapped.
    #[derive(Debug)]
    pub struct MappedFile(Infallible);

    impl MappedFile {
        /// Give the file its length, and map it.
        ///
        /// # Errors
        /// Always.
        pub fn create(_: &File, _: usize) -> io::Result<Self> {
            super::unsupported()
        }

        /// Map an existing file.
        ///
        /// # Errors
        /// Always.
        pub fn open(_: &File, _: usize) -> io::Result<Self> {
            super::unsupported()
        }

        /// Return the number of mapped bytes.
        pub fn len(&self) -> usize {
            match self.0 {}
        }

        /// Say whether nothing is mapped.
        pub fn is_empty(&self) -> bool {
            match self.0 {}
        }

        /// Return the word at this offset.
        pub fn word64(&self, _: usize) -> &AtomicU64 {
            match self.0 {}
        }

        /// Return the word at this offset.
        pub fn word32(&self, _: usize) -> &AtomicU32 {
            match self.0 {}
        }

        /// Write everything to the disk.
        ///
        /// # Errors
        /// Never: there is no such file.
        pub fn make_durable(&self) -> io::Result<()> {
            match self.0 {}
        }

        /// Return a copy of the contents.
        ///
        /// # Errors
        /// Never: there is no such file.
        pub fn copy(&self) -> io::Result<Vec<u8>> {
            match self.0 {}
        }

        /// Map another file in the place of this one.
        ///
        /// # Errors
        /// Never: there is no such file.
        pub fn replace(&self, _: Self) -> io::Result<Self> {
            match self.0 {}
        }
    }

    /// Mapped pages of a file that a forked child does not have: there are none.
    #[derive(Debug)]
    pub(in crate::os) struct Mapping(Infallible);

    impl Mapping {
        pub(in crate::os) fn new(_: &File, _: usize) -> io::Result<Self> {
            super::unsupported()
        }

        pub(in crate::os) fn is_hidden_from_children(&self) -> bool {
            match self.0 {}
        }
    }
}

/// Flags for files that the standard library opens: there are none.
pub mod open_flags {
    /// The flags to open a directory as a starting point for other paths.
    pub const PLACE: i32 = 0;
    /// The flag not to follow a link at the end of the path.
    pub const NO_LINK: i32 = 0;
    /// The flags not to wait for the other end of a pipe.
    pub const NO_WAIT: i32 = 0;
    /// The flag for a file without a name.
    pub const UNNAMED: i32 = 0;
    /// The flag to accept a directory only.
    pub const DIRECTORY: i32 = 0;
}

/// The system's facts about this process.
pub(super) mod process {
    use std::fs::File;
    use std::io;
    use std::os::fd::RawFd;
    use std::path::PathBuf;

    /// Return a name under which a descriptor can be opened anew: there is none.
    #[must_use]
    pub fn descriptor_name(_: RawFd) -> PathBuf {
        PathBuf::new()
    }

    /// Open another description of the file behind a descriptor.
    ///
    /// # Errors
    /// Always.
    pub fn reopen(_: RawFd) -> io::Result<File> {
        super::unsupported()
    }

    /// Return the name of the program: it is not known.
    #[must_use]
    pub fn program_name() -> Vec<u8> {
        Vec::new()
    }
}

/// Locks of bytes that end with their process.
pub(super) mod range_lock {
    use std::fs::File;
    use std::io;
    use std::os::fd::RawFd;

    /// Lock a byte of the file.
    ///
    /// # Errors
    /// Always.
    pub fn try_lock_byte(_: &File, _: i64) -> io::Result<bool> {
        super::unsupported()
    }

    /// Lock a byte of the file together with others.
    ///
    /// # Errors
    /// Always.
    pub fn try_share_byte(_: &File, _: i64) -> io::Result<bool> {
        super::unsupported()
    }

    pub(in crate::os) fn unlock_byte(_: &File, _: i64) -> io::Result<()> {
        super::unsupported()
    }

    /// Say whether a byte of the range is locked.
    ///
    /// # Errors
    /// Always.
    pub fn is_range_locked(_: RawFd, _: i64, _: i64) -> io::Result<bool> {
        super::unsupported()
    }
}

/// The mark that a thread leaves when it ends.
pub mod robust_list {
    use std::convert::Infallible;
    use std::io;
    use std::marker::PhantomData;
    use std::sync::atomic::AtomicU32;

    /// The registration of the calling thread: no thread can be registered.
    pub(crate) struct Registration<'a> {
        _never: Infallible,
        _flag: PhantomData<&'a AtomicU32>,
    }

    impl<'a> Registration<'a> {
        pub(crate) fn of_current_thread(_: &'a AtomicU32, _: &AtomicU32) -> io::Result<Self> {
            super::unsupported()
        }
    }
}

/// Mappings of files that processes share.
pub mod shared_memory {
    use std::fs::File;
    use std::io;
    use std::ptr::NonNull;

    pub(crate) fn map_shared(
        _: &File,
        _: usize,
        _: Option<NonNull<u8>>,
    ) -> io::Result<NonNull<u8>> {
        super::unsupported()
    }

    pub(crate) fn map_locking_page(_: &File, _: usize) -> io::Result<NonNull<u8>> {
        super::unsupported()
    }

    /// Unmap a mapping of this module: there is none.
    ///
    /// # Safety
    /// The range is one whole mapping.
    pub(crate) unsafe fn unmap(_: NonNull<u8>, _: usize) {}
}

/// Opening files, and sleeping on words of shared memory.
pub mod system {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::fd::RawFd;
    use std::path::Path;
    use std::sync::atomic::AtomicU32;
    use std::thread;
    use std::time::Duration;

    /// The identity of a file: none can be told from another.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FileIdentity {
        pub(crate) device: u64,
        pub(crate) inode: u64,
    }

    impl From<&Metadata> for FileIdentity {
        fn from(_: &Metadata) -> Self {
            Self { device: 0, inode: 0 }
        }
    }

    impl FileIdentity {
        /// Return the identity of an open file.
        ///
        /// # Errors
        /// Always.
        pub fn of(_: &File) -> io::Result<Self> {
            super::unsupported()
        }

        pub(crate) fn of_name(_: &Path) -> io::Result<Option<Self>> {
            super::unsupported()
        }

        pub(crate) fn is_of_descriptor(self, _: RawFd) -> bool {
            false
        }
    }

    pub(crate) fn open_directory(_: &Path) -> io::Result<File> {
        super::unsupported()
    }

    pub(crate) fn open_directory_itself(_: &Path) -> io::Result<File> {
        super::unsupported()
    }

    pub(crate) fn open_shared(_: &Path) -> io::Result<File> {
        super::unsupported()
    }

    pub(crate) fn open_again(_: RawFd, _: &Path) -> io::Result<File> {
        super::unsupported()
    }

    pub(crate) fn create_unnamed(_: &Path) -> io::Result<File> {
        super::unsupported()
    }

    pub(crate) fn create_new(_: &Path) -> io::Result<File> {
        super::unsupported()
    }

    pub(crate) fn try_lock_whole(_: &File) -> bool {
        false
    }

    pub(crate) fn link_unnamed(_: &File, _: &Path) -> io::Result<()> {
        super::unsupported()
    }

    pub(crate) fn allocate(_: &File, _: usize) -> io::Result<()> {
        super::unsupported()
    }

    /// Sleep a moment: nobody can wake this thread.
    pub(crate) fn futex_wait(_: &AtomicU32, _: u32, timeout: Duration, _: bool) {
        thread::sleep(timeout.min(Duration::from_millis(1)));
    }

    /// The result of a sleep on several words.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[expect(dead_code, reason = "a system that can sleep on several words gives the others")]
    pub(crate) enum Sleep {
        NotBegun,
        Over,
        Unknown,
    }

    pub(crate) const SLEEP_WORDS_MAX: usize = 1;

    pub(crate) fn futex_wait_many(_: &[(&AtomicU32, u32)], _: Duration) -> Sleep {
        Sleep::Unknown
    }

    pub(crate) fn futex_wake(_: &AtomicU32, _: i32, _: bool) -> u32 {
        0
    }

    pub(crate) fn close(_: RawFd) {}
}

/// The identity of the calling thread.
pub(super) mod thread {
    use std::ptr;

    /// Return a number that no other living thread of this process has.
    pub fn thread_number() -> usize {
        thread_local! {
            static PLACE: u8 = const { 0 };
        }
        PLACE.with(|place| ptr::from_ref(place).addr())
    }

    /// Ask for short time slices: nobody can be asked.
    pub fn ask_for_short_slices() {}
}

/// Signals and cancellation: there are neither.
pub(super) mod undisturbed {
    /// A guard: while it lives, the calling thread cannot be canceled.
    #[derive(Debug)]
    pub struct Uncanceled(());

    impl Uncanceled {
        /// Hold cancellation off.
        #[must_use]
        pub fn hold() -> Self {
            Self(())
        }
    }

    /// A guard: while it lives, the calling thread's writes raise no signal.
    #[derive(Debug)]
    pub struct Undisturbed(());

    impl Undisturbed {
        /// Hold signals off.
        #[must_use]
        pub fn hold() -> Self {
            Self(())
        }
    }
}
