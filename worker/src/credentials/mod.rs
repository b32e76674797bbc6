//! Which servers a secret may be sent to, and how. The login itself is in [`crate::login`], the secrets in
//! [`crate::secrets`].

mod allowed_hosts;
mod auth_method;
mod host_rule;
mod managed_endpoints;

pub use allowed_hosts::{AllowedHosts, HostError};
pub use auth_method::{AuthMethod, AuthPolicy, AuthRefusal};
pub use host_rule::{HostPattern, HostPatterns, InvalidHostPattern};
