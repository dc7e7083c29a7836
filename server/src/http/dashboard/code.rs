//! Handshake codes: their items in order, who may use them, and who has used them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;

use super::Page;
use super::form::{Chosen, Posted};
use super::frame::{Frame, Visitor, done, encode, page};
use crate::error::Error;
use crate::http::Web;
use crate::operator::Access;
use crate::operator::commands::{Change, CodeItems, CodeRow, Listing, View};
use crate::policy::select::access::Validation;

/// The number of codes of a page.
const CODES_MAX: usize = 50;

/// The page.
#[derive(Template)]
#[template(path = "codes.html")]
struct CodesPage {
    frame: Frame,
    search: String,
    codes: Vec<CodePart>,
    organizations: Vec<String>,
    next: Option<String>,
}

/// A code.
struct CodePart {
    code: String,
    encoded: String,
    organization: String,
    is_default: bool,
    has_password: bool,
    own_order: bool,
    items: Vec<CodeItem>,
    /// The items of the organization that the code does not have.
    others: Vec<String>,
    website_domains: String,
    application_ids: String,
    process_names: String,
}

/// An item of a code.
struct CodeItem {
    item_id: String,
    to: String,
    number: usize,
    is_first: bool,
    is_last: bool,
}

/// Show codes.
pub(super) async fn codes(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Chosen(query): Chosen,
) -> Page {
    let look = |view: View| web.licensing.look(visitor.caller.view(view));
    let (Listing::Codes(codes), Listing::Items(items), Listing::Organizations(organizations)) =
        (look(View::Codes).await?, look(View::Items).await?, look(View::Organizations).await?)
    else {
        return Err(Error::Internal("a list was answered otherwise".to_owned()));
    };
    let search = query.get("code").to_lowercase();
    let after: usize = query.number("after")?.unwrap_or(0);
    let found: Vec<&CodeRow> =
        codes.iter().filter(|row| row.handshake_code.to_lowercase().contains(&search)).collect();
    let part = |row: &&CodeRow| {
        let owner = organizations.iter().find(|one| one.organization_id == row.organization_id);
        let others = items.iter().filter(|item| {
            item.organization_id == row.organization_id && !row.item_ids.contains(&item.item_id)
        });
        CodePart {
            code: row.handshake_code.clone(),
            encoded: encode(&row.handshake_code),
            organization: row.organization_id.clone(),
            is_default: owner.is_some_and(|one| {
                one.default_handshake_code.as_ref() == Some(&row.handshake_code)
            }),
            has_password: row.has_password,
            own_order: row.own_order,
            items: code_items(row),
            others: others.map(|item| item.item_id.clone()).collect(),
            website_domains: row.validation.website_domains.join("\n"),
            application_ids: row.validation.application_ids.join("\n"),
            process_names: row.validation.process_names.join("\n"),
        }
    };
    let end = after.saturating_add(CODES_MAX);
    let next = (found.len() > end).then(|| format!("code={}&after={end}", encode(&search)));
    let codes = found.iter().skip(after).take(CODES_MAX).map(part).collect();
    page(&CodesPage {
        search: query.get("code").to_owned(),
        codes,
        organizations: organizations.into_iter().map(|one| one.organization_id).collect(),
        next,
        frame: Frame::new(&visitor, "/codes", visitor.t().codes),
    })
}

fn code_items(row: &CodeRow) -> Vec<CodeItem> {
    let count = row.item_ids.len();
    let item = |(at, item_id): (usize, &String)| CodeItem {
        item_id: item_id.clone(),
        to: format!("/dashboard/items/{}", encode(item_id)),
        number: at,
        is_first: at == 0,
        is_last: at + 1 == count,
    };
    row.item_ids.iter().enumerate().map(item).collect()
}

fn at(code: &str) -> String {
    format!("/codes?code={}", encode(code))
}

/// Make a code.
pub(super) async fn make(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let (code, organization) = (form.get("code").to_owned(), form.get("organization").to_owned());
    let to = at(&code);
    web.licensing.make_code(code, organization, &visitor.caller).await?;
    done(&to, "made")
}

/// Set the items of a code, and their order. Buttons name one step: `up-2`, `down-0`, `remove-1`;
/// without one, the form has the items in their new order, and perhaps another one to add.
pub(super) async fn set_items(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let mut item_ids = form.all("item_id");
    item_ids.extend(form.some("add"));
    let step = form.get("step");
    if let Some((what, number)) = step.split_once('-') {
        let number: usize = number.parse().map_err(|_| no_step(step))?;
        match what {
            "up" if number > 0 && number < item_ids.len() => item_ids.swap(number, number - 1),
            "down" if number + 1 < item_ids.len() => item_ids.swap(number, number + 1),
            "remove" if number < item_ids.len() => drop(item_ids.remove(number)),
            _ => return Err(no_step(step)),
        }
    }
    // A moved item means that the order was chosen.
    let own_order = form.has("own_order") || step.starts_with("up") || step.starts_with("down");
    let to = at(form.get("code"));
    let items = CodeItems { item_ids, own_order };
    web.licensing.set_items(form.get("code").to_owned(), items, &visitor.caller).await?;
    done(&to, "changed")
}

fn no_step(step: &str) -> Error {
    Error::bad_request(format!("there is no step \"{step}\": load the page again"))
}

/// Set who may use a code.
pub(super) async fn set_access(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    // The password itself is not known, so a change needs it again, or the word to remove it.
    let session_password = match (form.raw("password"), form.has("no_password")) {
        ("", true) => None,
        ("", false) if form.get("had_password") == "no" => None,
        ("", false) => {
            return Err(Error::bad_request(
                "the code has a session password, which is not stored as a text: write it again, \
                 or tick \"no session password\"",
            ));
        }
        (_, false) => Some(form.secret("password")),
        (_, true) => {
            return Err(Error::bad_request(
                "\"no session password\" is ticked, and there is a password: choose one of both",
            ));
        }
    };
    let validation = Validation {
        website_domains: form.lines("website_domains"),
        application_ids: form.lines("application_ids"),
        process_names: form.lines("process_names"),
    };
    let (code, access) = (form.get("code").to_owned(), Access { session_password, validation });
    let to = at(&code);
    web.licensing.set_access(code, access, &visitor.caller).await?;
    done(&to, "changed")
}

/// Make a code the default code of its organization.
pub(super) async fn set_default(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let change = Change::SetDefaultCode {
        organization_id: form.get("organization").to_owned(),
        handshake_code: form.get("code").to_owned(),
    };
    web.licensing.change(change, &visitor.caller).await?;
    done(&at(form.get("code")), "changed")
}

/// Delete a code.
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    Posted(form): Posted,
) -> Page {
    let change = Change::DeleteCode { handshake_code: form.get("code").to_owned() };
    web.licensing.change(change, &visitor.caller).await?;
    done("/codes", "deleted")
}
