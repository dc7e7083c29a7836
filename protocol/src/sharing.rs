//! The users that may use a file: the permissions that follow from the directory in which the file
//! is made, and the advice for a user who cannot open it. The library and the server both keep
//! files that several users may have to share. The rules are here; the system calls are in the
//! library and the server.
//!
//! | directory | file in it | directory in it |
//! | --- | --- | --- |
//! | 0700, 0755 | 0600 | 0700 |
//! | 0770, 2770, 2775 | 0660 | 2770 |
//! | 0777 | 0666 | 2777 |
//!
//! Owner and group are those of the directory, if the process may set them.

use std::io::ErrorKind;
use std::path::Path;

/// The bits that allow users other than the owner to make files in a directory.
const SHARED: u32 = 0o022;

/// The set-group-id bit: a directory with it passes its group on to the files in it.
const HANDS_DOWN_GROUP: u32 = 0o2000;

/// Return the mode of a file in a directory of this mode.
#[must_use]
pub const fn file_mode(directory: u32) -> u32 {
    let shared = directory & SHARED;
    0o600 | shared | shared << 1
}

/// Return the mode of a directory in a directory of this mode.
#[must_use]
pub const fn folder_mode(directory: u32) -> u32 {
    let shared = directory & SHARED;
    let hands_down = if is_shared_by_group(directory) { HANDS_DOWN_GROUP } else { 0 };
    0o700 | shared | shared << 1 | shared >> 1 | hands_down
}

/// Return the mode of our outermost directory under a parent of this mode. It is shared only if the
/// parent has the set-group-id bit, which says that the parent was made for sharing.
#[must_use]
pub const fn home_mode(parent: u32) -> u32 {
    let is_for_sharing = is_shared_by_group(parent) && parent & HANDS_DOWN_GROUP != 0;
    if is_for_sharing { folder_mode(parent & 0o770) } else { 0o700 }
}

/// Return whether the group of a directory may make files in it.
#[must_use]
pub const fn is_shared_by_group(directory: u32) -> bool {
    directory & 0o020 != 0
}

/// Return whether everybody may make files in a directory.
#[must_use]
pub const fn is_shared_by_all(directory: u32) -> bool {
    directory & 0o002 != 0
}

/// Return whether several users may make files in a directory, but each may replace only his own:
/// it has the sticky bit.
#[must_use]
pub const fn is_sticky_and_shared(directory: u32) -> bool {
    directory & 0o1000 != 0 && directory & SHARED != 0
}

/// Owner, group and mode of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The owner's user id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The mode, with or without the bits of the file type.
    pub mode: u32,
}

impl Owned {
    /// Return whether all users who share the directory can use a file that was made in it. `me` is
    /// the user whose process made the file.
    #[must_use]
    pub const fn is_of_use_in(&self, directory: &Self, me: u32) -> bool {
        let is_owners = self.uid == directory.uid;
        let is_groups = is_shared_by_group(directory.mode)
            && self.gid == directory.gid
            && self.mode & 0o060 == 0o060;
        let is_alls = is_shared_by_all(directory.mode) && self.mode & 0o006 == 0o006;
        // An access control list of the file system may give access, too, and these facts do not
        // show it. A user other than the superuser can at least use the files that he made himself.
        is_owners || is_groups || is_alls || (me != 0 && self.uid == me)
    }
}

/// Names of users and groups, as `/etc/passwd` and `/etc/group` have them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The text of `/etc/passwd`.
    pub users: String,
    /// The text of `/etc/group`.
    pub groups: String,
}

impl Names {
    /// Return the name of a user for a command line, or the number.
    #[must_use]
    pub fn user(&self, uid: u32) -> String {
        name_of(&self.users, uid)
    }

    /// Return the name of a group for a command line, or the number.
    #[must_use]
    pub fn group(&self, gid: u32) -> String {
        name_of(&self.groups, gid)
    }

    /// Return a user for people: name and number.
    #[must_use]
    pub fn user_for_people(&self, uid: u32) -> String {
        match self.user(uid) {
            name if name == uid.to_string() => format!("user {uid}"),
            name => format!("user {name} ({uid})"),
        }
    }
}

