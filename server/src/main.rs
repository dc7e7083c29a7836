//! `seatmeterd`: the process around the library. All code is in [`seatmeter_server::cli`].

#![forbid(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    seatmeter_server::cli::main()
}
