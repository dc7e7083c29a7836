//! HAProxy before the nodes of a database, by the sample in `deploy/`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::postgres::{Roles, as_nobody, found, free_port, own_folder};

/// HAProxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Balancer {
    port: u16,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Balancer {
    /// Return the program, if it is on this machine.
    #[must_use]
    pub fn program() -> Option<PathBuf> {
        found("haproxy")
    }

    /// Start it before these nodes: each has the port of PostgreSQL, and that of an HTTP server
    /// which answers `OPTIONS /primary` with 200 while the node is the primary.
    ///
    /// # Panics
    /// Panics when HAProxy cannot be started.
    #[must_use]
    pub fn start(program: &std::path::Path, nodes: &[(u16, u16)]) -> Self {
        let (folder, port) = (own_folder(), free_port());
        let servers: String = nodes
            .iter()
            .enumerate()
            .map(|(n, (port, check))| {
                format!("    server node{n} 127.0.0.1:{port} check port {check}\n")
            })
            .collect();
        let sample = include_str!("../../deploy/haproxy-postgres.cfg");
        let head = sample.split("    server ").next().expect("it begins with something");
        let text = head.replace("bind :5432", &format!("bind 127.0.0.1:{port}")) + &servers;
        let settings = folder.path().join("haproxy.cfg");
        std::fs::write(&settings, text).expect("the folder is writable");
        let mut command = as_nobody(program);
        command.arg("-f").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("haproxy starts");
        Self { port, process, _folder: folder }
    }

    /// Return the URL of a database by way of HAProxy.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://seatmeter@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What Patroni's REST API says of a cluster that has no Patroni: whether it is the primary. It
/// ends when it is dropped.
#[derive(Debug)]
pub struct RoleApi {
    port: u16,
    is_ended: Arc<AtomicBool>,
}

impl RoleApi {
    /// Answer for a cluster. A cluster that hangs lets the answer hang, too.
    ///
    /// # Panics
    /// Panics when there is no free port.
    #[must_use]
    pub fn start(roles: Roles) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let is_ended = Arc::new(AtomicBool::new(false));
        let (ended, roles) = (is_ended.clone(), Arc::new(roles));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let roles = roles.clone();
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    lines.take_while(|line| !line.is_empty()).for_each(drop);
                    let status = match roles.is_primary() {
                        true => "200 OK",
                        false => "503 Service Unavailable",
                    };
                    let head = format!("HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n");
                    let _ = (&stream).write_all(head.as_bytes());
                });
            }
        });
        Self { port, is_ended }
    }

    /// Return the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for RoleApi {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::SeqCst);
        // The thread waits for a connection.
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
    }
}
