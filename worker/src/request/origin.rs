//! One origin that a setting allows beside those of AWS, for LocalStack.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Scheme, host and port: `http://127.0.0.1:4566`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Url);

impl Origin {
    /// Whether a URL has this origin. Opaque origins are never equal, not even to themselves.
    pub(crate) fn is_of(&self, url: &Url) -> bool {
        let origin = self.0.origin();
        origin.is_tuple() && origin == url.origin()
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let is_origin = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if is_origin {
            Ok(Self(url))
        } else {
            Err("must be scheme, host and port alone: http://127.0.0.1:4566".to_owned())
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.origin().ascii_serialization())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_alone() {
        let origin: Origin = "http://127.0.0.1:4566".parse().unwrap();
        assert_eq!(origin.to_string(), "http://127.0.0.1:4566");
        assert!("http://127.0.0.1:4566/".parse::<Origin>().is_ok());
        for no_origin in [
            "127.0.0.1:4566",
            "http://h/path",
            "ftp://h",
            "http://u@h",
            "http://h/?q",
        ] {
            assert!(no_origin.parse::<Origin>().is_err(), "{no_origin}");
        }
    }

    #[test]
    fn a_url_is_below_its_own_origin_alone() {
        let origin: Origin = "http://127.0.0.1:4566".parse().unwrap();
        let is_of = |url: &str| origin.is_of(&Url::parse(url).unwrap());
        assert!(is_of("http://127.0.0.1:4566/a/b?c"));
        for other in [
            "https://127.0.0.1:4566/",
            "http://127.0.0.1:4567/",
            "http://127.0.0.1/",
            "http://localhost:4566/",
            "file:///127.0.0.1:4566",
        ] {
            assert!(!is_of(other), "{other}");
        }
    }
}
