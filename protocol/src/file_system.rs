//! The file systems that cannot carry a device's state.
//!
//! Seats and counts of a device need shared mappings that every process sees alike, and locks that
//! the kernel drops when their owner dies. Network and user-space file systems offer these between
//! the processes of one machine only, or after a round trip, or not at all. Some answer "yes" to a
//! lock that nobody keeps. So they are refused by type.

/// The value of `f_type` of `statfs(2)`, and the name that users know.
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

/// Return the fault of a file system of this `f_type`, to follow "is on"; `None` if it may be used.
#[must_use]
pub fn refusal(f_type: u32) -> Option<String> {
    let (_, name) = REFUSED.iter().find(|(refused, _)| *refused == f_type)?;
    Some(format!("{name}, which does not keep locks and shared memory alike for all processes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_not() {
        assert!(refusal(0x6969).unwrap().starts_with("NFS, which"));
        for local in [0xef53_u32, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630] {
            assert_eq!(refusal(local), None);
        }
    }
}
