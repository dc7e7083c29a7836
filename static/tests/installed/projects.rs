//! Projects of customers against an installed prefix: the programs and commands of the guide, and
//! what a customer may add to them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatmeter_e2e::program::{Run, image, run};
use seatmeter_e2e::root;
use seatmeter_e2e::server::Server;
use tempfile::TempDir;

use crate::{VERSION, fresh_folder, has, major, prefix};

/// Flags of a customer who looks for faults of his own.
const SANITIZED: &str = "-fsanitize=address,undefined -fno-sanitize-recover=all -g";

/// Return the block of the guide for C and C++ that begins with this mark and has these words.
fn block(mark: &str, words: &str) -> String {
    let page = fs::read_to_string(root().join("docs/guide/c.md")).unwrap();
    let begin = format!("```{mark}\n");
    let blocks = page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut found = blocks.filter(|block| block.contains(words));
    found.next().unwrap_or_else(|| panic!("no {mark} with {words}")).to_owned()
}

/// A customer's folder, and the server of his license.
struct Project {
    folder: TempDir,
    server: Server,
    prefix: PathBuf,
}

impl Project {
    /// Write the programs of the guide into a folder.
    fn new() -> Self {
        let (folder, server) = (tempfile::tempdir().unwrap(), Server::with_demo_license());
        let project = Self { folder, server, prefix: prefix().to_owned() };
        for (file, mark, words) in
            [("program.c", "c", "int main(void)"), ("program.cpp", "cpp", "int main()")]
        {
            let program = block(mark, words);
            assert!(program.contains("\"http://127.0.0.1:48080\""), "{program}");
            project.write(file, &program.replace("http://127.0.0.1:48080", project.server.url()));
        }
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn library_folder(&self) -> PathBuf {
        self.prefix.join("lib")
    }

    /// Run commands in the folder, in an environment where the prefix is found.
    fn try_shell(&self, script: &str) -> Run {
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", script])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PKG_CONFIG_PATH", self.library_folder().join("pkgconfig"))
            .env("CMAKE_PREFIX_PATH", &self.prefix);
        run(&mut shell)
    }

    fn shell(&self, script: &str) {
        let run = self.try_shell(script);
        assert_eq!(run.code, Some(0), "{script}\n{}{}", run.stdout, run.stderr);
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command
            .env_clear()
            .env("LD_LIBRARY_PATH", self.library_folder())
            .env("SEATMETER_STATE_DIR", self.path("state"))
            .env("SEATMETER_SERVER", self.server.url());
        command
    }

    /// Run a program that counts one scan, and see the scan on the server.
    fn counts_one(&self, program: &str) {
        let before = self.server.recorded("scan");
        let run = run(&mut self.command(program));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{program}: {}", run.stdout);
        assert_eq!(self.server.recorded("scan"), before + 1, "{program}");
    }

    /// Run a program on a device and with a server of its own.
    fn run_apart(&self, program: &str, arguments: &[PathBuf]) -> String {
        let (server, state) = (Server::with_demo_license(), tempfile::tempdir().unwrap());
        let mut command = self.command(program);
        command.env("SEATMETER_STATE_DIR", state.path()).env("SEATMETER_SERVER", server.url());
        let run = run(command.args(arguments));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{program}: {}", run.stdout);
        run.stdout
    }

    /// Run the documented snippet, which reads four barcodes and leaves the report to others.
    fn reads_four(&self, program: &str) {
        let said = self.run_apart(program, &[image("four_barcodes.png")]);
        assert_eq!(said.matches("QR_CODE").count(), 1, "{program}: {said}");
    }

    /// Return the libraries that a program needs.
    fn needed(&self, program: &str) -> String {
        run(Command::new("readelf").args(["-d", "-W"]).arg(self.path(program))).stdout
    }
}

fn soname() -> String {
    format!("[libseatmeter.so.{}]", major())
}

#[test]
fn the_commands_of_the_guide_build_programs_by_pkg_config() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let project = Project::new();
    project.shell(&block("sh", "--libs seatmeter)"));
    project.counts_one("program");
    assert!(project.needed("program").contains(&soname()));
    project.shell(&block("sh", "--libs seatmeter-static)"));
    assert!(!project.needed("program").contains("libseatmeter"));
    project.counts_one("program");
}

