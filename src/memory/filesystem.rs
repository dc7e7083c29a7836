//! Which file systems cannot carry the pool.
//!
//! The pool needs shared mappings that every process sees alike, and locks that the kernel drops when their owner
//! dies. Network and user-space file systems have either between the processes of one machine only, or after a
//! round trip, or not at all, and some answer "yes" to a lock that nobody keeps; so they are refused by type.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// `f_type` of `statfs(2)`, and the name that users know it by.
const REFUSED: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS (a Windows share)"),
    (0xfe53_4d42, "SMB (a Windows share)"),
    (0x517b, "SMB (a Windows share)"),
    (0x0102_1997, "9p (a folder shared by a virtual machine's host)"),
    (0x6573_5546, "FUSE (a file system run by a program)"),
    (0x786f_4256, "a VirtualBox shared folder"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
];

/// Why the file system of `directory` is refused, if it is.
///
/// # Errors
/// What the file system says.
pub fn refusal(directory: &File) -> io::Result<Option<String>> {
    Ok(name_of_refused(kind_of(directory)?)
        .map(|name| format!("{name}, which does not keep locks and shared memory alike for all processes")))
}

/// The `f_type` of the file system that this file is on.
pub(super) fn kind_of(file: &File) -> io::Result<u32> {
    let mut answer = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel fills `answer`, which has the type that it expects.
    if unsafe { libc::fstatfs(file.as_raw_fd(), answer.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has filled it.
    Ok(unsafe { answer.assume_init() }.f_type as u32)
}

fn name_of_refused(kind: u32) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_not() {
        assert_eq!(name_of_refused(0x6969), Some("NFS"));
        for local in [0xef53_u32, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630] {
            assert_eq!(name_of_refused(local), None);
        }
        assert!(refusal(&File::open("/dev/shm").unwrap()).unwrap().is_none());
    }
}
