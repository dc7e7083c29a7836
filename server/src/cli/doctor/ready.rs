//! The doctor's question whether the server itself is ready: its database, its clock, and its
//! license files.

use seatmeter_protocol::message::Problem;
use serde::Deserialize;

use super::network::Way;
use super::{Findings, Health};
use crate::error::Error;

/// The answer of a server that is ready.
#[derive(Deserialize)]
struct Ready {
    #[serde(default)]
    license_files_not_ready: Vec<String>,
}

/// Ask the server, and report its answer. A proxy may keep the question from the server; then there
/// is nothing to report.
pub(super) fn examine(way: &Way, findings: &mut Findings<'_>) -> Result<(), Error> {
    let Ok(answer) = way.get("/readyz") else { return Ok(()) };
    let todo = "tell the server's operator";
    match answer.status {
        200 => {
            let Ok(ready) = serde_json::from_slice::<Ready>(&answer.body) else { return Ok(()) };
            if ready.license_files_not_ready.is_empty() {
                return findings
                    .good("server", "it can write to its database, and its clock is right");
            }
            ready
                .license_files_not_ready
                .iter()
                .try_for_each(|finding| findings.say(Health::Warning, "server", finding, todo))
        }
        503 => {
            let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
                return Ok(());
            };
            let finding = format!("it is not ready: {}", problem.detail);
            findings.say(Health::Warning, "server", &finding, todo)
        }
        _ => Ok(()),
    }
}
