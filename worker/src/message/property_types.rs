//! The properties of the custom resource as a template writes them. CloudFormation hands every scalar over as text.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::OnUnreachableDelete;
use crate::extension::{DeletionBehavior, Ensure};

/// `Properties` of a `Custom::PostgresExtensions` or `Custom::ExecuteSQL`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ResourceProperties {
    /// The topic; CloudFormation repeats it here.
    #[serde(default)]
    pub service_token: Option<serde::de::IgnoredAny>,
    /// CloudFormation's own limit; it repeats it here.
    #[serde(default)]
    pub service_timeout: Option<serde::de::IgnoredAny>,
    /// Name or ARN of the secret with the credentials, JSON with `username` and `password` and, where the properties
    /// below do not say them, `host`, `port` and `dbname`.
    #[serde(rename = "DBSecret")]
    pub db_secret: Text,
    /// The server's host name; overrides the secret's `host`.
    #[serde(rename = "DBHost", default)]
    pub db_host: Text,
    /// The server's port; overrides the secret's `port`. Default 5432.
    #[serde(rename = "DBPort", default)]
    pub db_port: Option<Port>,
    /// The database; overrides the secret's `dbname`.
    #[serde(rename = "DBName", default)]
    pub db_name: Text,
    /// The databases of the server to manage, or `*` for every one that accepts connections. Default: `DBName`.
    #[serde(default)]
    pub databases: Option<DatabaseList>,
    /// Extensions in the short form, `{name: version}`.
    #[serde(default)]
    pub plugins_map: Option<BTreeMap<String, Text>>,
    /// Extensions, each a name or an object.
    #[serde(default)]
    pub extensions: Option<Vec<ExtensionProperties>>,
    /// What becomes of an extension that is no longer declared.
    #[serde(default)]
    pub deletion_behavior: DeletionBehavior,
    /// How a Delete is answered when the server cannot be reached.
    #[serde(default)]
    pub on_unreachable_delete: OnUnreachableDelete,
    /// Answer with the plan and change nothing.
    #[serde(default)]
    pub dry_run: Flag<false>,
}

/// One element of `Extensions`.
#[derive(Debug)]
pub struct ExtensionProperties {
    /// The extension's name; letter case is not significant.
    pub name: String,
    /// Unset, `default`, a version, or a pattern such as `3.3.*`.
    pub version: Text,
    /// The schema of its objects.
    pub schema: Text,
    /// Whether a schema that does not exist is created.
    pub create_schema: Flag<false>,
    /// Whether extensions that it requires are installed with it.
    pub cascade: Flag<true>,
    /// Whether a lower version than the installed one may be gone to.
    pub allow_downgrade: Flag<false>,
    /// `present` or `absent`.
    pub ensure: Ensure,
}

/// The object form of an element of `Extensions`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ExtensionObject {
    name: String,
    #[serde(default)]
    version: Text,
    #[serde(default)]
    schema: Text,
    #[serde(default)]
    create_schema: Flag<false>,
    #[serde(default)]
    cascade: Flag<true>,
    #[serde(default)]
    allow_downgrade: Flag<false>,
    #[serde(default)]
    ensure: EnsureText,
}

impl<'de> Deserialize<'de> for ExtensionProperties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrObject;

        impl<'de> Visitor<'de> for NameOrObject {
            type Value = ExtensionObject;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an extension's name or an object with Name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ExtensionObject, E> {
                Ok(ExtensionObject {
                    name: name.to_owned(),
                    version: Text::default(),
                    schema: Text::default(),
                    create_schema: Flag::default(),
                    cascade: Flag::default(),
                    allow_downgrade: Flag::default(),
                    ensure: EnsureText::default(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ExtensionObject, A::Error> {
                ExtensionObject::deserialize(MapAccessDeserializer::new(map))
            }
        }

        let object = deserializer.deserialize_any(NameOrObject)?;
        Ok(Self {
            name: object.name,
            version: object.version,
            schema: object.schema,
            create_schema: object.create_schema,
            cascade: object.cascade,
            allow_downgrade: object.allow_downgrade,
            ensure: object.ensure.0,
        })
    }
}

/// A text; a number or a boolean is taken as it would be written. Empty means that it is not given.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl Text {
    /// The text, unless it is empty.
    pub fn given(&self) -> Option<&str> {
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

/// A truth value: `true`, `"true"`, `false` or `"false"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag<const DEFAULT: bool>(pub bool);

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

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub Option<u16>);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a port from 1 to 65535";
        let text = deserializer.deserialize_any(ScalarVisitor(EXPECTED))?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        match text.parse() {
            Ok(port) if port > 0 => Ok(Self(Some(port))),
            _ => Err(D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED)),
        }
    }
}

/// `Databases`: a list of names, or one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseList(pub Vec<String>);

impl<'de> Deserialize<'de> for DatabaseList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = DatabaseList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of database names, or \"*\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DatabaseList, E> {
                Ok(DatabaseList(
                    Some(text.to_owned())
                        .filter(|text| !text.is_empty())
                        .into_iter()
                        .collect(),
                ))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<DatabaseList, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(DatabaseList(names))
            }
        }

        deserializer.deserialize_any(ListVisitor)
    }
}

/// `Ensure`, in any letter case.
#[derive(Default)]
struct EnsureText(Ensure);

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

/// Takes any scalar as the text that CloudFormation would make of it; holds what is expected, for the error.
struct ScalarVisitor(&'static str);

impl Visitor<'_> for ScalarVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
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
