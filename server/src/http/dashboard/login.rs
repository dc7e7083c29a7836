//! The login, the logout, and the choice of a language.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};

use super::Page;
use super::form::{Chosen, Fields};
use super::frame::{Frame, LANGUAGE_COOKIE, Language, page};
use crate::error::Error;
use crate::http::Web;
use crate::http::admin::access::CurrentSession;
use crate::http::admin::session::{self, Login};

/// The page with the form of the login.
#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    name: String,
    error: Option<String>,
}

/// Show the login.
pub(super) async fn form(headers: axum::http::HeaderMap, Chosen(query): Chosen) -> Page {
    let language = Language::of(&headers);
    let frame = Frame::outside(language, language.messages().log_in);
    page(&LoginPage { frame, next: own_page(query.get("next")), name: String::new(), error: None })
}

/// Log in, and redirect to the page that was asked for.
pub(super) async fn log_in(State(web): State<Arc<Web>>, request: Request) -> Page {
    let (parts, body) = request.into_parts();
    let fields = Fields::read(Request::from_parts(parts.clone(), body), &web).await?;
    let (name, next) = (fields.get("name").to_owned(), own_page(fields.get("next")));
    let login = Login { name: name.clone(), password: fields.secret("password") };
    match session::begin(&web, &parts, login).await {
        Ok((_, session)) => {
            let to = Redirect::to(&next).into_response();
            Ok(session::keep(&web, &parts, to, &session))
        }
        Err(error) => {
            let language = Language::of(&parts.headers);
            let t = language.messages();
            let told = error.problem();
            let sentence = match told.status {
                401 => t.login_failed.to_owned(),
                _ => error.to_string(),
            };
            let frame = Frame::outside(language, t.log_in);
            let shown = page(&LoginPage { frame, next, name, error: Some(sentence) })?;
            // The log names what was refused, as for the admin API.
            let (mut head, _) = error.into_response().into_parts();
            let (shown_head, content) = shown.into_parts();
            head.headers = shown_head.headers;
            Ok(Response::from_parts(head, content))
        }
    }
}

/// Log out: end the session.
pub(super) async fn log_out(
    State(web): State<Arc<Web>>,
    Extension(session): Extension<CurrentSession>,
    request: Request,
) -> Page {
    let (parts, _) = request.into_parts();
    let to = Redirect::to("/dashboard/login").into_response();
    session::end(&web, &parts, to, &session).await
}

/// Choose a language, and go back.
pub(super) async fn language(Path(language): Path<String>, Chosen(query): Chosen) -> Page {
    let Some(language) = Language::named(&language) else {
        return Err(Error::not_found(format!("the dashboard does not speak \"{language}\"")));
    };
    let kept = format!(
        "{LANGUAGE_COOKIE}={}; Path=/dashboard; Max-Age=31536000; HttpOnly; SameSite=Lax",
        language.tag()
    );
    let to = own_page(query.get("next"));
    Ok(([(SET_COOKIE, kept)], Redirect::to(&to)).into_response())
}

/// Return the address if it is one of the dashboard, and the first page otherwise: nobody is sent
/// to another site.
fn own_page(address: &str) -> String {
    let is_own = address.strip_prefix(super::DASHBOARD_PATH).is_some_and(|rest| {
        (rest.is_empty() || rest.starts_with(['/', '?']))
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    });
    if is_own { address } else { super::DASHBOARD_PATH }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for own in ["/dashboard", "/dashboard/devices?name=a%20b", "/dashboard?x=1"] {
            assert_eq!(own_page(own), own);
        }
        for other in [
            "",
            "/admin/v1/items",
            "//evil.example",
            "https://evil.example/dashboard",
            "/dashboard.evil.example",
            "/dashboard\\evil",
            "/dashboard/a\r\nset-cookie: b",
        ] {
            assert_eq!(own_page(other), "/dashboard", "{other}");
        }
    }
}
