//! The account's Blue/Green deployments.

use super::{Instances, ListError, call_error};

/// A Blue/Green deployment of an instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    /// As in `bgd-v53303651eexfake`.
    pub(crate) id: String,
    /// The ARN of blue, the instance or cluster that is in production.
    pub(crate) source: String,
    /// The ARN of green; none while it is being created.
    pub(crate) target: Option<String>,
    /// As RDS calls it: `AVAILABLE`.
    pub(crate) status: String,
}

impl Instances {
    /// All of them, those of other engines and those that are over included.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn blue_green_deployments(&self) -> Result<Vec<Deployment>, ListError> {
        let mut deployments = Vec::new();
        let mut marker = None;
        loop {
            let call = self.0.describe_blue_green_deployments().set_marker(marker);
            let sent = call.send().await;
            let output =
                sent.map_err(|error| call_error("DescribeBlueGreenDeployments", &error))?;
            let found = output.blue_green_deployments.unwrap_or_default();
            deployments.extend(found.into_iter().filter_map(|found| {
                Some(Deployment {
                    id: found.blue_green_deployment_identifier?,
                    source: found.source?,
                    target: found.target.filter(|target| !target.is_empty()),
                    status: found.status.unwrap_or_default(),
                })
            }));
            marker = output.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(deployments);
            }
        }
    }
}
