//! How the library is linked under its second name, and nothing else.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script is told by its environment what to build"
)]

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libDynamsoftBarcodeReader.so");
    // As libseatmeter.so: the keeper thread and thread-local destructors run code of the library.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // As libseatmeter.so: calls inside the library stay inside, also beside the library of the
    // other name.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    let is = |name: &str, values: &[&str]| {
        std::env::var(name).is_ok_and(|value| values.contains(&&*value))
    };
    if is("CARGO_CFG_TARGET_ENV", &["gnu"]) && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"]) {
        // As libseatmeter.so: it needs no newer glibc than 2.34.
        println!("cargo:rustc-cdylib-link-arg=-Wl,--wrap=hypot");
    }
}