/// Find a name by its number: both files have the name first and the number third.
fn name_of(table: &str, number: u32) -> String {
    let number = number.to_string();
    let mut lines = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found =
        lines.find(|fields| fields.get(2) == Some(&number.as_str()) && !fields[0].is_empty());
    found.map_or(number, |fields| fields[0].to_owned())
}

/// The facts of a refused access.
#[derive(Clone, Copy, Debug)]
pub struct Denied<'a> {
    /// The path that could not be used. It exists.
    pub path: &'a str,
    /// Owner, group and mode of the path.
    pub of: Owned,
    /// The directory of ours that the program needs, with everything in it.
    pub folder: &'a str,
    /// The state of that directory.
    pub place: Place,
    /// The user who was refused.
    pub me: u32,
}

/// What a machine says about its files, for the facts of a refused access.
pub trait Look {
    /// Return owner, group and mode of the path itself, and not of what a link leads to.
    ///
    /// # Errors
    /// Returns why it cannot be looked at.
    fn itself(&self, path: &Path) -> Result<Owned, ErrorKind>;
    /// Return the same of a directory, through links; `None` if it cannot be looked at.
    fn directory(&self, path: &Path) -> Option<Owned>;
    /// Return whether this directory contains something, and nothing of ours.
    fn holds_others_alone(&self, path: &Path) -> bool;
}

/// Find what denied this user the access to a path in a directory of ours, and say it; `None` if
/// not even the root directory can be looked at. Both paths are absolute.
pub fn with_denied(
    path: &Path,
    folder: &Path,
    me: u32,
    look: &impl Look,
    say: impl FnOnce(&Denied<'_>) -> String,
) -> Option<String> {
    // A path without readable metadata is in a directory that denies access.
    let mut beneath = ErrorKind::NotFound;
    let found = path.ancestors().find_map(|path| match look.itself(path) {
        Ok(of) => Some((path, of)),
        Err(kind) => {
            beneath = kind;
            None
        }
    });
    let (found, of) = found?;
    let place = match found.starts_with(folder) {
        true if look.holds_others_alone(folder) => Place::Others,
        true => Place::Ours(look.directory(folder)?),
        false if beneath == ErrorKind::NotFound => Place::Missing,
        false => Place::Hidden,
    };
    let (path, folder) = (&*found.display().to_string(), &*folder.display().to_string());
    Some(say(&Denied { path, of, folder, place, me }))
}

/// The state of a directory that we need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The directory exists, and it is empty or has files of ours.
    Ours(Owned),
    /// The directory exists, and all files in it belong to others, for example in a system
    /// directory.
    Others,
    /// The directory does not exist, but its parents can be reached.
    Missing,
    /// A directory above it does not let this user in.
    Hidden,
}

/// Return whether this is the name of a file or directory of ours, in a state directory or in a
/// server's data directory. A command may change everything in a directory only if such a name is
/// in it, or if it is empty.
#[must_use]
pub fn is_name_of_ours(name: &str) -> bool {
    let is_servers = ["server.key", "seatmeter.db", "seatmeterd.lock", "demo-vendor.key"]
        .contains(&name)
        || name.starts_with("seatmeter.db-")
        || name.starts_with("server-") && name.ends_with(".key");
    is_name_of_state(name) || is_servers
}

/// The folders of a state directory.
pub const STATE_FOLDERS: [&str; 3] = ["licenses", "seats", "usage"];

/// Return whether this is the name of a file or folder in a state directory, or of a copy of one
/// that was set aside or left unfinished.
#[must_use]
pub fn is_name_of_state(name: &str) -> bool {
    let is_of = |base: &str| {
        let rest = name.strip_prefix(base);
        rest.is_some_and(|rest| ["", ".turn"].contains(&rest) || is_ending_of_ours(rest))
    };
    let files = ["device", "device-copy", "clock"];
    STATE_FOLDERS.iter().chain(&files).any(|base| is_of(base))
        || name.strip_prefix("sync-").is_some_and(|rest| {
            let (id, ending) = rest.split_at_checked(16).unwrap_or(("", ""));
            id.bytes().all(|b| b.is_ascii_hexdigit())
                && (ending == ".lock" || is_ending_of_ours(ending))
        })
}