#[test]
fn programs_in_c_and_cpp_are_built_as_needed_and_sanitized_shared_and_static() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let project = Project::new();
    for package in ["seatmeter", "seatmeter-static"] {
        for (compiler, source) in [("cc -std=c99", "program.c"), ("c++ -std=c++17", "program.cpp")]
        {
            for flags in ["", SANITIZED] {
                project.shell(&format!(
                    "{compiler} -Wall -Wextra -Wpedantic -Werror {flags} {source} -o program \
                     -Wl,--as-needed $(pkg-config --cflags --libs {package})"
                ));
                let is_shared = project.needed("program").contains(&soname());
                assert_eq!(is_shared, package == "seatmeter", "{source} {flags}");
                project.counts_one("program");
            }
        }
    }
}

#[test]
fn programs_for_the_dbr_api_are_built_by_its_own_package() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let project = Project::new();
    let snippet = root().join("c_examples/documented_snippet.cpp").display().to_string();
    project.shell(&format!(
        "c++ -std=c++11 '{snippet}' -o snippet $(pkg-config --cflags --libs DynamsoftBarcodeReader)"
    ));
    assert!(project.needed("snippet").contains("[libDynamsoftBarcodeReader.so]"));
    project.reads_four("snippet");
    let ninth = root().join("tests/c/dbr9_license.c").display().to_string();
    project.shell(&format!(
        "cc -std=c99 '{ninth}' -o ninth \
         $(pkg-config --define-variable=api=dbr9 --cflags --libs DynamsoftBarcodeReader)"
    ));
    project.run_apart("ninth", &[]);
}

