//! The events of a world, and how a report names them.

use std::fmt;

use seatmeter::fault_injection::disk::Disk;

use crate::time::Namespace;

/// An event, some time after the previous one.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Seconds since the previous step.
    pub(crate) after: u64,
    pub(crate) what: What,
    /// The disturbance of this step's requests by the network.
    pub(crate) weather: Weather,
    /// The seed of this step's random numbers.
    pub(crate) seed: u64,
}

/// The probability of each disturbance of a request, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) harm: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A program starts on a machine and initializes.
    Start(usize),
    /// A program of a machine does so much work.
    Work(usize, u64),
    /// A program of a machine works and reports, twice within a slot, so that its counters grow
    /// while the server knows them.
    Shift(usize, u64),
    /// Every running program works, all within a slot.
    Rush,
    /// The keeper of a program of a machine runs a round.
    Keep(usize),
    /// A program ends cleanly.
    Close(usize),
    /// A program is killed.
    Kill(usize),
    /// A program is stopped in mid-request while another program of its machine reports and renews.
    /// It wakes so many seconds later.
    Stop(usize, Stopped, u64),
    /// The next action of a machine is cut off at this kill point.
    CutOff(usize, u32),
    /// A machine loses its power for so many seconds.
    PowerCut(usize, u64),
    /// A machine is rebooted cleanly.
    Reboot(usize, u64),
    /// A machine sleeps for so many seconds.
    Suspend(usize, u64),
    /// A machine's disk has this health from now on.
    Disk(usize, Disk),
    /// Files of a machine are lost in this way while its programs work.
    Lose(usize, Loss),
    /// A machine's disk fails once, at this use from now, while a program works and reports; then
    /// its power is cut.
    Brownout(usize, u32),
    /// A program of a machine takes so many seats, as far as there are.
    Take(usize, u64),
    /// Programs that start on a machine from now on ask for so many seats.
    AskFor(usize, u32),
    /// Programs that start on a machine from now on have the code of the second item, or the code
    /// of both.
    UseCode(usize, &'static str),
    /// The keepers of a machine's programs run so many rounds, each when it is due.
    Rounds(usize, u64),
    /// A machine gives back all of its seats but so many.
    Give(usize, u64),
    /// A machine's wall clock is set by so many seconds.
    SetWall(usize, i64),
    /// A machine's clocks drift by so many millionths.
    Drift(usize, i64),
    /// A machine's state is copied to another.
    Clone(usize),
    /// A machine is cut off from the server, or has the network again.
    Unplug(usize),
    /// Programs that start on a machine from now on are in this time namespace.
    EnterNamespace(usize, Namespace),
    /// The clock of the main server is so many seconds ahead; 0: it is correct.
    ServerAhead(u64),
    /// The clock of a standby with data of its own is so many seconds ahead.
    StandbyAhead(u64),
    /// The main server is down, or up again.
    ServerDown,
    /// The standby is down, or up again.
    StandbyDown,
    /// The standby cannot see the main server, or sees it again.
    Partition,
    /// A machine cannot reach the main server, though it may reach the standby; or it can again.
    LoseMain(usize),
    /// From now on devices and servers are of these versions.
    Versions(Versions),
    /// The main server's data is backed up.
    Backup,
    /// The backup replaces the main server's data. In some worlds nobody tells the server.
    Restore,
    /// The backup is restored, and a machine runs for a day; delayed letters arrive in the middle
    /// of it.
    Aftermath(usize),
    /// Delayed letters arrive.
    Deliver,
    /// The vendor sells more.
    RaiseQuota(u64),
    /// The item is revoked.
    Revoke,
    /// The operator changes the items of the handshake code.
    ChangeCode(Code),
    /// The operator releases the seats of a machine.
    Release(usize),
    /// The server deletes old rows.
    Tidy,
    /// The operator lets all alerts fire again, and the server looks for what is reached.
    Rearm,
    /// The `device` file of a machine is in the image of every machine that is not used yet.
    Bake(usize),
    /// The state of a machine's disk is kept, as by a snapshot of a virtual machine.
    Snapshot(usize),
    /// A machine is put back to its snapshot.
    PutBack(usize),
    /// Somebody who knows a UUID of a machine, and a handshake code, uses them.
    Steal(usize, Theft),
    /// The operator edits the database of the main server.
    Edit(Edit),
    /// A second server with the same key begins with a copy of the main server's data.
    CopyServer,
    /// Requests of a machine to the main server reach its copy from now on, or the original.
    Reroute(usize),
    /// The copy of the main server is shut down.
    StopCopy,
    /// The user clears the storage of a browser.
    Clear(usize),
    /// A page of a browser goes hidden.
    Hide(usize),
    /// The pages of a browser count so often while one of them reports.
    Busy(usize, u64),
}

