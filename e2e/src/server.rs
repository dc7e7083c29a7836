//! A license server as its operator starts it: the real program, in a folder and on a port of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The handshake code of the demo licence.
pub const DEMO_CODE: &str = "DEMO-4-SEATS";

/// A running server. It is killed, by its process id, when this is dropped.
pub struct Server {
    folder: TempDir,
    process: Child,
    url: String,
}

impl Server {
    /// Starts a server with the demo licence: four concurrent instances.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with_demo_license() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = command(folder.path(), &["init", "--demo"]).output().expect("seatmeterd runs");
        assert!(output.status.success(), "init failed: {}", String::from_utf8_lossy(&output.stderr));
        let (process, url) = serve(folder.path(), "127.0.0.1:0");
        Self { folder, process, url }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it the hard way.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.process.kill().expect("own child");
        self.process.wait().expect("own child");
    }

    /// Starts it again after [`Self::kill`], on the same folder and port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        (self.process, self.url) = serve(self.folder.path(), &address);
    }

    /// What it has recorded, as rows of the export.
    ///
    /// # Panics
    /// When the export fails.
    #[must_use]
    pub fn usage(&self) -> Vec<Value> {
        let output = command(self.folder.path(), &["usage", "export", "--format", "json"])
            .output()
            .expect("seatmeterd runs");
        assert!(output.status.success(), "export failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout)
            .expect("the export is JSON")
            .as_array()
            .expect("of rows")
            .clone()
    }

    /// Sum of all totals of a kind ("scan", "image").
    #[must_use]
    pub fn recorded(&self, kind: &str) -> u64 {
        self.usage().iter().filter(|row| row["kind"] == kind).filter_map(|row| row["total"].as_u64()).sum()
    }

    /// What `seatmeterd usage show` prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn usage_for_people(&self) -> String {
        self.operate(&["usage", "show"])
    }

    /// What a command on the server's data prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn operate(&self, arguments: &[&str]) -> String {
        let output = command(self.folder.path(), arguments).output().expect("seatmeterd runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Server {
    /// What `seatmeterd doctor seats` prints for a device.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn doctor_seats(&self, state: &Path) -> String {
        let mut command = Command::new(binary());
        let output =
            command.args(["doctor", "seats", "--state-dir"]).arg(state).output().expect("seatmeterd runs");
        assert!(output.status.success(), "doctor failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(data: &Path, listen: &str) -> (Child, String) {
    let mut process = command(data, &["serve", "--listen", listen])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("seatmeterd runs");
    let mut line = String::new();
    let output = process.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("the server says where it listens");
    let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(url.starts_with("http://"), "the server did not start: {line:?}");
    (process, url)
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--data").arg(data);
    command
}

/// The server program: what `SEATMETERD` says, or a fresh build.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("SEATMETERD") {
            return PathBuf::from(path);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "-p", "seatmeter-server"])
            .current_dir(crate::root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the server does not build");
        // The test's binary is in target/debug/deps, the server's in target/debug.
        crate::build_folder().parent().expect("deps is in a folder").join("seatmeterd")
    })
}
