//! The input of a person: the fields of a form, and the parameters of an address.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::error::Error;
use crate::http::Web;
use crate::operator::secret::Secret;
use crate::problem::ProblemKind;

/// The greatest number of fields of a form: a handshake code with a thousand items has as many.
const FIELDS_MAX: usize = 2_048;

/// Names and values, in the order in which they came. A name may come several times.
#[derive(Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

// Values may be passwords.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("count", &self.0.len()).finish()
    }
}

impl Fields {
    /// Read the form in the body of a request. A file counts as its text.
    pub(super) async fn read(request: Request, web: &Arc<Web>) -> Result<Self, Error> {
        let malformed = |why: &str| Error::of(ProblemKind::MalformedBody, why);
        let kind = request.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/form-data")) {
            return Self::of_parts(request, web).await;
        }
        let body = Bytes::from_request(request, web)
            .await
            .map_err(|_| malformed("the form cannot be read"))?;
        Self::of_text(&body)
    }

    async fn of_parts(request: Request, web: &Arc<Web>) -> Result<Self, Error> {
        let malformed = |_| Error::of(ProblemKind::MalformedBody, "the form cannot be read");
        let no_form = |_| Error::of(ProblemKind::ContentType, "the form has no boundary");
        let mut parts = Multipart::from_request(request, web).await.map_err(no_form)?;
        let mut fields = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            let bytes = part.bytes().await.map_err(malformed)?;
            let value = String::from_utf8(bytes.into()).map_err(|_| {
                Error::bad_request(format!("the field \"{name}\" is not a text in UTF-8"))
            })?;
            fields.push((name, value));
            require_few(fields.len())?;
        }
        Ok(Self(fields))
    }

    /// Read fields from an encoded text.
    fn of_text(text: &[u8]) -> Result<Self, Error> {
        let pairs = form_urlencoded::parse(text).into_owned().take(FIELDS_MAX + 1);
        let fields: Vec<(String, String)> = pairs.collect();
        require_few(fields.len())?;
        Ok(Self(fields))
    }

    /// Return the first value of this name, without spaces around it; empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// Return the first value of this name as it came.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Return the value of this name, unless it is empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name)).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// Return all values of this name.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(known, _)| known == name);
        of_name.map(|(_, value)| value.clone()).collect()
    }

    /// Return whether a box of this name is ticked.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// Return the value of this name as a secret.
    pub(super) fn secret(&self, name: &str) -> Secret {
        Secret::from(self.raw(name))
    }

    /// Return the value of this name as a number; `None` when it is empty.
    ///
    /// # Errors
    /// Fails when it is not one.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let read = |value: String| {
            value.parse().map_err(|_| {
                Error::bad_request(format!("{name} \"{value}\" is not a number: write digits"))
            })
        };
        self.some(name).map(read).transpose()
    }

    /// Return the lines of this name that are not empty.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.raw(name).lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// Return these fields as an address has them, without some of them and without empty ones.
    pub(super) fn address_without(&self, left_out: &[&str]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(name, value)| !value.is_empty() && !left_out.contains(&name.as_str()));
        let pair = |(name, value): &(String, String)| {
            format!("{}={}", super::frame::encode(name), super::frame::encode(value))
        };
        kept.map(pair).collect::<Vec<_>>().join("&")
    }
}

/// The parameters of the address of a page. Unknown ones mean nothing.
pub(super) struct Chosen(pub(super) Fields);

impl FromRequestParts<Arc<Web>> for Chosen {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Response> {
        let query = parts.uri.query().unwrap_or_default();
        Fields::of_text(query.as_bytes()).map(Self).map_err(IntoResponse::into_response)
    }
}

/// The form that a page has sent, which the gate has checked.
pub(super) struct Posted(pub(super) Fields);

impl FromRequestParts<Arc<Web>> for Posted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Response> {
        let fields = parts.extensions.remove::<Fields>();
        fields.map(Self).ok_or_else(|| Error::bad_request("there is no form").into_response())
    }
}

fn require_few(count: usize) -> Result<(), Error> {
    if count <= FIELDS_MAX {
        return Ok(());
    }
    Err(Error::bad_request(format!("a form has at most {FIELDS_MAX} fields")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_may_come_several_times() {
        let fields = Fields::of_text(b"a=1%202&a=%C3%A9&b&c=%zz+x&=d").unwrap();
        assert_eq!(fields.all("a"), ["1 2", "\u{e9}"]);
        assert_eq!((fields.get("b"), fields.raw("c")), ("", "%zz x"));
        assert_eq!(fields.some("b"), None);
        assert!(fields.number::<u64>("a").unwrap_err().to_string().contains("\"1 2\""));
        assert_eq!(fields.address_without(&["a"]), "c=%25zz%20x&=d");
    }

    #[test]
    fn a_form_is_bounded_and_shows_no_value_in_a_log() {
        assert!(Fields::of_text("a=1&".repeat(FIELDS_MAX + 1).as_bytes()).is_err());
        let fields = Fields::of_text(b"password=hidden").unwrap();
        assert!(!format!("{fields:?}").contains("hidden"));
    }
}
