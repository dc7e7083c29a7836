//! Which websites may read the server's answers, as `src/http/browser.rs` of the server decides.

use seatmeter::sync::RawAnswer;
use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::LicenseItem;
use seatmeter_protocol::message::{ORIGIN_PATH, Problem};
use seatmeter_protocol::request_auth::Proof;
use seatmeter_server::operator::commands::{CodeRow, Listing, View};
use seatmeter_server::policy::charge_way::host::Host;
use seatmeter_server::policy::charge_way::per_domain::Domains;

use super::{Asked, Server, now};
use crate::plan::Versions;

impl Server {
    /// Return whether pages of this origin may read answers: CORS stops the requests of others. The
    /// codes of a world list no websites.
    pub(crate) fn licenses_website(&self, origin: &str) -> bool {
        let look = |view| now(self.licensing.store.look(view, self.time.now()));
        let (Ok(Listing::Items(items)), Ok(Listing::Codes(codes))) =
            (look(View::Items), look(View::Codes))
        else {
            return false;
        };
        let items: Vec<LicenseItem> = items.into_iter().filter_map(|row| row.item).collect();
        let serves_browsers = |id: &String| {
            items.iter().any(|item| {
                item.item_id == *id
                    && item.charge_way != ChargeWay::Domain
                    && item.serves(DeploymentType::Browser)
            })
        };
        let is_open = |code: &CodeRow| code.item_ids.iter().any(serves_browsers);
        let host = Host::parse(origin).ok();
        let is_listed = |item: &LicenseItem| {
            let domains = Domains::listed(&item.domains).ok();
            domains.zip(host.as_ref()).is_some_and(|(domains, host)| domains.contain(host))
        };
        codes.iter().any(is_open) || items.iter().any(is_listed)
    }

    /// Return the answer to a page that asks why CORS has stopped it.
    pub(crate) fn unlicensed(&self, nonce: &str, versions: Versions) -> RawAnswer {
        let detail = "the website is not licensed on this server";
        let problem = Problem::new(403, ErrorCode::DOMAIN_MISMATCH, detail);
        let asked = Asked {
            path: ORIGIN_PATH,
            body: b"",
            versions,
            nonce,
            proof: &Proof::Signature(String::new()),
            key_id: None,
            origin: None,
            is_copied: false,
            is_forged: false,
        };
        self.signed(&asked, 403, serde_json::to_vec(&problem).expect("problems have a JSON form"))
    }
}