impl What {
    /// Return the machine to which it happens; `None` where it happens to the network or at a
    /// server, or to several.
    pub(crate) fn machine(self) -> Option<usize> {
        match self {
            Self::Start(m)
            | Self::Work(m, _)
            | Self::Shift(m, _)
            | Self::Keep(m)
            | Self::Close(m)
            | Self::Kill(m)
            | Self::Stop(m, ..)
            | Self::CutOff(m, _)
            | Self::PowerCut(m, _)
            | Self::Reboot(m, _)
            | Self::Disk(m, _)
            | Self::Lose(m, _)
            | Self::Brownout(m, _)
            | Self::Take(m, _)
            | Self::Give(m, _)
            | Self::UseCode(m, _)
            | Self::AskFor(m, _)
            | Self::EnterNamespace(m, _)
            | Self::Rounds(m, _)
            | Self::Clone(m)
            | Self::Bake(m)
            | Self::Snapshot(m)
            | Self::PutBack(m)
            | Self::Steal(m, _)
            | Self::Clear(m)
            | Self::Hide(m)
            | Self::Busy(m, _) => Some(m),
            _ => None,
        }
    }
}

/// What a stranger does with a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theft {
    /// The stranger asks for a license under it.
    Ask,
    /// The stranger reports work under it, and ends its license.
    Report,
    /// The stranger asks under a UUID whose device has not asked yet.
    AskFirst,
    /// The stranger shows the license of the UUID under a UUID of his own.
    Show,
}

/// An edit of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// The quota in the license file is raised; its signature stays.
    Quota,
    /// The rows of the holders of seats are deleted, with their sum.
    Holders,
}

/// The request in which a program is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The first request, a report if there is something to report, after the server has answered
    /// it.
    Answered,
    /// The request for a license, after the server has answered it.
    Granted,
    /// The request for a license, before it leaves.
    Asking,
}

/// The loss of files under running programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The files are deleted.
    Deleted,
    /// The files are renamed.
    Renamed,
    /// The files are replaced by copies.
    Copied,
    /// The files are moved away, and come back after they were made again.
    AwayAndBack,
}

/// The sides that have another version than this one, during an upgrade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) devices: Version,
    pub(crate) servers: Version,
}

/// A version. An older one lacks later fields, a newer one has unknown fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    #[default]
    This,
    Older,
    Newer,
}

