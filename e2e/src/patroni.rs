//! Patroni with three nodes of PostgreSQL, etcd, and HAProxy before them, as operators run it. All
//! are on loopback, in temporary folders.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::balancer::Balancer;
use crate::postgres::{
    as_nobody, children_of, found, free_port, give_away, own_folder, programs, signal,
};

/// After so many seconds without a word, a primary has lost its lead.
pub const TTL_SECONDS: u64 = 20;

/// Bound on every wait.
const PATIENCE: Duration = Duration::from_secs(180);

const NODES: usize = 3;

/// The whole set-up. It ends when it is dropped.
#[derive(Debug)]
pub struct Patroni {
    etcd: Child,
    nodes: Vec<Node>,
    haproxy: Balancer,
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Node {
    name: String,
    patroni: Option<Child>,
    settings: PathBuf,
    data: PathBuf,
    port: u16,
    api: u16,
}

impl Patroni {
    /// Start it. Return the name of the program that is missing, if one is.
    ///
    /// # Errors
    /// Returns the name.
    pub fn start() -> Result<Self, &'static str> {
        let bin = programs().ok_or("initdb (postgresql)")?;
        let patroni = found("patroni").ok_or("patroni")?;
        let etcd = found("etcd").ok_or("etcd (etcd-server)")?;
        let haproxy = Balancer::program().ok_or("haproxy")?;
        let folder = own_folder();
        let (client, peer) = (free_port(), free_port());
        let etcd = start_etcd(&etcd, folder.path(), client, peer);
        let mut nodes: Vec<Node> =
            (0..NODES).map(|n| Node::make(folder.path(), n, client, &bin)).collect();
        // The first node makes the data, and the others copy it.
        nodes[0].run(&patroni);
        let begun = Instant::now();
        until(begun, "the first node is no primary", || nodes[0].is_primary());
        for node in &mut nodes[1..] {
            node.run(&patroni);
        }
        let ports: Vec<(u16, u16)> = nodes.iter().map(|node| (node.port, node.api)).collect();
        let haproxy = Balancer::start(&haproxy, &ports);
        let set_up = Self { etcd, nodes, haproxy, _folder: folder };
        until(begun, "the standbys do not follow", || set_up.is_whole());
        Ok(set_up)
    }

