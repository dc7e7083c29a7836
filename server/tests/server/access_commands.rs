//! The commands for tokens and users, as an operator runs them beside a running server.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::{Served, failure, seatmeterd, stdout};
use crate::support::*;

const PASSWORD: &str = "correct horse battery";

fn get(server: &Served, path: &str, token: &str) -> Answer {
    let request = Request::new("GET", &format!("/admin/v1{path}"));
    request.header("authorization", &format!("Bearer {token}")).send(server.address)
}

fn log_in(server: &Served, name: &str, password: &str) -> Answer {
    let body = json!({ "name": name, "password": password }).to_string();
    Request::json("POST", "/admin/v1/session", &body).send(server.address)
}

/// Run a command with this text as its standard input; return its exit code, output and errors.
fn with_input(data: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = seatmeterd(data, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, errors)
}

#[test]
fn tokens_are_made_listed_and_revoked_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    stdout(data, &["init", "--demo"]);
    let server = Served::start(data);
    let listed =
        || -> Vec<Value> { serde_json::from_str(&stdout(data, &["token", "list"])).unwrap() };
    let items: Vec<Value> = serde_json::from_str(&stdout(data, &["item", "list"])).unwrap();
    let organization = items[0]["organization_id"].as_str().unwrap();
    let create = ["token", "create", "ann", "--role", "viewer", "--expires", "2100-01-01"];
    let token = stdout(data, &[&create[..], &["--organization", organization]].concat());
    let token = token.trim();
    assert!(token.starts_with("seatmeter_") && token.len() == 10 + 64, "only the token: {token}");
    assert_eq!(get(&server, "/items", token).status, 200);
    assert_eq!(get(&server, "/epochs", token).status, 403, "it is bound");
    let row = listed().remove(0);
    assert_eq!((&row["name"], &row["role"]), (&json!("ann"), &json!("viewer")));
    assert_eq!(row["organization_id"], organization);
    assert_eq!(row["expires_at"], 4_102_444_800_u64);
    // The use is written by the server, which nobody waits for.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while listed()[0]["last_used_at"].is_null() {
        assert!(std::time::Instant::now() < until, "{row}");
    }
    let made = seatmeterd(data, &["token", "create", "--role", "operator"]).output().unwrap();
    assert!(String::from_utf8(made.stderr).unwrap().contains("made token \"operator-"));
    let other = String::from_utf8(made.stdout).unwrap();
    stdout(data, &["token", "revoke", "ann"]);
    assert_eq!(get(&server, "/items", token).status, 401, "at once");
    assert_eq!(get(&server, "/items", other.trim()).status, 200);
    assert!(
        failure(data, &["token", "revoke", "ann"]).contains("there is no token in use \"ann\"")
    );
    assert!(
        failure(data, &["token", "create", "--role", "viewer", "--organization", "nobody"])
            .contains("there is no organization \"nobody\"")
    );
    assert!(
        failure(data, &["token", "create", "--role", "viewer", "--expires", "2001-01-01"])
            .contains("has passed")
    );
    let audit = stdout(data, &["audit", "list"]);
    assert!(audit.contains("command line: ") && audit.contains("revoke token ann"), "{audit}");
    assert!(!audit.contains("seatmeter_"), "{audit}");
}

#[test]
fn a_token_needs_a_role_that_there_is() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init"]);
    for arguments in [
        &["token", "create", "ann"][..],
        &["token", "create", "ann", "--role", "root"],
        &["user", "create", "ann"],
        &["user", "create", "--role", "viewer"],
    ] {
        let (code, _, errors) = with_input(folder.path(), arguments, "");
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
    }
}

#[test]
fn users_are_made_with_a_password_from_a_file_or_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let data = &folder.path().join("data");
    stdout(data, &["init", "--demo"]);
    let server = Served::start(data);
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\r\nsecond line\n")).unwrap();
    let file = file.to_str().unwrap();
    stdout(data, &["user", "create", "ann", "--role", "admin", "--password-file", file]);
    let input = format!("{PASSWORD}\n");
    let create = ["user", "create", "bob", "--role", "viewer"];
    let (code, out, errors) = with_input(data, &create, &input);
    assert_eq!((code, out.as_str()), (Some(0), "done\n"), "{errors}");
    assert_eq!(log_in(&server, "ann", PASSWORD).status, 200);
    assert_eq!(log_in(&server, "bob", PASSWORD).status, 200);
    let listed = stdout(data, &["user", "list"]);
    let users: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!((&users[0]["name"], &users[1]["role"]), (&json!("ann"), &json!("viewer")));
    assert!(!listed.contains("argon2"), "{listed}");
    let change = ["user", "password", "bob", "--password-file", "-"];
    assert_eq!(with_input(data, &change, "another long password").0, Some(0));
    assert_eq!(log_in(&server, "bob", PASSWORD).status, 401);
    assert_eq!(log_in(&server, "bob", "another long password").status, 200);
    stdout(data, &["user", "role", "bob", "operator"]);
    let listed: Vec<Value> = serde_json::from_str(&stdout(data, &["user", "list"])).unwrap();
    assert_eq!((&listed[1]["name"], &listed[1]["role"]), (&json!("bob"), &json!("operator")));
    assert_eq!(log_in(&server, "bob", "another long password").status, 200, "the password stays");
    let nobody = failure(data, &["user", "role", "eve", "admin"]);
    assert!(nobody.contains("there is no user \"eve\""), "{nobody}");
    assert!(stdout(data, &["audit", "list"]).contains("set role of user"));
    stdout(data, &["user", "remove", "bob"]);
    assert_eq!(log_in(&server, "bob", "another long password").status, 401);
    for (input, told) in
        [("short\n", "fewer than 12 characters"), ("\n", "is empty"), ("", "is empty")]
    {
        let (code, _, errors) = with_input(data, &create, input);
        assert!(code == Some(1) && errors.contains(told), "{input:?}: {errors}");
        assert!(input.trim().is_empty() || !errors.contains(input.trim()), "{errors}");
    }
    assert!(failure(data, &["user", "remove", "bob"]).contains("there is no user \"bob\""));
}

