//! Which servers a secret may be sent to, and how. The login itself is in [`self::login`], the secrets in
//! [`self::secrets`].

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
