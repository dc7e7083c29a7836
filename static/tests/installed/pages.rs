//! Every command of the pages for operators works as it stands there, in the order of the page,
//! with the installed programs. It runs on a network of its own, so that the default port is free,
//! and with `/etc` in a folder of the test.

use std::fs;
use std::path::Path;
use std::process::Command;

use seatmeter_e2e::program::run;
use seatmeter_e2e::root;

use crate::{built, has, prefix, skip};

/// Blocks that are tried elsewhere, or that need a whole system, by their first line.
const ELSEWHERE: [(&str, &str); 10] = [
    ("make run", "the first command of CI"),
    ("make build deb", "make test-deb"),
    ("make build", "make test-deb, files.rs"),
    ("make portable", "make test-portable"),
    ("systemctl status seatmeterd", "service.rs; it needs a system with systemd"),
    ("sudo systemd-sysusers", "service.rs; it needs a system with systemd"),
    ("# Vendor, once: make a root key.", "scripts/roles.sh, which make run starts"),
    ("export PGPASSFILE=/etc/seatmeterd/pgpass", "on_postgres.rs, which has a PostgreSQL"),
    ("cc -Iinclude program.c -Ltarget/examples -lseatmeter -o program", "projects.rs"),
    ("cc program.c -o program", "projects.rs"),
];

/// What a block needs that the page only names: its first line, words to replace, and commands to
/// run before.
type Needs = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const NEEDS: &[Needs] = &[
    ("seatmeterd init --demo", &[], "stop"),
    (
        "seatmeterd serve --data DIR       # an empty",
        &[],
        "stop; rm -rf DIR; seatmeterd init --data DIR >out; vendor_signs acme.license",
    ),
    (
        "seatmeterd vendor correct --organization ORG",
        &[("ORG", "acme"), ("ITEM", "scans-2026"), ("TEXT", "'a device was broken'")],
        "",
    ),
    (
        "seatmeterd user create ann --role admin",
        &[],
        "echo 'a password of twelve' >FILE; seatmeterd user remove ann --data DIR >out",
    ),
    (
        "seatmeterd serve --data DIR --listen 0.0.0.0:443",
        &[],
        "certify etc/seatmeterd; cp etc/seatmeterd/ca.pem .",
    ),
    (
        "curl --cacert ca.pem https://license.example:48080/readyz",
        &[],
        "cp etc/seatmeterd/tls/ca.pem .",
    ),
    (
        "curl --cacert ca.pem --cert client-NAME.pem",
        &[("TOKEN", "$(cat token)")],
        "seatmeterd tls self-signed --host license.example --client NAME --out tls >out; cp tls/* .; \
         seatmeterd token create curl --role viewer --data DIR >token; \
         seatmeterd serve --data DIR --listen 0.0.0.0:48080 --tls-cert server.pem --tls-key server.key --admin-client-ca ca.pem",
    ),
    ("seatmeterd config sample", &[], "stop"),
    ("seatmeterd backup FILE", &[], "rm FILE"),
    (
        "seatmeterd audit list",
        &[
            ("HASH", "\"$(seatmeterd audit verify --data DIR | grep -o '[0-9a-f]\\{64\\}')\""),
            ("--export FILE", "--export EXPORT"),
        ],
        "seatmeterd usage export --signed --from 2026-11-01 --to 2026-12-01 --data DIR >EXPORT",
    ),
    ("seatmeterd usage export --format csv", &[], "seatmeterd init --demo --data data >out"),
    (
        "seatmeterd usage export --signed",
        &[("HEX", "$(grep -o '[0-9a-f]\\{64\\}' vendor.pub)")],
        "",
    ),
    (
        "seatmeterd serve --data DIR2",
        &[("ADDRESS", "127.0.0.1:0")],
        "seatmeterd init --data DIR2 >out",
    ),
    (
        "seatmeterd alert list",
        &[("ALERT", "\"$(of list alert_id)\""), ("EVENT", "\"$(of events event_id)\"")],
        "seatmeterd vendor correct --organization acme --item scans-2026 --used 1000 --reason late >all.correction; \
         seatmeterd license-file import all.correction --data DIR >out; seatmeterd serve --data DIR --listen 127.0.0.1:0; \
         of() { seatmeterd alert \"$1\" --json --data DIR | grep -o \"\\\"$2\\\": \\\"[^\\\"]*\" | head -n 1 | cut -d'\"' -f4; }; \
         for _ in $(seq 100); do [ -z \"$(of events event_id)\" ] || break; sleep 0.1; done",
    ),
];

