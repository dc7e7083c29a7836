//! The everyday commands of operators and vendors: what they change, what they ask, and what they
//! warn of.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use seatmeter_protocol::message::*;
use serde_json::Value;

use crate::cli::{Served, failure, seatmeterd, stdout};
use crate::support::*;

/// A data directory with a vendor's key beside it.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        stdout(&shop.data(), &["init"]);
        shop.vendor(&["vendor", "keygen", "--key", &shop.path("vendor.key")]);
        shop
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// What a command says that needs no data.
    fn vendor(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatmeterd"));
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Make a signed file of an item.
    fn issue(&self, name: &str, settings: &[&str]) -> String {
        let key = stdout(&self.data(), &["key", "show"]);
        let new = ["license-file", "new", "--organization", "acme", "--server-key", key.trim()];
        let draft = self.path(&format!("{name}.json"));
        std::fs::write(&draft, self.vendor(&[&new[..], settings].concat())).unwrap();
        let signed =
            self.vendor(&["license-file", "sign", &draft, "--key", &self.path("vendor.key")]);
        std::fs::write(self.path(name), signed).unwrap();
        self.path(name)
    }

    fn import(&self, file: &str, more: &[&str]) -> String {
        stdout(&self.data(), &[&["license-file", "import", file], more].concat())
    }

    fn content(&self, file: &str) -> Value {
        serde_json::from_str(&self.vendor(&["license-file", "show", file, "--json"])).unwrap()
    }
}

const SERVERS: [&str; 4] = ["--charge-way", "server", "--quota", "4"];

fn default_code(data: &Path) -> Value {
    let list: Value = serde_json::from_str(&stdout(data, &["organization", "list"])).unwrap();
    list[0]["default_handshake_code"].clone()
}

#[test]
fn an_import_keeps_the_default_code_unless_it_is_asked_for() {
    let shop = Shop::new();
    let data = shop.data();
    let first = shop.import(&shop.issue("one", &SERVERS), &["--handshake-code", "ONE"]);
    assert!(first.contains("made handshake code ONE, the default code"), "{first}");
    let second = shop.import(&shop.issue("two", &SERVERS), &["--handshake-code", "TWO"]);
    assert!(second.contains("made handshake code TWO"), "{second}");
    assert!(second.contains("warning") && second.contains("default code ONE"), "{second}");
    assert_eq!(default_code(&data), "ONE");
    let audit = stdout(&data, &["audit"]);
    assert!(audit.contains("handshake code TWO, default code ONE as before"), "{audit}");
    shop.import(&shop.issue("three", &SERVERS), &["--handshake-code", "THREE", "--default"]);
    assert_eq!(default_code(&data), "THREE");
    let audit = stdout(&data, &["audit"]);
    assert!(audit.contains("handshake code THREE, which is the default code now"), "{audit}");
}

#[test]
fn a_quota_below_what_is_used_is_imported_with_a_warning() {
    let shop = Shop::new();
    let data = shop.data();
    let file = shop.issue("servers", &SERVERS);
    shop.import(&file, &["--handshake-code", "ACME-CODE"]);
    let server = Served::start(&data);
    let key = stdout(&data, &["key", "show"]).trim().parse().unwrap();
    for _ in 0..3 {
        let asked = request(&id(), 1);
        let _: AuthorizationAnswer =
            post(server.address, &key, AUTHORIZATIONS_PATH, &asked).unwrap();
    }
    let smaller = shop.path("smaller");
    let key = shop.path("vendor.key");
    shop.vendor(&["license-file", "renew", &file, "--quota", "2", "--key", &key, "-o", &smaller]);
    let told = shop.import(&smaller, &[]);
    assert!(told.contains("warning") && told.contains("3 seats in use"), "{told}");
    assert!(told.contains("quota of 2"), "{told}");
    let shown = stdout(&data, &["status"]);
    assert!(shown.contains("used up"), "{shown}");
}

