//! The types of values that several properties have. CloudFormation sends every scalar as a string.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::extension::Ensure;

/// A text; a number or a boolean is converted to the text that would be written for it. Empty means unset.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct Text(pub(crate) String);

impl Text {
    /// The text, unless it is empty.
    pub(crate) fn given(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(ScalarVisitor("a text"))
            .map(Self)
    }
}

/// A boolean: `true`, `"true"`, `false` or `"false"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct Flag<const DEFAULT: bool>(pub(crate) bool);

impl<const DEFAULT: bool> Default for Flag<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de, const DEFAULT: bool> Deserialize<'de> for Flag<DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(ScalarVisitor("true or false"))?;
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            "" => Ok(Self::default()),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"true or false",
            )),
        }
    }
}

/// A TCP port, 1 to 65535; `None` if unset.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct Port(pub(crate) Option<u16>);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a port from 1 to 65535";
        let text = deserializer.deserialize_any(ScalarVisitor(EXPECTED))?;
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        match text.parse() {
            Ok(port) if port > 0 => Ok(Self(Some(port))),
            _ => Err(D::Error::invalid_value(Unexpected::Str(text), &EXPECTED)),
        }
    }
}

/// `Databases`: a list of names, or one text; empty if unset.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(crate) struct DatabaseList(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for DatabaseList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = DatabaseList;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of database names, or \"*\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DatabaseList, E> {
        let given = Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(DatabaseList(given.into_iter().collect()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<DatabaseList, E> {
        Ok(DatabaseList::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DatabaseList, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(DatabaseList(names))
    }
}

/// `Ensure`, in any letter case.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnsureText(pub(crate) Ensure);

impl<'de> Deserialize<'de> for EnsureText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(ScalarVisitor("present or absent"))?;
        match text.to_ascii_lowercase().as_str() {
            "present" | "" => Ok(Self(Ensure::Present)),
            "absent" => Ok(Self(Ensure::Absent)),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"present or absent",
            )),
        }
    }
}

/// Converts a scalar to the text that CloudFormation would make of it; contains what is expected, for the error.
struct ScalarVisitor(&'static str);

impl Visitor<'_> for ScalarVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    /// null means unset, as an empty text does.
    fn visit_unit<E: serde::de::Error>(self) -> Result<String, E> {
        Ok(String::new())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}