/// The items that a handshake code serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Code {
    /// The item, for every application.
    #[default]
    Item,
    /// No item.
    Nothing,
    /// The item, for another application.
    Others,
    /// Only the second item, if there are two.
    Second,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s later ", self.after)?;
        match self.what {
            What::Start(m) => write!(f, "a program starts on machine {m}"),
            What::Work(m, n) => write!(f, "machine {m} does {n} pieces of work"),
            What::Shift(m, n) => {
                write!(f, "machine {m} does {n} pieces of work and reports, twice")
            }
            What::Rush => write!(f, "everybody works"),
            What::Keep(m) => write!(f, "the keeper of machine {m} has its round"),
            What::Close(m) => write!(f, "a program on machine {m} ends"),
            What::Kill(m) => write!(f, "a program on machine {m} is killed"),
            What::Stop(m, stopped, s) => {
                write!(f, "a program on machine {m} is stopped ({stopped:?}) for {s} s")
            }
            What::CutOff(m, n) => {
                write!(f, "machine {m} is prepared to die at its kill point {n} from here")
            }
            What::PowerCut(m, s) => write!(f, "the power of machine {m} is cut for {s} s"),
            What::Reboot(m, s) => write!(f, "machine {m} is started anew after {s} s"),
            What::Suspend(m, s) => write!(f, "machine {m} sleeps for {s} s"),
            What::Disk(m, disk) => write!(f, "the disk of machine {m} is {disk:?}"),
            What::Lose(m, loss) => {
                write!(f, "files of machine {m} are lost while its programs work: {loss:?}")
            }
            What::Brownout(m, n) => {
                write!(
                    f,
                    "machine {m} works and reports while use {n} of its disk fails, and its power \
                     is cut"
                )
            }
            What::Take(m, n) => write!(f, "a program on machine {m} takes {n} seats"),
            What::UseCode(m, code) => {
                write!(f, "programs that start on machine {m} have the code {code}")
            }
            What::Rounds(m, n) => write!(f, "the keepers of machine {m} have {n} rounds"),
            What::AskFor(m, x) => write!(f, "programs that start on machine {m} ask for {x} seats"),
            What::Give(m, n) => write!(f, "a program on machine {m} gives back all seats but {n}"),
            What::SetWall(m, s) => write!(f, "the clock of machine {m} is set by {s} s"),
            What::Drift(m, ppm) => write!(f, "the clocks of machine {m} drift by {ppm} millionths"),
            What::Clone(m) => write!(f, "machine {m} is copied"),
            What::Unplug(m) => {
                write!(f, "machine {m} is unplugged from the network, or plugged in again")
            }
            What::EnterNamespace(m, of) => {
                let seconds = of.ahead_ms / 1000;
                let silent = if of.is_silent { ", of which the system does not tell" } else { "" };
                write!(
                    f,
                    "machine {m} starts programs in a time namespace that is {seconds} s \
                     ahead{silent}"
                )
            }
            What::ServerAhead(s) => write!(f, "the clock of the main server is {s} s ahead"),
            What::StandbyAhead(s) => write!(f, "the clock of the standby is {s} s ahead"),
            What::ServerDown => write!(f, "the main server goes down, or up again"),
            What::StandbyDown => write!(f, "the standby goes down, or up again"),
            What::Partition => {
                write!(f, "the standby no longer sees the main server, or sees it again")
            }
            What::LoseMain(m) => {
                write!(f, "machine {m} no longer reaches the main server, or reaches it again")
            }
            What::Versions(Versions { devices, servers }) => {
                write!(f, "devices are of version {devices:?}, servers of version {servers:?}")
            }
            What::ChangeCode(code) => write!(f, "the handshake code is good for {code:?}"),
            What::Backup => write!(f, "the server is backed up"),
            What::Restore => write!(f, "the server is restored from its backup"),
            What::Aftermath(m) => {
                write!(
                    f,
                    "the server is restored, machine {m} goes on, and what was delayed arrives"
                )
            }
            What::Deliver => write!(f, "what was delayed arrives"),
            What::RaiseQuota(n) => write!(f, "the vendor sells {n} more"),
            What::Revoke => write!(f, "the item is revoked"),
            What::Release(m) => write!(f, "the operator releases machine {m}"),
            What::Tidy => write!(f, "the server tidies up"),
            What::Rearm => write!(f, "the operator re-arms all alerts"),
            What::Bake(m) => write!(f, "the device file of machine {m} is put into an image"),
            What::Snapshot(m) => write!(f, "the state of machine {m} is kept"),
            What::PutBack(m) => write!(f, "machine {m} is put back to the state that was kept"),
            What::Steal(m, theft) => {
                write!(f, "a stranger uses the UUID of machine {m}: {theft:?}")
            }
            What::Edit(edit) => write!(f, "the operator edits the database: {edit:?}"),
            What::CopyServer => write!(f, "a copy of the main server begins"),
            What::Reroute(m) => {
                write!(f, "machine {m} reaches the copy of the main server, or the original again")
            }
            What::StopCopy => write!(f, "the copy of the main server is shut down"),
            What::Clear(m) => write!(f, "the storage of browser {m} is cleared"),
            What::Hide(m) => write!(f, "a page of browser {m} goes hidden"),
            What::Busy(m, n) => {
                write!(f, "the pages of browser {m} count {n} times while one of them reports")
            }
        }
    }
}
