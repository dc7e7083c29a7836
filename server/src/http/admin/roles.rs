//! The role that each operation of the admin API needs, beside its route.
//!
//! The table is the only place for this. A request whose path and method are not in it is refused,
//! so a new route without a role cannot be used by anybody. The OpenAPI document and the table in
//! `docs/operations.md` are made from it or compared with it.

use axum::http::Method;
use seatmeter_protocol::message::Problem;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, ResponseBuilder};

use super::ADMIN_PATH;
use crate::access::Role;
use crate::error::Error;
use crate::problem::ProblemKind;

/// The path of the OpenAPI document.
pub(super) const DOCUMENT_PATH: &str = "/openapi.json";

/// The names of the security schemes in the OpenAPI document.
pub(super) const TOKEN_SCHEME: &str = "token";
pub(super) const SESSION_SCHEME: &str = "session";

/// The extension of the OpenAPI document that names the role of an operation.
const ROLE_EXTENSION: &str = "x-required-role";

/// An operation of the admin API.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below [`ADMIN_PATH`], as in the OpenAPI document.
    pub path: &'static str,
    /// The lowest role that may use the operation; `None` when it needs none.
    pub role: Option<Role>,
    /// The command line that does the same; empty when there is none.
    pub command: &'static str,
}

const fn route(
    method: &'static str,
    path: &'static str,
    role: Role,
    command: &'static str,
) -> Route {
    Route { method, path, role: Some(role), command }
}

use Role::{Admin, Operator, Viewer};

/// All operations with the role that each needs.
pub const ROUTES: &[Route] = &[
    route("GET", "/organizations", Viewer, "organization list"),
    route(
        "PUT",
        "/organizations/{organization_id}/default-handshake-code",
        Operator,
        "organization default-code",
    ),
    route("DELETE", "/organizations/{organization_id}", Admin, "organization delete"),
    route("POST", "/license-files", Admin, "license-file import"),
    route("POST", "/corrections", Admin, "license-file import"),
    route("GET", "/items", Viewer, "item list"),
    route("POST", "/items/{item_id}/revoke", Admin, "item revoke"),
    route("GET", "/handshake-codes", Viewer, "handshake list"),
    route("POST", "/handshake-codes", Operator, "handshake new"),
    route("DELETE", "/handshake-codes/{handshake_code}", Operator, "handshake delete"),
    route("PUT", "/handshake-codes/{handshake_code}/items", Operator, "handshake items"),
    route("PUT", "/handshake-codes/{handshake_code}/access", Operator, "handshake access"),
    route("GET", "/status", Viewer, "status"),
    route("GET", "/holders", Viewer, "holders"),
    route("GET", "/refusals", Viewer, "refusals"),
    route("GET", "/usage", Viewer, "usage sum"),
    route("GET", "/items/{item_id}/day", Viewer, "day"),
    route("GET", "/items/{item_id}/year", Viewer, "year"),
    route("GET", "/plan", Viewer, "plan"),
    route("GET", "/domains", Viewer, "domains list"),
    route("GET", "/devices", Viewer, "device list"),
    route("GET", "/devices/{device}/explanation", Viewer, "explain"),
    route("POST", "/devices/{device_uuid}/release", Operator, "device release"),
    route("PUT", "/devices/{device_uuid}/name", Operator, "device rename"),
    route("DELETE", "/devices/{device_uuid}", Operator, "device delete"),
    route("GET", "/alerts", Viewer, "alert list"),
    route("POST", "/alerts/test", Operator, "alert test"),
    route("POST", "/alerts/{alert_id}/mute", Operator, "alert mute"),
    route("POST", "/alerts/{alert_id}/rearm", Operator, "alert rearm"),
    route("PUT", "/alert-thresholds", Operator, "alert thresholds"),
    route("GET", "/alert-events", Viewer, "alert events"),
    route("POST", "/alert-events/{event_id}/replay", Operator, "alert replay"),
    route("POST", "/alert-webhook/enable", Operator, "alert enable-webhook"),
    route("GET", "/audit", Viewer, "audit list"),
    route("GET", "/epochs", Viewer, "epochs"),
    route("GET", "/tokens", Viewer, "token list"),
    route("POST", "/tokens", Admin, "token create"),
    route("DELETE", "/tokens/{name}", Admin, "token revoke"),
    route("GET", "/users", Viewer, "user list"),
    route("POST", "/users", Admin, "user create"),
    route("DELETE", "/users/{name}", Admin, "user remove"),
    route("PUT", "/users/{name}/password", Admin, "user password"),
    route("PUT", "/users/{name}/role", Admin, "user role"),
    Route { method: "POST", path: "/session", role: None, command: "" },
    route("GET", "/session", Viewer, ""),
    route("DELETE", "/session", Viewer, ""),
    route("GET", DOCUMENT_PATH, Viewer, ""),
];

