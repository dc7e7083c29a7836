//! The clocks that a process reads: a time namespace of Linux can shift the boot clock and the
//! monotonic clock of its processes away from those of the machine.
//!
//! Values of these clocks stand in files that all processes of a device share. They mean something
//! only as values of the machine's clocks, so each process must know how far its own clocks are
//! ahead. The kernel shifts every clock that cannot be set in the same way, so a comparison of
//! clocks shows nothing. Only `/proc` has the answer.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The time namespace that a machine begins with: `PROC_TIME_INIT_INO` of the kernel's `proc_ns.h`.
const INITIAL: &str = "time:[4026531834]";

const OWN: &str = "/proc/thread-self/ns/time";
const FOR_CHILDREN: &str = "/proc/thread-self/ns/time_for_children";
/// A namespace link that every kernel has.
const ALWAYS_THERE: &str = "/proc/thread-self/ns/mnt";
const OFFSETS: &str = "/proc/self/timens_offsets";

/// The lead of this process' clocks over those of the machine, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClocksAhead {
    /// Lead of the boot clock.
    pub boot_ms: i64,
    /// Lead of the monotonic clock.
    pub monotonic_ms: i64,
}

/// Return how far the clocks of the calling process are ahead of the machine's; `None` when the
/// system does not say. `link` reads a symbolic link, `read` a text file.
pub fn clocks_ahead(
    link: impl Fn(&Path) -> io::Result<PathBuf>,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Option<ClocksAhead> {
    let own = match link(Path::new(OWN)) {
        Ok(own) => own,
        // Kernels before 5.6 have no time namespaces. If /proc is not mounted, the other links are
        // missing, too.
        Err(e) if e.kind() == ErrorKind::NotFound && link(Path::new(ALWAYS_THERE)).is_ok() => {
            return Some(ClocksAhead::default());
        }
        Err(_) => return None,
    };
    if own == Path::new(INITIAL) {
        return Some(ClocksAhead::default());
    }
    // The file describes the namespace of children. After unshare(2) in this process that is
    // another one than its own.
    let for_children = link(Path::new(FOR_CHILDREN)).ok()?;
    if for_children != own {
        return None;
    }
    parse(&read(Path::new(OFFSETS)).ok()?)
}

/// Read `/proc/<pid>/timens_offsets`: a line for each clock with its name, seconds and nanoseconds.
fn parse(text: &str) -> Option<ClocksAhead> {
    let ahead_ms = |names: [&str; 2]| {
        let line = text
            .lines()
            .find(|line| names.contains(&line.split_whitespace().next().unwrap_or("")))?;
        let mut numbers = line.split_whitespace().skip(1).map(str::parse::<i64>);
        let (seconds, nanoseconds) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(seconds.checked_mul(1000)?.saturating_add(nanoseconds / 1_000_000))
    };
    // Linux 5.6 names the clocks by their numbers.
    Some(ClocksAhead {
        boot_ms: ahead_ms(["boottime", "7"])?,
        monotonic_ms: ahead_ms(["monotonic", "1"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIFTED: &str = "monotonic           5   500000000\nboottime        -1200         0\n";

    /// Return what a process finds that has this namespace, namespace for children and offsets.
    fn found(
        own: Option<&str>,
        for_children: Option<&str>,
        offsets: Option<&str>,
    ) -> Option<ClocksAhead> {
        let none = || io::Error::from(ErrorKind::NotFound);
        let link = |path: &Path| {
            let name = match path.to_str() {
                Some(OWN) => own,
                Some(FOR_CHILDREN) => for_children,
                Some(ALWAYS_THERE) => own.or(for_children),
                _ => None,
            };
            name.map(PathBuf::from).ok_or_else(none)
        };
        clocks_ahead(link, |_| offsets.map(str::to_owned).ok_or_else(none))
    }

    #[test]
    fn a_process_of_the_first_time_namespace_reads_the_clocks_of_the_machine() {
        assert_eq!(found(Some(INITIAL), Some(INITIAL), None), Some(ClocksAhead::default()));
        // The process has made another namespace for its children, and is not in it.
        assert_eq!(
            found(Some(INITIAL), Some("time:[2]"), Some(SHIFTED)),
            Some(ClocksAhead::default())
        );
    }

    #[test]
    fn a_process_of_another_time_namespace_knows_by_how_much_its_clocks_are_ahead() {
        let ahead = ClocksAhead { boot_ms: -1_200_000, monotonic_ms: 5_500 };
        assert_eq!(found(Some("time:[2]"), Some("time:[2]"), Some(SHIFTED)), Some(ahead));
        assert_eq!(parse("1 5 500000000\n7 -1200 0\n"), Some(ahead));
    }

    #[test]
    fn what_the_system_does_not_tell_is_not_guessed() {
        assert_eq!(found(None, None, None), None, "no /proc");
        assert_eq!(found(Some("time:[2]"), Some("time:[2]"), None), None);
        assert_eq!(found(Some("time:[2]"), Some("time:[3]"), Some(SHIFTED)), None);
        for torn in [
            "",
            "boottime 1",
            "boottime x 0\nmonotonic 0 0",
            "boottime 9223372036854775807 0\nmonotonic 0 0",
        ] {
            assert_eq!(parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn a_kernel_without_time_namespaces_has_one_clock_for_all() {
        let link = |path: &Path| match path.to_str() {
            Some(ALWAYS_THERE) => Ok(PathBuf::from("mnt:[1]")),
            _ => Err(ErrorKind::NotFound.into()),
        };
        assert_eq!(
            clocks_ahead(link, |_| Err(ErrorKind::NotFound.into())),
            Some(ClocksAhead::default())
        );
    }
}
