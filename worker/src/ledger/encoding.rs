//! Texts of requests in a ledger. A database stores them in its own encoding, which may lack some of their characters, and
//! no database stores U+0000. They are written in ASCII, so that a dump of the ledger can be restored in any database, with
//! the escapes of PostgreSQL's own literals: `U&'donn\00e9es'`. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_json::Value;

const BEGIN: &str = "U&'";
const END: char = '\'';

/// Encodes the text in ASCII.
pub(crate) fn keep(text: &str) -> Cow<'_, str> {
    let is_kept = |character: char| character != '\0' && character.is_ascii();
    if text.chars().all(is_kept) && !text.starts_with(BEGIN) {
        return Cow::Borrowed(text);
    }
    let mut kept = BEGIN.to_owned();
    for character in text.chars() {
        match u32::from(character) {
            _ if character == '\\' => kept.push_str("\\\\"),
            _ if is_kept(character) => kept.push(character),
            // Writing to a String does not fail.
            code @ ..=0xffff => drop(write!(kept, "\\{code:04x}")),
            code => drop(write!(kept, "\\+{code:06x}")),
        }
    }
    kept.push(END);
    Cow::Owned(kept)
}

/// Encodes all texts of a document.
pub(crate) fn keep_all(document: &Value) -> Value {
    each_text(document, &keep)
}

/// Decodes a text.
pub(crate) fn kept(text: &str) -> Cow<'_, str> {
    let inner = text
        .strip_prefix(BEGIN)
        .and_then(|text| text.strip_suffix(END));
    match inner {
        Some(inner) => unescape(inner).map_or(Cow::Borrowed(text), Cow::Owned),
        None => Cow::Borrowed(text),
    }
}

/// Parses a document, and decodes all its texts.
///
/// # Errors
/// The document has another form.
pub(crate) fn read<T: DeserializeOwned>(document: &str) -> serde_json::Result<T> {
    if document.contains(BEGIN) {
        let document = serde_json::from_str(document)?;
        serde_json::from_value(each_text(&document, &kept))
    } else {
        serde_json::from_str(document)
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut rest = text.chars();
    let mut found = String::with_capacity(text.len());
    while let Some(character) = rest.next() {
        if character != '\\' {
            found.push(character);
            continue;
        }
        let digits = match rest.clone().next()? {
            '\\' => {
                rest.next();
                found.push('\\');
                continue;
            }
            '+' => {
                rest.next();
                6
            }
            _ => 4,
        };
        let code: String = rest.by_ref().take(digits).collect();
        if code.len() != digits {
            return None;
        }
        found.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
    }
    Some(found)
}

fn each_text(document: &Value, change: &impl Fn(&str) -> Cow<'_, str>) -> Value {
    match document {
        Value::String(text) => Value::String(change(text).into_owned()),
        Value::Array(values) => values
            .iter()
            .map(|value| each_text(value, change))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (change(name).into_owned(), each_text(value, change)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => document.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_encoding_lacks_is_written_in_ascii() {
        assert_eq!(keep("données_日本"), r"U&'donn\00e9es_\65e5\672c'");
        assert_eq!(keep("a\\b"), "a\\b");
        assert_eq!(keep("\\é🐘"), r"U&'\\\00e9\+01f418'");
        assert_eq!(keep("a\0"), r"U&'a\0000'");
        let document = json!({"é": ["日", 1, null, true]});
        let ascii = keep_all(&document);
        assert_eq!(
            ascii.to_string(),
            r#"{"U&'\\00e9'":["U&'\\65e5'",1,null,true]}"#
        );
        assert_eq!(read::<Value>(&ascii.to_string()).unwrap(), document);
    }

    #[test]
    fn what_only_looks_like_an_escape_stays() {
        for text in [
            "U&'",
            "U&'a",
            r"U&'\zzzz'",
            r"U&'\00'",
            r"U&'\d800'",
            "it's",
        ] {
            assert_eq!(kept(text), text);
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in ".*|U&'[\\\\'0-9a-z+]*'?") {
            let stored = keep(&text).into_owned();
            prop_assert_eq!(&kept(&stored), &text);
            prop_assert!(stored.is_ascii() && !stored.contains('\0'));
        }
    }
}
