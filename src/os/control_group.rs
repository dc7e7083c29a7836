//! The memory that the process's control group can still give.
//!
//! A process that takes more than that is killed, although its address space is large enough: no
//! call fails before.
//!
//! | version | group of this process | limit | in use | given back under pressure |
//! |---|---|---|---|---|
//! | 2 | line `0::PATH` of `/proc/self/cgroup` | the lower of `memory.max`, `memory.high` | `memory.current` | file pages of `memory.stat` |
//! | 1 | line with `memory` | `memory.limit_in_bytes` | `memory.usage_in_bytes` | the same, with `total_` in front |
//!
//! Each group lies within all groups above it, so the least of them counts. Where the path is
//! another one than is mounted here (a container that sees its own group as the root), the groups
//! that are visible count.

use std::path::Path;

/// The limit of levels that are read; a path with more of them does not end.
const LEVELS_MAX: usize = 64;

/// The names of the files of one version of control groups.
struct Files {
    limits: &'static [&'static str],
    usage: &'static str,
    reclaimable: [&'static str; 2],
}

const VERSION_2: Files = Files {
    limits: &["memory.max", "memory.high"],
    usage: "memory.current",
    reclaimable: ["inactive_file", "active_file"],
};

const VERSION_1: Files = Files {
    limits: &["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_inactive_file", "total_active_file"],
};

/// Return how many bytes this process can still take, or `None` if no limit is known.
pub(super) fn bytes_left() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/thread-self/cgroup").ok()?;
    bytes_left_within(&groups, Path::new("/sys/fs/cgroup"))
}

/// Return the smallest number of bytes left in the groups that `groups` names below `mount`.
/// `groups` has the form of `/proc/self/cgroup`.
fn bytes_left_within(groups: &str, mount: &Path) -> Option<u64> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        if controllers.split(',').any(|controller| controller == "memory") {
            least_bytes_left(&mount.join("memory"), path, &VERSION_1)
        } else if controllers.is_empty() {
            // Beside version 1, version 2 has a folder of its own.
            let unified = least_bytes_left(&mount.join("unified"), path, &VERSION_2);
            least_of(least_bytes_left(mount, path, &VERSION_2), unified)
        } else {
            None
        }
    };
    groups.lines().map(of_line).fold(None, least_of)
}

fn least_of(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

/// Return the smallest number of bytes left in the groups from `path` up to the root.
fn least_bytes_left(root: &Path, path: &str, files: &Files) -> Option<u64> {
    let path = Path::new(path.trim_start_matches('/'));
    // A path with `..` leads out of what this process can see.
    let is_visible = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let path = if is_visible { path } else { Path::new("") };
    let levels = path.ancestors().take(LEVELS_MAX);
    levels.filter_map(|level| bytes_left_in(&root.join(level), files)).min()
}

fn bytes_left_in(group: &Path, files: &Files) -> Option<u64> {
    let number =
        |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    // "max" is no number, and means no limit.
    let limit = files.limits.iter().filter_map(|name| number(name)).min()?;
    let usage = number(files.usage)?;
    let reclaimable = std::fs::read_to_string(group.join("memory.stat"))
        .map_or(0, |text| files.reclaimable.iter().filter_map(|name| counted(&text, name)).sum());
    // The usage includes pages of files, but the kernel drops those before it kills a process. If
    // they counted, a process that has read many files would seem to have no memory left.
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
}

/// Return the number behind a name in `memory.stat`.
fn counted(text: &str, name: &str) -> Option<u64> {
    let mut words = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?
        .split_whitespace();
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that stands for `/sys/fs/cgroup`.
    struct Mount(tempfile::TempDir);

    impl Mount {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (path, content) in files {
                let path = folder.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, format!("{content}\n")).unwrap();
            }
            Self(folder)
        }

        fn bytes_left(&self, groups: &str) -> Option<u64> {
            bytes_left_within(groups, self.0.path())
        }
    }

    #[test]
    fn the_bytes_left_are_the_limit_less_what_is_in_use() {
        let mount = Mount::new(&[("a/b/memory.max", "1000"), ("a/b/memory.current", "300")]);
        assert_eq!(mount.bytes_left("0::/a/b\n"), Some(700));
        let full = Mount::new(&[("a/memory.max", "1000"), ("a/memory.current", "1200")]);
        assert_eq!(full.bytes_left("0::/a\n"), Some(0));
    }

    #[test]
    fn the_lower_of_two_limits_and_the_least_of_all_groups_above_count() {
        let mount = Mount::new(&[
            ("memory.max", "5000"),
            ("memory.current", "4900"),
            ("a/memory.max", "max"),
            ("a/memory.high", "800"),
            ("a/memory.current", "300"),
            ("a/b/memory.max", "max"),
            ("a/b/memory.high", "max"),
            ("a/b/memory.current", "200"),
        ]);
        assert_eq!(mount.bytes_left("0::/a/b\n"), Some(100));
        std::fs::remove_file(mount.0.path().join("memory.max")).unwrap();
        assert_eq!(mount.bytes_left("0::/a/b\n"), Some(500));
        std::fs::remove_file(mount.0.path().join("a/memory.high")).unwrap();
        assert_eq!(mount.bytes_left("0::/a/b\n"), None, "nobody has set a limit");
    }

    #[test]
    fn pages_of_files_are_bytes_left() {
        let stat = "anon 100\nfile 600\ninactive_file 400\nactive_file 100\ninactive_file_x 7";
        let mount =
            Mount::new(&[("memory.max", "1000"), ("memory.current", "900"), ("memory.stat", stat)]);
        assert_eq!(mount.bytes_left("0::/\n"), Some(600));
        let stat = "inactive_file 1\ntotal_inactive_file 400\ntotal_active_file 100";
        let mount = Mount::new(&[
            ("memory/x/memory.limit_in_bytes", "1000"),
            ("memory/x/memory.usage_in_bytes", "900"),
            ("memory/x/memory.stat", stat),
        ]);
        assert_eq!(mount.bytes_left("4:memory:/x\n"), Some(600));
    }

    #[test]
    fn both_versions_are_asked_where_both_are_there() {
        let mount = Mount::new(&[
            ("memory/x/memory.limit_in_bytes", "9223372036854771712"),
            ("memory/x/memory.usage_in_bytes", "900"),
            ("unified/y/memory.max", "1000"),
            ("unified/y/memory.current", "100"),
        ]);
        let groups = "5:cpu,cpuacct:/z\n4:memory:/x\n1:name=systemd:/x\n0::/y\n";
        assert_eq!(mount.bytes_left(groups), Some(900));
        assert_eq!(mount.bytes_left("4:cpu,memory:/x\n").unwrap(), 9_223_372_036_854_771_712 - 900);
    }

    #[test]
    fn a_container_that_sees_its_group_as_the_root_is_asked_there() {
        let mount = Mount::new(&[("memory.max", "1000"), ("memory.current", "300")]);
        for path in ["/", "/docker/0123", "/../other", "/../../x/y"] {
            assert_eq!(mount.bytes_left(&format!("0::{path}\n")), Some(700), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_no_limit() {
        let mount = Mount::new(&[
            ("a/memory.max", "many"),
            ("a/memory.current", "1"),
            ("b/memory.max", "9"),
        ]);
        for groups in ["", "0", "0:", "0::", "0::/a", "0::/b", "4:memory", "\n\n", ":::::"] {
            assert_eq!(mount.bytes_left(groups), None, "{groups:?}");
        }
        let deep = format!("0::{}", "/a".repeat(100_000));
        assert_eq!(mount.bytes_left(&deep), None);
    }
}
