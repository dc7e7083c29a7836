//! Import of a license file by an operator, with what the operator should know about it: the codes
//! that were made, and quotas below what is used already.

use seatmeter_protocol::message::Metered;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::By;
use crate::error::Error;
use crate::licensing::Licensing;
use crate::operator::IssuedFile;
use crate::operator::queries::status::{MeterStatus, StatusQuery};

/// The outcome of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Imported {
    /// The value is always true.
    pub done: bool,
    /// The handshake code that was made with the file.
    pub handshake_code: Option<String>,
    /// The code that the organization uses when it names none.
    pub default_handshake_code: Option<String>,
    /// Sentences about what may not be meant.
    pub warnings: Vec<String>,
}

impl Licensing {
    /// Import a license file, and say what came of it. With `make_default`, the handshake code
    /// becomes the default code of the organization, also when there is one.
    ///
    /// # Errors
    /// Fails as [`Licensing::import`] does.
    pub async fn import_issued(
        &self,
        issued: IssuedFile,
        handshake_code: Option<String>,
        make_default: bool,
        by: impl Into<By>,
    ) -> Result<Imported, Error> {
        let IssuedFile { root_key, license_file } = issued;
        let code = handshake_code.clone();
        let file = self.import_file(license_file, root_key, code, make_default, by).await?;
        let organization = self.store.organization(file.organization_id.clone()).await?;
        let default_handshake_code = organization.and_then(|known| known.default_handshake_code);
        let mut warnings = Vec::new();
        if let (Some(made), Some(default)) = (&handshake_code, &default_handshake_code)
            && made != default
        {
            warnings.push(format!(
                "organization \"{}\" keeps the default code {default}: programs that name only the \
                 organization do not get the items of this file. Change it with \
                 \"seatmeterd organization default-code\"",
                file.organization_id
            ));
        }
        for item in &file.items {
            let query = StatusQuery { item: Some(item.item_id.clone()), ..StatusQuery::default() };
            let status = self.ask(query, None).await?;
            let meters = status.items.iter().flat_map(|item| &item.meters);
            let above = meters.filter(|meter| meter.used > meter.quota);
            warnings.extend(above.map(|meter| warning(&item.item_id, meter)));
        }
        Ok(Imported { done: true, handshake_code, default_handshake_code, warnings })
    }
}

fn warning(item_id: &str, meter: &MeterStatus) -> String {
    let MeterStatus { used, quota, grace, .. } = meter;
    let outcome = match meter.of {
        Metered::Excess => "only N run at a time",
        Metered::Devices if *used >= quota + grace => "no new device gets a seat",
        _ if *used >= quota + grace => "requests are refused",
        _ => "the rest comes out of the grace",
    };
    format!(
        "item \"{item_id}\" has {used} {} in use, and a quota of {quota}, with a grace of {grace}: \
         {outcome}",
        meter.noun()
    )
}
