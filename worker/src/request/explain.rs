//! Turns serde's errors into sentences for the author of a template. They never quote the value, which may be a secret.

use serde_path_to_error::{Path, Segment};

use super::PropertiesError;
use super::properties::{TOP, invalid};
use super::text::is_key;

/// Describes the error and its place, without the value.
pub(crate) fn explain(error: serde_path_to_error::Error<serde_json::Error>) -> PropertiesError {
    let path = path(error.path());
    let fault = error.into_inner().to_string();
    let below = |field: &str| match path.as_str() {
        "" => field.to_owned(),
        path if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        path => format!("{path}.{field}"),
    };
    let here = || match path.as_str() {
        "" => TOP.to_owned(),
        path => path.to_owned(),
    };
    if let Some(rest) = fault.strip_prefix("unknown field `") {
        let (field, known) = rest.rsplit_once("`, expected ").unwrap_or((rest, ""));
        // "one of `a`, `b`"; the field itself may contain such words.
        let (field, known) = match field.find("`, expected ") {
            Some(_) => ("", known),
            None => (field, known),
        };
        let mut known: Vec<&str> = quoted(known);
        known.sort_unstable();
        let known = known.join(", ");
        return if is_key(field) {
            invalid(below(field), format!("unknown property. Known: {known}"))
        } else {
            invalid(here(), format!("has an unknown property. Known: {known}"))
        };
    }
    if let Some(rest) = fault.strip_prefix("missing field ") {
        return invalid(below(&quoted(rest).concat()), "required");
    }
    invalid(here(), without_value(&fault))
}

/// serde's text without the value.
pub(super) fn without_value(fault: &str) -> String {
    if fault.starts_with("missing field `") {
        return fault.to_owned();
    }
    let expected = fault
        .rsplit_once(", expected ")
        .map_or("", |(_, expected)| expected);
    let is_choice = fault.starts_with("unknown variant ") || fault.starts_with("unknown field ");
    match expected {
        "" => "is not of the form that is expected here".to_owned(),
        _ if is_choice => format!("must be one of {}", quoted(expected).join(", ")),
        "a map" => "must be an object".to_owned(),
        "a sequence" => "must be a list".to_owned(),
        "a string" | "string or map" => "must be a text".to_owned(),
        expected if expected.starts_with("struct ") || expected.starts_with("variant ") => {
            "is not of the form that is expected here".to_owned()
        }
        expected => format!("must be {expected}"),
    }
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The path in the form of serde_path_to_error, without keys that are no names; empty for the whole document.
fn path(path: &Path) -> String {
    let mut text = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } if is_key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}
