//! A machine of its own for a process: a network namespace that a test can cut off from all others.
//! Only root can make one.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The network of all namespaces, which is meant for tests of networks (RFC 2544). Each gets four
/// addresses of it.
const NETWORK: u32 = u32::from_be_bytes([198, 18, 0, 0]);

/// The number of namespaces that the network has room for.
const NAMESPACES: u32 = 1 << 15;

/// A network namespace with one link to this machine. It is removed when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    here: Ipv4Addr,
    inside: Ipv4Addr,
}

impl Namespace {
    /// Make one. Return `None` where this user may not, or the programs for it are missing.
    #[must_use]
    pub fn make() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (pid, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let first = NETWORK + 4 * (pid.wrapping_add(made.wrapping_mul(7919)) % NAMESPACES);
        let namespace = Self {
            name: format!("seatmeter-{pid}-{made}"),
            here: Ipv4Addr::from_bits(first + 1),
            inside: Ipv4Addr::from_bits(first + 2),
        };
        let Self { name, here, inside } = &namespace;
        // The kernel takes names of 15 characters at most.
        let (link, peer) = (format!("sm{pid}h{made}"), format!("sm{pid}n{made}"));
        let is_made = ip(&["netns", "add", name])
            && ip(&["link", "add", &link, "type", "veth", "peer", "name", &peer, "netns", name])
            && ip(&["address", "add", &format!("{here}/30"), "dev", &link])
            && ip(&["link", "set", &link, "up"])
            && namespace.ip(&["address", "add", &format!("{inside}/30"), "dev", &peer])
            && namespace.ip(&["link", "set", &peer, "up"])
            && namespace.ip(&["link", "set", "lo", "up"]);
        is_made.then_some(namespace)
    }

    /// Return the address by which this machine reaches the namespace.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.inside
    }

    /// Return a command that runs a program in the namespace, as this user and group.
    #[must_use]
    pub fn command(&self, program: &Path, user: u32) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name));
        command.args(["--setuid", &user.to_string(), "--setgid", &user.to_string(), "--"]);
        command.arg(program).current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }

    /// Let every packet between the namespace and this machine disappear, without a word to either.
    pub fn cut_off(&self) {
        assert!(self.ip(&["route", "add", "blackhole", &format!("{}/32", self.here)]));
    }

    /// Let packets pass again.
    pub fn join(&self) {
        assert!(self.ip(&["route", "del", "blackhole", &format!("{}/32", self.here)]));
    }

    fn ip(&self, arguments: &[&str]) -> bool {
        ip(&[&["-n", &self.name], arguments].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of the link goes with it, and so does the other one.
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let mut ip = Command::new("ip");
    let ran = ip.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}
