//! C and C++ programs that use the library as a customer's programs do: compiled without warnings,
//! linked, run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The flags of the compiler. Warnings are errors in everything that is compiled here.
const FLAGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"];

/// The variables with options of a sanitizer; `scripts/sanitize.sh` sets them.
const SANITIZER_OPTIONS: [&str; 3] = ["ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"];

/// A compiled program with a state directory of its own.
pub struct Program {
    folder: TempDir,
    binary: PathBuf,
}

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Program {
    /// Compile a source file of the project. The name selects the language: C99 (`host_….c`: C11),
    /// C++11, or C++17 (`_17.cpp`). `dbr9_…` gets the headers of DBR 9.x instead of those of 8.x.
    ///
    /// # Panics
    /// Panics when the file does not compile without a warning.
    #[must_use]
    pub fn compile(source: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let binary = folder.path().join("program");
        let library = link_library(folder.path());
        let root = crate::root();
        let mut command = match source {
            _ if source.ends_with("_17.cpp") => compiler("c++", "-std=c++17"),
            _ if source.ends_with(".cpp") => compiler("c++", "-std=c++11"),
            // Hosts use features of POSIX and newer C: threads, signals, atomics.
            _ if source.contains("/host_") => compiler("cc", "-std=gnu11"),
            _ => compiler("cc", "-std=c99"),
        };
        let output = command
            .args(FLAGS)
            .arg("-I")
            .arg(root.join("include"))
            .arg("-I")
            .arg(root.join(if source.contains("/dbr9_") { "include/dbr9" } else { "include/dbr" }))
            .arg(root.join(source))
            .arg("-o")
            .arg(&binary)
            .arg("-L")
            .arg(&library)
            // A program that looks up its functions by itself is not linked with the library.
            .args(["-Wl,--as-needed", "-lseatmeter", "-lpthread", "-ldl", "-lm"])
            .arg(format!("-Wl,-rpath,{}", library.display()))
            .args(sanitizer_runtime())
            .output()
            .expect("a C compiler is installed");
        assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
        Self { folder, binary }
    }

    /// Return the program's state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Return a command that runs the program with its own state directory, the given server, and
    /// nothing else from the environment.
    #[must_use]
    pub fn command(&self, server: &str) -> Command {
        self.prepare(Command::new(&self.binary), server)
    }

    /// Return the same command under valgrind, which exits with 99 for an error or a leak. Under a
    /// sanitizer the command runs without valgrind.
    #[must_use]
    pub fn command_under_valgrind(&self, server: &str) -> Command {
        if !sanitizer_runtime().is_empty() {
            return self.command(server);
        }
        let mut command = Command::new("valgrind");
        command
            .args([
                "--quiet",
                "--error-exitcode=99",
                "--leak-check=full",
                "--show-leak-kinds=definite",
            ])
            .args(["--errors-for-leak-kinds=definite", "--child-silent-after-fork=yes"])
            .arg(format!(
                "--suppressions={}",
                crate::root().join("tests/c/valgrind.supp").display()
            ))
            .arg(&self.binary);
        self.prepare(command, server)
    }

    fn prepare(&self, mut command: Command, server: &str) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SEATMETER_STATE_DIR", self.state())
            .env("SEATMETER_SERVER", server)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        for name in SANITIZER_OPTIONS {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
    }
}

/// Run a command to its end.
///
/// # Panics
/// Panics when the command cannot be started.
#[must_use]
pub fn run(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Return the path of a picture of the examples.
#[must_use]
pub fn image(name: &str) -> PathBuf {
    crate::root().join("c_examples/images").join(name)
}

/// Return the flags that link a program with the runtime of the sanitizer under which the library
/// was built. The runtime must be in the program, from where the library takes it.
fn sanitizer_runtime() -> Vec<String> {
    let Ok(runtime) = std::env::var("SEATMETER_SANITIZER_RUNTIME") else { return Vec::new() };
    let whole = format!("-Wl,--whole-archive,{runtime},--no-whole-archive,--export-dynamic");
    [&whole, "-lpthread", "-ldl", "-lm", "-lrt"].map(str::to_owned).to_vec()
}

fn compiler(name: &str, standard: &str) -> Command {
    let mut command = Command::new(name);
    command.arg(standard);
    command
}

/// Make a folder with the library under all the names by which programs look for it.
fn link_library(folder: &Path) -> PathBuf {
    let library = folder.join("lib");
    std::fs::create_dir_all(&library).expect("a fresh folder");
    let built = crate::build_folder().join("libseatmeter.so");
    assert!(built.exists(), "{} is missing: run the tests with cargo", built.display());
    for name in ["libseatmeter.so", "libseatmeter.so.0", "libDynamsoftBarcodeReader.so"] {
        std::os::unix::fs::symlink(&built, library.join(name)).expect("a fresh folder");
    }
    library
}
