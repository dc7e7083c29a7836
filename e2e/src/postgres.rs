//! Real PostgreSQL in a temporary folder: a primary on loopback, on request with a synchronous
//! standby.
//!
//! PostgreSQL refuses to run as root; then its processes run as `nobody`, whose the folder is.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Bound on every wait for a process.
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's user and group without rights.
const NOBODY: u32 = 65_534;

const USER: &str = "seatmeter";

/// Return the folder with the programs of PostgreSQL, if they are on this machine.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let by_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let mut folders: Vec<PathBuf> = by_path;
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut packaged: Vec<_> =
            versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        packaged.sort();
        folders.extend(packaged.into_iter().rev());
    }
    let all = ["initdb", "postgres", "pg_ctl", "pg_basebackup", "pg_isready", "psql"];
    folders.into_iter().find(|folder| all.iter().all(|name| folder.join(name).is_file()))
}

/// A server of PostgreSQL. It ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
    data: PathBuf,
    port: u16,
    process: Child,
    databases: AtomicU32,
}

impl Cluster {
    /// Start a primary. Return `None` if PostgreSQL is not on this machine. `durable` says whether
    /// commits reach the disk.
    pub fn start(durable: bool) -> Option<Self> {
        Self::make(&[if durable { "fsync=on" } else { "fsync=off" }], |_| ())
    }

    /// Start a primary with these settings, too.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        Self::make(&[&["fsync=off"], settings].concat(), |_| ())
    }

    /// Start a primary that offers TLS with this certificate and its key.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Option<Self> {
        Self::make(&["fsync=off", "ssl=on"], |data| {
            for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
                let to = data.join(name);
                std::fs::copy(from, &to).expect("the folder is writable");
                std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600))
                    .expect("it is ours");
                give_away(&to);
            }
        })
    }

    fn make(settings: &[&str], prepare: impl FnOnce(&Path)) -> Option<Self> {
        let programs = programs()?;
        let folder = own_folder();
        let data = folder.path().join("data");
        let mut initdb = command(&programs, "initdb");
        initdb.args([
            "--username",
            USER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--no-sync",
        ]);
        succeed(initdb.arg("--pgdata").arg(&data));
        prepare(&data);
        Some(Self::run(programs, folder, data, settings))
    }

    /// Start a primary that commits only what its standby has, too, and that standby.
    pub fn start_pair() -> Option<(Self, Self)> {
        let primary = Self::start(false)?;
        let folder = own_folder();
        let data = folder.path().join("data");
        let mut copy = command(&primary.programs, "pg_basebackup");
        copy.args(["--host", "127.0.0.1", "--port", &primary.port.to_string(), "--username", USER]);
        copy.args([
            "--write-recovery-conf",
            "--wal-method",
            "stream",
            "--checkpoint",
            "fast",
            "--no-sync",
        ]);
        succeed(copy.arg("--pgdata").arg(&data));
        let standby = Self::run(primary.programs.clone(), folder, data, &["fsync=off"]);
        // Not in a file, which the standby would have a copy of when it is promoted.
        let name = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        primary.sql("postgres", name);
        primary.sql("postgres", "SELECT pg_reload_conf()");
        let begun = Instant::now();
        let state = "SELECT sync_state FROM pg_stat_replication";
        while primary.sql("postgres", state).trim() != "sync" {
            assert!(begun.elapsed() < PATIENCE, "the standby does not follow");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some((primary, standby))
    }

    fn run(programs: PathBuf, folder: tempfile::TempDir, data: PathBuf, settings: &[&str]) -> Self {
        let port = free_port();
        let mut postgres = command(&programs, "postgres");
        postgres
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .arg("-k")
            .arg(folder.path());
        for setting in settings.iter().chain(&["max_connections=300", "shared_buffers=128MB"]) {
            postgres.args(["-c", setting]);
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("the folder is writable");
        let process = postgres.stdout(Stdio::null()).stderr(log).spawn().expect("postgres starts");
        let cluster = Self { programs, folder, data, port, process, databases: AtomicU32::new(0) };
        let begun = Instant::now();
        while !cluster.answers() {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", cluster.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster
    }

    /// Return the URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Return the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Return the URL of a database on whichever of the two can be written.
    pub fn url_of_pair(&self, other: &Self, database: &str) -> String {
        let (one, two) = (self.port, other.port);
        format!("postgres://{USER}@127.0.0.1:{one},127.0.0.1:{two}/{database}?sslmode=disable")
    }

    /// Make an empty database, and return its name.
    pub fn new_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Run a statement by the means of PostgreSQL itself, and return its answer without headings.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = command(&self.programs, "psql");
        psql.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER]);
        let output = succeed(psql.args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "-c",
            statement,
            database,
        ]));
        String::from_utf8(output.stdout).expect("psql writes UTF-8")
    }

    /// Copy a database into an empty one of another cluster, by the means of PostgreSQL itself.
    pub fn dump_into(&self, database: &str, other: &Self, into: &str) {
        let file = self.folder.path().join(format!("{database}.sql"));
        let at = |program: &str, port: u16| {
            let mut command = command(&self.programs, program);
            let port = port.to_string();
            command.args(["--host", "127.0.0.1", "--port", &port, "--username", USER]);
            command
        };
        succeed(at("pg_dump", self.port).arg("--file").arg(&file).arg(database));
        succeed(at("psql", other.port).args(["--quiet", "--file"]).arg(&file).arg(into));
    }

    /// Kill all its processes at once, as when its machine dies.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.process.wait().expect("it is our child");
    }

    /// Stop all its processes, as when its machine hangs: the kernel still accepts connections.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Let all its processes run again.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let children = children_of(self.process.id());
        std::iter::once(self.process.id()).chain(children).for_each(|pid| signal(pid, name));
    }

    /// Make a primary of a standby.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true)");
    }

    fn answers(&self) -> bool {
        let mut ready = command(&self.programs, "pg_isready");
        ready.args(["--host", "127.0.0.1", "--port", &self.port.to_string()]);
        ready.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A frozen process would not end.
        self.resume();
        let mut stop = command(&self.programs, "pg_ctl");
        stop.arg("stop").arg("-D").arg(&self.data).args(["-m", "immediate", "-s"]);
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A folder that is the user's under whom PostgreSQL runs.
pub(crate) fn own_folder() -> tempfile::TempDir {
    let folder =
        tempfile::Builder::new().prefix("seatmeter-pg-").tempdir().expect("a folder can be made");
    give_away(folder.path());
    folder
}

/// What root has made is to be that user's.
pub(crate) fn give_away(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may do that");
    }
}

fn command(programs: &Path, name: &str) -> Command {
    as_nobody(&programs.join(name))
}

/// A program as a user without rights, if this user is root.
pub(crate) fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Return a port of this machine that nobody uses now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Send a signal, such as `-KILL`, to a process that may have ended.
pub(crate) fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("kill");
    let sent = kill.args([name, &pid.to_string()]).stderr(Stdio::null()).status();
    sent.expect("kill is there");
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1).is_some_and(|ppid| ppid == parent.to_string())
    })
    .collect()
}
