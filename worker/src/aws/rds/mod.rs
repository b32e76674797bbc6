//! The account's PostgreSQL instances and clusters. The only module that knows aws-sdk-rds; it decides nothing.

mod blue_green;
mod single;

pub(crate) use self::blue_green::Deployment;
pub(crate) use self::single::Described;

use aws_sdk_rds::Client;
use aws_sdk_rds::error::ProvideErrorMetadata;
use aws_sdk_rds::types::{DbCluster, DbInstance, Tag};

/// The engines are `postgres` and `aurora-postgresql`.
const ENGINE: &str = "postgres";

/// An instance, or a cluster, which is its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Its identifier.
    pub(crate) id: String,
    /// Where it listens; none while it is being created.
    pub(crate) endpoint: Option<(String, u16)>,
    /// The secret that RDS keeps of its master user.
    pub(crate) secret: Option<String>,
}

/// An instance or a cluster with all endpoints that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Its identifier.
    pub(crate) id: String,
    /// Its ARN.
    pub(crate) arn: String,
    /// Whether it is a cluster.
    pub(crate) is_cluster: bool,
    /// `postgres` or `aurora-postgresql`.
    pub(crate) engine: String,
    /// As in `15.4`.
    pub(crate) engine_version: String,
    /// The ARN of the secret that RDS keeps of its master user.
    pub(crate) secret: Option<String>,
    /// The identifier of the cluster that an instance is a member of.
    pub(crate) cluster: Option<String>,
    /// Hosts with their ports.
    pub(crate) endpoints: Vec<(String, u16)>,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Marker {
    /// With the instances behind this one.
    Instances(String),
    /// With the clusters, from the first on or behind this one.
    Clusters(Option<String>),
}

/// Why instances cannot be listed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {code} {text}")]
pub(crate) struct ListError {
    /// What was refused: `DescribeDBClusters`.
    pub(crate) call: &'static str,
    /// RDS's error code, empty where there was no answer.
    pub(crate) code: String,
    text: String,
}

/// RDS, in one region.
#[derive(Debug, Clone)]
pub struct Instances(Client);

impl Instances {
    /// Calls RDS with the SDK's configuration.
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// A page of those that have a tag, where one is asked for, and where the listing goes on. Neither members of a
    /// cluster nor replicas are listed, which take no changes of their own.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn list(
        &self,
        tag: Option<&(String, Option<String>)>,
        from: Option<Marker>,
    ) -> Result<(Vec<Instance>, Option<Marker>), ListError> {
        match from {
            None => self.instances(tag, None).await,
            Some(Marker::Instances(marker)) => self.instances(tag, Some(marker)).await,
            Some(Marker::Clusters(marker)) => self.clusters(tag, marker).await,
        }
    }

    /// Every instance of PostgreSQL, members of clusters included.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn reported_instances(&self) -> Result<Vec<Reported>, ListError> {
        let mut reported = Vec::new();
        let mut marker = None;
        loop {
            let call = self.0.describe_db_instances().set_marker(marker);
            let sent = call.send().await;
            let output = sent.map_err(|error| call_error("DescribeDBInstances", &error))?;
            let found = output.db_instances.unwrap_or_default().into_iter();
            let meant = found.filter(|instance| is_postgres(instance.engine.as_deref()));
            reported.extend(meant.filter_map(reported_instance));
            marker = output.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(reported);
            }
        }
    }

    /// Every cluster of PostgreSQL.
    ///
    /// # Errors
    /// [`ListError`].
    pub(crate) async fn reported_clusters(&self) -> Result<Vec<Reported>, ListError> {
        let mut reported = Vec::new();
        let mut marker = None;
        loop {
            let call = self.0.describe_db_clusters().set_marker(marker);
            let sent = call.send().await;
            let output = sent.map_err(|error| call_error("DescribeDBClusters", &error))?;
            let found = output.db_clusters.unwrap_or_default().into_iter();
            let meant = found.filter(|cluster| is_postgres(cluster.engine.as_deref()));
            reported.extend(meant.filter_map(reported_cluster));
            marker = output.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(reported);
            }
        }
    }

    async fn instances(
        &self,
        tag: Option<&(String, Option<String>)>,
        marker: Option<String>,
    ) -> Result<(Vec<Instance>, Option<Marker>), ListError> {
        let call = "DescribeDBInstances";
        let sent = self
            .0
            .describe_db_instances()
            .set_marker(marker)
            .send()
            .await;
        let output = sent.map_err(|error| call_error(call, &error))?;
        let next = output
            .marker
            .map_or(Marker::Clusters(None), Marker::Instances);
        let found = output.db_instances.unwrap_or_default().into_iter();
        let meant = found.filter(|instance| {
            is_postgres(instance.engine.as_deref())
                && instance.db_cluster_identifier.is_none()
                && is_unset(instance.read_replica_source_db_instance_identifier())
                && is_unset(instance.read_replica_source_db_cluster_identifier())
                && has_tag(instance.tag_list(), tag)
        });
        Ok((meant.filter_map(instance).collect(), Some(next)))
    }

    async fn clusters(
        &self,
        tag: Option<&(String, Option<String>)>,
        marker: Option<String>,
    ) -> Result<(Vec<Instance>, Option<Marker>), ListError> {
        let call = "DescribeDBClusters";
        let sent = self
            .0
            .describe_db_clusters()
            .set_marker(marker)
            .send()
            .await;
        let output = sent.map_err(|error| call_error(call, &error))?;
        let next = output.marker.map(|marker| Marker::Clusters(Some(marker)));
        let found = output.db_clusters.unwrap_or_default().into_iter();
        let meant = found.filter(|cluster| {
            is_postgres(cluster.engine.as_deref())
                && is_unset(cluster.replication_source_identifier())
                && has_tag(cluster.tag_list(), tag)
        });
        Ok((meant.filter_map(cluster).collect(), next))
    }
}

