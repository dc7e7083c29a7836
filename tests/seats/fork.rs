//! Seats of forked children and daemons, of several users, and in several pid namespaces.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::processes::{Device, End, KILLED, Pipe, Process, holder, sleep_for_ever, take_all};

const NOBODY: u32 = 65_534;

fn close_descriptors(and_fill: bool) {
    for descriptor in 3..256 {
        // SAFETY: in a child that uses no descriptor of its parent any more.
        unsafe { libc::close(descriptor) };
    }
    if and_fill {
        for _ in 3..256 {
            // SAFETY: a constant string that ends with a zero.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}

#[test]
fn a_forked_child_holds_nothing_and_its_parents_seats_stay() {
    let device = Device::new();
    let pool = device.pool_of(3);
    let seats = [pool.take().unwrap(), pool.take().unwrap()];
    let end = Process::fork(|| {
        seats.into_iter().for_each(|seat| pool.give(seat));
        assert_eq!(pool.idle(), 1);
        let own = pool.take().unwrap();
        assert!(pool.take().is_err());
        seats.into_iter().for_each(|seat| pool.give(seat));
        assert_eq!(pool.idle(), 0);
        pool.give(own);
        assert_eq!(pool.holders().len(), 1);
        let _own = pool.take().unwrap();
        0
    })
    .wait();
    assert_eq!((end, pool.idle()), (End::Exit(0), 1));
    seats.into_iter().for_each(|seat| pool.give(seat));
    assert_eq!((pool.idle(), pool.repairs()), (3, vec![]));
}

#[test]
fn a_thousand_forks_under_load_neither_hang_nor_cost_a_seat() {
    let device = Device::new();
    let pool = device.pool_of(8);
    let seat = pool.take().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(seat) = pool.take() {
                        pool.give(seat);
                    }
                }
            });
        }
        scope.spawn(|| {
            let unrelated = device.pool();
            while !is_over.load(Ordering::Relaxed) {
                let _ = unrelated.take();
                unrelated.detach();
            }
        });
        for round in 0..1_000 {
            let mut child = Process::fork(|| {
                let own = pool.take().unwrap();
                pool.give(seat);
                pool.give(own);
                if round % 2 == 0 {
                    pool.detach();
                }
                0
            });
            assert_eq!(child.wait(), End::Exit(0), "round {round}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!((pool.idle(), pool.holders()[0].seats, pool.repairs()), (7, 1, vec![]));
}

/// Return whether a seat comes back although a forked child of its owner lives on.
fn is_freed_while_a_child_lives(device: &Device) -> bool {
    let pool = device.pool_of(2);
    let (attached, forked) = (Pipe::new(), Pipe::new());
    let mut parent = Process::fork(|| {
        let pool = device.pool();
        let _ = [pool.take().unwrap(), pool.take().unwrap()];
        attached.tell();
        let _child = Process::fork(|| {
            // SAFETY: a number only. The alarm ends this child after the test.
            unsafe { libc::alarm(20) };
            forked.tell();
            sleep_for_ever()
        });
        sleep_for_ever()
    });
    attached.hear();
    forked.hear();
    assert_eq!(pool.idle(), 0);
    parent.kill();
    take_all(&pool).len() == 2
}

#[test]
fn a_child_that_outlives_its_parent_does_not_keep_its_seats() {
    assert!(is_freed_while_a_child_lives(&Device::new()));
}

#[test]
fn a_daemon_that_closes_all_descriptors_keeps_its_seats_while_it_lives() {
    let device = Device::new();
    let pool = device.pool_of(2);
    let pipe = Pipe::new();
    let mut daemon = Process::fork(|| {
        let pool = device.pool();
        let seat = pool.take().unwrap();
        let _stays = pool.take().unwrap();
        pipe.tell();
        close_descriptors(true);
        pool.give(seat);
        let seat = pool.take().unwrap();
        pool.give(seat);
        if pool.idle() != 1 {
            return 1;
        }
        sleep_for_ever()
    });
    pipe.hear();
    // A fresh handle asks the kernel about every entry.
    for _ in 0..3 {
        assert!(device.pool().idle() <= 1);
    }
    daemon.kill();
    assert_eq!(pool.idle(), 2);
}

#[test]
fn an_observer_whose_descriptors_became_other_files_takes_nobody_for_dead() {
    let device = Device::new();
    device.pool_of(2).detach();
    let mut holder = holder(&device, 2);
    let observe = |by_name: bool| {
        Process::fork(|| {
            let pool = device.pool();
            close_descriptors(true);
            if !by_name {
                std::fs::rename(device.path(), device.path().with_extension("moved")).unwrap();
            }
            let idle = pool.idle();
            if !by_name {
                std::fs::rename(device.path().with_extension("moved"), device.path()).unwrap();
            }
            idle as i32
        })
        .wait()
    };
    assert_eq!(observe(true), End::Exit(0));
    assert_eq!(observe(false), End::Exit(0));
    holder.kill();
}

fn is_root() -> bool {
    // SAFETY: no arguments.
    unsafe { libc::getuid() == 0 }
}

fn become_nobody() {
    // SAFETY: numbers only; this forked child becomes another user.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setgid(NOBODY), 0);
        assert_eq!(libc::setuid(NOBODY), 0);
    }
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}

