//! What is installed, what an update changes, and what is left when it is removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use seatmeter_e2e::program::run;
use tempfile::TempDir;

use crate::{VERSION, built, major, make, make_well, prefix};

/// A folder in which a package is laid together.
struct Destination {
    folder: TempDir,
}

/// The configuration, and the sample with which it is compared.
const CONFIGURATION: &str = "etc/seatmeterd/seatmeterd.toml";

impl Destination {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn make(&self, target: &str) -> String {
        let destination = format!("DESTDIR={}", self.path().display());
        make_well(&[target, &destination, "PREFIX=/usr", "LIBDIR=/usr/lib/x86_64-linux-gnu"]).stderr
    }

    /// Return the paths of all files, links and folders.
    fn content(&self) -> BTreeSet<String> {
        let found = run(Command::new("find").arg(self.path()).args(["-mindepth", "1"]));
        let within = |path: &str| path[self.path().as_os_str().len() + 1..].to_owned();
        found.stdout.lines().map(within).collect()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap()
    }
}

#[test]
fn an_installation_has_everything_and_uninstalling_leaves_what_was_there_before() {
    let destination = Destination::new();
    destination.write("usr/lib/of_others.so", "");
    destination.write("usr/share/man/man1/of_others.1", "");
    let before = destination.content();
    destination.make("install");
    let content = destination.content();
    let library = format!("usr/lib/x86_64-linux-gnu/libseatmeter.so.{VERSION}");
    for path in [
        library.as_str(),
        "usr/lib/x86_64-linux-gnu/libDynamsoftBarcodeReader.so",
        "usr/lib/x86_64-linux-gnu/libseatmeter.a",
        "usr/lib/x86_64-linux-gnu/pkgconfig/seatmeter.pc",
        "usr/lib/x86_64-linux-gnu/cmake/seatmeter/seatmeter-config.cmake",
        "usr/include/seatmeter.hpp",
        "usr/include/dbr9/DynamsoftBarcodeReader.h",
        "usr/bin/seatmeterd",
        "usr/bin/seatmeter-doctor",
        "usr/share/man/man1/seatmeterd.1",
        "usr/share/bash-completion/completions/seatmeterd",
        "usr/lib/systemd/system/seatmeterd.service",
        "usr/lib/sysusers.d/seatmeterd.conf",
        "usr/lib/tmpfiles.d/seatmeterd.conf",
        CONFIGURATION,
    ] {
        assert!(content.contains(path), "{path} is not in {content:#?}");
    }
    let link = |name: &str| {
        fs::read_link(destination.path().join("usr/lib/x86_64-linux-gnu").join(name)).unwrap()
    };
    let with_major = format!("libseatmeter.so.{}", major());
    assert_eq!(link(&with_major), Path::new(&format!("libseatmeter.so.{VERSION}")));
    assert_eq!(link("libseatmeter.so"), Path::new(&with_major));
    destination.make("uninstall");
    assert_eq!(destination.content(), before);
}

#[test]
fn installing_twice_and_uninstalling_once_leaves_nothing() {
    let destination = Destination::new();
    destination.make("install");
    let content = destination.content();
    destination.make("install");
    assert_eq!(destination.content(), content);
    destination.make("uninstall");
    assert_eq!(destination.content(), BTreeSet::new());
}

#[test]
fn an_update_removes_what_only_the_earlier_version_had() {
    let destination = Destination::new();
    destination.make("install");
    let list = "usr/share/seatmeter/installed-files";
    let earlier = "usr/lib/x86_64-linux-gnu/libseatmeter.so.0.0.9";
    destination.write(earlier, "");
    destination.write("usr/lib/of_others", "");
    destination.write(list, &format!("{}/{earlier}\n", destination.read(list)));
    destination.make("install");
    let content = destination.content();
    assert!(!content.contains(earlier) && content.contains("usr/lib/of_others"), "{content:#?}");
}

#[test]
fn a_list_that_leads_elsewhere_removes_nothing_there() {
    let destination = Destination::new();
    destination.make("install");
    let list = "usr/share/seatmeter/installed-files";
    destination.write("home/photo", "");
    destination.write(list, &format!("{}/home/photo\n", destination.read(list)));
    destination.make("uninstall");
    assert_eq!(destination.content(), ["home", "home/photo"].map(str::to_owned).into());
}