    /// Return the URL of a database by way of HAProxy.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.haproxy.url(database)
    }

    /// Return the URL of a database with all nodes.
    #[must_use]
    pub fn url_of_nodes(&self, database: &str) -> String {
        let hosts: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("postgres://seatmeter@{}/{database}?sslmode=disable", hosts.join(","))
    }

    /// Return the number of the primary, once there is one.
    #[must_use]
    pub fn primary(&self) -> usize {
        let begun = Instant::now();
        let mut primary = None;
        until(begun, "there is no primary", || {
            primary = self.nodes.iter().position(Node::is_primary);
            primary.is_some()
        });
        primary.expect("the wait has found it")
    }

    /// Kill a node, PostgreSQL and Patroni, as when its machine dies.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].signal("-KILL");
        if let Some(mut patroni) = self.nodes[node].patroni.take() {
            let _ = patroni.wait();
        }
    }

    /// Stop a node, PostgreSQL and Patroni, as when its machine hangs.
    pub fn freeze(&self, node: usize) {
        self.nodes[node].signal("-STOP");
    }

    /// Let a node run again.
    pub fn resume(&self, node: usize) {
        self.nodes[node].signal("-CONT");
    }

    /// Give the lead to another node.
    pub fn switch_over(&self, from: usize) {
        let body = format!("{{\"leader\":\"{}\"}}", self.nodes[from].name);
        let url = format!("http://127.0.0.1:{}/switchover", self.nodes[from].api);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-X", "POST", "-H", "content-type: application/json", "-d", &body, &url]);
        let _ = curl.stdout(Stdio::null()).status();
    }

    /// Start killed nodes again, and wait until all follow.
    pub fn heal(&mut self) {
        let patroni = found("patroni").expect("it was there at the start");
        for node in &mut self.nodes {
            if node.patroni.is_none() {
                node.run(&patroni);
            }
        }
        until(Instant::now(), "the nodes do not come back", || self.is_whole());
    }

    /// Return whether there is a primary with a synchronous standby, and all nodes run.
    fn is_whole(&self) -> bool {
        self.nodes.iter().filter(|node| node.is_primary()).count() == 1
            && self.nodes.iter().any(|node| node.answers("/sync"))
            && self.nodes.iter().all(|node| node.answers("/health"))
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.signal("-CONT");
        }
        for node in &mut self.nodes {
            if let Some(mut patroni) = node.patroni.take() {
                let _ = patroni.kill();
                let _ = patroni.wait();
            }
            node.signal("-KILL");
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

impl Node {
    fn make(folder: &Path, number: usize, etcd: u16, bin: &Path) -> Self {
        let name = format!("node{number}");
        let home = folder.join(&name);
        std::fs::create_dir(&home).expect("the folder is writable");
        give_away(&home);
        let (data, port, api) = (home.join("data"), free_port(), free_port());
        let settings = home.join("patroni.yml");
        let text = SETTINGS
            .replace("NAME", &name)
            .replace("API", &api.to_string())
            .replace("ETCD", &etcd.to_string())
            .replace("PORT", &port.to_string())
            .replace("TTL", &TTL_SECONDS.to_string())
            .replace("DATA", &data.display().to_string())
            .replace("HOME", &home.display().to_string())
            .replace("BIN", &bin.display().to_string());
        std::fs::write(&settings, text).expect("the folder is writable");
        Self { name, patroni: None, settings, data, port, api }
    }

    fn run(&mut self, patroni: &Path) {
        let log = self.settings.with_extension("log");
        let log = std::fs::File::create(log).expect("the folder is writable");
        let mut command = as_nobody(patroni);
        command.arg(&self.settings).stdout(Stdio::null()).stderr(log);
        self.patroni = Some(command.spawn().expect("patroni starts"));
    }

    fn is_primary(&self) -> bool {
        self.answers("/primary")
    }

    fn answers(&self, path: &str) -> bool {
        let url = format!("http://127.0.0.1:{}{path}", self.api);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-f", "-m", "1", "-o", "/dev/null", &url]);
        curl.status().is_ok_and(|status| status.success())
    }

    /// Send a signal to Patroni first, so that it does not start PostgreSQL again.
    fn signal(&self, name: &str) {
        let mut pids: Vec<u32> = self.patroni.iter().map(Child::id).collect();
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        if let Some(postmaster) = file.lines().next().and_then(|line| line.trim().parse().ok()) {
            pids.push(postmaster);
            pids.extend(children_of(postmaster));
        }
        pids.into_iter().for_each(|pid| signal(pid, name));
    }
}

fn start_etcd(program: &Path, folder: &Path, client: u16, peer: u16) -> Child {
    let at = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = as_nobody(program);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &at(client), "--advertise-client-urls", &at(client)]);
    command.args(["--listen-peer-urls", &at(peer), "--initial-advertise-peer-urls", &at(peer)]);
    command.arg("--initial-cluster").arg(format!("default={}", at(peer)));
    let log = std::fs::File::create(folder.join("etcd.log")).expect("the folder is writable");
    command.stdout(Stdio::null()).stderr(log).spawn().expect("etcd starts")
}

fn until(begun: Instant, what: &str, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

const SETTINGS: &str = "scope: seatmeter
name: NAME
restapi: {listen: '127.0.0.1:API', connect_address: '127.0.0.1:API'}
etcd3: {host: '127.0.0.1:ETCD'}
bootstrap:
  dcs:
    ttl: TTL
    loop_wait: 2
    retry_timeout: 5
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    failsafe_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {max_connections: 60, shared_buffers: 64MB, fsync: 'off', wal_log_hints: 'on'}
  initdb: [{encoding: UTF8}, {locale: C}, {auth: trust}]
postgresql:
  listen: 127.0.0.1:PORT
  connect_address: 127.0.0.1:PORT
  data_dir: DATA
  bin_dir: BIN
  pgpass: HOME/pgpass
  pg_hba:
    - local all all trust
    - host all all 127.0.0.1/32 trust
    - host replication all 127.0.0.1/32 trust
  authentication:
    superuser: {username: seatmeter, password: none}
    replication: {username: copier, password: none}
    rewind: {username: seatmeter, password: none}
  parameters: {unix_socket_directories: HOME}
";
