//! The dashboard under `/dashboard`: pages that are made here, for people who would rather look
//! than type commands.
//!
//! ```text
//! request ─▶ gate.rs: session, role of the route, CSRF token of a form ─▶ a handler
//!            handler: asks a question of operator/, or makes a Change ─▶ page, chart, table
//!         ◀─ gate.rs: security headers, compression; an error becomes a page
//! ```
//!
//! Every number is that of the question that the command line and the admin API ask, and each table
//! links to its CSV and JSON there. A form makes the same [`crate::operator::commands::Change`] as
//! the command line, with the same line of the audit log. Pages work without JavaScript: the
//! scripts refresh parts of a page, show local times, and zoom charts.
//!
//! | file | holds |
//! | --- | --- |
//! | `frame`, `messages`, `assets` | what all pages have: layout, texts in two languages, styles and scripts |
//! | `table`, `chart`, `calendar` | a question's sheet as a table, and its numbers as SVG |
//! | the others | one screen each |

mod access;
mod alert;
mod assets;
mod audit;
mod calendar;
mod chart;
mod code;
mod device;
mod form;
mod frame;
mod gate;
mod item;
mod license;
mod login;
mod messages;
mod overview;
mod planner;
mod refusal;
mod run_part;
mod server;
mod table;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

use super::Web;
use super::answer::catch_panics;
use crate::access::Role;
use crate::error::Error;

/// The path of the first page, and the prefix of all others.
pub const DASHBOARD_PATH: &str = "/dashboard";

/// The outcome of a handler: a page, or an error that [`gate`] shows as one.
type Page = Result<Response, Error>;

/// The forms with the role that each needs. Every other page needs the lowest role. A form that is
/// not in the table cannot be sent by anybody.
const FORMS: &[(&str, Role)] = &[
    ("/dashboard/logout", Role::Viewer),
    ("/dashboard/devices/{device}/rename", Role::Operator),
    ("/dashboard/devices/{device}/release", Role::Operator),
    ("/dashboard/devices/{device}/delete", Role::Operator),
    ("/dashboard/alerts/test", Role::Operator),
    ("/dashboard/alerts/thresholds", Role::Operator),
    ("/dashboard/alerts/{alert_id}/mute", Role::Operator),
    ("/dashboard/alerts/{alert_id}/rearm", Role::Operator),
    ("/dashboard/alert-events/{event_id}/replay", Role::Operator),
    ("/dashboard/alert-webhook/enable", Role::Operator),
    ("/dashboard/codes/new", Role::Operator),
    ("/dashboard/codes/items", Role::Operator),
    ("/dashboard/codes/access", Role::Operator),
    ("/dashboard/codes/default", Role::Operator),
    ("/dashboard/codes/delete", Role::Operator),
    ("/dashboard/licenses/preview", Role::Admin),
    ("/dashboard/licenses/import", Role::Admin),
    ("/dashboard/items/{item_id}/revoke", Role::Admin),
    ("/dashboard/server/backup", Role::Admin),
    ("/dashboard/server/check", Role::Admin),
    ("/dashboard/access/tokens", Role::Admin),
    ("/dashboard/access/tokens/revoke", Role::Admin),
    ("/dashboard/access/users", Role::Admin),
    ("/dashboard/access/users/remove", Role::Admin),
    ("/dashboard/access/users/password", Role::Admin),
];

/// Return the routes of the dashboard.
pub(super) fn router(web: &Arc<Web>) -> Router<Arc<Web>> {
    let pages = Router::new()
        .route(DASHBOARD_PATH, get(overview::overview))
        .route("/dashboard/", get(overview::overview))
        .route("/dashboard/items/{item_id}", get(item::item))
        .route("/dashboard/items/{item_id}/revoke", post(item::revoke))
        .route("/dashboard/devices", get(device::devices))
        .route("/dashboard/devices/{device}", get(device::device))
        .route("/dashboard/devices/{device}/rename", post(device::rename))
        .route("/dashboard/devices/{device}/release", post(device::release))
        .route("/dashboard/devices/{device}/delete", post(device::delete))
        .route("/dashboard/refusals", get(refusal::refusals))
        .route("/dashboard/alerts", get(alert::alerts))
        .route("/dashboard/alerts/test", post(alert::test))
        .route("/dashboard/alerts/thresholds", post(alert::set_thresholds))
        .route("/dashboard/alerts/{alert_id}/mute", post(alert::mute))
        .route("/dashboard/alerts/{alert_id}/rearm", post(alert::rearm))
        .route("/dashboard/alert-events/{event_id}/replay", post(alert::replay))
        .route("/dashboard/alert-webhook/enable", post(alert::enable_webhook))
        .route("/dashboard/usage", get(usage::usage))
        .route("/dashboard/codes", get(code::codes))
        .route("/dashboard/codes/new", post(code::make))
        .route("/dashboard/codes/items", post(code::set_items))
        .route("/dashboard/codes/access", post(code::set_access))
        .route("/dashboard/codes/default", post(code::set_default))
        .route("/dashboard/codes/delete", post(code::delete))
        .route("/dashboard/licenses", get(license::licenses))
        .route("/dashboard/licenses/preview", post(license::preview))
        .route("/dashboard/licenses/import", post(license::import))
        .route("/dashboard/plan", get(planner::plan))
        .route("/dashboard/audit", get(audit::audit))
        .route("/dashboard/access", get(access::access))
        .route("/dashboard/access/tokens", post(access::make_token))
        .route("/dashboard/access/tokens/revoke", post(access::revoke_token))
        .route("/dashboard/access/users", post(access::make_user))
        .route("/dashboard/access/users/remove", post(access::remove_user))
        .route("/dashboard/access/users/password", post(access::set_password))
        .route("/dashboard/server", get(server::server))
        .route("/dashboard/server/backup", post(server::back_up))
        .route("/dashboard/server/check", post(server::check))
        .route("/dashboard/logout", post(login::log_out))
        .layer(axum::middleware::from_fn_with_state(web.clone(), gate::require_form))
        .layer(catch_panics())
        .layer(axum::middleware::from_fn_with_state(web.clone(), gate::admit));
    let open = Router::new()
        .route("/dashboard/login", get(login::form).post(login::log_in))
        .route("/dashboard/language/{language}", get(login::language))
        .route("/dashboard/assets/{name}", get(assets::asset))
        .layer(catch_panics())
        .layer(axum::middleware::from_fn_with_state(web.clone(), gate::admit_anybody));
    pages.merge(open)
}
