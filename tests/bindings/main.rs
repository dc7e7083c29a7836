//! The modules of other languages. Each plays the same scenario, `bindings/scenario.txt`, against a
//! real server. Python programs that fork, or that work in many processes, keep exact counts and
//! seats. Each language also has programs for its own matters: mistakes in arguments, and what may
//! happen while a call waits.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::{Program, image, run};
use seatmeter_e2e::server::Server;

#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {}", why.trim());
}

fn library() -> PathBuf {
    seatmeter_e2e::build_folder().join("libseatmeter.so")
}

/// Return the words of the command that plays the scenario in a language; none if its tools are
/// missing.
fn player(language: &str) -> Option<Vec<String>> {
    let script = seatmeter_e2e::root().join("scripts/bindings.sh");
    let folder = seatmeter_e2e::build_folder().join("../bindings");
    let made = run(Command::new(script).arg(language).arg(folder));
    match made.code {
        Some(0) => Some(made.stdout.lines().map(str::to_owned).collect()),
        Some(3) => {
            skip(&made.stderr);
            None
        }
        _ => panic!("{language}: {}{}", made.stdout, made.stderr),
    }
}

/// Return a command on a device, without other variables of the environment.
fn on_device(words: &[String], state: &Path, server: &str) -> Command {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("SEATMETER_LIBRARY", library())
        .env("SEATMETER_STATE_DIR", state)
        .env("SEATMETER_SERVER", server);
    command
}

/// Write a PNG that ends below the second of its four barcodes, as if copying it had stopped.
fn cut_picture(folder: &Path) -> String {
    let whole = image::open(image("four_barcodes.png")).unwrap().into_luma8();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, whole.width(), whole.height());
    encoder.set_color(png::ColorType::Grayscale);
    // The file is not compressed, so that its middle is the middle of the picture.
    encoder.set_compression(png::Compression::NoCompression);
    encoder.write_header().unwrap().write_image_data(whole.as_raw()).unwrap();
    bytes.truncate(bytes.len() * 52 / 100);
    let path = folder.join("cut.png");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn plays_the_scenario(start: impl Fn(&Server) -> Command) {
    let server = Server::with_demo_license();
    let picture = image("four_barcodes.png").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let cut_picture = cut_picture(folder.path());
    let mut programs = ["a", "b"].map(|name| (name, Some(Dialogue::start(start(&server)))));
    let text =
        std::fs::read_to_string(seatmeter_e2e::root().join("bindings/scenario.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let ca = seatmeter_e2e::root().join("tests/certificates/ca.pem").display().to_string();
    let known = [
        ("$SERVER", server.url()),
        ("$PICTURE", &picture),
        ("$CUT_PICTURE", &cut_picture),
        ("$CA", &ca),
        ("$VERSION", env!("CARGO_PKG_VERSION")),
    ];
    let mut count = 0;
    for line in lines {
        let line =
            known.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value));
        let (order, expected) = line.split_once(" = ").unwrap_or((&line, ""));
        let (who, what) = order.trim().split_once(' ').unwrap();
        let place = |name: &str| ["a", "b"].iter().position(|known| *known == name).unwrap();
        let answer = match who {
            "server" => server.recorded(what).to_string(),
            "kill" => {
                programs[place(what)].1 = None;
                String::new()
            }
            name => programs[place(name)].1.as_mut().unwrap().ask(what),
        };
        assert_eq!(answer, expected, "{order}");
        count += 1;
    }
    assert!(count > 40, "{count} lines");
}

fn plays_in(language: &str) {
    let Some(words) = player(language) else { return };
    let device = tempfile::tempdir().unwrap();
    let state = device.path().join("state");
    plays_the_scenario(|server| on_device(&words, &state, server.url()));
}

#[test]
fn cpp_plays_the_scenario() {
    let program = Program::compile("bindings/cpp/scenario_17.cpp");
    plays_the_scenario(|server| program.command(server.url()));
}

#[test]
fn python_plays_the_scenario() {
    plays_in("python");
}

#[test]
fn node_plays_the_scenario() {
    plays_in("node");
}

#[test]
fn java_plays_the_scenario() {
    plays_in("java");
}

#[test]
fn go_plays_the_scenario() {
    plays_in("go");
}

/// Return the words of the command that runs one of a language's own programs; none if its tools
/// are missing.
fn program(language: &str, name: &str) -> Option<Vec<String>> {
    let mut words = player(language)?;
    let player = words.pop()?;
    // In Go every program is a file of its own, beside the player.
    if language == "go" {
        words.push(Path::new(&player).with_file_name(name).display().to_string());
        return Some(words);
    }
    // In Java the player is the name of a class, and so is every other program.
    let path = seatmeter_e2e::root().join("bindings").join(language).join("tests").join(name);
    words.push(if language == "java" { name.to_owned() } else { path.display().to_string() });
    Some(words)
}

