//! The JSON Schemas of the documents that only vendor and server use. Exists in tests alone:
//! `protocol/schema/` has the schemas, and this module compares them with the types.
//!
//! `UPDATE_SCHEMA=1 cargo test --workspace --lib document_schema` writes them anew.

#![allow(
    clippy::disallowed_methods,
    reason = "the test run is asked to write files by its environment"
)]

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seatmeter_protocol::message::UsageKind;
use serde_json::json;

use crate::correction::{Correction, IssuedCorrection};
use crate::usage_bill::{SignedExport, UsageExport};

/// The types that represent a type of the protocol in a schema.
macro_rules! stand_ins {
    ($($(#[doc = $doc:literal])* $name:ident = $schema:expr;)*) => {
        $($(#[doc = $doc])*
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })*
    };
}

stand_ins! {
    /// A signed document.
    Envelope = json_schema!({ "$ref": "envelope.json" });
    /// A public key.
    Key = json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    /// A kind of work.
    Kind = json_schema!({ "enum": [UsageKind::Scan, UsageKind::Page, UsageKind::Image] });
}

fn compare<T: JsonSchema>(name: &str) {
    let path = format!("{}/../protocol/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    schema["title"] = json!(T::schema_name());
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{path} differs from the types: run with UPDATE_SCHEMA=1");
}

#[test]
fn the_schemas_of_the_documents_of_a_vendor_are_those_of_the_types() {
    compare::<Correction>("correction");
    compare::<IssuedCorrection>("correction-file");
    compare::<UsageExport>("usage-export");
    compare::<SignedExport>("usage-export-file");
}
