//! The configuration file and the log, as an operator uses them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use seatmeter_protocol::message::*;
use serde_json::Value;

use crate::cli::{Served, seatmeterd, stdout};
use crate::support::*;

/// A folder with a configuration file.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn with(text: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let text = text.replace("HERE", place.folder.path().to_str().unwrap());
        fs::write(place.file(), text).unwrap();
        place
    }

    fn file(&self) -> PathBuf {
        self.path("seatmeterd.toml")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with the file, and without variables of this process.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.arg("--config").arg(self.file());
        command
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(arguments).envs(variables.iter().copied()).output().unwrap()
    }

    /// What `config check` says of the file: its standard output, or the error.
    fn checked(&self) -> Result<String, String> {
        let output = self.run(&["config", "check"], &[]);
        match output.status.code() {
            Some(0) => Ok(text(output.stdout)),
            Some(1) => Err(text(output.stderr)),
            other => panic!("{other:?}: {}", text(output.stderr)),
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_flag_comes_before_a_variable_and_a_variable_before_the_file() {
    let place = Place::with("data = 'HERE/by-file'\n");
    let keys = ["by-file", "by-variable", "by-flag"].map(|name| {
        stdout(&place.path(name), &["init"]);
        stdout(&place.path(name), &["key", "show"])
    });
    let (variable, flag) = (place.path("by-variable"), place.path("by-flag"));
    let variables = [("SEATMETERD_DATA", variable.to_str().unwrap())];
    let shown = |arguments: &[&str], variables: &[(&str, &str)]| {
        text(place.run(&[&["key", "show"], arguments].concat(), variables).stdout)
    };
    assert_eq!(shown(&[], &[]), keys[0]);
    assert_eq!(shown(&[], &variables), keys[1]);
    assert_eq!(shown(&[], &[("SEATMETERD_DATA", "")]), keys[0], "an empty one says nothing");
    assert_eq!(shown(&["--data", flag.to_str().unwrap()], &variables), keys[2]);
    // The file may be named by a variable, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    command.args(["key", "show"]).env_clear().env("SEATMETERD_CONFIG", place.file());
    assert_eq!(text(command.output().unwrap().stdout), keys[0]);
}

#[test]
fn a_server_runs_with_its_file_alone() {
    let place = Place::with(
        "# everything that this server needs\n\
         data = 'HERE/data'\n\
         listen = ['127.0.0.1:0']\n\
         admin-loopback = true\n\
         log = 'warn'\n\
         rate-per-source = 0x10\n",
    );
    stdout(&place.path("data"), &["init", "--demo"]);
    let server = Served::run(place.command(&["serve"]));
    let status = || Request::new("GET", "/admin/v1/items").send(server.address).status;
    assert_eq!(status(), 200);
    // The burst is two seconds long.
    let statuses: Vec<_> = (0..200).map(|_| status()).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    drop(server);
    let mut command = place.command(&["serve"]);
    command.env("SEATMETERD_ADMIN_LOOPBACK", "false");
    let server = Served::run(command);
    assert_eq!(Request::new("GET", "/admin/v1/items").send(server.address).status, 401);
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_line_and_what_to_write() {
    for (file, told) in [
        ("\n\nlisten_on = 'x'\n", "line 3: there is no key \"listen_on\""),
        ("\nlog_format = 'json'\n", "line 2: there is no key \"log_format\": write log-format"),
        ("rate-per-sorce = 1", "line 1: there is no key \"rate-per-sorce\": write rate-per-source"),
        ("[server]\nlisten = 'x'", "there is no section [server]: write all keys without sections"),
        ("xyzzy = 1", "\"seatmeterd config sample\" shows all keys"),
        ("config = 'other.toml'", "there is no key \"config\""),
        ("log = 5", "line 1: log = 5 is not a text in quotes: write log = \"info\""),
        ("listen = 48080", "write listen = [\"127.0.0.1:48080\"]"),
        ("listen = []", "write listen = [\"127.0.0.1:48080\"]"),
        ("listen = ['0.0.0.0']", "such as 0.0.0.0:48080"),
        (
            "rate-per-source = '5'",
            "is not a whole number without quotes: write rate-per-source = 2000",
        ),
        ("rate-per-source = 0", "0 is not in 1..=4294967295"),
        ("rate-per-source = 1.5", "is not a whole number"),
        ("rate-per-source = 99999999999999999999", "rate-per-source = 99999999999999999999"),
        ("admin-loopback = 'yes'", "is neither true nor false: write admin-loopback = true"),
        ("log = 'verbose'", "write one of off, error, warn, info, debug, trace"),
        ("log-format = 'xml'", "write one of text, json"),
        ("data = ''", "\"\" is no value"),
        ("log = 'info'\nlog = 'warn'", "line 2: it is not TOML: duplicate key"),
        ("log: info", "line 1: it is not TOML"),
        ("log = 'info", "line 1: it is not TOML"),
        ("standby = true", "--standby needs --peer"),
        ("tls-cert = '/missing.pem'\ntls-key = '/missing.key'", "/missing.pem cannot be used"),
    ] {
        let place = Place::with(file);
        let error = place.checked().expect_err(file);
        assert!(error.contains(told), "{file}: {error}");
        let served = place.run(&["serve"], &[]);
        assert!(!served.status.success(), "{file}");
        assert!(text(served.stderr).contains(told), "{file}");
    }
    // Several faults are told at once, in the order of the lines.
    let error = Place::with("log = 1\nlisten = 2\n").checked().unwrap_err();
    assert!(error.find("line 1").unwrap() < error.find("line 2").unwrap(), "{error}");
    let place = Place::with("");
    fs::remove_file(place.file()).unwrap();
    assert!(place.checked().unwrap_err().contains("cannot be read"));
    fs::create_dir(place.file()).unwrap();
    assert!(place.checked().unwrap_err().contains("it is not a regular file"));
    fs::remove_dir(place.file()).unwrap();
    fs::write(place.file(), b"log = '\xff'").unwrap();
    assert!(place.checked().unwrap_err().contains("UTF-8"));
}

#[test]
fn a_good_file_is_shown_with_where_each_value_comes_from() {
    let place = Place::with(
        "\u{feff}log = 'debug'\n\
         listen = ['127.0.0.1:1', 'http://127.0.0.1:2']\n\
         database = 'postgres://me:hush@db/seats'\n",
    );
    fs::set_permissions(place.file(), fs::Permissions::from_mode(0o600)).unwrap();
    let output = place.run(&["config", "check"], &[("SEATMETERD_RATE_PER_CODE", "7")]);
    assert_eq!(text(output.stderr), "");
    let shown = text(output.stdout);
    let has = |line: &str| shown.lines().any(|shown| shown.split_whitespace().eq(line.split(' ')));
    assert!(has("log \"debug\" # line 1"), "{shown}");
    assert!(has("listen [\"127.0.0.1:1\", \"http://127.0.0.1:2\"] # line 2"), "{shown}");
    assert!(has("rate-per-code 7 # SEATMETERD_RATE_PER_CODE"), "{shown}");
    assert!(has("rate-per-source 2000 # default"), "{shown}");
    assert!(has("database (hidden) # line 3") && !shown.contains("hush"), "{shown}");
    // Others can read the password now.
    fs::set_permissions(place.file(), fs::Permissions::from_mode(0o644)).unwrap();
    let warning = text(place.run(&["config", "check"], &[]).stderr);
    assert!(warning.contains("password of database") && warning.contains("chmod o= "), "{warning}");
    let place = Place::with("database = 'postgres://db/seats'\n");
    assert_eq!(text(place.run(&["config", "check"], &[]).stderr), "", "there is no password");
}

#[test]
fn the_sample_is_a_good_file() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    let sample = text(command.args(["config", "sample"]).output().unwrap().stdout);
    assert!(sample.contains("\n# tls-cert = \"FILE\"\n"), "{sample}");
    let shown = Place::with(&sample).checked().unwrap();
    assert!(!shown.contains("# line"), "{shown}");
    // The defaults, written out, are good, too.
    let keys = ["listen", "log", "log-format", "rate-per-source", "data", "admin-loopback"];
    let set = keys
        .iter()
        .fold(sample, |text, key| text.replace(&format!("\n# {key} = "), &format!("\n{key} = ")));
    let shown = Place::with(&set).checked().unwrap();
    assert_eq!(shown.matches("# line").count(), keys.len(), "{shown}");
}

/// A server with a demo license, whose log goes to a file.
fn logged(folder: &Path, more: &[&str]) -> Served {
    let mut command = seatmeterd(&folder.join("data"), &["serve", "--listen", "127.0.0.1:0"]);
    command.args(more).stderr(fs::File::create(folder.join("log")).unwrap());
    Served::run(command)
}

#[test]
fn a_level_that_is_none_is_refused_with_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let output = seatmeterd(folder.path(), &["serve", "--log", "verbose"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = text(output.stderr);
    assert!(told.contains("off, error, warn, info, debug, trace"), "{told}");
}

#[test]
fn a_refusal_is_logged_with_device_code_address_and_number_and_repeats_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    stdout(&folder.path().join("data"), &["init", "--demo"]);
    let server = logged(folder.path(), &["--log-format", "json"]);
    let device = id();
    let asked = AuthorizationRequest {
        handshake_code: "DEMO-4-SEATS".into(),
        products: 1 << 15,
        ..request(&device, 5)
    };
    let body = serde_json::to_vec(&asked).unwrap();
    let mut refused = 0;
    for _ in 0..300 {
        let post = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
        refused += u64::from(post.send(server.address).status == 403);
    }
    assert_eq!(refused, 300);
    // Codes that strangers invent are one kind.
    for n in 0..50 {
        let asked = AuthorizationRequest { handshake_code: format!("NO-{n}"), ..request(&id(), 1) };
        let body = serde_json::to_vec(&asked).unwrap();
        let post = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
        assert_eq!(post.send(server.address).status, 404);
    }
    assert_eq!(server.signal("-TERM").code(), Some(0));
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_number = |number: i64| -> Vec<&Value> {
        lines.iter().filter(|line| line["error"] == number).collect()
    };
    let refusals: Vec<_> = lines.iter().filter(|line| line["device"] == device.as_str()).collect();
    assert!((2..=4).contains(&refusals.len()), "{log}");
    for line in &refusals {
        assert_eq!(line["code"], "DEMO-4-SEATS", "{line}");
        assert_eq!(line["address"], "127.0.0.1", "{line}");
        assert_eq!((&line["status"], &line["level"]), (&403.into(), &"INFO".into()), "{line}");
        assert!(line["error"].as_i64().unwrap() < -20000, "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
    let counted = |lines: &[&Value]| -> u64 {
        lines.iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum()
    };
    assert_eq!(counted(&refusals), 300, "{log}");
    let unknown = of_number(-20101);
    assert!(unknown.len() <= 3, "{log}");
    assert_eq!(counted(&unknown), 50, "{log}");
}

#[test]
fn a_log_of_text_has_the_same_facts() {
    let folder = tempfile::tempdir().unwrap();
    stdout(&folder.path().join("data"), &["init", "--demo"]);
    let server = logged(folder.path(), &[]);
    let device = id();
    let asked = AuthorizationRequest { handshake_code: "NONE".into(), ..request(&device, 1) };
    let body = serde_json::to_vec(&asked).unwrap();
    let post = Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &id());
    assert_eq!(post.send(server.address).status, 404);
    assert_eq!(server.signal("-TERM").code(), Some(0));
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let line = log.lines().find(|line| line.contains(&device)).unwrap();
    for fact in
        ["INFO", "error=-20101", "status=404", "address=\"127.0.0.1\"", "/v1/authorizations"]
    {
        assert!(line.contains(fact), "{line}");
    }
}