/// Return whether a file name's ending says that the file was set aside or left unfinished.
fn is_ending_of_ours(ending: &str) -> bool {
    [".damaged-", ".new-", ".turn.new-", ".turn.damaged-", ".lock.damaged-"]
        .iter()
        .any(|beginning| ending.starts_with(beginning))
}

/// Return who owns the file, and the command by which this user gets access.
#[must_use]
pub fn advice(denied: &Denied<'_>, names: &Names) -> String {
    let (dir, user) = (quoted(denied.folder), names.user(denied.me));
    let todo = match denied.place {
        Place::Ours(folder_of) => access_to(denied, folder_of, names),
        // Never suggest a command that changes files of others.
        Place::Others => {
            let own = quoted(&format!("{}/seatmeter", denied.folder.trim_end_matches('/')));
            format!(
                "It holds files of others. Make a directory only for this, \"sudo install -d -o \
                 {user} -m 700 {own}\", and use that one."
            )
        }
        Place::Missing => format!("Run \"sudo install -d -o {user} -m 700 {dir}\"."),
        Place::Hidden => format!("Run the program as {}.", names.user(denied.of.uid)),
    };
    format!("{} {todo}", whose(denied, names))
}

/// Return who owns the file, and who was refused.
#[must_use]
pub fn whose(denied: &Denied<'_>, names: &Names) -> String {
    let Denied { path, of, me, .. } = denied;
    format!(
        "{path} belongs to {} and group {}, with mode {:o}; this process runs as {}.",
        names.user_for_people(of.uid),
        names.group(of.gid),
        of.mode & 0o7777,
        names.user_for_people(*me)
    )
}

fn access_to(denied: &Denied<'_>, folder_of: Owned, names: &Names) -> String {
    let Denied { of, folder, me, .. } = denied;
    let (dir, user) = (quoted(folder), names.user(*me));
    let is_own = folder_of.uid == *me && of.uid == *me;
    if is_own && !is_shared_by_group(folder_of.mode) {
        format!("Run \"chmod -R u+rwX {dir}\".")
    } else if folder_of.uid == *me && !is_shared_by_group(folder_of.mode) {
        format!("Run \"sudo chown -R {user} {dir}\".")
    } else if is_shared_by_group(folder_of.mode) {
        let group = names.group(folder_of.gid);
        format!(
            "Run \"sudo chgrp -R {group} {dir} && sudo chmod -R ug+rwX {dir}\", and see that \
             {user} is in group {group}."
        )
    } else {
        format!(
            "Run \"sudo chown -R {user} {dir}\", run the program as {}, or share the directory \
             with a group of both: \
             \"sudo chgrp -R GROUP {dir} && sudo chmod -R g+rwX {dir} && sudo chmod g+s {dir}\".",
            names.user(folder_of.uid)
        )
    }
}

