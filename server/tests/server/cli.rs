//! The real program, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use seatmeter_protocol::license::{LicenseFile, LocalLicense};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::PublicKey;
use seatmeter_protocol::slot::slot_start;

use crate::support::*;

pub(crate) fn seatmeterd(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    command.args(arguments).arg("--data").arg(data);
    command
        .env_remove("SEATMETERD_DATA")
        .env_remove("SEATMETERD_LISTEN")
        .env_remove("SEATMETERD_LOG");
    command.stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    seatmeterd(data, arguments).output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn stdout(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sentence of a command that must fail with exit code 1.
pub(crate) fn failure(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    errors.lines().last().unwrap().to_owned()
}

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--log", "warn"];

/// A server process; killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// With these variables in its environment.
    pub(crate) fn start_with(data: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = seatmeterd(data, &SERVE);
        command.envs(variables.iter().copied());
        Self::run(command)
    }

    /// One to which a file that must not grow is an error, and not the end. Its log is such a file,
    /// too.
    pub(crate) fn start_to_be_limited(data: &Path) -> Self {
        let served = seatmeterd(data, &SERVE);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ && exec \"$0\" \"$@\""]).arg(served.get_program());
        command.args(served.get_args()).stdin(Stdio::null());
        command.stderr(std::fs::File::create(data.join("log")).unwrap());
        Self::run(command)
    }

    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("seatmeterd listening on ").unwrap();
        let address = url.rsplit("://").next().unwrap().parse().unwrap();
        Self { child, address }
    }

    /// Waits until it has ended; says whether it has died of itself.
    pub(crate) fn has_died(mut self) -> bool {
        !self.child.wait().unwrap().success()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How large its files may become from now on.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let pid = self.child.id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    }

    pub(crate) fn signal(mut self, name: &str) -> ExitStatus {
        self.send(name);
        self.child.wait().unwrap()
    }

    /// Sends a signal, and does not wait for its effect.
    pub(crate) fn send(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Authorizes under the demo code; gives the server's key and the local license.
pub(crate) fn authorize_demo(address: SocketAddr, uuid: &str) -> (PublicKey, LocalLicense) {
    try_authorize_demo(address, uuid).unwrap()
}

/// The same; `None` when the server does not answer.
pub(crate) fn try_authorize_demo(
    address: SocketAddr,
    uuid: &str,
) -> Option<(PublicKey, LocalLicense)> {
    let asked = AuthorizationRequest { handshake_code: "DEMO-4-SEATS".into(), ..request(uuid, 4) };
    let body = serde_json::to_vec(&asked).unwrap();
    let nonce = id();
    let answer =
        Request::post(AUTHORIZATIONS_PATH, &body).header(NONCE_HEADER, &nonce).try_send(address)?;
    let content: AuthorizationAnswer = answer.json();
    let file: LicenseFile = content.license_file.open(&content.root_key).unwrap();
    answer.verify(&body, &nonce, &file.server_key).unwrap();
    let license = content.local_license.open(&file.server_key).unwrap();
    Some((file.server_key, license))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn init_says_what_it_made_and_what_comes_next() {
    let folder = folder();
    let data = folder.path().join("data");
    let first = stdout(&data, &["init", "--demo"]);
    assert!(first.contains("made   server key"), "{first}");
    assert!(first.contains("4 concurrent instances"), "{first}");
    assert!(first.contains("made   handshake code DEMO-4-SEATS"), "{first}");
    assert!(first.contains("Next: seatmeterd serve"), "{first}");
}

#[test]
fn init_again_changes_nothing() {
    let folder = folder();
    let data = folder.path().join("data");
    stdout(&data, &["init", "--demo"]);
    let key = std::fs::read(data.join("server.key")).unwrap();
    let again =
        stdout(&data, &["init", "--demo", "--demo-quota", "9", "--handshake-code", "OTHER"]);
    assert!(!again.contains("made"), "{again}");
    assert!(again.contains("DEMO-4-SEATS"), "{again}");
    assert_eq!(std::fs::read(data.join("server.key")).unwrap(), key);
}

#[test]
fn init_can_add_the_demo_later_and_with_other_numbers() {
    let folder = folder();
    let first = stdout(folder.path(), &["init"]);
    assert!(!first.contains("demo"), "{first}");
    let second =
        stdout(folder.path(), &["init", "--demo", "--demo-quota", "10", "--handshake-code", "TEN"]);
    assert!(second.contains("exists server key"), "{second}");
    assert!(second.contains("10 concurrent instances"), "{second}");
    assert!(second.contains("handshake code TEN"), "{second}");
}

#[test]
fn init_does_not_replace_a_lost_key() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    std::fs::remove_file(folder.path().join("server.key")).unwrap();
    assert!(failure(folder.path(), &["init"]).contains("backup"));
    assert!(failure(folder.path(), &["serve"]).contains("backup"));
    assert!(!folder.path().join("server.key").exists());
}

#[test]
fn a_directory_without_init_is_refused_and_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("diary.txt"), "Dear diary").unwrap();
    for arguments in [&["serve"][..], &["usage", "show"], &["item", "list"], &["key", "show"]] {
        let sentence = failure(folder.path(), arguments);
        assert!(sentence.contains("seatmeterd init --data"), "{sentence}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_command_line_without_sense_has_exit_code_2() {
    let folder = folder();
    for arguments in [
        &["frobnicate"][..],
        &["usage", "export"],
        &["serve", "--listen", "nowhere"],
        &["init", "--demo-quota", "4"],
        &["init", "--demo", "--demo-quota", "0"],
        &["init", "--demo", "--handshake-code", "with space"],
    ] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn one_directory_has_one_server() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    let first = Served::start(folder.path());
    let sentence = failure(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(sentence.contains("another seatmeterd serves"), "{sentence}");
    first.kill();
    drop(Served::start(folder.path()));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(failure(folder.path(), &["serve", "--listen", &address]).contains(&address));
}

#[test]
fn a_log_that_is_a_file_has_no_colors() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    let log = folder.path().join("log");
    let mut command = seatmeterd(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    command.stderr(std::fs::File::create(&log).unwrap()).env_remove("NO_COLOR");
    drop(Served::run(command));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("listening") && !log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn a_variable_that_is_empty_says_nothing_and_an_address_without_a_port_is_explained() {
    let folder = folder();
    let mut command = seatmeterd(folder.path(), &["init"]);
    assert!(command.env("SEATMETERD_DATABASE", "").output().unwrap().status.success());
    let mut command = seatmeterd(folder.path(), &["serve", "--listen", "localhost"]);
    let told = command.env("SEATMETERD_LOG", "").output().unwrap();
    assert!(String::from_utf8_lossy(&told.stderr).contains("such as 0.0.0.0:48080"));
    drop(Served::start_with(folder.path(), &[("SEATMETERD_RATE_PER_CODE", "")]));
}

#[test]
fn a_damaged_database_is_to_be_restored() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    std::fs::write(folder.path().join("seatmeter.db"), "Dear Sir or Madam".repeat(100)).unwrap();
    assert!(
        failure(folder.path(), &["serve", "--listen", "127.0.0.1:0"]).contains("restore a backup")
    );
}

#[test]
fn an_export_that_ends_before_it_begins_is_refused() {
    let folder = folder();
    stdout(folder.path(), &["init"]);
    let export =
        ["usage", "export", "--format", "csv", "--from", "2026-12-01", "--to", "2026-11-01"];
    assert!(failure(folder.path(), &export).contains("--to is before --from"));
}

#[test]
fn a_signal_ends_the_server_in_order() {
    let folder = folder();
    stdout(folder.path(), &["init", "--demo"]);
    for name in ["-TERM", "-INT"] {
        let server = Served::start(folder.path());
        authorize_demo(server.address, &id());
        assert_eq!(server.signal(name).code(), Some(0), "{name}");
    }
}

#[test]
fn usage_is_shown_and_exported_while_the_server_runs() {
    let folder = folder();
    let data = folder.path();
    stdout(data, &["init", "--demo"]);
    assert_eq!(stdout(data, &["usage", "show"]), "nothing recorded yet\n");
    assert_eq!(stdout(data, &["usage", "export", "--format", "json"]), "[]\n");
    let server = Served::start(data);
    assert_eq!(stdout(data, &["usage", "show"]), "nothing recorded yet\n");
    let device = id();
    let (key, license) = authorize_demo(server.address, &device);
    let slot = slot_now();
    let symbologies = [0x400_0000, 0x20, 0x2, 0x800_0000];
    let mut counted: Vec<_> = symbologies.map(|symbology| scans(slot, symbology, 1)).into();
    counted.push(UsageTotal { slot, kind: UsageKind::Image, what: 0, total: 1 });
    let sent = report(&device, vec![segment(&id(), &license.license_id, counted)]);
    post::<UsageAnswer>(server.address, &key, USAGE_PATH, &sent).unwrap();

    let shown = stdout(data, &["usage", "show"]);
    let total = "  4 scans (CODE_128 1, EAN_13 1, QR_CODE 1, DATAMATRIX 1)";
    assert!(shown.lines().any(|line| line == total), "{shown}");
    assert!(shown.lines().any(|line| line == "  1 image"), "{shown}");
    let instant = |after| seatmeter_server::utc::text(slot_start(slot).wrapping_add_signed(after));
    let begun = instant(0);
    assert!(shown.contains(&begun), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(data, &["usage", "show", "--json"])).unwrap();
    assert_eq!(json[0]["device_uuid"], device.as_str());
    assert_eq!(json[0]["slots"][0]["counters"].as_array().unwrap().len(), 5);

    let csv = stdout(data, &["usage", "export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 6, "{csv}");
    let row = format!("DEMO-4-SEATS,{},{device},scan,32,EAN_13,{slot},{begun},1", license.item_id);
    assert!(csv.lines().any(|line| line == row), "{csv}");
    let export = |from: &str, to: &str| {
        let arguments = ["usage", "export", "--format", "json", "--from", from, "--to", to];
        let json: Vec<serde_json::Value> = serde_json::from_str(&stdout(data, &arguments)).unwrap();
        json.len()
    };
    let (day, next_day) = (&begun[..10], &instant(86_400)[..10]);
    assert_eq!(export(day, next_day), 5);
    assert_eq!(export(&begun, &instant(1)), 5);
    assert_eq!(export(&instant(1), &instant(86_400)), 0);
    assert_eq!(export(&instant(-86_400), &begun), 0);
    let sentence = failure(data, &["usage", "export", "--format", "csv", "--from", "soon"]);
    assert!(sentence.contains("\"soon\""), "{sentence}");
}

#[test]
fn the_first_start_makes_what_it_needs_and_says_what_comes_next() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut child = seatmeterd(&data, &["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
        let line = line.unwrap();
        told.push_str(&line);
        if line.starts_with("seatmeterd listening") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told.contains("made   server key") && told.contains("Next: ask your vendor"), "{told}");
    // What the vendor writes into the file is the key, and not its id.
    assert!(told.contains(&format!("seatmeterd key show --data {}", data.display())), "{told}");
    assert!(stdout(&data, &["key", "show"]).trim().parse::<PublicKey>().is_ok());
}

/// Runs a vendor's command, which knows no data directory.
fn vendor_command(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn vendor_says(folder: &Path, arguments: &[&str]) -> String {
    let output = vendor_command(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The command for a draft of a license, up to the charge way.
fn new_draft(server_key: &str) -> [&str; 7] {
    ["license-file", "new", "--organization", "acme", "--server-key", server_key, "--charge-way"]
}

#[test]
fn what_a_vendor_mistypes_or_mistakes_is_named_before_it_is_sold() {
    let folder = folder();
    let (here, data) = (folder.path(), folder.path().join("data"));
    let path = |name: &str| here.join(name).to_str().unwrap().to_owned();
    stdout(&data, &["init"]);
    let key = stdout(&data, &["key", "show"]);
    vendor_says(here, &["vendor", "keygen"]);
    let new = new_draft(key.trim());
    let draft = vendor_says(here, &[&new[..], &["concurrent-instance", "--quota", "4"]].concat());
    std::fs::write(path("draft"), &draft).unwrap();
    let refused = |arguments: &[&str], part: &str| {
        let told = String::from_utf8(vendor_command(here, arguments).stderr).unwrap();
        assert!(told.contains(part), "{arguments:?}: {told}");
    };
    std::fs::write(path("misspelt"), draft.replace("offline_days", "ofline_days")).unwrap();
    refused(&["license-file", "sign", "misspelt"], "items[0] has \"ofline_days\"");
    refused(&["license-file", "sign", "misspelt"], "write \"offline_days\"");
    // One that must be there is misspelt, not missing.
    std::fs::write(path("misspelt"), draft.replace("\"quota\": 4", "\"qouta\": 4")).unwrap();
    refused(&["license-file", "sign", "misspelt"], "items[0] has \"qouta\"");
    refused(&["license-file", "sign", "misspelt"], "write \"quota\"");
    std::fs::write(path("wrong"), draft.replace("\"quota\": 4", "\"quota\": -4")).unwrap();
    refused(&["license-file", "sign", "wrong"], "at line 12");
    let future = draft.replace("\"issued_at\": ", "\"issued_at\": 9");
    std::fs::write(path("future"), future).unwrap();
    refused(&["license-file", "sign", "future"], "in the future");
    refused(&[&new[..], &["page", "--pages", "ocr=1", "--pages", "ocr=2"]].concat(), "ocr twice");
    refused(&["license-file", "show", "draft"], "It is a draft");
    // As some editors save it.
    std::fs::write(path("marked"), format!("\u{feff}{draft}")).unwrap();
    let signed = vendor_says(here, &["license-file", "sign", "marked"]);
    std::fs::write(path("signed"), &signed).unwrap();
    refused(&["license-file", "sign", "signed"], "signed already");
    stdout(&data, &["license-file", "import", &path("signed")]);
    std::fs::write(path("more"), draft.replace("\"quota\": 4", "\"quota\": 5")).unwrap();
    std::fs::write(path("signed"), vendor_says(here, &["license-file", "sign", "more"])).unwrap();
    assert!(
        failure(&data, &["license-file", "import", &path("signed")])
            .contains("with a later issued_at")
    );
}

/// RULES §1 and §2: a client device is a computer, an ARM computer, a phone or a browser profile;
/// work is charged wherever it is done.
#[test]
fn a_draft_is_for_the_usual_deployment_types_of_its_charge_way_unless_others_are_chosen() {
    let folder = folder();
    let (here, data) = (folder.path(), folder.path().join("data"));
    stdout(&data, &["init"]);
    let key = stdout(&data, &["key", "show"]);
    vendor_says(here, &["vendor", "keygen", "--key", "vendor.key"]);
    let new = new_draft(key.trim());
    let types = |rest: &[&str]| {
        let text = vendor_says(here, &[&new[..], rest].concat());
        std::fs::write(here.join("draft"), &text).unwrap();
        let draft = here.join("draft");
        vendor_says(
            here,
            &["license-file", "sign", draft.to_str().unwrap(), "--key", "vendor.key"],
        );
        let draft: serde_json::Value = serde_json::from_str(&text).unwrap();
        let listed = draft["items"][0]["deployment_types"].as_array().unwrap();
        listed.iter().map(|kind| kind.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let clients = "desktop embedded mobile browser";
    let everywhere = "server desktop embedded mobile browser";
    for (way, expected) in [
        (&["client-device", "--quota", "9"][..], clients),
        (&["active-device", "--quota", "9"], clients),
        (&["concurrent-device", "--quota", "9"], clients),
        (&["barcode-scan", "--quota", "9"], everywhere),
        (&["page", "--pages", "core=9"], everywhere),
        (&["domain", "--domain", "company.com"], "browser server"),
        (&["server", "--quota", "9"], "server"),
        (&["concurrent-instance", "--quota", "9"], "server"),
    ] {
        assert_eq!(types(way), expected, "{way:?}");
    }
    let scans = ["barcode-scan", "--quota", "9", "--deployment", "oem"];
    assert_eq!(types(&scans), "oem");
    assert_eq!(
        types(&[&scans[..], &["--deployment", "server", "--deployment", "oem"]].concat()),
        "oem server"
    );
    let wrong = ["concurrent-instance", "--quota", "9", "--deployment", "mobile"];
    let told = vendor_command(here, &[&new[..], &wrong].concat());
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("which are for servers only"), "{told}");
}

#[test]
fn vendor_and_operator_do_their_work_on_the_command_line() {
    let folder = folder();
    let (here, data) = (folder.path(), folder.path().join("data"));
    let write = |name: &str, text: &str| std::fs::write(here.join(name), text).unwrap();
    let path = |name: &str| here.join(name).to_str().unwrap().to_owned();
    stdout(&data, &["init"]);
    let key = stdout(&data, &["key", "show"]);
    assert!(vendor_says(here, &["vendor", "keygen", "--key", "vendor.key"]).contains("root key"));

    let new = new_draft(key.trim());
    let draft = |rest: &[&str]| vendor_says(here, &[&new[..], rest].concat());
    write("seats.json", &draft(&["concurrent-instance", "--quota", "4"]));
    write(
        "pages.json",
        &draft(&["page", "--pages", "ocr=100", "--deployment", "desktop", "--trial"]),
    );
    let nothing = vendor_command(here, &[&new[..], &["barcode-scan"]].concat());
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("permits nothing"));
    for name in ["seats", "pages"] {
        // Both spellings.
        let draft = path(&format!("{name}.json"));
        write(name, &vendor_says(here, &["license-file", "sign", &draft, "--key", "vendor.key"]));
        assert!(
            vendor_says(here, &["license-file", "show", &path(name)])
                .contains("signed by root key")
        );
    }
    let forged = std::fs::read_to_string(path("seats"))
        .unwrap()
        .replace("\\\"quota\\\":4", "\\\"quota\\\":9");
    write("forged", &forged);
    let told = vendor_command(here, &["license-file", "show", &path("forged")]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("changed or forged"));
    assert!(
        failure(&data, &["license-file", "import", &path("forged")]).contains("changed or forged")
    );
    assert!(
        failure(&data, &["license-file", "import", &path("seats.json")])
            .contains("not what is expected")
    );
    let other = here.join("other");
    stdout(&other, &["init"]);
    assert!(
        failure(&other, &["license-file", "import", &path("seats")])
            .contains("issued for the server")
    );

    let server = Served::start(&data);
    stdout(&data, &["license-file", "import", &path("seats"), "--handshake-code", "DEMO-4-SEATS"]);
    stdout(&data, &["license-file", "import", &path("pages")]);
    assert!(failure(&data, &["license-file", "import", &path("seats")]).contains("already"));
    let device = id();
    let (_, license) = authorize_demo(server.address, &device);
    stdout(&data, &["device", "rename", &device, "Front desk"]);
    assert!(stdout(&data, &["device", "list", "--item", &license.item_id]).contains("Front desk"));
    stdout(&data, &["device", "release", &device, "--item", &license.item_id]);
    stdout(&data, &["handshake", "new", "SECOND", "--organization", "acme"]);
    stdout(&data, &["handshake", "items", "SECOND", &license.item_id, "--own-order"]);
    stdout(&data, &["organization", "default-code", "acme", "SECOND"]);
    assert!(stdout(&data, &["organization", "list"]).contains("\"SECOND\""));
    let mut access = seatmeterd(&data, &["handshake", "access", "SECOND", "--password"]);
    let mut access = access.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(access.stdin.as_mut().unwrap(), b"open sesame\n").unwrap();
    drop(access.stdin.take());
    assert!(access.wait().unwrap().success());
    let asked = |password: &str| AuthorizationRequest {
        handshake_code: "SECOND".into(),
        session_password: password.into(),
        ..request(&device, 1)
    };
    let key = key.trim().parse().unwrap();
    let ask = |password: &str| {
        post::<AuthorizationAnswer>(server.address, &key, AUTHORIZATIONS_PATH, &asked(password))
            .map(|_| ())
            .map_err(|problem| problem.code.0)
    };
    assert_eq!([ask("open barley"), ask("open sesame")], [Err(-20102), Ok(())]);
    assert!(
        stdout(&data, &["token", "create", "ann", "--role", "admin"]).starts_with("seatmeter_")
    );
    stdout(&data, &["token", "revoke", "ann"]);
    assert!(failure(&data, &["token", "revoke", "ann"]).contains("no token in use"));
    stdout(&data, &["item", "revoke", &license.item_id, "--yes"]);
    assert_eq!(ask("open sesame"), Err(-20113));
    let audit = stdout(&data, &["audit"]);
    for action in [
        "import license file",
        "rename device",
        "release device",
        "make handshake code",
        "revoke item",
    ] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
    assert!(!audit.contains("sesame") && !stdout(&data, &["handshake", "list"]).contains("argon2"));

    stdout(&data, &["key", "rotate"]);
    assert_ne!(stdout(&data, &["key", "show"]).trim().parse::<PublicKey>().unwrap(), key);
}
