//! A license server as its operator starts it: the real program, in a folder and on a port of its
//! own.

mod troubled;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use troubled::TroubledServer;

use crate::program::{Run, run};

/// The handshake code of the demo license.
pub const DEMO_CODE: &str = "DEMO-4-SEATS";

/// The bound on every wait for a server.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. Dropping this kills it, by its process id.
pub struct Server {
    /// The folder, which is removed with this.
    folder: TempDir,
    data: PathBuf,
    /// The settings with which it is started, in addition to data and address.
    settings: Vec<String>,
    process: Child,
    url: String,
    /// The clock of the server, if the test can set it.
    clock: Option<ShiftedClock>,
}

/// A clock that a test sets for a running server: a library preloaded into it, and the file with
/// its shift.
struct ShiftedClock {
    library: PathBuf,
    ahead: PathBuf,
}

impl ShiftedClock {
    fn make(folder: &Path) -> Self {
        let library = folder.join("shifted_clock.so");
        let mut compile = Command::new("cc");
        compile
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&library);
        text_of_command(compile.arg(crate::root().join("tests/c/shifted_clock.c")));
        let clock = Self { library, ahead: folder.join("ahead") };
        clock.set(0);
        clock
    }

    fn set(&self, seconds: i64) {
        // Replace the file by renaming: the server may be reading it now.
        let next = self.ahead.with_extension("next");
        std::fs::write(&next, seconds.to_string()).expect("a temporary file");
        std::fs::rename(&next, &self.ahead).expect("a temporary file");
    }
}

impl Server {
    /// Start a server with the demo license: four concurrent instances.
    ///
    /// # Panics
    /// Panics when the server does not start.
    #[must_use]
    pub fn with_demo_license() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let output = command(&data, &["init", "--demo"]).output().expect("seatmeterd runs");
        assert!(
            output.status.success(),
            "init failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (process, url) = serve(&data, "127.0.0.1:0", &[], None);
        Self { folder, data, settings: Vec::new(), process, url, clock: None }
    }

    /// Start the same server with TLS, by the certificate that `seatmeterd tls self-signed` makes.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    #[must_use]
    pub fn with_demo_license_and_tls() -> Self {
        let mut server = Self::with_demo_license();
        server.kill();
        server.renew_certificate();
        let file = |name: &str| server.folder.path().join("tls").join(name).display().to_string();
        server.settings =
            ["--tls-cert".into(), file("server.pem"), "--tls-key".into(), file("server.key")]
                .into();
        server.start_again();
        server
    }

    /// Renew the certificate of a server with TLS, while it runs.
    ///
    /// # Panics
    /// Panics when the certificate cannot be made.
    pub fn renew_certificate(&self) {
        let mut command = Command::new(binary());
        command.args(["tls", "self-signed", "--host", "localhost", "127.0.0.1", "--out"]);
        command.arg(self.folder.path().join("tls"));
        text_of(command);
    }