/// A project that uses every target of the CMake package; `@SNIPPET@` is the documented snippet.
const EVERY_TARGET: &str = r#"
cmake_minimum_required(VERSION 3.16)
project(product C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(seatmeter @ASKED@ CONFIG REQUIRED)
find_package(seatmeter @ASKED@ CONFIG REQUIRED)
if(NOT seatmeter_VERSION VERSION_EQUAL @VERSION@)
  message(FATAL_ERROR "another version: ${seatmeter_VERSION}")
endif()
add_link_options(-Wl,--as-needed)
foreach(kind seatmeter static)
  add_executable(c_${kind} program.c)
  target_link_libraries(c_${kind} PRIVATE seatmeter::${kind})
  add_executable(cpp_${kind} program.cpp)
  target_link_libraries(cpp_${kind} PRIVATE seatmeter::${kind})
endforeach()
add_executable(snippet @SNIPPET@)
target_link_libraries(snippet PRIVATE seatmeter::dbr)
add_executable(ninth @NINTH@)
target_link_libraries(ninth PRIVATE seatmeter::dbr9)
"#;

impl Project {
    fn write_every_target(&self, asked: &str) {
        let text = EVERY_TARGET
            .replace("@ASKED@", asked)
            .replace("@VERSION@", VERSION)
            .replace(
                "@SNIPPET@",
                &root().join("c_examples/documented_snippet.cpp").display().to_string(),
            )
            .replace("@NINTH@", &root().join("tests/c/dbr9_license.c").display().to_string());
        self.write("CMakeLists.txt", &text);
    }

    fn every_target_works(&self, flags: &str) {
        let _ = fs::remove_dir_all(self.path("build"));
        self.shell(&format!(
            "cmake -S . -B build -DCMAKE_C_FLAGS='{flags}' -DCMAKE_CXX_FLAGS='{flags}' && \
             cmake --build build"
        ));
        for kind in ["seatmeter", "static"] {
            for language in ["c", "cpp"] {
                let program = format!("build/{language}_{kind}");
                let is_shared = self.needed(&program).contains(&soname());
                assert_eq!(is_shared, kind == "seatmeter", "{program}");
                self.counts_one(&program);
            }
        }
        self.reads_four("build/snippet");
        self.run_apart("build/ninth", &[]);
    }
}

#[test]
fn a_cmake_project_finds_every_target_and_is_built_also_sanitized() {
    if !has("cmake", "cmake") {
        return;
    }
    let project = Project::new();
    project.write_every_target("0.1");
    project.every_target_works("");
    project.every_target_works(SANITIZED);
}

#[test]
fn the_cmake_project_of_the_guide_is_built_as_pasted() {
    if !has("cmake", "cmake") {
        return;
    }
    let project = Project::new();
    project.write("CMakeLists.txt", &block("cmake", "find_package(seatmeter"));
    project.shell("cmake -S . -B build && cmake --build build");
    project.counts_one("build/program");
}

#[test]
fn a_prefix_that_was_moved_as_a_whole_serves_cmake_and_pkg_config() {
    if !has("cmake", "cmake") || !has("pkg-config", "pkg-config") {
        return;
    }
    let mut project = Project::new();
    let moved = fresh_folder("moved");
    // The libraries are large: a moved prefix may have links to the same files.
    let copied = run(Command::new("cp").arg("-al").arg(prefix().join(".")).arg(&moved));
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    project.prefix = moved.clone();
    project.write_every_target(VERSION);
    project.shell("cmake -S . -B build && cmake --build build --target c_static");
    let cache = fs::read_to_string(project.path("build/CMakeCache.txt")).unwrap();
    assert!(cache.contains(&moved.display().to_string()), "{cache}");
    project.counts_one("build/c_static");
    let flags = project.try_shell("pkg-config --define-prefix --cflags --libs seatmeter").stdout;
    assert_eq!(flags.matches(&moved.display().to_string()).count(), 2, "{flags}");
    fs::remove_dir_all(moved).unwrap();
}

#[test]
fn a_version_that_the_installed_one_does_not_serve_is_refused() {
    if !has("cmake", "cmake") {
        return;
    }
    let project = Project::new();
    let later = format!("{}.999", major());
    let other_soname = (major().parse::<u32>().unwrap() + 1).to_string();
    for asked in [later, other_soname, format!("{VERSION}.1 EXACT")] {
        project.write_every_target(&asked);
        let run = project.try_shell("rm -rf build; cmake -S . -B build");
        assert_ne!(run.code, Some(0), "{asked}");
        assert!(run.stderr.contains(&format!("version: {VERSION}")), "{}", run.stderr);
    }
}

#[test]
fn an_installation_without_a_file_of_its_own_says_which_one() {
    if !has("cmake", "cmake") {
        return;
    }
    let mut project = Project::new();
    let broken = project.path("broken");
    fs::create_dir_all(broken.join("lib/cmake")).unwrap();
    symlink(prefix().join("include"), broken.join("include")).unwrap();
    let copied = run(Command::new("cp")
        .arg("-a")
        .arg(prefix().join("lib/cmake/seatmeter"))
        .arg(broken.join("lib/cmake")));
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    project.prefix = broken;
    project.write_every_target("0.1");
    let run = project.try_shell("cmake -S . -B build");
    assert_ne!(run.code, Some(0));
    let words: String = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = format!("libseatmeter.so.{VERSION} is missing: install seatmeter again.");
    assert!(words.contains(&name), "{words}");
}

fn visible_names(file: &Path, of_library: bool) -> BTreeSet<String> {
    let mut nm = Command::new("nm");
    nm.args(["--defined-only", "-P", "-g"]).args(of_library.then_some("-D")).arg(file);
    let names = run(&mut nm).stdout;
    let names = names.lines().filter(|line| line.split(' ').count() > 2);
    names.filter_map(|line| line.split(['@', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn the_archive_shows_the_names_of_the_library_and_no_others() {
    let shared = visible_names(&prefix().join("lib/libseatmeter.so"), true);
    assert!(shared.contains("SM_CreateReader") && shared.contains("DBR_DecodeFile"), "{shared:?}");
    assert_eq!(visible_names(&prefix().join("lib/libseatmeter.a"), false), shared);
}

#[test]
fn a_library_of_a_customer_may_contain_the_archive_and_stays_mapped() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let project = Project::new();
    project.write(
        "host.c",
        "#include <dlfcn.h>\n\
         int main(void) {\n\
           void *product = dlopen(\"./product.so\", RTLD_NOW);\n\
           if (product == 0) return 9;\n\
           int (*run)(void) = (int (*)(void))dlsym(product, \"run\");\n\
           int code = run();\n\
           dlclose(product);\n\
           return code;\n\
         }\n",
    );
    project.shell(
        "sed 's/int main(void)/int run(void)/' program.c > product.c\n\
         cc -shared -fPIC product.c -o product.so $(pkg-config --cflags --libs seatmeter-static)\n\
         cc host.c -o host -ldl",
    );
    assert!(project.needed("product.so").contains("NODELETE"));
    let before = project.server.recorded("scan");
    let run = run(project.command("host").current_dir(project.folder.path()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    assert_eq!(project.server.recorded("scan"), before + 1);
}
