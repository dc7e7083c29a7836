//! The patches with the mistakes that the simulation must find (`e2e/bugs`, `make find-bugs`). They
//! fit the current code, and the code itself contains nothing of them.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use seatmeter_e2e::{files_in, root};

/// The folders whose code is shipped.
const PRODUCT: [&str; 4] = ["src", "server/src", "protocol/src", "dbr"];

#[test]
fn every_bug_can_be_put_into_the_code_as_it_is() {
    let patches = files_in(&root().join("e2e/bugs"), "patch");
    assert!(!patches.is_empty(), "there are no patches in e2e/bugs");
    let mut refused = String::new();
    for file in patches {
        let patch = Command::new("patch")
            .args(["--dry-run", "--strip=1", "--batch", "--forward", "--directory"])
            .arg(root())
            .stdin(File::open(&file).unwrap())
            .output()
            .expect("`patch` is installed (Debian, Ubuntu: apt-get install patch)");
        if !patch.status.success() {
            let said = String::from_utf8_lossy(&patch.stdout);
            refused.push_str(&format!("{}:\n{said}", file.display()));
        }
    }
    assert!(
        refused.is_empty(),
        "these do not apply: make each mistake in the code as it is now, and write its diff into \
         the file:\n{refused}"
    );
}

#[test]
fn no_product_file_asks_whether_a_bug_is_put_in() {
    let files: Vec<PathBuf> =
        PRODUCT.iter().flat_map(|folder| files_in(&root().join(folder), "rs")).collect();
    assert!(files.len() > 100, "only {} files were looked at", files.len());
    let asks = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("has_bug");
    let asking: Vec<PathBuf> = files.into_iter().filter(asks).collect();
    assert!(asking.is_empty(), "a mistake belongs in a patch of e2e/bugs: {asking:?}");
}