    /// Return the path of the authority whose certificate a server with TLS shows.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("tls/ca.pem")
    }

    /// Start a server with a license for these items under the demo's handshake code. It is signed
    /// as a vendor does and imported as an operator does. An item without its own times is valid
    /// from yesterday for a year.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    #[must_use]
    pub fn with_items(items: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut keygen = Command::new(binary());
        keygen.args(["vendor", "keygen", "--key"]).arg(folder.path().join("vendor.key"));
        text_of(keygen);
        Self::of_vendor(folder, "file", items, Vec::new())
    }

    /// Start the same server, with a clock that the test sets with [`Self::set_ahead`].
    ///
    /// # Panics
    /// Panics when a step of it fails.
    #[must_use]
    pub fn with_items_and_clock(items: &Value) -> Self {
        let mut server = Self::with_items(items);
        server.kill();
        server.clock = Some(ShiftedClock::make(server.folder.path()));
        server.start_again();
        server
    }

    /// Set the clock of a server that was started with one, so many seconds ahead of the true time.
    /// If that sets it back, accept it as an operator does, and wait until the server follows.
    ///
    /// # Panics
    /// Panics when the server was started without a clock.
    pub fn set_ahead(&self, seconds: i64) {
        let clock = self.clock.as_ref().expect("it was started with a clock");
        let before = std::fs::read_to_string(&clock.ahead).expect("it was set before");
        clock.set(seconds);
        if seconds < before.parse().expect("a number") {
            text_of(command(&self.data, &["clock", "accept"]));
            let begun = Instant::now();
            while !self.is_ready() {
                assert!(begun.elapsed() < PATIENCE, "the server does not follow its clock");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Return whether the server says that it is ready.
    fn is_ready(&self) -> bool {
        let address = address(&self.url);
        let request = format!("GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n");
        let mut answer = String::new();
        let exchanged = TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            stream.read_to_string(&mut answer)
        });
        exchanged.is_ok() && answer.split(' ').nth(1) == Some("200")
    }

    /// Start a standby of this server, with data of its own: a license of the same vendor for these
    /// items.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    #[must_use]
    pub fn own_standby(&self, items: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = "vendor.key";
        std::fs::copy(self.folder.path().join(key), folder.path().join(key))
            .expect("a temporary file");
        let settings = ["--standby", "--peer", &self.url].map(str::to_owned);
        // A later issue of the main server's file would replace the main server's key.
        Self::of_vendor(folder, "file of the standby", items, settings.into())
    }

    fn of_vendor(folder: TempDir, file_id: &str, items: &Value, settings: Vec<String>) -> Self {
        let data = folder.path().join("data");
        let output = command(&data, &["init"]).output().expect("seatmeterd runs");
        assert!(
            output.status.success(),
            "init failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let server_key = text_of(command(&data, &["key", "show"]));
        let yesterday = yesterday();
        let mut items = items.clone();
        for item in items.as_array_mut().expect("a list of items") {
            let times = item.as_object_mut().expect("an item");
            times.entry("starts_at").or_insert(yesterday.into());
            times.entry("expires_at").or_insert((yesterday + 365 * 86_400).into());
        }
        let draft = serde_json::json!({
            "version": 1, "file_id": file_id, "organization_id": "acme", "organization_name": "Acme",
            "server_key": server_key.trim(), "issued_at": yesterday, "items": items,
        });
        std::fs::write(folder.path().join("draft.json"), draft.to_string())
            .expect("a temporary file");
        import(folder.path(), &data, &["--handshake-code", DEMO_CODE]);
        let (process, url) = serve(&data, "127.0.0.1:0", &settings, None);
        Self { folder, data, settings, process, url, clock: None }
    }

    /// Rotate the server's key, and import the license of [`Self::with_items`] for the new key.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    pub fn rotate_key(&mut self) {
        self.kill();
        self.operate(&["key", "rotate"]);
        self.start_again();
        self.reissue(&serde_json::json!({}));
    }

    /// Issue the license of [`Self::with_items`] again, with these settings in every item, and
    /// import it.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    pub fn reissue(&self, settings: &Value) {
        let path = self.folder.path().join("draft.json");
        let mut draft: Value =
            serde_json::from_slice(&std::fs::read(&path).expect("a temporary file")).expect("JSON");
        draft["issued_at"] = (draft["issued_at"].as_u64().expect("a time") + 1).into();
        draft["server_key"] = self.operate(&["key", "show"]).trim().into();
        for item in draft["items"].as_array_mut().expect("a list of items") {
            item.as_object_mut()
                .expect("an item")
                .extend(settings.as_object().expect("settings").clone());
        }
        std::fs::write(&path, draft.to_string()).expect("a temporary file");
        import(self.folder.path(), &self.data, &[]);
    }

    /// Return the URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Return the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kill the server by SIGKILL.
    ///
    /// # Panics
    /// Panics when the server cannot be killed.
    pub fn kill(&mut self) {
        self.process.kill().expect("own child");
        self.process.wait().expect("own child");
    }

    /// Start the server again after [`Self::kill`], on the same folder and port.
    ///
    /// # Panics
    /// Panics when the server does not start.
    pub fn start_again(&mut self) {
        let address = address(&self.url).to_owned();
        (self.process, self.url) = serve(&self.data, &address, &self.settings, self.clock.as_ref());
    }

    /// Note the state of the data, for [`Self::put_back`]. The server is stopped meanwhile.
    ///
    /// # Panics
    /// Panics when the data cannot be copied, or the server does not start again.
    pub fn keep_data(&mut self) {
        self.kill();
        let kept = self.kept_data();
        // There is none the first time.
        let _ = std::fs::remove_dir_all(&kept);
        copy_folder(&self.data, &kept);
        self.start_again();
    }

    /// Put the data back to the state of [`Self::keep_data`], and tell the server nothing of it.
    ///
    /// # Panics
    /// Panics when nothing was kept, or the server does not start again.
    pub fn put_back(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.data).expect("a temporary folder");
        copy_folder(&self.kept_data(), &self.data);
        self.start_again();
    }

    fn kept_data(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    /// End the server, and restore a backup of it as another server in another place.
    ///
    /// # Panics
    /// Panics when a step of it fails.
    #[must_use]
    pub fn moved(mut self) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let backup = folder.path().join("backup");
        self.operate(&["backup", backup.to_str().expect("a temporary path is text")]);
        self.kill();
        let data = folder.path().join("data");
        let restored = command(&data, &["restore"]).arg(&backup).output().expect("seatmeterd runs");
        assert!(
            restored.status.success(),
            "restore: {}",
            String::from_utf8_lossy(&restored.stderr)
        );
        let (process, url) = serve(&data, "127.0.0.1:0", &[], None);
        Self { folder, data, settings: Vec::new(), process, url, clock: None }
    }

    /// Return the recorded usage, as rows of the export.
    ///
    /// # Panics
    /// Panics when the export fails.
    #[must_use]
    pub fn usage(&self) -> Vec<Value> {
        let output = command(&self.data, &["usage", "export", "--format", "json"])
            .output()
            .expect("seatmeterd runs");
        assert!(
            output.status.success(),
            "export failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<Value>(&output.stdout)
            .expect("the export is JSON")
            .as_array()
            .expect("of rows")
            .clone()
    }

    /// Return the sum of all totals of a kind ("scan", "image").
    #[must_use]
    pub fn recorded(&self, kind: &str) -> u64 {
        self.usage()
            .iter()
            .filter(|row| row["kind"] == kind)
            .filter_map(|row| row["total"].as_u64())
            .sum()
    }

    /// Return what `seatmeterd usage show` prints.
    ///
    /// # Panics
    /// Panics when the command fails.
    #[must_use]
    pub fn usage_for_people(&self) -> String {
        self.operate(&["usage", "show"])
    }

    /// Return what a command on the server's data prints that reads `input` from its standard
    /// input.
    ///
    /// # Panics
    /// Panics when the command fails.
    pub fn operate_with(&self, arguments: &[&str], input: &str) -> String {
        let mut command = command(&self.data, arguments);
        let mut running =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("seatmeterd runs");
        // The end of this statement closes the pipe.
        running.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
        let output = running.wait_with_output().expect("own child");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Return what a command on the server's data prints.
    ///
    /// # Panics
    /// Panics when the command fails.
    pub fn operate(&self, arguments: &[&str]) -> String {
        let output = command(&self.data, arguments).output().expect("seatmeterd runs");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Server {
    /// Run a command on the server's data that reads this line.
    ///
    /// # Panics
    /// Panics when the command fails.
    pub fn operate_telling(&self, arguments: &[&str], line: &str) {
        let mut process = command(&self.data, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("seatmeterd runs");
        let mut input = process.stdin.take().expect("it is piped");
        writeln!(input, "{line}").expect("the program reads");
        drop(input);
        assert!(process.wait().expect("own child").success(), "{arguments:?}");
    }

    /// Return what `seatmeterd doctor seats` prints for a device.
    ///
    /// # Panics
    /// Panics when the command fails.
    #[must_use]
    pub fn doctor_seats(&self, state: &Path) -> String {
        let mut command = Command::new(binary());
        let output = command
            .args(["doctor", "seats", "--state-dir"])
            .arg(state)
            .output()
            .expect("seatmeterd runs");
        assert!(
            output.status.success(),
            "doctor failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }
}

/// Return what `seatmeterd doctor` says of a device, without this program's environment.
///
/// # Panics
/// Panics when the command does not run.
#[must_use]
pub fn doctor(state: &Path, arguments: &[&str]) -> Run {
    doctor_amid(&[], state, arguments)
}

/// Return the same with these variables in the command's environment.
///
/// # Panics
/// Panics when the command does not run.
#[must_use]
pub fn doctor_amid(variables: &[(&str, &str)], state: &Path, arguments: &[&str]) -> Run {
    run(&mut doctor_command(variables, state, arguments))
}

/// Return the command for that. With an empty path it gets no state directory. `part` may name a
/// part of the doctor.
#[must_use]
pub fn doctor_command(variables: &[(&str, &str)], state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().envs(variables.iter().copied()).arg("doctor");
    let part = usize::from(arguments.first().is_some_and(|first| !first.starts_with('-')));
    command.args(&arguments[..part]);
    if !state.as_os_str().is_empty() {
        command.arg("--state-dir").arg(state);
    }
    command.args(&arguments[part..]);
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both calls fail only when the server has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(
    data: &Path,
    listen: &str,
    settings: &[String],
    clock: Option<&ShiftedClock>,
) -> (Child, String) {
    let mut process = command(data, &["serve", "--listen", listen])
        .args(settings)
        .envs(clock.map(|clock| ("LD_PRELOAD", &clock.library)))
        .envs(clock.map(|clock| ("SHIFTED_CLOCK", &clock.ahead)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("seatmeterd runs");
    let mut line = String::new();
    let output = process.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("the server says where it listens");
    let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(url.starts_with("http"), "the server did not start: {line:?}");
    (process, url)
}

/// Return the address and port in a URL.
fn address(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// Sign the draft in a folder, and import it.
fn import(folder: &Path, data: &Path, more: &[&str]) {
    let [draft, key, signed] =
        ["draft.json", "vendor.key", "signed.license"].map(|name| folder.join(name));
    let mut sign = Command::new(binary());
    sign.args(["license-file", "sign"]).arg(draft).arg("--key").arg(key);
    std::fs::write(&signed, text_of(sign)).expect("a temporary file");
    let mut import = command(data, &["license-file", "import"]);
    import.arg(signed).args(more);
    text_of(import);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a temporary folder");
    for entry in std::fs::read_dir(from).expect("a temporary folder") {
        let entry = entry.expect("a temporary file").path();
        let copy = to.join(entry.file_name().expect("it has a name"));
        if entry.is_dir() {
            copy_folder(&entry, &copy);
        } else {
            // The copy keeps the permissions: the server reads no key that others may read.
            std::fs::copy(&entry, &copy).expect("a temporary file");
        }
    }
}

fn text_of(mut command: Command) -> String {
    text_of_command(&mut command)
}

fn text_of_command(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn yesterday() -> u64 {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    now.as_secs() - 86_400
}

fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--data").arg(data);
    command
}

/// Return the path of the server that tests start: `SEATMETERD`, or one that is built now.
///
/// # Panics
/// Panics when the server does not build.
pub fn binary() -> &'static Path {
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
        // The test's binary is in target/debug/deps, and the server's in target/debug.
        crate::build_folder().parent().expect("deps is in a folder").join("seatmeterd")
    })
}