/// Run a program, and check that the server has recorded what the program says it has counted,
/// which must be `least` at least.
fn counts_exactly(language: &str, name: &str, argument: &str, least: u64) {
    let Some(mut words) = program(language, name) else { return };
    words.push(argument.to_owned());
    let server = Server::with_demo_license();
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, &device.path().join("state"), server.url()));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let counted: u64 = run.stdout.trim().parse().unwrap();
    assert!(counted >= least, "{counted}");
    assert_eq!(server.recorded("scan"), counted);
}

#[test]
fn python_that_forks_keeps_exact_counts_and_seats() {
    counts_exactly("python", "forks.py", "200", 100);
}

#[test]
fn python_in_many_processes_keeps_exact_counts_and_seats() {
    counts_exactly("python", "processes.py", "40", 100);
}

#[test]
fn python_that_is_interrupted_while_it_waits_or_decodes_loses_no_seat() {
    let picture = image("four_barcodes.png").display().to_string();
    counts_exactly("python", "interrupted.py", &picture, 1);
}

#[test]
fn what_c_would_cut_is_an_error_of_python() {
    counts_exactly("python", "arguments.py", "", 1);
}

#[test]
fn what_is_no_text_no_int_or_no_bytes_is_an_error_of_node_and_what_is_bytes_is_counted_whole() {
    counts_exactly("node", "arguments.js", "", 1);
}

#[test]
fn node_reads_files_while_many_readers_wait() {
    counts_exactly("node", "waiting.js", "", 1);
}

#[test]
fn node_does_without_the_decoder() {
    let Some(words) = program("node", "no_decoder.js") else { return };
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, device.path(), "http://127.0.0.1:1"));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn errors_of_python_use_the_words_of_python() {
    counts_messages("python", "words.py");
}

#[test]
fn errors_of_node_use_the_words_of_node() {
    counts_messages("node", "words.js");
}

#[test]
fn errors_of_java_use_the_words_of_java() {
    counts_messages("java", "Messages");
}

#[test]
fn errors_of_go_use_the_words_of_go() {
    counts_messages("go", "words");
}

#[test]
fn errors_of_cpp_use_the_words_of_cpp() {
    let server = Server::with_demo_license();
    let run = run(&mut Program::compile("bindings/cpp/tests/words_17.cpp").command(server.url()));
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "14\n"), "{}", run.stderr);
}

/// Run a program that checks messages, and check how many it says there were.
fn counts_messages(language: &str, name: &str) {
    let Some(words) = program(language, name) else { return };
    let server = Server::with_demo_license();
    let device = tempfile::tempdir().unwrap();
    let run = run(&mut on_device(&words, &device.path().join("state"), server.url()));
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.trim().parse::<u64>().unwrap() > 5, "{}", run.stdout);
}

#[test]
fn a_library_that_is_not_found_names_what_to_set() {
    let programs =
        [("python", "words.py"), ("node", "words.js"), ("java", "Messages"), ("go", "words")];
    for (language, name) in programs {
        let Some(words) = program(language, name) else { continue };
        let device = tempfile::tempdir().unwrap();
        let mut command = on_device(&words, device.path(), "http://127.0.0.1:1");
        let run = run(command.env("SEATMETER_LIBRARY", "/no/such/libseatmeter.so"));
        assert_ne!(run.code, Some(0), "{language}");
        let message =
            "Set the environment variable SEATMETER_LIBRARY to the path of libseatmeter.so";
        assert!(run.stderr.contains(message), "{language}: {}", run.stderr);
        assert!(run.stderr.contains("/no/such/libseatmeter.so"), "{language}: {}", run.stderr);
    }
}

/// Return the sources of a module, without its tests.
fn sources(language: &str) -> String {
    let root = seatmeter_e2e::root();
    let folders = match language {
        "python" => vec![root.join("bindings/python/src/seatmeter")],
        "java" => vec![root.join("bindings/java/src/seatmeter")],
        "node" => vec![root.join("bindings/node")],
        "go" => vec![root.join("bindings/go")],
        _ => vec![root.join("include")],
    };
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|ending| {
            ["py", "js", "java", "hpp", "go", "c"].iter().any(|e| ending == *e)
        }) && !path.ends_with("scenario.js")
    };
    let paths = files.map(|file| file.path()).filter(is_source);
    paths.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Return the text between the two ends of a declaration in the header.
fn header_names(begin: &str, end: &str, name: fn(&str) -> Option<&str>) -> Vec<String> {
    let header =
        std::fs::read_to_string(seatmeter_e2e::root().join("include/seatmeter.h")).unwrap();
    let from = header.find(begin).unwrap_or_else(|| panic!("{begin} is not in the header"));
    let part = &header[from..from + header[from..].find(end).unwrap()];
    part.lines().filter_map(name).map(str::to_owned).collect()
}

