//! Real PostgreSQL in a temporary folder: a primary on loopback, on request with a synchronous
//! standby.
//!
//! PostgreSQL refuses to run as root; then its processes run as `nobody`, whose the folder is.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

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
    /// The address at which it listens.
    host: Ipv4Addr,
    port: u16,
    process: Child,
    databases: AtomicU32,
    /// What was written before, when it is kept.
    archive: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Start a primary. Return `None` if PostgreSQL is not on this machine. `durable` says whether
    /// commits reach the disk.
    pub fn start(durable: bool) -> Option<Self> {
        Self::make(&[if durable { "fsync=on" } else { "fsync=off" }], None, |_| ())
    }

    /// Start a primary with these settings, too.
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        Self::make(&[&["fsync=off"], settings].concat(), None, |_| ())
    }

    /// Start a primary that offers TLS with this certificate and its key.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Option<Self> {
        Self::make(&["fsync=off", "ssl=on"], None, |data| {
            for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
                let to = data.join(name);
                std::fs::copy(from, &to).expect("the folder is writable");
                std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600))
                    .expect("it is ours");
                give_away(&to);
            }
        })
    }

    /// Start a primary that archives what it writes, so that a copy of it can be brought to any
    /// point in time.
    pub fn start_archiving() -> Option<Self> {
        let archive = own_folder();
        let command = format!("archive_command=cp %p {}/%f", archive.path().display());
        let mut cluster = Self::start_with(&["archive_mode=on", &command])?;
        cluster.archive = Some(archive);
        Some(cluster)
    }

    /// Copy all files, as a nightly backup does.
    pub fn base_backup(&self) -> tempfile::TempDir {
        let folder = own_folder();
        let mut copy = command(&self.programs, "pg_basebackup");
        copy.args(self.address()).args(["--checkpoint", "fast", "--no-sync", "--pgdata"]);
        succeed(copy.arg(folder.path().join("data")));
        folder
    }

    /// Name this point in time, and wait until the archive has everything before it.
    pub fn name_point(&self, name: &str) {
        self.sql("postgres", &format!("SELECT pg_create_restore_point('{name}')"));
        let file = self.sql("postgres", "SELECT pg_walfile_name(pg_switch_wal())");
        let archive = self.archive.as_ref().expect("it archives").path().join(file.trim());
        let begun = Instant::now();
        while !archive.exists() {
            assert!(begun.elapsed() < PATIENCE, "{} is not archived", archive.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Start a primary from a backup of this one, with everything up to a named point in time.
    pub fn restored_to(&self, point: &str, backup: tempfile::TempDir) -> Self {
        let archive = self.archive.as_ref().expect("it archives").path().display();
        let data = backup.path().join("data");
        std::fs::write(data.join("recovery.signal"), "").expect("the folder is writable");
        give_away(&data.join("recovery.signal"));
        let (command, point) = (
            format!("restore_command=cp {archive}/%f %p"),
            format!("recovery_target_name={point}"),
        );
        let settings = ["fsync=off", &command, &point, "recovery_target_action=promote"];
        let restored = Self::run(self.programs.clone(), backup, data, &settings, None);
        let begun = Instant::now();
        while !restored.roles().is_primary() {
            assert!(begun.elapsed() < PATIENCE, "it does not recover: {}", restored.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        restored
    }

    fn make(
        settings: &[&str],
        namespace: Option<&Namespace>,
        prepare: impl FnOnce(&Path),
    ) -> Option<Self> {
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
        Some(Self::run(programs, folder, data, settings, namespace))
    }

    /// Start a primary that commits only what its standby has, too, and that standby.
    pub fn start_pair() -> Option<(Self, Self)> {
        Self::start(false)?.with_standby()
    }

    /// The same, with the primary in a namespace of its own, and the standby here.
    pub fn start_pair_apart(namespace: &Namespace) -> Option<(Self, Self)> {
        let trust = "host all all 198.18.0.0/15 trust\nhost replication all 198.18.0.0/15 trust\n";
        let primary = Self::make(&["fsync=off"], Some(namespace), |data| {
            let file = data.join("pg_hba.conf");
            let rules = std::fs::read_to_string(&file).expect("initdb has made it");
            std::fs::write(&file, rules + trust).expect("the folder is writable");
        })?;
        primary.with_standby()
    }

    fn with_standby(self) -> Option<(Self, Self)> {
        let primary = self;
        let folder = own_folder();
        let data = folder.path().join("data");
        let mut copy = command(&primary.programs, "pg_basebackup");
        copy.args(primary.address());
        copy.args([
            "--write-recovery-conf",
            "--wal-method",
            "stream",
            "--checkpoint",
            "fast",
            "--no-sync",
        ]);
        succeed(copy.arg("--pgdata").arg(&data));
        let standby = Self::run(primary.programs.clone(), folder, data, &["fsync=off"], None);
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

    fn run(
        programs: PathBuf,
        folder: tempfile::TempDir,
        data: PathBuf,
        settings: &[&str],
        namespace: Option<&Namespace>,
    ) -> Self {
        let port = free_port();
        let (mut postgres, host) = match namespace {
            None => (command(&programs, "postgres"), Ipv4Addr::LOCALHOST),
            Some(apart) => (apart.command(&programs.join("postgres"), NOBODY), apart.address()),
        };
        postgres
            .arg("-D")
            .arg(&data)
            .args(["-h", &host.to_string(), "-p", &port.to_string()])
            .arg("-k")
            .arg(folder.path());
        for setting in settings.iter().chain(&["max_connections=300", "shared_buffers=128MB"]) {
            postgres.args(["-c", setting]);
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("the folder is writable");
        let process = postgres.stdout(Stdio::null()).stderr(log).spawn().expect("postgres starts");
        let databases = AtomicU32::new(0);
        let cluster =
            Self { programs, folder, data, host, port, process, databases, archive: None };
        let begun = Instant::now();
        while !cluster.answers() {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", cluster.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        cluster
    }

    /// Return the URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}:{}/{database}?sslmode=disable", self.host, self.port)
    }

    /// Return the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Return the URL of a database on whichever of the two can be written.
    pub fn url_of_pair(&self, other: &Self, database: &str) -> String {
        let at = |cluster: &Self| format!("{}:{}", cluster.host, cluster.port);
        let (one, two) = (at(self), at(other));
        format!("postgres://{USER}@{one},{two}/{database}?sslmode=disable")
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
        psql.args(self.address());
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
        let at = |program: &str, cluster: &Self| {
            let mut command = command(&self.programs, program);
            command.args(cluster.address());
            command
        };
        succeed(at("pg_dump", self).arg("--file").arg(&file).arg(database));
        succeed(at("psql", other).args(["--quiet", "--file"]).arg(&file).arg(into));
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

    /// Return what can tell whether it is the primary.
    #[must_use]
    pub fn roles(&self) -> Roles {
        Roles { psql: self.programs.join("psql"), address: self.address() }
    }

    /// Return the arguments by which PostgreSQL's programs reach it.
    fn address(&self) -> [String; 6] {
        let (host, port) = (self.host.to_string(), self.port.to_string());
        ["--host".into(), host, "--port".into(), port, "--username".into(), USER.into()]
    }

    fn answers(&self) -> bool {
        let mut ready = command(&self.programs, "pg_isready");
        ready.args(&self.address()[..4]);
        ready.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Whether a cluster is the primary.
#[derive(Debug)]
pub struct Roles {
    psql: PathBuf,
    address: [String; 6],
}

impl Roles {
    /// Ask the cluster. A cluster that cannot be asked is none.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        let mut psql = as_nobody(&self.psql);
        psql.args(&self.address).env("PGCONNECT_TIMEOUT", "2");
        psql.args(["--no-psqlrc", "-At", "-c", "SELECT NOT pg_is_in_recovery()", "postgres"]);
        psql.output().is_ok_and(|output| output.stdout.starts_with(b"t"))
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

/// Return a program of the system, if it is on this machine.
pub(crate) fn found(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
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