/// What every page begins with. The server runs in the background, and passwords are typed.
const PRELUDE: &str = r#"
set -euo pipefail
server=
stop() { [ -z "$server" ] || { kill "$server"; wait "$server" || true; server=; }; }
trap stop EXIT
seatmeterd() {
  case "$1 ${2:-}" in
    "serve "*)
      stop
      command seatmeterd "$@" >serving 2>serving.log &
      server=$!
      for _ in $(seq 300); do
        ! grep -q "listening on" serving 2>/dev/null || return 0
        kill -0 "$server" || { cat serving.log; return 1; }
        sleep 0.1
      done
      return 1 ;;
    "user create" | "user password") printf 'a password of twelve\na password of twelve\n' | command seatmeterd "$@" ;;
    # Nothing has run on this device, and the doctor says so.
    "doctor "*) command seatmeterd "$@" || [ $? -eq 1 ] ;;
    *) command seatmeterd "$@" ;;
  esac
}
vendor_signs() {
  [ -f vendor.key ] || seatmeterd vendor keygen --key vendor.key >vendor.pub
  seatmeterd license-file new --organization acme --server-key "$(seatmeterd key show --data DIR)" \
    --charge-way barcode-scan --quota 1000 | sed "s/\"item_id\": \"[^\"]*\"/\"item_id\": \"scans-2026\"/" >draft.json
  seatmeterd license-file sign draft.json --key vendor.key >"$1"
}
certify() { seatmeterd tls self-signed --host license.example --out "$1" >out; }
"#;

/// Return the blocks of commands of a page, each with the number of its first line.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (number, line) in page.lines().enumerate() {
        match (is_inside, line) {
            (false, "```sh") => {
                is_inside = true;
                blocks.push((number + 2, String::new()));
            }
            (true, "```") => is_inside = false,
            (true, line) => {
                if let Some((_, block)) = blocks.last_mut() {
                    *block += line;
                    block.push('\n');
                }
            }
            _ => {}
        }
    }
    blocks
}

/// Return the script that tries a page, and the first lines of the blocks that it leaves out.
fn script(page: &str) -> (String, Vec<&'static str>) {
    let mut script = PRELUDE.to_owned();
    let mut left_out = Vec::new();
    for (line, mut block) in blocks(&fs::read_to_string(root().join(page)).unwrap()) {
        if let Some((first, _)) = ELSEWHERE.iter().find(|(first, _)| block.starts_with(first)) {
            left_out.push(*first);
            continue;
        }
        script += &format!("echo '-- {page}:{line}'\n");
        if let Some((_, words, before)) = NEEDS.iter().find(|(first, ..)| block.starts_with(first))
        {
            words.iter().for_each(|(word, value)| block = block.replace(word, value));
            script += &format!("{before}\n");
        }
        let block = block.replace(" /etc/", " etc/").replace("=/etc/", "=etc/");
        // A date on a page may be over when this runs.
        script +=
            &block.replace("--until 20", "--until 21").replace("--expires 20", "--expires 21");
    }
    (script, left_out)
}

/// Run a script as root of a user, network and mount namespace of its own.
fn run_apart(script: &str, folder: &Path) -> Option<seatmeter_e2e::program::Run> {
    let begin = "ip link set lo up && mount --bind hosts /etc/hosts && exec bash script";
    fs::write(folder.join("hosts"), "127.0.0.1 localhost license.example MAIN\n").unwrap();
    fs::write(folder.join("script"), script).unwrap();
    let apart = ["--user", "--map-root-user", "--net", "--mount", "sh", "-euc"];
    if !has("ip", "iproute2") || !has("curl", "curl") {
        return None;
    }
    let may = run(Command::new("unshare").args(apart).arg("true"));
    if may.code != Some(0) {
        skip(&format!("this user may make no namespaces: {}", may.stderr));
        return None;
    }
    let mut command = Command::new("unshare");
    let path = format!("{}/bin:/usr/bin:/bin:/usr/sbin", prefix().display());
    command.args(apart).arg(begin).current_dir(folder).env_clear();
    command.env("PATH", path).env("HOME", folder).env("LANG", "C.UTF-8");
    Some(run(&mut command))
}

fn try_page(page: &str) -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["etc/seatmeterd", "etc/prometheus"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    fs::copy(built().join("libseatmeter.so"), folder.path().join("libseatmeter.so")).unwrap();
    let (script, left_out) = script(page);
    if let Some(ran) = run_apart(&script, folder.path()) {
        assert_eq!(ran.code, Some(0), "{page}\n{}\n{}", ran.stdout, ran.stderr);
    }
    left_out
}

#[test]
fn every_command_of_the_pages_for_operators_works_as_it_stands() {
    let pages = [
        "README.md",
        "docs/operations.md",
        "docs/guide/c.md",
        "docs/guide/troubleshooting.md",
        "docs/guide/vendor.md",
    ];
    let left_out: Vec<&str> = pages.iter().flat_map(|page| try_page(page)).collect();
    let stale: Vec<_> = ELSEWHERE.iter().filter(|(first, _)| !left_out.contains(first)).collect();
    assert!(stale.is_empty(), "no page has these blocks: {stale:?}");
}
