//! The JSON in a secret. Pure.

use serde::Deserialize;

use super::{Password, Secret};
use crate::request::Port;
use crate::request::text::{is_name, word};
use crate::target::Host;

#[derive(Deserialize)]
struct Document {
    username: Option<String>,
    password: Option<Password>,
    engine: Option<String>,
    host: Option<String>,
    #[serde(default)]
    port: Port,
    dbname: Option<String>,
}

/// Describes what is wrong without a quotation: serde's own text could contain a part of the secret.
pub(super) fn parse(text: &str) -> Result<Secret, String> {
    // Some editors write a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let mut value: serde_json::Value = serde_json::from_str(text)
        .map_err(|_| "is not JSON; it must be an object with username and password".to_owned())?;
    match value.as_object_mut() {
        Some(fields) => fields.retain(|_, value| !value.is_null()),
        None => return Err("is not a JSON object; it must have username and password".to_owned()),
    }
    let document: Document = serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        let expected = match field.as_str() {
            "port" => "a port from 1 to 65535",
            _ => "a text",
        };
        format!("its field \"{field}\" must be {expected}")
    })?;
    let engine = document.engine.unwrap_or_default();
    if !engine.is_empty() && !engine.to_ascii_lowercase().contains("postgres") {
        return Err(format!(
            "its engine is \"{}\"; this worker serves postgres",
            word(&engine)
        ));
    }
    let given = |field: Option<String>| field.filter(|text| !text.is_empty());
    // A value that is no valid name is not sent to PostgreSQL, which would quote it.
    let name = |field: &str, value: Option<String>| match given(value) {
        Some(text) if !is_name(&text) => Err(format!("its field \"{field}\" must be a name")),
        other => Ok(other),
    };
    Ok(Secret {
        username: name("username", document.username)?.ok_or("has no field \"username\"")?,
        password: document.password,
        host: given(document.host)
            .map(|host| Host::parse(&host).map_err(|fault| format!("its field \"host\" {fault}")))
            .transpose()?,
        port: document.port.0,
        dbname: name("dbname", document.dbname)?,
        arn: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_rds_writes_are_read() {
        let full = parse(r#"{"engine":"postgres","host":"h","port":5433,"dbname":"d","username":"u","password":"p"}"#).unwrap();
        assert_eq!(
            (
                full.host.as_ref().map(Host::as_str),
                full.port,
                full.dbname.as_deref()
            ),
            (Some("h"), Some(5433), Some("d"))
        );
        let managed = parse(r#"{"username":"u","password":"p"}"#).unwrap();
        assert_eq!(managed.host, None);
        assert_eq!(
            parse(r#"{"username":"u","password":"p","port":"5432"}"#)
                .unwrap()
                .port,
            Some(5432)
        );
        assert!(parse(r#"{"engine":"aurora-postgresql","username":"u","password":"p"}"#).is_ok());
    }

    #[test]
    fn null_is_absent_and_the_engine_is_of_any_letter_case() {
        let text = "\u{feff}{\"engine\":\"Postgres\",\"host\":null,\"port\":null,\"dbname\":null,\"username\":\"u\",\"password\":null}";
        let secret = parse(text).unwrap();
        assert_eq!(
            (secret.host, secret.port, secret.dbname),
            (None, None, None)
        );
        assert_eq!(secret.password, None);
        let engine = parse(r#"{"engine":null,"username":"u"}"#);
        assert!(engine.is_ok());
        let user = parse(r#"{"username":null,"password":"p"}"#);
        assert_eq!(user.unwrap_err(), "has no field \"username\"");
    }

    #[test]
    fn what_is_no_name_is_not_quoted() {
        for field in ["username", "dbname", "host"] {
            let value = serde_json::json!({"username": "u", "password": "p"});
            for secret in [r#"{"password":"hunter2"}"#, "postgres://u:hunter2@h/d"] {
                let mut value = value.clone();
                value[field] = secret.into();
                let fault = parse(&value.to_string()).unwrap_err();
                assert!(
                    fault.contains(field) && !fault.contains("hunter2"),
                    "{fault}"
                );
            }
        }
    }

    #[test]
    fn a_fault_names_the_field_and_quotes_no_value() {
        for (text, fault) in [
            (
                "hunter2",
                "is not JSON; it must be an object with username and password",
            ),
            (
                "[]",
                "is not a JSON object; it must have username and password",
            ),
            (r#"{"password":"hunter2"}"#, "has no field \"username\""),
            (
                r#"{"username":"u","password":["hunter2"]}"#,
                "its field \"password\" must be a text",
            ),
            (
                r#"{"username":"u","password":"p","port":"hunter2"}"#,
                "its field \"port\" must be a port from 1 to 65535",
            ),
            (
                r#"{"engine":"mysql","username":"u","password":"p"}"#,
                "its engine is \"mysql\"; this worker serves postgres",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), fault);
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let secret = parse(r#"{"username":"u","password":"hunter2"}"#).unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