/// The commands that have no operation in the API, because they work on the machine of the server,
/// with the role of those who run them.
pub const COMMANDS: &[(&str, Role)] = &[
    ("audit verify", Viewer),
    ("check", Viewer),
    ("clock show", Viewer),
    ("doctor data", Viewer),
    ("key show", Viewer),
    ("usage export", Viewer),
    ("usage show", Viewer),
    ("backup", Admin),
    ("clock accept", Admin),
    ("init", Admin),
    ("key rotate", Admin),
    ("new-epoch", Admin),
    ("restore", Admin),
    ("serve", Admin),
];

/// Return the operation at this path, as the router has matched it.
pub(super) fn find(method: &Method, matched_path: Option<&str>) -> Option<&'static Route> {
    let path = matched_path?.strip_prefix(ADMIN_PATH)?;
    // The router answers HEAD by the handler of GET.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().find(|route| route.method == method && route.path == path)
}

impl Route {
    /// Refuse a caller whose role is below that of the operation.
    pub(super) fn require(&self, role: Role) -> Result<(), Error> {
        match self.role {
            Some(needed) if role < needed => Err(Error::of(
                ProblemKind::RoleRequired,
                format!(
                    "{} {ADMIN_PATH}{} needs the role {needed}, and the caller is {role}",
                    self.method, self.path
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Write roles, ways to show who calls, and the form of errors into the document.
pub(super) fn describe(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let methods = [
            ("GET", &mut item.get),
            ("POST", &mut item.post),
            ("PUT", &mut item.put),
            ("DELETE", &mut item.delete),
        ];
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            let is_it = |route: &&Route| {
                route.method == method && path.strip_prefix(ADMIN_PATH) == Some(route.path)
            };
            let Some(route) = ROUTES.iter().find(is_it) else { continue };
            let scheme = |name| SecurityRequirement::new::<_, [&str; 0], _>(name, []);
            operation.security = Some(match route.role {
                Some(_) => vec![scheme(TOKEN_SCHEME), scheme(SESSION_SCHEME)],
                None => Vec::new(),
            });
            let role = route.role.map_or("none", Role::name);
            operation
                .extensions
                .get_or_insert_default()
                .insert(ROLE_EXTENSION.to_owned(), role.into());
            let problem =
                ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemDetails"))).build();
            let response = ResponseBuilder::new()
                .description("A problem, such as of docs/problems.md")
                .content("application/problem+json", problem)
                .build();
            operation.responses.responses.insert("default".to_owned(), response.into());
        }
    }
}

/// Return the problem in the form of the admin API: with the number of an error only where a
/// license rule has refused.
pub(super) fn without_number(problem: &Problem) -> serde_json::Value {
    let mut told = serde_json::to_value(problem).unwrap_or_default();
    let is_own = ProblemKind::ALL.iter().any(|kind| kind.uri() == problem.kind);
    if is_own && let Some(told) = told.as_object_mut() {
        told.remove("code");
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/operations.md");

    #[test]
    fn the_page_for_operators_has_the_role_and_command_of_each_operation() {
        let rows: Vec<&str> = PAGE
            .lines()
            .filter(|line| {
                ["GET", "POST", "PUT", "DELETE"]
                    .iter()
                    .any(|method| line.starts_with(&format!("| `{method} /")))
            })
            .collect();
        let expected: Vec<String> = ROUTES
            .iter()
            .map(|Route { method, path, role, command }| {
                let role = role.map_or("none", Role::name);
                let command =
                    if command.is_empty() { "–".to_owned() } else { format!("`{command}`") };
                format!("| `{method} {path}` | {role} | {command} |")
            })
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_page_for_operators_has_the_role_of_each_command_without_an_operation() {
        for (command, role) in COMMANDS {
            let is_it = |line: &&str| {
                line.starts_with("| `")
                    && line.contains(&format!("`{command}`"))
                    && line.ends_with(&format!(" | {role} |"))
            };
            assert!(PAGE.lines().any(|line| is_it(&line)), "{command}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_no_operation() {
        let found = |method: Method, path: &str| find(&method, Some(path)).is_some();
        assert!(found(Method::GET, "/admin/v1/items"));
        assert!(found(Method::HEAD, "/admin/v1/items"));
        assert!(!found(Method::POST, "/admin/v1/items"));
        assert!(!found(Method::GET, "/items"));
        assert!(find(&Method::GET, None).is_none());
    }
}
