//! PgBouncer before a cluster of PostgreSQL, where it is on this machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::postgres::{Cluster, as_nobody, free_port, own_folder};

/// Where Debian has it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];

const PATIENCE: Duration = Duration::from_secs(60);

/// A pooler. It ends when it is dropped.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Start one before this cluster, in this mode (`session`, `transaction` or `statement`), with
    /// so many sessions. Return `None` if PgBouncer is not on this machine.
    #[must_use]
    pub fn start(cluster: &Cluster, mode: &str, sessions: u32) -> Option<Self> {
        let program = PROGRAMS.iter().map(Path::new).find(|path| path.is_file())?;
        let folder = own_folder();
        let port = free_port();
        let settings: PathBuf = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=seatmeter\n[pgbouncer]\nlisten_addr = \
             127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = \
             {mode}\ndefault_pool_size = {sessions}\nmax_client_conn = 200\n",
            cluster.port()
        );
        std::fs::write(&settings, text).expect("the folder is writable");
        let mut command = as_nobody(program);
        command.arg("--quiet").arg(&settings).stdout(Stdio::null());
        let log = std::fs::File::create(folder.path().join("log")).expect("it is writable");
        let process = command.stderr(log).spawn().expect("pgbouncer starts");
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "pgbouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { port, process, _folder: folder })
    }

    /// Return the URL of a database by way of the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://seatmeter@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