#[test]
fn a_changed_configuration_survives_an_update_and_an_uninstall() {
    let destination = Destination::new();
    destination.make("install");
    let changed = format!("{}\nrate-per-source = 7\n", destination.read(CONFIGURATION));
    destination.write(CONFIGURATION, &changed);
    assert!(destination.make("install").contains("kept your "));
    assert_eq!(destination.read(CONFIGURATION), changed);
    let said = destination.make("uninstall");
    assert!(said.contains("which was changed: remove it by hand"), "{said}");
    assert_eq!(destination.read(CONFIGURATION), changed);
    let left = ["etc", "etc/seatmeterd", CONFIGURATION].map(str::to_owned);
    assert_eq!(destination.content(), left.into());
}

#[test]
fn without_a_build_one_sentence_says_what_to_do_and_nothing_is_installed() {
    let destination = Destination::new();
    let empty = tempfile::tempdir().unwrap();
    let built = format!("BUILT={}", empty.path().display());
    let made = make(&["install", &built, &format!("DESTDIR={}", destination.path().display())]);
    assert_ne!(made.code, Some(0));
    assert!(made.stderr.contains("libseatmeter.so"), "{}", made.stderr);
    assert!(made.stderr.contains("Run \"make build\" first"), "{}", made.stderr);
    assert_eq!(destination.content(), BTreeSet::new());
}

#[test]
fn a_prefix_that_cannot_work_is_refused_with_its_value() {
    let built = format!("BUILT={}", built().display());
    for (setting, why) in [
        ("PREFIX=out", "PREFIX=out is not an absolute path"),
        ("LIBDIR=lib64", "LIBDIR=lib64 is not an absolute path"),
        ("PREFIX=/opt/a b", "PREFIX=/opt/a b has a space"),
    ] {
        for target in ["install", "uninstall"] {
            let made = make(&[target, &built, setting]);
            assert!(made.code != Some(0) && made.stderr.contains(why), "{setting}: {made:?}");
        }
    }
}

#[test]
fn uninstalling_what_is_not_installed_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(&["uninstall", &format!("PREFIX={}", folder.path().display())]);
    assert_ne!(made.code, Some(0));
    assert!(made.stderr.contains("nothing is installed: there is no "), "{}", made.stderr);
}

/// Return the commands that the help of a program names.
fn commands(words: &[&str]) -> Vec<String> {
    let help = run(Command::new(prefix().join("bin").join(words[0]))
        .args(&words[1..])
        .arg("--help")
        .env_clear());
    let list = help.stdout.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    names.filter(|name| name != "help").collect()
}

#[test]
fn each_command_has_a_manual_page() {
    let mut pages = vec!["seatmeterd".to_owned(), "seatmeter-doctor".to_owned()];
    for program in ["seatmeterd", "seatmeter-doctor"] {
        for command in commands(&[program]) {
            let inner = commands(&[program, &command]);
            pages.extend(inner.iter().map(|inner| format!("{program}-{command}-{inner}")));
            pages.push(format!("{program}-{command}"));
        }
    }
    assert!(pages.len() > 60, "{pages:?}");
    for page in pages {
        let path = prefix().join(format!("share/man/man1/{page}.1"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{page}: {text}");
    }
}

#[test]
fn a_shell_completes_the_commands_of_both_programs() {
    for (program, word, expected) in
        [("seatmeterd", "license-f", "license-file"), ("seatmeter-doctor", "res", "reset")]
    {
        let file = prefix().join("share/bash-completion/completions").join(program);
        let script = format!(
            ". '{}'; set -- $(complete -p {program}); while [ $1 != -F ]; do shift; done; \
             COMP_WORDS=({program} {word}); COMP_CWORD=1; \
             $2 {program} {word} {program}; echo \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let run = run(Command::new("bash").args(["-c", &script]).env_clear());
        assert_eq!(run.stdout.trim(), expected, "{}", run.stderr);
    }
}

#[test]
fn the_doctor_of_devices_is_the_doctor_of_the_server_without_its_data() {
    let state = tempfile::tempdir().unwrap();
    let doctor = |program: &str, part: &[&str]| {
        let mut command = Command::new(prefix().join("bin").join(program));
        command.args(part).arg("--state-dir").arg(state.path().join("none")).env_clear();
        run(&mut command)
    };
    let (own, of_server) = (doctor("seatmeter-doctor", &[]), doctor("seatmeterd", &["doctor"]));
    assert_eq!((own.code, &own.stdout), (of_server.code, &of_server.stdout));
    assert!(own.stderr.starts_with("seatmeter-doctor: "), "{}", own.stderr);
    assert_eq!(commands(&["seatmeter-doctor"]), ["seats", "reset"]);
}
