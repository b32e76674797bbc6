//! The part of a server in a Blue/Green deployment of RDS.

use std::fmt;

use clap::ValueEnum;

/// What happens if a change would break a Blue/Green deployment, `WORKER_BLUE_GREEN_CHECK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BlueGreenCheck {
    /// A request fails, and a re-sync only reports.
    Refuse,
    /// The change is made, with a warning in `Changes`.
    Warn,
}

/// The side of a server in a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The production server, which is replicated.
    Blue,
    /// The server that is to replace blue.
    Green,
}

/// The part of a server in a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The deployment's id.
    pub(crate) deployment: String,
    /// The status that RDS reports: `AVAILABLE`.
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