fn instance(instance: DbInstance) -> Option<Instance> {
    let endpoint = instance.endpoint;
    Some(Instance {
        id: instance.db_instance_identifier?,
        endpoint: endpoint.and_then(|endpoint| Some((endpoint.address?, port(endpoint.port)))),
        secret: instance
            .master_user_secret
            .and_then(|secret| secret.secret_arn),
    })
}

fn cluster(cluster: DbCluster) -> Option<Instance> {
    Some(Instance {
        id: cluster.db_cluster_identifier?,
        endpoint: cluster.endpoint.map(|host| (host, port(cluster.port))),
        secret: cluster
            .master_user_secret
            .and_then(|secret| secret.secret_arn),
    })
}

fn reported_instance(instance: DbInstance) -> Option<Reported> {
    let cluster = instance.db_cluster_identifier.clone();
    let arn = instance.db_instance_arn.clone().unwrap_or_default();
    let engine = instance.engine.clone().unwrap_or_default();
    let engine_version = instance.engine_version.clone().unwrap_or_default();
    let self::Instance {
        id,
        endpoint,
        secret,
    } = self::instance(instance)?;
    Some(Reported {
        id,
        arn,
        is_cluster: false,
        engine,
        engine_version,
        secret,
        cluster,
        endpoints: endpoint.into_iter().collect(),
    })
}

fn reported_cluster(cluster: DbCluster) -> Option<Reported> {
    let port = port(cluster.port);
    let hosts = cluster
        .endpoint
        .into_iter()
        .chain(cluster.reader_endpoint)
        .chain(cluster.custom_endpoints.unwrap_or_default());
    Some(Reported {
        id: cluster.db_cluster_identifier?,
        arn: cluster.db_cluster_arn.unwrap_or_default(),
        is_cluster: true,
        engine: cluster.engine.unwrap_or_default(),
        engine_version: cluster.engine_version.unwrap_or_default(),
        secret: cluster
            .master_user_secret
            .and_then(|secret| secret.secret_arn),
        cluster: None,
        endpoints: hosts.map(|host| (host, port)).collect(),
    })
}

fn port(port: Option<i32>) -> u16 {
    port.and_then(|port| u16::try_from(port).ok())
        .unwrap_or(5432)
}

fn is_postgres(engine: Option<&str>) -> bool {
    engine.is_some_and(|engine| engine.contains(ENGINE))
}

fn is_unset(identifier: Option<&str>) -> bool {
    identifier.is_none_or(str::is_empty)
}

fn has_tag(tags: &[Tag], wanted: Option<&(String, Option<String>)>) -> bool {
    wanted.is_none_or(|(key, value)| {
        tags.iter().any(|tag| {
            tag.key() == Some(key) && (value.is_none() || tag.value() == value.as_deref())
        })
    })
}

fn call_error<E: ProvideErrorMetadata>(call: &'static str, error: &E) -> ListError {
    ListError {
        call,
        code: error.code().unwrap_or_default().to_owned(),
        text: error.message().unwrap_or("no answer").to_owned(),
    }
}