/// Return a path as a shell reads it.
#[must_use]
pub fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_in_a_directory_is_as_widely_shared_as_the_directory() {
        for (directory, file, folder) in [
            (0o700, 0o600, 0o700),
            (0o755, 0o600, 0o700),
            (0o750, 0o600, 0o700),
            (0o770, 0o660, 0o2770),
            (0o2770, 0o660, 0o2770),
            (0o2775, 0o660, 0o2770),
            (0o1777, 0o666, 0o2777),
        ] {
            assert_eq!(
                (file_mode(directory), folder_mode(directory)),
                (file, folder),
                "{directory:o}"
            );
        }
    }

    #[test]
    fn a_state_directory_under_a_common_one_is_private_unless_its_parent_is_made_for_sharing() {
        for (parent, home) in
            [(0o755, 0o700), (0o1777, 0o700), (0o775, 0o700), (0o2770, 0o2770), (0o2775, 0o2770)]
        {
            assert_eq!(home_mode(parent), home, "{parent:o}");
        }
    }

    #[test]
    fn advice_names_the_file_its_owner_and_the_command_that_mends_it() {
        let names = Names {
            users: "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n".into(),
            groups: "team:x:50:\n".into(),
        };
        let of = |uid, gid, mode| Owned { uid, gid, mode };
        let say = |file, folder, me| {
            let place = Place::Ours(folder);
            advice(&Denied { path: "/s t/device", of: file, folder: "/s t", place, me }, &names)
        };
        let sudo = say(of(0, 0, 0o600), of(1000, 1000, 0o700), 1000);
        assert_eq!(
            sudo,
            "/s t/device belongs to user root (0) and group 0, with mode 600; this process runs \
             as user ada \
             (1000). Run \"sudo chown -R ada '/s t'\"."
        );
        let group = say(of(7, 7, 0o600), of(0, 50, 0o2770), 1000);
        assert!(group.contains("belongs to user 7 and"), "{group}");
        assert!(
            group.contains("sudo chgrp -R team '/s t' && sudo chmod -R ug+rwX '/s t'"),
            "{group}"
        );
        let foreign = say(of(0, 0, 0o700), of(0, 0, 0o700), 1000);
        assert!(
            foreign.contains("sudo chown -R ada '/s t'") && foreign.contains("as root"),
            "{foreign}"
        );
        let own = say(of(1000, 1000, 0), of(1000, 1000, 0o700), 1000);
        assert!(own.contains("chmod -R u+rwX '/s t'") && !own.contains("sudo"), "{own}");
    }

    #[test]
    fn no_command_changes_what_belongs_to_others() {
        let names = Names { users: "root:x:0:0::/root:/bin/sh\n".into(), groups: String::new() };
        let of = Owned { uid: 0, gid: 0, mode: 0o755 };
        let say =
            |path, folder, place| advice(&Denied { path, of, folder, place, me: 1000 }, &names);
        let missing = say("/var/lib", "/var/lib/our own", Place::Missing);
        assert!(
            missing.ends_with("Run \"sudo install -d -o 1000 -m 700 '/var/lib/our own'\"."),
            "{missing}"
        );
        let hidden = say("/root", "/root/.local/state/seatmeter", Place::Hidden);
        assert!(hidden.ends_with("Run the program as root."), "{hidden}");
        let others = say("/var/lib", "/var/lib", Place::Others);
        assert!(others.contains("sudo install -d -o 1000 -m 700 /var/lib/seatmeter\""), "{others}");
        for advice in [missing, hidden, others] {
            assert!(!advice.contains("-R"), "{advice}");
        }
    }

    #[test]
    fn files_of_ours_are_known_by_their_names() {
        for name in [
            "licenses",
            "usage.damaged-1",
            "device",
            "clock.turn",
            "clock.new-00",
            "device.turn",
            "sync-0123456789abcdef.lock",
            "seatmeter.db-wal",
            "server.key",
        ] {
            assert!(is_name_of_ours(name), "{name}");
        }
        for name in
            ["dpkg", "clock.log", "device.rs", "usage.txt", "sync-all.lock", "seatmeter", "devices"]
        {
            assert!(!is_name_of_ours(name), "{name}");
        }
    }

    #[test]
    fn a_file_is_of_use_when_all_who_share_its_directory_can_open_it() {
        let of = |uid, gid, mode| Owned { uid, gid, mode };
        let (private, team) = (of(1000, 1000, 0o700), of(1000, 50, 0o2770));
        assert!(of(1000, 0, 0o600).is_of_use_in(&private, 0));
        assert!(!of(0, 0, 0o600).is_of_use_in(&private, 0), "root's file in a user's directory");
        assert!(of(1001, 50, 0o660).is_of_use_in(&team, 1001));
        assert!(!of(0, 0, 0o660).is_of_use_in(&team, 0));
        assert!(!of(0, 50, 0o600).is_of_use_in(&team, 0));
    }
}