#[test]
fn users_who_share_the_directory_share_the_seats() {
    if !is_root() {
        return skip("becoming another user needs root");
    }
    for root_is_first in [true, false] {
        let device = Device::new();
        std::fs::set_permissions(device.path(), PermissionsExt::from_mode(0o1777)).unwrap();
        if root_is_first {
            device.pool_of(2);
        }
        let pipe = Pipe::new();
        let mut nobody = Process::fork(|| {
            become_nobody();
            let pool = device.pool_of(2);
            let _seat = pool.take().unwrap();
            pipe.tell();
            sleep_for_ever()
        });
        pipe.hear();
        let pool = device.pool();
        assert_eq!((pool.idle(), pool.holders()[0].seats), (1, 1));
        nobody.kill();
        assert_eq!(take_all(&pool).len(), 2);
    }
}

#[test]
fn a_directory_that_is_not_shared_is_refused_to_others_with_the_reason() {
    if !is_root() {
        return skip("becoming another user needs root");
    }
    let device = Device::new();
    device.pool_of(1);
    std::fs::set_permissions(device.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let end = Process::fork(|| {
        become_nobody();
        let error =
            seatmeter::seats::SeatPool::open(device.path(), "license").unwrap_err().to_string();
        i32::from(!error.contains("Permission denied"))
    })
    .wait();
    assert_eq!(end, End::Exit(0));
}

#[test]
fn a_process_that_drops_its_privileges_keeps_its_seats_and_its_place() {
    if !is_root() {
        return skip("becoming another user needs root");
    }
    let device = Device::new();
    let pool = device.pool_of(3);
    let pipe = Pipe::new();
    let mut process = Process::fork(|| {
        let pool = device.pool();
        let seat = pool.take().unwrap();
        become_nobody();
        let _other = pool.take().unwrap();
        pool.give(seat);
        assert_eq!(pool.idle(), 2);
        pool.detach();
        // It attaches again through the descriptor that it already has, or reports why it cannot.
        match pool.take() {
            Ok(_) | Err(seatmeter::seats::SeatError::Io { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        pipe.tell();
        sleep_for_ever()
    });
    pipe.hear();
    assert!(pool.idle() >= 2);
    process.kill();
    assert_eq!(pool.idle(), 3);
}

#[test]
fn processes_of_other_pid_namespaces_share_the_seats() {
    let device = Device::new();
    let pool = device.pool_of(4);
    let pipe = Pipe::new();
    let in_namespace = || {
        Process::fork(|| {
            // SAFETY: numbers only.
            if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
                pipe.tell();
                return 9;
            }
            // This is process 1 of the new namespace, and its guardian is thread 2: the numbers are
            // the same in both namespaces.
            let mut first = Process::fork(|| {
                // SAFETY: numbers only; the namespace must not outlive the test.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let pool = device.pool();
                let _seat = pool.take().unwrap();
                pipe.tell();
                sleep_for_ever()
            });
            i32::from(first.wait() != KILLED)
        })
    };
    let mut namespaces = [in_namespace(), in_namespace()];
    pipe.hear();
    pipe.hear();
    if pool.idle() == 4 {
        return skip("making a pid namespace is not permitted");
    }
    let holders = pool.holders();
    assert_eq!((pool.idle(), holders.len()), (2, 2));
    assert_ne!(holders[0].pid_namespace, holders[1].pid_namespace);
    namespaces[0].kill();
    let seats: Vec<_> =
        (0..3).map(|_| pool.take_within(std::time::Duration::from_secs(20)).unwrap()).collect();
    assert_eq!((seats.len(), pool.idle()), (3, 0));
    namespaces[1].kill();
    assert!(pool.take_within(std::time::Duration::from_secs(20)).is_ok());
}

/// Run `body` in a mount namespace of its own, after `mount` has mounted something on the device's
/// directory.
fn on_mount(
    device: &Device,
    kind: &std::ffi::CStr,
    options: &std::ffi::CStr,
    body: impl Fn() -> i32,
) {
    use std::os::unix::ffi::OsStrExt;
    let at = std::ffi::CString::new(device.path().as_os_str().as_bytes()).unwrap();
    let end = Process::fork(|| {
        // SAFETY: strings that end with a zero; the mounts go with this process.
        let is_mounted = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
                && libc::mount(
                    kind.as_ptr(),
                    at.as_ptr(),
                    kind.as_ptr(),
                    0,
                    options.as_ptr().cast(),
                ) == 0
        };
        if is_mounted { body() } else { 9 }
    })
    .wait();
    match end {
        End::Exit(9) => skip("mounting is not permitted"),
        end => assert_eq!(end, End::Exit(0), "on {kind:?}"),
    }
}

fn deaths_and_forks(device: &Device) -> i32 {
    let pool = device.pool_of(2);
    let mut holder = holder(device, 2);
    if device.pool().idle() != 0 {
        return 1;
    }
    holder.kill();
    if take_all(&pool).len() != 2 {
        return 2;
    }
    pool.detach();
    i32::from(!is_freed_while_a_child_lives(device)) * 3
}

#[test]
fn the_pool_works_on_tmpfs() {
    let device = Device::new();
    on_mount(&device, c"tmpfs", c"size=16m", || deaths_and_forks(&device));
}

#[test]
fn a_full_file_system_is_an_error_and_not_a_crash() {
    let device = Device::new();
    on_mount(&device, c"tmpfs", c"size=64k", || {
        match seatmeter::seats::SeatPool::open(device.path(), "license") {
            Err(error) if error.to_string().contains("No space left") => 0,
            _ => 1,
        }
    });
}

#[test]
fn the_pool_works_on_overlayfs() {
    let (device, layers) = (Device::new(), Device::new());
    let at = |name: &str| layers.path().join(name).display().to_string();
    for name in ["lower", "upper", "work"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let options = std::ffi::CString::new(options).unwrap();
    on_mount(&device, c"overlay", &options, || deaths_and_forks(&device));
}
