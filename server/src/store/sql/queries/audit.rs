//! The check of the audit log, on a connection that reads.

use crate::audit_chain::ChainCheck;
use crate::error::Error;
use crate::operator::queries::audit::{AuditCheck, AuditCheckQuery};
use crate::problem::ProblemKind;
use crate::store::reading::{Question, Snapshot};
use crate::store::sql::audit;

impl Question for AuditCheckQuery {
    type Answer = AuditCheck;

    fn answer(&self, from: &Snapshot<'_>) -> Result<AuditCheck, Error> {
        if from.owner.is_some() {
            let detail = "the chain of the audit log runs through the lines of all organizations";
            return Err(Error::of(ProblemKind::OtherOrganization, detail));
        }
        let (mut check, mut broken) = (ChainCheck::new(None), None);
        let head = audit::for_each(from.sql(), &mut |line| {
            from.require_time()?;
            if broken.is_none() {
                broken = check.add(&line).err();
            }
            Ok(())
        })?;
        let outcome = match broken {
            Some(why) => Err(why),
            None => check.finish(&head),
        };
        Ok(outcome.map_or_else(AuditCheck::Broken, AuditCheck::Whole))
    }
}
