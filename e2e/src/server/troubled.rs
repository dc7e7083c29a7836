//! A license server in trouble: its disk can be filled, its clock set, its certificate renewed, its
//! data put back, and its process killed, all while it serves.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Server, ShiftedClock, address, command, text_of, text_of_command};

/// The address at which the system chooses the port.
const ANY_PORT: &str = "127.0.0.1:0";

/// A server with TLS and plain HTTP, whose data is on a disk of its own.
pub struct TroubledServer {
    server: Server,
    /// The URL with plain HTTP. That of `server` has TLS.
    plain: String,
    disk: PathBuf,
    backups: u64,
}

impl TroubledServer {
    /// Start a server with a license for these items, as [`Server::with_items`] does. Its data is
    /// on this disk.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    #[must_use]
    pub fn with_items(items: &Value, disk: &Path) -> Self {
        let mut server = Server::with_items(items);
        server.kill();
        let data = disk.join("data");
        text_of_command(Command::new("cp").arg("-a").arg(&server.data).arg(&data));
        server.data = data;
        server.clock = Some(ShiftedClock::make(server.folder.path()));
        server.renew_certificate();
        let plain = format!("http://{ANY_PORT}");
        server.url = format!("https://{ANY_PORT}");
        let mut troubled = Self { server, plain, disk: disk.to_owned(), backups: 0 };
        troubled.start_again();
        troubled
    }

    /// Start the server again after [`Self::kill`], on the same ports.
    ///
    /// # Panics
    /// Panics when the server does not start.
    pub fn start_again(&mut self) {
        let server = &self.server;
        let file = |name: &str| server.folder.path().join("tls").join(name);
        let clock = server.clock.as_ref().expect("it was made with a clock");
        let log = File::options().append(true).create(true).open(self.log_file());
        let mut process = command(&server.data, &["serve"])
            .args(["--listen", &server.url, "--listen", &self.plain])
            .arg("--tls-cert")
            .arg(file("server.pem"))
            .arg("--tls-key")
            .arg(file("server.key"))
            .env("LD_PRELOAD", &clock.library)
            .env("SHIFTED_CLOCK", &clock.ahead)
            .stdout(Stdio::piped())
            .stderr(log.expect("a temporary file"))
            .spawn()
            .expect("seatmeterd runs");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut url = || {
            let line = lines.next().and_then(Result::ok).unwrap_or_else(|| {
                let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
                panic!("the server did not start: {log}");
            });
            line.rsplit(' ').next().unwrap_or_default().to_owned()
        };
        (self.server.url, self.plain) = (url(), url());
        self.server.process = process;
    }

    /// Kill the server by SIGKILL.
    ///
    /// # Panics
    /// Panics when the server cannot be killed.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Return the URL with TLS.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Return the URL with plain HTTP.
    #[must_use]
    pub fn plain_url(&self) -> &str {
        &self.plain
    }

    /// Return the path of the authority of its certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.server.ca_file()
    }

    /// Return the path of its certificate.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.server.folder.path().join("tls/server.pem")
    }

    /// Return the path of its log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.server.folder.path().join("log")
    }

    /// Renew the certificate, and tell the server by SIGHUP.
    ///
    /// # Panics
    /// Panics when it cannot be made.
    pub fn renew_certificate(&self) {
        self.server.renew_certificate();
        let pid = self.server.pid().to_string();
        text_of_command(Command::new("kill").args(["-HUP", &pid]));
    }

    /// Set the clock so many seconds ahead of the true time.
    ///
    /// # Panics
    /// Panics when the file of the clock cannot be written.
    pub fn set_ahead(&self, seconds: i64) {
        self.server.clock.as_ref().expect("it was made with a clock").set(seconds);
    }

    /// Accept the clock as an operator does, whose commands have the clock of the server. While
    /// the disk is full, try again for some seconds: the server gives room back with its next
    /// checkpoint.
    ///
    /// # Panics
    /// Panics when the command fails.
    pub fn accept_clock(&self) {
        let clock = self.server.clock.as_ref().expect("it was made with a clock");
        let mut accept = command(&self.server.data, &["clock", "accept"]);
        accept.env("LD_PRELOAD", &clock.library).env("SHIFTED_CLOCK", &clock.ahead);
        for _ in 0..20 {
            let output = accept.output().expect("it runs");
            if output.status.success() || !String::from_utf8_lossy(&output.stderr).contains("full")
            {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
        text_of(accept);
    }

    /// Fill the disk to its last byte.
    ///
    /// # Panics
    /// Panics when that fails for another reason than a full disk.
    pub fn fill_disk(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file on the disk");
        // A disk of some megabytes is full after far fewer pages than this.
        for _ in 0..1 << 20 {
            match ballast.write_all(&[1; 4_096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("the disk cannot be filled: {error}"),
            }
        }
        panic!("the disk is too large to be filled");
    }

    /// Make room on the disk.
    ///
    /// # Panics
    /// Panics when the ballast cannot be removed.
    pub fn free_disk(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    fn ballast(&self) -> PathBuf {
        self.disk.join("ballast")
    }

    /// Make a backup while the server runs.
    ///
    /// # Panics
    /// Panics when the command fails.
    #[must_use]
    pub fn back_up(&mut self) -> PathBuf {
        self.backups += 1;
        let file = self.server.folder.path().join(format!("backup-{}", self.backups));
        self.server.operate(&["backup", file.to_str().expect("a temporary path is text")]);
        file
    }

    /// Kill the server, restore a backup in the place of its data, and start it again.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    pub fn restore(&mut self, backup: &Path) {
        self.kill();
        std::fs::remove_dir_all(&self.server.data).expect("a temporary folder");
        let mut restore = command(&self.server.data, &["restore"]);
        restore.arg(backup);
        text_of(restore);
        self.start_again();
    }

    /// Return the recorded usage, as rows of the export.
    ///
    /// # Panics
    /// Panics when the export fails.
    #[must_use]
    pub fn usage(&self) -> Vec<Value> {
        self.server.usage()
    }

    /// Return the rows of `seatmeterd device list`: the devices that hold a seat.
    ///
    /// # Panics
    /// Panics when the command fails.
    #[must_use]
    pub fn holders(&self) -> Vec<Value> {
        let rows = self.server.operate(&["device", "list"]);
        serde_json::from_str(&rows).expect("a list")
    }

    /// Return the host and port of the address with TLS.
    #[must_use]
    pub fn tls_address(&self) -> &str {
        address(&self.server.url)
    }

    /// Return a command of the program on the server's data.
    #[must_use]
    pub fn operate(&self, arguments: &[&str]) -> String {
        self.server.operate(arguments)
    }
}
