//! A program that gets commands line by line, and answers line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running program. Dropping this kills it, by its process id.
pub struct Dialogue {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Dialogue {
    /// Start a command.
    ///
    /// # Panics
    /// Panics when the command does not start.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, input, output }
    }

    /// Send a line.
    ///
    /// # Panics
    /// Panics when the program has ended.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the program reads");
    }

    /// Wait for the next line of the answer.
    ///
    /// # Panics
    /// Panics when the program has ended.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        let length = self.output.read_line(&mut line).expect("the program writes text");
        assert!(length > 0, "the program ended before it answered");
        line.trim_end().to_owned()
    }

    /// Send a line and wait for the answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }

    /// Return the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// End the program by SIGKILL, and wait until it is gone.
    pub fn kill(&mut self) {
        // Both calls fail only when the program has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        self.kill();
    }
}
