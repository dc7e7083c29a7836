//! The frame of every page: the visitor, the language, and the layout.

use std::fmt::Write as _;
use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Page;
use super::assets;
use super::messages::{self, ENGLISH, GERMAN, Messages};
use crate::access::{Caller, Role, Who};
use crate::error::Error;
use crate::http::Web;

/// The cookie with the language that a person has chosen.
pub(super) const LANGUAGE_COOKIE: &str = "seatmeter_language";

/// The characters of a part of an address that stay as they are.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// A language of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    German,
}

impl Language {
    /// All languages.
    pub(super) const ALL: [Self; 2] = [Self::English, Self::German];

    /// Return the language that a browser asks for: the one that was chosen here, or the first one
    /// of its own list that exists.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let chosen = cookies.flat_map(|line| line.split(';')).find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == LANGUAGE_COOKIE).then(|| Self::named(value)).flatten()
        });
        let listed = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let first = || {
            let tags = listed.unwrap_or_default().split(',');
            let mut known = tags.filter_map(|tag| Self::named(tag.trim().get(..2)?));
            known.next()
        };
        chosen.or_else(first).unwrap_or(Self::English)
    }

    /// Return the language of a tag.
    pub(super) fn named(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(tag))
    }

    /// Return the tag for the attribute `lang`.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// Return the name of the language in itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// Return the texts.
    pub(super) fn messages(self) -> &'static Messages {
        match self {
            Self::English => &ENGLISH,
            Self::German => &GERMAN,
        }
    }
}

/// The visitor of a page.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// The user, with the role and the organization.
    pub(super) caller: Caller,
    /// The token of the session for forms.
    pub(super) csrf: String,
    /// The language.
    pub(super) language: Language,
    /// The instant, Unix seconds.
    pub(super) now: u64,
    /// The path of the page, with its parameters.
    pub(super) address: String,
}

impl FromRequestParts<Arc<Web>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Response> {
        let seen = parts.extensions.get::<Self>().cloned();
        seen.ok_or_else(|| Error::Internal("a page without a visitor".to_owned()).into_response())
    }
}

impl Visitor {
    /// Return the texts in the visitor's language.
    pub(super) fn t(&self) -> &'static Messages {
        self.language.messages()
    }

    /// Return whether the visitor may change codes and devices.
    pub(super) fn may_operate(&self) -> bool {
        self.caller.role >= Role::Operator
    }

    /// Return whether the visitor may change license files, tokens and users.
    pub(super) fn may_administer(&self) -> bool {
        self.caller.role >= Role::Admin
    }

    /// Return the organization to which the visitor is bound.
    pub(super) fn owner(&self) -> Option<String> {
        self.caller.organization_id.clone()
    }
}

/// The layout of a page.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The texts.
    pub(super) t: &'static Messages,
    /// The language.
    pub(super) language: Language,
    /// The title of the page.
    pub(super) title: String,
    /// The path of the entry of the navigation that holds the page.
    section: &'static str,
    /// The visitor; `None` on the pages before the login.
    pub(super) visitor: Option<Visitor>,
    /// The message about the action that was just done.
    pub(super) notice: Option<&'static str>,
    /// Whether a browser without JavaScript loads the page again, because something runs.
    pub(super) is_refreshed: bool,
}

impl Frame {
    /// Make the layout of a page for somebody who has logged in.
    pub(super) fn new(visitor: &Visitor, section: &'static str, title: impl Into<String>) -> Self {
        let done = visitor.address.split(['?', '&']).find_map(|pair| pair.strip_prefix("done="));
        Self {
            t: visitor.t(),
            language: visitor.language,
            title: title.into(),
            section,
            notice: done.and_then(|done| messages::notice(visitor.t(), done)),
            visitor: Some(visitor.clone()),
            is_refreshed: false,
        }
    }

    /// Make the layout of a page before the login.
    pub(super) fn outside(language: Language, title: impl Into<String>) -> Self {
        Self {
            t: language.messages(),
            language,
            title: title.into(),
            section: "",
            visitor: None,
            notice: None,
            is_refreshed: false,
        }
    }

    /// Return the entries of the navigation: path, text, and whether this page is in it.
    pub(super) fn navigation(&self) -> Vec<(&'static str, &'static str, bool)> {
        let t = self.t;
        let entries = [
            ("", t.overview),
            ("/devices", t.devices),
            ("/refusals", t.refusals),
            ("/alerts", t.alerts),
            ("/usage", t.usage),
            ("/codes", t.codes),
            ("/licenses", t.licenses),
            ("/plan", t.planner),
            ("/audit", t.audit),
            ("/access", t.access),
            ("/server", t.server),
        ];
        entries.map(|(path, text)| (path, text, path == self.section)).to_vec()
    }

