//! `include/seatmeter.h` is what cbindgen makes of `src/capi`, with the error numbers of the protocol.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it says")]

use std::path::Path;

#[test]
#[allow(clippy::disallowed_methods, reason = "a test asks how it was called")]
fn the_committed_header_is_the_generated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let fixed = config.after_includes.unwrap_or_default();
    config.after_includes = Some(fixed + &error_numbers());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["license.rs", "reader.rs", "count.rs", "status.rs", "information.rs"] {
        builder = builder.with_src(root.join("src/capi").join(file));
    }
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    // What Rust calls safety is, for a C reader, what is expected of his pointers.
    let generated = String::from_utf8(generated).unwrap().replace("# Safety\n * ", "Pointers: ");
    let path = root.join("include/seatmeter.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "include/seatmeter.h is not what src/capi says: run UPDATE_HEADER=1 cargo test --test header"
    );
}

fn error_numbers() -> String {
    let errors = seatmeter_protocol::error_code::ERRORS.iter().filter(|entry| entry.code.0 != 0);
    errors
        .map(|entry| {
            let message = entry.message.to_str().unwrap();
            format!("/** {message} */\n#define SM_ERR_{} ({})\n", entry.name, entry.code)
        })
        .collect()
}
