//! Run a test in a process of its own, if it watches its memory or descriptors: the other tests of
//! a family run beside it.

use std::any::type_name;
use std::process::Command;

const IS_ALONE: &str = "SEATMETER_TEST_IS_ALONE";

/// Run `body`, which must be a closure in the test itself, in a new process of this test program.
#[allow(clippy::disallowed_methods, reason = "the new process is told by the environment")]
pub(crate) fn in_a_process_of_its_own<Body: FnOnce()>(body: Body) {
    if std::env::var_os(IS_ALONE).is_some() {
        return body();
    }
    // The name is "usage::liveness::the_test::{{closure}}". The harness knows the test without the
    // first part.
    let path = type_name::<Body>().trim_end_matches("::{{closure}}");
    let (_, test) = path.split_once("::").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(IS_ALONE, "1")
        .output()
        .unwrap();
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} ended with {}\n{text}{errors}", output.status);
    assert!(text.contains("1 passed"), "{test} did not run:\n{text}{errors}");
}
