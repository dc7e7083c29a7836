//! What else could count seats between processes: each takes one of `SEATS` seats and gives it
//! back.

use std::ffi::{CString, c_void};
use std::fs::File;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::Library;

/// Seats of each candidate: more than takers, so that a taker that finds one taken finds the next
/// free.
pub(crate) const SEATS: u32 = 4;

/// Takes a seat and gives it back, so many times.
pub(crate) type Taker = Box<dyn FnMut(u32)>;

/// A candidate.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Its pairs are so many times fewer: it is about as much slower.
    pub(crate) fewer: u32,
    /// Makes what one thread or process takes with. Called there.
    pub(crate) taker: Box<dyn Fn() -> Taker + Sync>,
}

fn peer(name: &'static str, fewer: u32, taker: impl Fn() -> Taker + Sync + 'static) -> Peer {
    Peer { name, fewer, taker: Box::new(taker) }
}

/// All candidates, the library first.
pub(crate) fn all(library: &'static Library, folder: &Path) -> Vec<Peer> {
    vec![
        peer("SM_CreateReader, SM_DestroyReader", 1, move || readers(library)),
        peer("named POSIX semaphore (a kill loses the seat)", 1, posix_semaphore()),
        peer("robust mutex per seat", 1, robust_mutexes()),
        peer("flock per seat", 50, file_locks(folder, "flock", flock)),
        peer("SysV semaphore, SEM_UNDO", 50, sysv_semaphore()),
        peer("OFD lock per seat", 50, file_locks(folder, "ofd", ofd_lock)),
    ]
}

fn readers(library: &'static Library) -> Taker {
    let (create, destroy) = (library.create, library.destroy);
    Box::new(move |n| {
        for _ in 0..n {
            let mut reader = std::ptr::null_mut();
            // SAFETY: the types are those of the header; the reader goes from one to the other.
            unsafe {
                assert_eq!(create(&raw mut reader, std::ptr::null_mut(), 0), 0);
                destroy(black_box(reader));
            }
        }
    })
}

/// An address that threads and forked children may use.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: only given to calls that are made for sharing what it points to.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

/// A named semaphore of `SEATS`, whose name is gone again.
pub(crate) fn open_semaphore() -> *mut libc::sem_t {
    let name = CString::new(format!("/seatmeter-bench-{}", std::process::id())).unwrap();
    // SAFETY: makes a semaphore of our own name; it lives until the process ends.
    unsafe {
        let semaphore = libc::sem_open(name.as_ptr(), libc::O_CREAT | libc::O_EXCL, 0o600, SEATS);
        libc::sem_unlink(name.as_ptr());
        assert!(semaphore != libc::SEM_FAILED);
        semaphore
    }
}

fn posix_semaphore() -> impl Fn() -> Taker + Sync {
    let semaphore = Shared(open_semaphore());
    move || {
        let semaphore = semaphore.get();
        Box::new(move |n| {
            for _ in 0..n {
                // SAFETY: the semaphore is open.
                assert_eq!(unsafe { libc::sem_trywait(semaphore) + libc::sem_post(semaphore) }, 0);
            }
        })
    }
}

fn sysv_semaphore() -> impl Fn() -> Taker + Sync {
    // SAFETY: makes a semaphore of our own.
    let semaphore = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
    assert!(semaphore >= 0);
    let semaphore = std::sync::Arc::new(SysvSemaphore(semaphore, std::process::id()));
    // SAFETY: sets a number.
    unsafe { libc::semctl(semaphore.0, 0, libc::SETVAL, SEATS) };
    move || {
        let semaphore = semaphore.clone();
        Box::new(move |n| {
            for _ in 0..n {
                for step in [-1, 1] {
                    let flags = (libc::SEM_UNDO | libc::IPC_NOWAIT) as libc::c_short;
                    let mut operation = libc::sembuf { sem_num: 0, sem_op: step, sem_flg: flags };
                    // SAFETY: `operation` is what the call expects.
                    assert_eq!(unsafe { libc::semop(semaphore.0, &raw mut operation, 1) }, 0);
                }
            }
        })
    }
}

/// Removed by the process that made it: nothing else would.
struct SysvSemaphore(i32, u32);

impl Drop for SysvSemaphore {
    fn drop(&mut self) {
        if std::process::id() == self.1 {
            // SAFETY: made by us, used by nobody any more.
            unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
        }
    }
}

/// Try to lock, or let go.
type Lock = fn(&File, bool) -> bool;

fn flock(file: &File, lock: bool) -> bool {
    let operation = if lock { libc::LOCK_EX | libc::LOCK_NB } else { libc::LOCK_UN };
    // SAFETY: only the descriptor is used.
    unsafe { libc::flock(file.as_raw_fd(), operation) == 0 }
}

fn ofd_lock(file: &File, lock: bool) -> bool {
    // SAFETY: `flock` is plain numbers.
    let mut range: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    range.l_type = if lock { libc::F_WRLCK } else { libc::F_UNLCK } as libc::c_short;
    range.l_len = 1;
    // SAFETY: `range` is what the command expects.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) == 0 }
}

/// A file per seat, open in each taker; the first that can be locked is the seat.
fn file_locks(folder: &Path, name: &str, lock: Lock) -> impl Fn() -> Taker + Sync + use<> {
    let paths: Vec<_> = (0..SEATS).map(|seat| folder.join(format!("{name}{seat}"))).collect();
    move || {
        let open =
            |path| File::options().create(true).truncate(false).write(true).open(path).unwrap();
        let files: Vec<File> = paths.iter().map(open).collect();
        Box::new(move |n| {
            for _ in 0..n {
                let seat =
                    files.iter().find(|file| lock(file, true)).expect("more seats than takers");
                assert!(lock(seat, false));
            }
        })
    }
}

fn robust_mutexes() -> impl Fn() -> Taker + Sync {
    let bytes = SEATS as usize * size_of::<libc::pthread_mutex_t>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, which children share; each mutex is initialized before its use.
    let mutexes = unsafe {
        let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let mutexes: *mut c_void = libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0);
        assert!(mutexes != libc::MAP_FAILED);
        let mut kind = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        libc::pthread_mutexattr_init(kind.as_mut_ptr());
        libc::pthread_mutexattr_setpshared(kind.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
        libc::pthread_mutexattr_setrobust(kind.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        let mutexes = mutexes.cast::<libc::pthread_mutex_t>();
        for seat in 0..SEATS as usize {
            libc::pthread_mutex_init(mutexes.add(seat), kind.as_ptr());
        }
        mutexes
    };
    let mutexes = Shared(mutexes);
    move || {
        let mutexes = mutexes.get();
        Box::new(move |n| {
            for _ in 0..n {
                // SAFETY: there are `SEATS` of them, initialized, mapped for ever; what is locked
                // here is unlocked.
                unsafe {
                    let mut seats = (0..SEATS as usize).map(|seat| mutexes.add(seat));
                    let seat = seats.find(|&seat| libc::pthread_mutex_trylock(seat) == 0);
                    libc::pthread_mutex_unlock(seat.expect("more seats than takers"));
                }
            }
        })
    }
}
