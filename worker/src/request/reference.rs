//! The reference of the properties, made from [`ResourceProperties`]: a JSON Schema for editors, and the tables of
//! `docs/properties.md`.
//!
//! `make reference` writes both; a test here fails where they are not what the types say.

use schemars::schema_for;
use serde_json::Value;

use super::property_types::{ExtensionObject, ResourceProperties};

/// The JSON Schema of the properties.
pub fn json_schema() -> Value {
    schema_for!(ResourceProperties).to_value()
}

/// The tables of the page: the properties of the resource, and those of an element of `Extensions`.
pub fn markdown() -> String {
    format!(
        "{}\n{}",
        table("Property", &schema_for!(ResourceProperties).to_value()),
        table("In `Extensions`", &schema_for!(ExtensionObject).to_value())
    )
}

/// Required ones first, then as the alphabet has them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_and_the_manual_say_what_the_types_say() {
        let schema: Value =
            serde_json::from_str(include_str!("../../../templates/properties.schema.json"))
                .unwrap();
        assert_eq!(schema, json_schema(), "run `make reference`");
        assert!(
            include_str!("../../../docs/properties.md").contains(&markdown()),
            "run `make reference`"
        );
    }
}