/// Run a command on a terminal of its own. Each time that it asks, type the next answer.
fn on_a_terminal(data: &Path, arguments: &str, answers: &[&str]) -> (bool, String) {
    let program = env!("CARGO_BIN_EXE_seatmeterd");
    let line = format!("{program} {arguments} --data {}", data.display());
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut byte) = (Vec::new(), [0]);
    let mut answers = answers.iter();
    while screen.read(&mut byte).is_ok_and(|count| count > 0) {
        seen.push(byte[0]);
        if seen.ends_with(b": ")
            && let Some(answer) = answers.next()
        {
            keyboard.write_all(answer.as_bytes()).unwrap();
        }
    }
    (child.wait().unwrap().success(), String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn on_a_terminal_the_password_is_asked_for_twice_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let data = &folder.path().join("data");
    stdout(data, &["init"]);
    let create = "user create ann --role viewer";
    let (is_done, seen) =
        on_a_terminal(data, create, &["correct horse batterx\u{7f}y\r", "another one entirely\r"]);
    assert!(!is_done && seen.contains("the two passwords differ"), "{seen}");
    let (is_done, seen) = on_a_terminal(data, create, &["short\r"]);
    assert!(!is_done && seen.contains("fewer than 12 characters"), "{seen}");
    let (is_done, seen) = on_a_terminal(data, create, &["correct horse\u{3}"]);
    assert!(!is_done && seen.contains("no password was typed"), "{seen}");
    let (is_done, seen) =
        on_a_terminal(data, create, &["correct horse batterx\u{7f}y\r", &format!("{PASSWORD}\r")]);
    assert!(is_done, "{seen}");
    assert!(!seen.contains("correct"), "{seen}");
    let server = Served::start(data);
    assert_eq!(log_in(&server, "ann", PASSWORD).status, 200);
}

#[test]
fn no_log_has_a_password_a_token_or_the_id_of_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let data = &folder.path().join("data");
    stdout(data, &["init", "--demo"]);
    let log = folder.path().join("log");
    let mut command = seatmeterd(data, &["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let server = Served::run(command);
    let token = stdout(data, &["token", "create", "ann", "--role", "admin"]);
    let token = token.trim();
    let ask = |method: &str, path: &str, body: &str| {
        let request = Request::json(method, &format!("/admin/v1{path}"), body);
        request.header("authorization", &format!("Bearer {token}")).send(server.address)
    };
    let made = r#"{"name":"bob","role":"admin","password":"correct horse battery"}"#;
    assert_eq!(ask("POST", "/users", made).status, 200);
    assert_eq!(
        ask("POST", "/users", r#"{"name":"eve","role":"admin","password":4711471147}"#).status,
        400
    );
    let access = r#"{"session_password":"open sesame"}"#;
    assert_eq!(ask("PUT", "/handshake-codes/DEMO-4-SEATS/access", access).status, 200);
    assert_eq!(
        ask("PUT", "/handshake-codes/DEMO-4-SEATS/access", r#"{"session_password":[4711471147]}"#)
            .status,
        400
    );
    ask("GET", &format!("/items/{token}"), "");
    ask("GET", &format!("/items?token={token}"), "");
    Request::new("GET", &format!("/{token}")).send(server.address);
    let second = ask("POST", "/tokens", r#"{"role":"viewer"}"#).json::<Value>();
    let cookie = log_in(&server, "bob", PASSWORD).header("set-cookie").unwrap().to_owned();
    log_in(&server, "bob", "correct horse batterx");
    let session = cookie.split(['=', ';']).nth(1).unwrap();
    server.kill();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("a user has logged in") && log.contains("a login failed"), "{log}");
    let second = second["token"].as_str().unwrap();
    for secret in
        [token, second, session, PASSWORD, "batterx", "open sesame", "4711471147", "argon2id"]
    {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
