//! Which servers a secret may be sent to, and how. The login itself is in [`self::login`], the secrets in
//! [`self::secrets`].

mod allowed_hosts;
mod auth_method;
mod host_rule;
pub mod login;
mod managed_endpoints;
pub mod rds_auth_token;
pub mod secrets;

pub use allowed_hosts::{AllowedHosts, HostError};
pub use auth_method::{AuthMethod, AuthMethodError, AuthPolicy};
pub use host_rule::{HostPattern, HostPatternError, HostPatterns};
