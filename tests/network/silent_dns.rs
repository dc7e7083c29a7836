//! A name server that never answers. The program runs in namespaces of its own, in which the only
//! name server is a socket that nobody reads.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;

use crate::SLACK;

/// The bound of an initialization that waits for the network.
const INIT_BOUND: Duration = Duration::from_secs(10);

/// The time after which the system gives up a lookup. It is longer than an initialization.
const LOOKUP: Duration = Duration::from_secs(15);

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Let the command run with this configuration of the name lookup, and with a name server at
/// 127.0.0.1 that keeps silent.
fn keep_names_silent(command: &mut Command, configuration: &Path) {
    let configuration = CString::new(configuration.as_os_str().as_bytes()).unwrap();
    let enter = move || {
        // SAFETY: system calls with texts and structures that live until they return, in a child
        // that has made nothing yet.
        unsafe {
            let none = std::ptr::null();
            checked(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS))?;
            let (private, root) = (libc::MS_REC | libc::MS_PRIVATE, c"/".as_ptr());
            checked(libc::mount(c"none".as_ptr(), root, none, private, none.cast()))?;
            let place = c"/etc/resolv.conf".as_ptr();
            checked(libc::mount(configuration.as_ptr(), place, none, libc::MS_BIND, none.cast()))?;
            // The socket stays open in the program, which does not know it.
            let socket = checked(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0))?;
            let mut interface: libc::ifreq = std::mem::zeroed();
            interface.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
            interface.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
            checked(libc::ioctl(socket, libc::SIOCSIFFLAGS, &interface))?;
            let mut address: libc::sockaddr_in = std::mem::zeroed();
            address.sin_family = libc::AF_INET as libc::sa_family_t;
            address.sin_port = 53_u16.to_be();
            address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
            let length = size_of_val(&address) as libc::socklen_t;
            checked(libc::bind(socket, (&raw const address).cast(), length)).map(drop)
        }
    };
    // SAFETY: only system calls that may be made after a fork.
    unsafe { command.pre_exec(enter) };
}

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn can_enter(configuration: &Path) -> bool {
    let mut probe = Command::new("true");
    keep_names_silent(&mut probe, configuration);
    let outcome = probe.status();
    if let Err(error) = &outcome {
        eprintln!("SKIPPED: no network of its own can be made here: {error}");
    }
    outcome.is_ok()
}

fn threads_of(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/task")).unwrap().count()
}

#[test]
fn a_name_server_that_is_silent_costs_an_initialization_its_bound_and_no_thread_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("resolv.conf");
    let text = format!("nameserver 127.0.0.1\noptions timeout:{} attempts:1\n", LOOKUP.as_secs());
    std::fs::write(&configuration, text).unwrap();
    if !can_enter(&configuration) {
        return;
    }
    let tool = Program::compile("tests/c/option_tool.c");
    let mut command = tool.command("http://license.silent.example:48080");
    keep_names_silent(&mut command, &configuration);
    let begun = Instant::now();
    let mut program = Dialogue::start(command);
    assert_eq!(program.ask("init 10 1 4"), "-20200");
    let taken = begun.elapsed();
    assert!(taken > Duration::from_secs(1), "the name server has answered");
    assert!(taken < INIT_BOUND + SLACK, "{taken:?}");
    let begun = Instant::now();
    assert_eq!(program.ask("shutdown"), "0");
    assert!(begun.elapsed() < SLACK, "it waited for the lookup: {:?}", begun.elapsed());
    let process = program.pid();
    let end = Instant::now() + 2 * LOOKUP + SLACK;
    while threads_of(process) > 1 {
        assert!(Instant::now() < end, "{} threads are left", threads_of(process));
        std::thread::sleep(Duration::from_millis(50));
    }
}
