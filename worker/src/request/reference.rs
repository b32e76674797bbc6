//! The reference of the properties, generated from [`ResourceProperties`]: a JSON Schema for editors, and the tables of
//! `docs/properties.md`. It is only part of the tests: [`crate::reference`] compares and writes it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use super::property_types::{ExtensionObject, ExtensionProperties, ResourceProperties};
use super::property_values::{DatabaseList, EnsureText, Flag, Port, Text};
use crate::extension::Ensure;

/// The JSON Schema of the properties.
pub(crate) fn schema() -> Value {
    schema_for!(ResourceProperties).to_value()
}

/// The tables of the page: the properties of the resource, and those of an element of `Extensions`.
pub(crate) fn markdown() -> String {
    format!(
        "{}\n{}",
        table("Property", &schema_for!(ResourceProperties).to_value()),
        table("In `Extensions`", &schema_for!(ExtensionObject).to_value())
    )
}

/// Required ones first, then in alphabetical order.
fn table(heading: &str, schema: &Value) -> String {
    let is_required = |name: &str| {
        let required = schema.get("required").and_then(Value::as_array);
        required.is_some_and(|required| required.iter().any(|other| other == name))
    };
    let mut properties: Vec<(&String, &Value)> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .collect();
    properties.sort_by_key(|(name, _)| (!is_required(name), (*name).clone()));
    let mut table = format!("| {heading} | Default | Meaning |\n|---|---|---|\n");
    for (name, property) in properties {
        let default = match property.get("default") {
            _ if is_required(name) => "required".to_owned(),
            Some(Value::String(text)) if !text.is_empty() => format!("`{text}`"),
            Some(Value::Bool(flag)) => format!("`{flag}`"),
            _ => String::new(),
        };
        let meaning = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        table.push_str(&format!(
            "| `{name}` | {default} | {} |\n",
            meaning.replace('\n', " ")
        ));
    }
    table
}

impl Serialize for EnsureText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            Ensure::Present => "present",
            Ensure::Absent => "absent",
        })
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

impl<const DEFAULT: bool> JsonSchema for Flag<DEFAULT> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Flag".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [true, false, "true", "false"]})
    }
}

impl JsonSchema for Port {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 1, "maximum": 65535, "pattern": "^[0-9]*$"})
    }
}

impl JsonSchema for DatabaseList {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DatabaseList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }
}

impl JsonSchema for EnsureText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ensure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": ["present", "absent"]})
    }
}

impl JsonSchema for ExtensionProperties {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ExtensionProperties".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<ExtensionObject>();
        json_schema!({"anyOf": [{"type": "string"}, object]})
    }
}
