//! Instances and clusters of LocalStack's RDS, which are local servers: the shared one, or the one on the port that is
//! given. None is deleted: a listing that is under way fails where one is gone.

use aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder;
use aws_sdk_rds::types::Tag;

use super::World;

/// A test's own, which have a tag with the test's name.
pub(crate) struct Rds<'a>(pub(crate) &'a World);

impl Rds<'_> {
    /// A PostgreSQL instance with a secret that RDS manages; returns its identifier.
    pub(crate) async fn instance(&self, name: &str, value: &str, port: u16) -> String {
        self.instance_with(name, value, |wanted| {
            wanted.port(port.into()).manage_master_user_password(true)
        })
        .await
    }

    /// A PostgreSQL instance whose password was given.
    pub(crate) async fn instance_without_secret(&self, name: &str, value: &str) -> String {
        self.instance_with(name, value, |wanted| {
            wanted.master_user_password("12345678")
        })
        .await
    }

    /// Any instance.
    pub(crate) async fn instance_with(
        &self,
        name: &str,
        value: &str,
        want: impl FnOnce(CreateDBInstanceFluentBuilder) -> CreateDBInstanceFluentBuilder,
    ) -> String {
        let id = self.id(name);
        let wanted = self.0.aws.rds.create_db_instance();
        let wanted = wanted
            .db_instance_identifier(&id)
            .db_instance_class("db.t3.micro")
            .allocated_storage(20)
            .engine("postgres")
            .master_username("boss")
            .tags(self.tag(value));
        want(wanted).send().await.unwrap();
        id
    }

    /// A PostgreSQL cluster with a secret that RDS manages, and with a member; returns its identifier.
    pub(crate) async fn cluster(&self, name: &str, value: &str, port: u16) -> String {
        let id = self.id(name);
        self.0
            .aws
            .rds
            .create_db_cluster()
            .db_cluster_identifier(&id)
            .engine("aurora-postgresql")
            .port(port.into())
            .master_username("boss")
            .manage_master_user_password(true)
            .tags(self.tag(value))
            .send()
            .await
            .unwrap();
        self.instance_with(&format!("{name}-member"), value, |wanted| {
            wanted
                .engine("aurora-postgresql")
                .db_cluster_identifier(&id)
        })
        .await;
        id
    }

    /// A Blue/Green deployment of an instance, to another engine version; its id.
    pub(crate) async fn blue_green(&self, instance: &str, version: &str) -> String {
        let made = self.0.aws.rds.create_blue_green_deployment();
        let made = made
            .blue_green_deployment_name(&self.0.name)
            .source(format!("arn:aws:rds:us-east-1:000000000000:db:{instance}"))
            .target_engine_version(version)
            .send()
            .await
            .unwrap();
        let made = made.blue_green_deployment.unwrap();
        made.blue_green_deployment_identifier.unwrap()
    }

    /// Ends it.
    pub(crate) async fn delete_blue_green(&self, id: &str) {
        let deleted = self.0.aws.rds.delete_blue_green_deployment();
        deleted
            .blue_green_deployment_identifier(id)
            .send()
            .await
            .unwrap();
    }

    /// The class of an instance.
    pub(crate) async fn class(&self, id: &str) -> String {
        let described = self.0.aws.rds.describe_db_instances();
        let described = described.db_instance_identifier(id).send().await.unwrap();
        let instance = described.db_instances.unwrap().pop().unwrap();
        instance.db_instance_class.unwrap()
    }

    /// The ARN of the secret that RDS manages of an instance.
    pub(crate) async fn secret_of(&self, id: &str) -> String {
        let described = self.0.aws.rds.describe_db_instances();
        let described = described.db_instance_identifier(id).send().await.unwrap();
        let instance = described.db_instances.unwrap().pop().unwrap();
        instance.master_user_secret.unwrap().secret_arn.unwrap()
    }

    /// The snapshot that is there of an instance, which may be gone.
    pub(crate) async fn snapshot_of(&self, id: &str) -> String {
        let described = self.0.aws.rds.describe_db_snapshots().send().await.unwrap();
        let mut snapshots = described.db_snapshots.unwrap().into_iter();
        let snapshot = snapshots.find(|snapshot| snapshot.db_instance_identifier() == Some(id));
        snapshot.unwrap().db_snapshot_identifier.unwrap()
    }

    /// The same of a cluster.
    pub(crate) async fn snapshot_of_cluster(&self, id: &str) -> String {
        let described = self.0.aws.rds.describe_db_cluster_snapshots();
        let described = described.send().await.unwrap();
        let mut snapshots = described.db_cluster_snapshots.unwrap().into_iter();
        let snapshot = snapshots.find(|snapshot| snapshot.db_cluster_identifier() == Some(id));
        snapshot.unwrap().db_cluster_snapshot_identifier.unwrap()
    }

    /// The identifier of what has this name.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.0.name)
    }

    fn tag(&self, value: &str) -> Tag {
        Tag::builder().key(&self.0.name).value(value).build()
    }
}
