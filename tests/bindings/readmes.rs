//! The commands and programs in the modules' pages work as pasted.

use std::path::Path;
use std::process::Command;

use seatmeter_e2e::program::{Program, image, run};
use seatmeter_e2e::server::Server;

use super::{on_device, player};

/// Return the program in the README of a language, for this server, and with a picture that exists.
fn program_of_readme(language: &str, mark: &str, server: &Server) -> String {
    let path = seatmeter_e2e::root().join("bindings").join(language).join("README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = text.find(&format!("```{mark}\n")).unwrap() + 4 + mark.len();
    let program = &text[begin..begin + text[begin..].find("```").unwrap()];
    assert!(
        program.contains("http://127.0.0.1:48080") && program.contains("page.png"),
        "{program}"
    );
    let picture = image("four_barcodes.png").display().to_string();
    program.replace("http://127.0.0.1:48080", server.url()).replace("page.png", &picture)
}

#[test]
fn the_programs_in_the_readmes_of_the_modules_work_as_pasted() {
    for (language, mark, file) in
        [("python", "python", "demo.py"), ("node", "js", "demo.js"), ("java", "java", "Demo.java")]
    {
        let Some(mut words) = player(language) else { continue };
        let server = Server::with_demo_license();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, program_of_readme(language, mark, &server)).unwrap();
        words.pop();
        words.push(path.display().to_string());
        let run = run(&mut on_device(&words, &folder.path().join("state"), server.url()));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{language}: {}", run.stdout);
        assert!(run.stdout.contains("QR_CODE"), "{language}: {}", run.stdout);
        assert_eq!(server.recorded("scan"), 5, "{language}");
    }
}

#[test]
fn the_commands_and_the_program_in_the_readme_for_go_work_as_pasted() {
    let Some(words) = player("go") else { return };
    let folder = Path::new(words.last().unwrap()).ancestors().nth(2).unwrap();
    let server = Server::with_demo_license();
    let demo = folder.join("demo");
    let _ = std::fs::remove_dir_all(&demo);
    std::fs::create_dir(&demo).unwrap();
    std::fs::write(demo.join("main.go"), program_of_readme("go", "go", &server)).unwrap();
    let readme =
        std::fs::read_to_string(seatmeter_e2e::root().join("bindings/go/README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("go mod ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let module = seatmeter_e2e::root().join("bindings/go").display().to_string();
    let commands = commands.join(" && ").replace("../../bindings/go", &module);
    let script = format!("cd '{}' && {commands} && go build -o demo .", demo.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("GOCACHE", folder.join("cache")).env("GOPROXY", "off");
    let built = run(&mut shell);
    assert_eq!(built.code, Some(0), "{}{}", built.stdout, built.stderr);
    let program = [demo.join("demo").display().to_string()];
    let run = run(&mut on_device(&program, &demo.join("state"), server.url()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    assert!(run.stdout.contains("QR_CODE"), "{}", run.stdout);
    assert_eq!(server.recorded("scan"), 5);
}

#[test]
fn the_program_in_the_readme_for_cpp_works_as_pasted() {
    let server = Server::with_demo_license();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo_17.cpp");
    std::fs::write(&path, program_of_readme("cpp", "cpp", &server)).unwrap();
    let program = Program::compile(&path.display().to_string());
    let run = run(&mut program.command(server.url()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    assert_eq!(server.recorded("scan"), 5);
}
