//! `seatmeter-doctor`: the doctor as a program of its own, for devices without a server. All code
//! is in [`seatmeter_server::cli`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    seatmeter_server::cli::device_doctor()
}
