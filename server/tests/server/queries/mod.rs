//! What an operator asks: each answer against a naive sum over all that was ever reported,
//! forecasts, refusals and their bounds, and who may see what.

mod refused;
mod year;

use seatmeter_protocol::license::LicenseItem;
use seatmeter_server::error::Error;
use seatmeter_server::store::Question;

use crate::support::*;

/// Ask as somebody who sees everything.
fn ask<Q: Question>(server: &TestServer, question: Q) -> Q::Answer {
    try_ask(server, question, None).unwrap()
}

/// Ask as somebody who is bound to an organization, or to none.
fn try_ask<Q: Question>(
    server: &TestServer,
    question: Q,
    owner: Option<&str>,
) -> Result<Q::Answer, Error> {
    server.wait(server.licensing.ask(question, owner.map(str::to_owned)))
}

/// A server with an organization for each item; its code is named after the item.
fn server_with(items: Vec<LicenseItem>) -> TestServer {
    let server = TestServer::empty();
    for item in items {
        let id = item.item_id.clone();
        let mut file = license_file(&format!("org-{id}"), vec![item]);
        file.file_id = format!("file-{id}");
        server.import(&file, Some(&code_of(&id))).unwrap();
    }
    server
}

fn code_of(item_id: &str) -> String {
    format!("CODE-{item_id}")
}