fn declared_functions() -> Vec<String> {
    let names = header_names("int InitDLSConnectionParameters", "#ifdef __cplusplus", |line| {
        let is_declaration = line.starts_with(|c: char| c.is_ascii_lowercase());
        let (before, _) = line.split_once('(').filter(|_| is_declaration)?;
        before.rsplit([' ', '*']).next()
    });
    assert!(names.len() > 20, "{names:?}");
    names
}

fn fields_of(structure: &str) -> Vec<String> {
    let names = header_names(structure, "\n}", |line| {
        let declaration = line.trim().strip_suffix(';')?.split('[').next()?;
        declaration.rsplit([' ', '*']).next()
    });
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Return whether the sources of a module use a function of C, beyond its declaration and the word
/// for its name.
fn calls(language: &str, sources: &str, function: &str) -> bool {
    let uses = match language {
        "python" => ["(", ",", ")"].map(|end| format!("library.{function}{end}")).to_vec(),
        "java" => vec![format!("INSTANCE.{function}("), format!("INSTANCE::{function}")],
        // The table of functions gives each one a name of the module, and other code uses only this
        // name.
        "node" => {
            let declared = sources
                .find(&format!(" {function}("))
                .or_else(|| sources.find(&format!("*{function}(")));
            let Some(at) = declared else { return false };
            let line = sources[..at].rsplit('\n').next().unwrap_or_default();
            let name = line.trim().split(':').next().unwrap_or_default();
            return sources.contains(&format!("library.{name}("))
                || sources.contains(&format!("library.{name},"));
        }
        // Each has a function of C that a function of Go calls.
        "go" => {
            let own = match function {
                "InitDLSConnectionParameters" => "C.sm_Defaults(".to_owned(),
                "InitLicenseFromDLS" => "C.sm_Initialize(".to_owned(),
                "SM_SetLogCallback" => "C.sm_SetLog(".to_owned(),
                _ => format!("C.sm_{}(", function.trim_start_matches("SM_")),
            };
            return sources.contains(&format!("library.{function}_(")) && sources.contains(&own);
        }
        _ => vec![format!("{function}("), format!("({function},")],
    };
    uses.iter().any(|text| sources.contains(text))
}

#[test]
fn every_module_offers_every_function_of_the_header_and_has_a_word_for_it() {
    for language in ["python", "node", "java", "go", "cpp"] {
        let sources = sources(language);
        for function in declared_functions() {
            // Python makes every reader with the function that waits.
            let is_replaced = language == "python" && function == "SM_CreateReader";
            assert!(
                is_replaced || calls(language, &sources, &function),
                "{language} never calls {function}"
            );
            let has_word = [format!("\"{function}\""), format!("  {function}: '")];
            assert!(
                has_word.iter().any(|w| sources.contains(w)),
                "{language} has no word for {function}"
            );
        }
    }
}

#[test]
fn every_module_has_a_word_for_every_parameter_and_shows_every_field_of_the_status() {
    for language in ["python", "node", "java", "go", "cpp"] {
        let sources = sources(language);
        for field in fields_of("typedef struct SM_PACKED tagDM_DLSConnectionParameters") {
            // Functions that no module offers are in no message that its users can get.
            let is_offered =
                !["reserved", "products", "limitedLicenseModulesCount", "limitedLicenseModules"]
                    .contains(&field.as_str())
                    && field != "UUIDGenerationMethod";
            let has_word = [format!("\"{field}\""), format!("  {field}: '")];
            let has = has_word.iter().any(|w| sources.contains(w));
            assert!(has || !is_offered, "{language} has no word for {field}");
        }
        if language == "cpp" {
            // This function returns the struct itself.
            continue;
        }
        for field in fields_of("typedef struct SM_Status {").iter().filter(|field| *field != "size")
        {
            let name = if language == "python" { snake(field) } else { field.clone() };
            let shown = match language {
                "python" => sources.contains(&format!("\n    {name}: ")),
                "java" => {
                    sources.contains(&format!(" {name},\n"))
                        || sources.contains(&format!(" {name})"))
                }
                "go" => {
                    sources.contains(&format!("(raw.{name})"))
                        || sources.contains(&format!("&raw.{name}[0]"))
                }
                _ => sources.contains(&format!("\n  {name}: ")),
            };
            assert!(shown, "{language} does not show {field}");
        }
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

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

#[test]
fn java_counts_a_list_that_grows_as_one_that_is_whole() {
    counts_exactly("java", "Growing", "", 100);
}

#[test]
fn a_text_that_c_would_cut_is_an_error_of_java() {
    counts_exactly("java", "Arguments", "", 2);
}
