//! Credentials, and the servers that they may be sent to. [`self::login`] combines them, [`self::secrets`] reads the
//! secrets.

mod allowed_hosts;
mod auth_method;
mod host_rule;
pub mod login;
mod managed_endpoints;
pub mod rds_auth_token;
pub mod secrets;

pub use allowed_hosts::AllowedHosts;
pub(crate) use allowed_hosts::HostError;
pub use auth_method::AuthMethod;
pub(crate) use auth_method::{AuthMethodError, AuthPolicy};
pub(crate) use host_rule::HostPattern;
pub use host_rule::HostPatterns;