    /// Return the name of the user.
    pub(super) fn who(&self) -> String {
        match self.visitor.as_ref().map(|visitor| &visitor.caller.who) {
            Some(Who::User(name) | Who::Token(name)) => name.clone(),
            Some(Who::Loopback) | None => String::new(),
        }
    }

    /// Return the organization to which the user is bound.
    pub(super) fn organization(&self) -> Option<&str> {
        self.visitor.as_ref()?.caller.organization_id.as_deref()
    }

    /// Return the role of the user.
    pub(super) fn role(&self) -> &'static str {
        let role = self.visitor.as_ref().map(|visitor| visitor.caller.role);
        role.map_or("", |role| messages::role(self.t, role))
    }

    /// Return the token for forms.
    pub(super) fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |visitor| &visitor.csrf)
    }

    /// Return whether actions are shown.
    pub(super) fn may_operate(&self) -> bool {
        self.visitor.as_ref().is_some_and(Visitor::may_operate)
    }

    /// Return whether the actions of an administrator are shown.
    pub(super) fn may_administer(&self) -> bool {
        self.visitor.as_ref().is_some_and(Visitor::may_administer)
    }

    /// Return the time of the page.
    pub(super) fn time(&self) -> String {
        self.visitor.as_ref().map_or_else(String::new, |visitor| minute(visitor.now))
    }

    /// Return the address of this page for a link to another language.
    pub(super) fn here(&self) -> String {
        encode(self.visitor.as_ref().map_or("", |visitor| &visitor.address))
    }

    /// Return the address of a style or script.
    pub(super) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

/// A page that says what went wrong.
#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    frame: Frame,
    heading: String,
    detail: String,
}

impl ErrorPage {
    /// Make the page for an error with this title and description.
    pub(super) fn new(
        visitor: Option<&Visitor>,
        language: Language,
        heading: String,
        detail: String,
    ) -> Self {
        let t = language.messages();
        let frame = match visitor {
            Some(visitor) => Frame::new(visitor, "none", t.error),
            None => Frame::outside(language, t.error),
        };
        Self { frame, heading, detail }
    }
}

/// Answer with a page.
pub(super) fn page(template: &impl Template) -> Page {
    let html = template
        .render()
        .map_err(|error| Error::Internal(format!("a page cannot be written: {error}")))?;
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

/// Send the browser to a page of the dashboard after a change, which the page then confirms.
pub(super) fn done(path: &str, what: &str) -> Page {
    let (path, anchor) = path.split_once('#').unwrap_or((path, ""));
    let joint = if path.contains('?') { '&' } else { '?' };
    let mut to = format!("/dashboard{path}{joint}done={what}");
    if !anchor.is_empty() {
        let _ = write!(to, "#{anchor}");
    }
    Ok(Redirect::to(&to).into_response())
}

/// Return a text as a part of an address.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// Return an instant to the minute, as `2026-11-25 06:00`.
pub(super) fn minute(at: u64) -> String {
    let text = crate::utc::text(at);
    match text.get(..16) {
        Some(minute) if text.ends_with('Z') => minute.replace('T', " "),
        _ => text,
    }
}

/// Return a number with its digits in groups of three, which a space keeps together.
pub(super) fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    if number < 0 {
        text.push('\u{2212}');
    }
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_are_short() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(-1_000), "\u{2212}1\u{202f}000");
        assert_eq!(minute(1_795_586_459), "2026-11-25 06:00");
        assert_eq!(encode("a b/c?\u{e9}\"<"), "a%20b%2Fc%3F%C3%A9%22%3C");
    }

    #[test]
    fn a_language_is_chosen_or_the_first_of_the_browser() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            Language::of(&headers)
        };
        assert_eq!(of(&[]), Language::English);
        assert_eq!(of(&[("accept-language", "fr, de-AT;q=0.8, en;q=0.7")]), Language::German);
        let both = [("accept-language", "de"), ("cookie", "a=b; seatmeter_language=en")];
        assert_eq!(of(&both), Language::English);
        assert_eq!(of(&[("cookie", "seatmeter_language=xx")]), Language::English);
    }
}
