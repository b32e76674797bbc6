//! A server's part in a Blue/Green deployment of RDS.

use std::fmt;

use clap::ValueEnum;

/// What happens where a change would break a Blue/Green deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BlueGreenCheck {
    /// The request is refused, and a re-sync only reports.
    Refuse,
    /// The change is made, and a warning is given.
    Warn,
}

/// Which side of a deployment a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is in production, and is replicated.
    Blue,
    /// It is to replace blue.
    Green,
}

/// A server's part in a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The deployment's id.
    pub(crate) deployment: String,
    /// As RDS calls it: `AVAILABLE`.
    pub(crate) status: String,
    /// The server's side.
    pub(crate) side: Side,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Blue => "the source",
            Side::Green => "the green side",
        };
        let (deployment, status) = (&self.deployment, &self.status);
        write!(
            formatter,
            "{side} of Blue/Green deployment {deployment} ({status})"
        )
    }
}
