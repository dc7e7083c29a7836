//! The size of the cache of pages: a share of the memory that this process may have.
//!
//! The rows of a million devices lie all over a file of a gigabyte. A page that is not in the cache
//! is read through the system, which costs some microseconds. A report touches about ten pages.

use std::fs;
use std::path::{Path, PathBuf};

/// The share of the memory that the cache takes, and its bounds. The upper bound keeps a server
/// with a million devices below 300 MiB; `--cache` gives more.
const SHARE: u64 = 8;
const BYTES_MIN: u64 = 16 << 20;
const BYTES_MAX: u64 = 192 << 20;

/// Return the size in bytes, unless the operator sets another.
pub(super) fn bytes() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    share_of(memory(&groups, Path::new("/sys/fs/cgroup"), &machine))
}

fn share_of(memory: Option<u64>) -> u64 {
    memory.map_or(BYTES_MIN, |bytes| (bytes / SHARE).clamp(BYTES_MIN, BYTES_MAX))
}

/// Return the memory of the machine, or the least that a control group around this process has.
/// `groups` and `machine` have the forms of `/proc/self/cgroup` and `/proc/meminfo`.
fn memory(groups: &str, mount: &Path, machine: &str) -> Option<u64> {
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let of_groups = groups.lines().filter_map(|line| limit(line, mount));
    total.map(|kib| kib << 10).into_iter().chain(of_groups).min()
}

/// Return the lowest limit of a group and of the groups around it.
fn limit(line: &str, mount: &Path) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, Path::new(parts.next()?.trim_start_matches('/')));
    let (root, names): (PathBuf, &[&str]) = match controllers {
        "" => (mount.to_owned(), &["memory.max", "memory.high"]),
        _ if controllers.split(',').any(|one| one == "memory") => {
            (mount.join("memory"), &["memory.limit_in_bytes"])
        }
        _ => return None,
    };
    // In a container, the path may be that of the machine, and lead out of what is mounted here.
    let is_visible = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let levels = if is_visible { path } else { Path::new("") }.ancestors();
    // "max" is no number, and means no limit.
    let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let files = levels.flat_map(|level| names.iter().map(move |name| (level, name)));
    let files = files.map(|(level, name)| root.join(level).join(name));
    files.filter_map(number).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "MemTotal:        8000000 kB\nMemFree:  1 kB\n";

    fn group(folder: &Path, path: &str, file: &str, limit: &str) {
        fs::create_dir_all(folder.join(path)).unwrap();
        fs::write(folder.join(path).join(file), limit).unwrap();
    }

    #[test]
    fn the_least_of_the_machine_and_the_groups_around_the_process_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path();
        assert_eq!(memory("0::/a/b\n", mount, MACHINE), Some(8_000_000 << 10));
        group(mount, "a/b", "memory.max", "max\n");
        assert_eq!(memory("0::/a/b\n", mount, MACHINE), Some(8_000_000 << 10));
        group(mount, "a", "memory.max", "1000000000\n");
        assert_eq!(memory("0::/a/b\n", mount, MACHINE), Some(1_000_000_000));
        assert_eq!(memory("0::/../a\n", mount, MACHINE), Some(8_000_000 << 10));
        group(mount, "memory/c", "memory.limit_in_bytes", "500000000\n");
        let both = "3:cpu,memory:/c\n0::/a/b\n";
        assert_eq!(memory(both, mount, MACHINE), Some(500_000_000));
        assert_eq!(memory("", mount, ""), None);
    }

    #[test]
    fn the_cache_follows_the_memory_within_its_bounds() {
        for (memory, bytes) in [
            (None, 16 << 20),
            (Some(64 << 20), 16 << 20),
            (Some(512 << 20), 64 << 20),
            (Some(1 << 30), 128 << 20),
            (Some(u64::MAX), 192 << 20),
        ] {
            assert_eq!(share_of(memory), bytes, "{memory:?}");
        }
    }
}
