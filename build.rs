//! How the shared library is linked, and nothing else.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script is told by its environment what to build"
)]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SEATMETER_ROOT_KEY");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").unwrap_or_default();
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libseatmeter.so.{major}");
    // The keeper thread and thread-local destructors run code of the library: it may never be
    // unmapped.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // A process may load the library under both its names. Calls inside each must stay there: a
    // reader of the one that the other destroys would be another one's memory. All that the library
    // exports are functions, and not every linker has the option for functions alone.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    let is = |name: &str, values: &[&str]| {
        std::env::var(name).is_ok_and(|value| values.contains(&&*value))
    };
    if is("CARGO_CFG_TARGET_ENV", &["gnu"]) && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"]) {
        // Else the library needs glibc 2.35: src/os/old_glibc.rs.
        println!("cargo:rustc-cdylib-link-arg=-Wl,--wrap=hypot");
    }
}