#[test]
fn a_revocation_is_asked_for() {
    let shop = Shop::new();
    let data = shop.data();
    let file = shop.issue("servers", &SERVERS);
    shop.import(&file, &[]);
    let item = shop.content(&file)["items"][0]["item_id"].as_str().unwrap().to_owned();
    let revoke = |answer: &str| {
        let mut command = seatmeterd(&data, &["item", "revoke", &item]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    for no in ["", "no\n", "y\n"] {
        let output = revoke(no);
        assert_eq!(output.status.code(), Some(1), "{no:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--yes"));
    }
    assert!(stdout(&data, &["item", "list"]).contains("\"revoked_at\": null"));
    assert!(revoke("yes\n").status.success());
    assert!(failure(&data, &["item", "revoke", &item, "--yes"]).contains("revoked already"));
}

#[test]
fn devices_codes_and_organizations_are_named_and_deleted() {
    let shop = Shop::new();
    let data = shop.data();
    let file = shop.issue("servers", &SERVERS);
    shop.import(&file, &["--handshake-code", "ACME-CODE"]);
    let item = shop.content(&file)["items"][0]["item_id"].as_str().unwrap().to_owned();
    let server = Served::start(&data);
    let key = stdout(&data, &["key", "show"]).trim().parse().unwrap();
    let (one, two) = (id(), id());
    for device in [&one, &two] {
        let _: AuthorizationAnswer =
            post(server.address, &key, AUTHORIZATIONS_PATH, &request(device, 1)).unwrap();
    }
    // Both call themselves "till 7".
    let release = ["device", "release", "till 7", "--item", &item];
    assert!(failure(&data, &release).contains(&one));
    stdout(&data, &["device", "rename", &one[..12], "North"]);
    stdout(&data, &["device", "release", "North", "--item", &item]);
    stdout(&data, &["device", "release", "till 7", "--item", &item]);
    assert!(failure(&data, &["device", "release", "South", "--item", &item]).contains("South"));
    assert!(failure(&data, &["device", "list", "--item", "nothing"]).contains("nothing"));
    stdout(&data, &["device", "delete", "North"]);
    let left = stdout(&data, &["device", "list"]);
    assert!(!left.contains(&one) && left.contains(&two), "{left}");
    let told = failure(&data, &["device", "delete", &one]);
    assert!(told.contains("no device"), "{told}");
    // It comes back as a new one.
    let _: AuthorizationAnswer =
        post(server.address, &key, AUTHORIZATIONS_PATH, &request(&one, 1)).unwrap();
    assert!(stdout(&data, &["device", "list"]).contains(&one));

    stdout(&data, &["handshake", "new", "SECOND", "--organization", "acme"]);
    stdout(&data, &["handshake", "items", "SECOND", &item]);
    let default = failure(&data, &["handshake", "delete", "ACME-CODE"]);
    assert!(default.contains("default code"), "{default}");
    stdout(&data, &["handshake", "delete", "SECOND"]);
    assert!(failure(&data, &["handshake", "delete", "SECOND"]).contains("SECOND"));
    assert!(failure(&data, &["organization", "delete", "acme"]).contains("license items"));
    assert!(failure(&data, &["organization", "delete", "nobody"]).contains("nobody"));
    let table = stdout(&data, &["device", "list", "--table"]);
    assert!(table.contains("2 devices under items"), "{table}");
    let audit = stdout(&data, &["audit"]);
    for action in ["delete device", "delete handshake code"] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[test]
fn an_organization_without_license_files_is_deleted_with_its_codes() {
    let server = TestServer::with_items(vec![item("instances", 4)]);
    execute(
        &server.location,
        "INSERT INTO organization (organization_id, name, root_key) VALUES ('empty', 'E', 'k')",
    );
    let code = server.licensing.make_code("EMPTY-CODE".into(), "empty".into(), "test");
    server.wait(code).unwrap();
    let delete =
        |path: &str| Request::json("DELETE", &format!("/admin/v1{path}"), "").send(server.address);
    assert_eq!(delete("/organizations/acme").status, 409);
    assert_eq!(delete("/organizations/empty").status, 200);
    assert_eq!(delete("/organizations/empty").status, 404);
    assert_eq!(server.number("SELECT count(*) FROM handshake_code"), 1);
    assert_eq!(delete("/handshake-codes/EMPTY-CODE").status, 404);
}

#[test]
fn a_shown_file_is_renewed_and_signed_again() {
    let shop = Shop::new();
    let key = shop.path("vendor.key");
    let file = shop.issue("servers", &[&SERVERS[..], &["--expires", "2027-12-31"]].concat());
    let before = shop.content(&file);
    assert_eq!(before["items"][0]["expires_at"], 1_830_211_200_u64);
    let shown = shop.path("shown");
    std::fs::write(&shown, shop.vendor(&["license-file", "show", &file])).unwrap();
    let next = shop.path("next");
    let settings = [
        "--quota",
        "9",
        "--expires",
        "2028-12-31",
        "--window-days",
        "30",
        "--offline-days",
        "2",
        "--edition",
        "pro",
        "--version-from",
        "2.0",
        "--module",
        "core",
        "--products",
        "0x3",
        "--trial",
        "-o",
        &next,
    ];
    shop.vendor(&[&["license-file", "renew", &shown][..], &settings].concat());
    let signed = shop.path("signed");
    std::fs::write(&signed, shop.vendor(&["license-file", "sign", &next, "--key", &key])).unwrap();
    let after = shop.content(&signed);
    assert_eq!(after["file_id"], before["file_id"]);
    assert!(after["issued_at"].as_u64() > before["issued_at"].as_u64());
    let item = &after["items"][0];
    assert_eq!(item["item_id"], before["items"][0]["item_id"]);
    for (name, value) in [
        ("quota", Value::from(9)),
        ("expires_at", Value::from(1_861_833_600_u64)),
        ("window_days", Value::from(30)),
        ("offline_days", Value::from(2)),
        ("edition", Value::from("pro")),
        ("modules", Value::from(vec!["CORE"])),
        ("products", Value::from(3)),
        ("trial", Value::from(true)),
    ] {
        assert_eq!(item[name], value, "{name}");
    }
    shop.import(&file, &[]);
    shop.import(&signed, &[]);
    assert!(stdout(&shop.data(), &["status"]).contains("2028-12-31T00:00:00Z"));
    let status: Value = serde_json::from_str(&stdout(&shop.data(), &["status", "--json"])).unwrap();
    assert_eq!(status["items"][0]["quota"], 9);
    let wrong = Command::new(env!("CARGO_BIN_EXE_seatmeterd"))
        .args(["license-file", "renew", &signed, "--item", "other", "--quota", "3"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("\"other\""));
}

#[test]
fn a_backup_is_known_to_the_status() {
    let shop = Shop::new();
    let data = shop.data();
    assert!(stdout(&data, &["status"]).contains("none by seatmeterd backup"));
    stdout(&data, &["backup", &shop.path("copy")]);
    let shown = stdout(&data, &["status"]);
    assert!(shown.contains("0 h ago"), "{shown}");
    assert!(stdout(&data, &["audit"]).contains("make backup"));
}
