//! A text that must not be seen: a session password, or the password of a person.
//!
//! Errors about JSON quote the value that they do not like, and errors are logged. So this type
//! reads its value itself, and its errors and its debug form never contain it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Return the text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// The OpenAPI document has default values of fields, which are written by this.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a password must be a text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_in_no_error_and_in_no_debug_form() {
        let secret: Secret = serde_json::from_str("\"sesame\"").unwrap();
        assert_eq!(secret.expose(), "sesame");
        assert!(!format!("{secret:?}").contains("sesame"));
        for wrong in ["4711", "[\"sesame\"]", "{\"sesame\":1}", "-4711.5", "true"] {
            let error = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(!error.contains("sesame") && !error.contains("4711"), "{error}");
        }
    }
}
