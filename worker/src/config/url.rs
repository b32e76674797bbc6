//! The URL of a database with its credentials, as libpq takes it.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum as _;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::credentials::secrets::{Password, Secret};
use crate::process::tls::SslMode;
use crate::request::text::{is_name, path};
use crate::target::Host;

/// Parameters of libpq that are accepted and ignored: they change neither the server, nor the role, nor what is trusted.
const PASSED_OVER: [&str; 22] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "sslcompression",
    "sslnegotiation",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "uselibpqcompat",
];

const FORM: &str = "must be postgres://user:password@host:port/database";

/// A URL that is not parsed yet. `Debug` does not print it, and no usage error can quote it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UrlText(String);

impl FromStr for UrlText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl UrlText {
    /// Parses the URL.
    ///
    /// # Errors
    /// Names the valid form, and never quotes the URL.
    pub(crate) fn read(&self) -> Result<DatabaseUrl, String> {
        self.0.parse()
    }
}

/// A database and its credentials, from a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Credentials, host, port and database.
    pub secret: Secret,
    /// Its `sslmode`.
    pub(crate) ssl_mode: Option<SslMode>,
    /// Its `sslrootcert`.
    pub(crate) ssl_root_cert: Option<String>,
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || FORM.to_owned();
        let url = Url::parse(text.trim()).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") || url.fragment().is_some() {
            return Err(wrong());
        }
        let decoded = |text: &str| -> Result<String, String> {
            let text = percent_decode_str(text).decode_utf8();
            text.map(Into::into).map_err(|_| wrong())
        };
        let mut parts = Parts {
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?,
            host: url.host_str().map(decoded).transpose()?,
            port: url.port(),
            database: decoded(url.path().trim_start_matches('/'))?,
            ssl_mode: None,
            ssl_root_cert: None,
        };
        // A plus is a plus to libpq.
        for pair in url.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parts.parameter(name, decoded(value)?)?;
        }
        parts.checked()
    }
}

struct Parts {
    user: String,
    password: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    database: String,
    ssl_mode: Option<SslMode>,
    ssl_root_cert: Option<String>,
}

impl Parts {
    fn parameter(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "" => {}
            "user" => self.user = value,
            "password" => self.password = Some(value),
            "host" | "hostaddr" => self.host = Some(value),
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.port = Some(port.ok_or("its port must be from 1 to 65535")?);
            }
            "dbname" => self.database = value,
            "sslmode" => {
                let mode = SslMode::from_str(&value, false);
                self.ssl_mode = Some(mode.map_err(|_| format!("its sslmode {}", right_modes()))?);
            }
            "sslrootcert" if path(&value) != value => {
                return Err("its sslrootcert must be the path of a file".to_owned());
            }
            "sslrootcert" => self.ssl_root_cert = Some(value),
            name if PASSED_OVER.contains(&name) => {}
            name => {
                let is_name = name.len() <= 40
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                return Err(match is_name {
                    true => format!("its parameter {name} is not supported"),
                    false => "one of its parameters is not supported".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn checked(self) -> Result<DatabaseUrl, String> {
        if self.user.is_empty() {
            return Err(FORM.to_owned());
        }
        if !is_name(&self.user) {
            return Err("its user must be the name of a role".to_owned());
        }
        if !self.database.is_empty() && !is_name(&self.database) {
            return Err("its database must be the name of one".to_owned());
        }
        Ok(DatabaseUrl {
            secret: Secret {
                arn: None,
                username: self.user,
                password: Some(Password::new(self.password.unwrap_or_default())),
                host: self
                    .host
                    .filter(|host| !host.is_empty())
                    .map(|host| Host::parse(&host))
                    .transpose()
                    .map_err(|fault| format!("its host {fault}"))?,
                port: self.port,
                dbname: Some(self.database).filter(|name| !name.is_empty()),
            },
            ssl_mode: self.ssl_mode,
            ssl_root_cert: self.ssl_root_cert.filter(|path| !path.is_empty()),
        })
    }
}

fn right_modes() -> String {
    let names = SslMode::value_variants().iter();
    let names: Vec<String> = names
        .filter_map(clap::ValueEnum::to_possible_value)
        .map(|value| value.get_name().to_owned())
        .collect();
    format!("must be one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DatabaseUrl, String> {
        text.parse()
    }

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        let url = read(
            "postgresql://u%40x:p%2Bq+r@[::1]:5433/d?sslmode=verify-ca&sslrootcert=/etc/ca%20s.pem\
             &connect_timeout=10&application_name=psql&target_session_attrs=read-write",
        )
        .unwrap();
        assert_eq!(url.secret.username, "u@x");
        assert_eq!(url.secret.password.unwrap().expose(), "p+q+r");
        assert_eq!(url.secret.host.unwrap().as_str(), "::1");
        assert_eq!(url.secret.port, Some(5433));
        assert_eq!(url.secret.dbname.as_deref(), Some("d"));
        assert_eq!(url.ssl_mode, Some(SslMode::VerifyCa));
        assert_eq!(url.ssl_root_cert.as_deref(), Some("/etc/ca s.pem"));
        let url = read("postgres:///d?host=h&port=1&user=u&password=p").unwrap();
        assert_eq!(url.secret.host.unwrap().as_str(), "h");
        assert_eq!((url.secret.port, url.ssl_mode), (Some(1), None));
    }

    #[test]
    fn a_fault_names_the_part_and_quotes_none() {
        for (text, fault) in [
            ("hunter2", FORM),
            ("https://u:hunter2@h/d", FORM),
            ("postgres://h/hunter2", FORM),
            ("postgres://u:hunter2@h:port/d", FORM),
            ("postgres://u:hunter2@a,b/d", "its host must be a host name"),
            (
                "postgres://u:hunter2@h/d?sslmode=hunter2",
                "its sslmode must be one of disable,",
            ),
            (
                "postgres://u:hunter2@h/d?sslmode=allow",
                "its sslmode must be one of disable,",
            ),
            ("postgres://u:hunter2@h/d?port=hunter2", "its port must be"),
            (
                "postgres://u:p@h/d?sslkey=hunter2",
                "its parameter sslkey is not supported",
            ),
            (
                "postgres://u:p@h/d?Hunter2=1",
                "one of its parameters is not",
            ),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(fault), "{text}: {message}");
            assert!(!message.to_lowercase().contains("hunter2"), "{message}");
        }
        let text: UrlText = "postgres://u:hunter2@h/d".parse().unwrap();
        assert!(!format!("{text:?} {:?}", text.read()).contains("hunter2"));
    }
}
