//! One instance or cluster by its identifier, whatever it is.

use aws_sdk_rds::types::{DbCluster, DbInstance};

use super::{Instance, Instances, ListError, call_error, is_postgres, is_unset};

/// An instance or a cluster as RDS describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// Where it is, and its secret.
    pub(crate) instance: Instance,
    /// Its ARN.
    pub(crate) arn: String,
    /// As RDS calls it: `postgres`, `aurora-mysql`.
    pub(crate) engine: String,
    /// As RDS calls it: `available`, `upgrading`.
    pub(crate) status: String,
    /// The identifier of the cluster that an instance is a member of.
    pub(crate) cluster: Option<String>,
    /// Whether its changes come from another instance or cluster.
    pub(crate) is_replica: bool,
}

impl Described {
    /// Whether it runs PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        is_postgres(Some(&self.engine))
    }
}

impl Instances {
    /// The instance of this identifier; none where there is none.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn instance(&self, id: &str) -> Result<Option<Described>, ListError> {
        let call = self.0.describe_db_instances().db_instance_identifier(id);
        match call.send().await {
            Ok(output) => Ok(output
                .db_instances
                .unwrap_or_default()
                .into_iter()
                .find_map(described_instance)),
            Err(error) => none_if_missing(call_error("DescribeDBInstances", &error)),
        }
    }

    /// The cluster of this identifier; none where there is none.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn cluster(&self, id: &str) -> Result<Option<Described>, ListError> {
        let call = self.0.describe_db_clusters().db_cluster_identifier(id);
        match call.send().await {
            Ok(output) => Ok(output
                .db_clusters
                .unwrap_or_default()
                .into_iter()
                .find_map(described_cluster)),
            Err(error) => none_if_missing(call_error("DescribeDBClusters", &error)),
        }
    }
}

fn none_if_missing(error: ListError) -> Result<Option<Described>, ListError> {
    // `DBInstanceNotFound` by the documentation, `DBInstanceNotFoundFault` by name.
    if error.code.contains("NotFound") {
        Ok(None)
    } else {
        Err(error)
    }
}

fn described_instance(mut instance: DbInstance) -> Option<Described> {
    Some(Described {
        arn: instance.db_instance_arn.take().unwrap_or_default(),
        engine: instance.engine.take().unwrap_or_default(),
        status: instance.db_instance_status.take().unwrap_or_default(),
        cluster: instance.db_cluster_identifier.take(),
        is_replica: !is_unset(instance.read_replica_source_db_instance_identifier())
            || !is_unset(instance.read_replica_source_db_cluster_identifier()),
        instance: super::instance(instance)?,
    })
}

fn described_cluster(mut cluster: DbCluster) -> Option<Described> {
    Some(Described {
        arn: cluster.db_cluster_arn.take().unwrap_or_default(),
        engine: cluster.engine.take().unwrap_or_default(),
        status: cluster.status.take().unwrap_or_default(),
        cluster: None,
        is_replica: !is_unset(cluster.replication_source_identifier()),
        instance: super::cluster(cluster)?,
    })
}
