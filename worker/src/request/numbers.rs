//! Numbers as they are written in a message. `1.10` is a version, and would be `1.1` as a number.

use serde_json::Value;

/// Parses a JSON text with every number as a string of its characters, as CloudFormation sends the numbers of a template.
///
/// # Errors
/// The text is not JSON.
pub(crate) fn read_with_numbers_as_text(json: &str) -> Result<Value, serde_json::Error> {
    let value = serde_json::from_str(json)?;
    let text = as_strings(json);
    if text == json {
        Ok(value)
    } else {
        serde_json::from_str(&text)
    }
}

/// Puts the numbers of a JSON text in quotes.
fn as_strings(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let (before, token) = rest.split_at(start);
        text.push_str(before);
        let is_string = token.starts_with('"');
        let end = if is_string {
            end_of_string(token)
        } else {
            let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            token.find(|c| !is_part(c)).unwrap_or(token.len())
        };
        let (token, behind) = token.split_at(end);
        if is_string || !is_number(token) {
            text.push_str(token);
        } else {
            text.extend(["\"", token, "\""]);
        }
        rest = behind;
    }
    text.push_str(rest);
    text
}

/// The length of the string at the beginning of the text, with its quotes.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// JSON's grammar of a number; the parser reports anything else.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_its_own_text() {
        for (json, expected) in [
            (r#"{"x": 1.0}"#, r#"{"x": "1.0"}"#),
            (r#"[1.10,-2,3e5]"#, r#"["1.10","-2","3e5"]"#),
            ("0.00001", "\"0.00001\""),
            (
                "12345678901234567890123.50",
                "\"12345678901234567890123.50\"",
            ),
            (r#"{"1.10": "a \" 1.10 \\"}"#, r#"{"1.10": "a \" 1.10 \\"}"#),
            (r#"[true, null, "1"]"#, r#"[true, null, "1"]"#),
        ] {
            assert_eq!(as_strings(json), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_no_number_stays_as_it_is(text in "\\PC{0,40}", key in "[a-z0-9\"\\\\]{0,9}") {
            let value = serde_json::json!({ key: [text, true, null] });
            prop_assert_eq!(as_strings(&value.to_string()), value.to_string());
        }
    }
}
