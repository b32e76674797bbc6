//! The templates that a platform team deploys, as they are: the worker runs by the outputs of its own stack, and databases
//! come from theirs.

use serde_json::json;

use crate::support::{Database, Outcome, Rds, TemplateStack, Worker, World};

const WORKER: &str = include_str!("../../templates/worker.yaml");
const DATABASE: &str = include_str!("../../templates/database.yaml");
const AURORA: &str = include_str!("../../templates/aurora.yaml");
const EXISTING: &str = include_str!("../../templates/existing-database.yaml");

#[tokio::test]
async fn an_instance_is_made_changed_kept_as_a_snapshot_and_restored_with_its_extensions() {
    let world = World::new().await;
    let platform = Platform::deploy(&world).await;
    let database = platform.database("app");
    let made = [("Extensions", "pgcrypto,hstore")];
    let stack = world.template_stack("db");
    let created = platform.create(&stack, DATABASE, &database, &made).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(names(&database).await, ["hstore", "pgcrypto"]);
    let instance = &created.outputs["DBInstanceIdentifier"];
    assert_eq!(Rds(&world).class(instance).await, "db.t4g.medium");
    database
        .execute("CREATE TABLE kept AS SELECT 'a=>1'::hstore")
        .await;

    let more = [
        ("Extensions", "pgcrypto,hstore,citext"),
        ("InstanceClass", "db.t4g.large"),
    ];
    let updated = platform.update(&stack, DATABASE, &database, &more).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert!(updated.outputs["Changes"].starts_with("created citext"));
    assert_eq!(names(&database).await, ["citext", "hstore", "pgcrypto"]);
    assert_eq!(Rds(&world).class(instance).await, "db.t4g.large");

    let wrong = [("Extensions", "pgcrypto,hstore,citext,no_such")];
    let failed = platform.update(&stack, DATABASE, &database, &wrong).await;
    assert!(!failed.status.ends_with("UPDATE_COMPLETE"), "{failed:?}");
    assert!(
        failed
            .reason
            .contains("Extension \"no_such\" is not available on"),
        "{failed:?}"
    );
    assert_eq!(names(&database).await, ["citext", "hstore", "pgcrypto"]);

    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(!database.exists().await);

    let snapshot = Rds(&world).snapshot_of(instance).await;
    let from_snapshot = [
        ("DBSnapshotIdentifier", snapshot.as_str()),
        ("Extensions", "pgcrypto,hstore"),
    ];
    let stack = world.template_stack("restored");
    let restored = platform
        .create(&stack, DATABASE, &database, &from_snapshot)
        .await;
    assert_eq!(restored.status, "CREATE_COMPLETE", "{restored:?}");
    assert_eq!(restored.outputs["Changes"], "none");
    assert_eq!(names(&database).await, ["citext", "hstore", "pgcrypto"]);
    assert_eq!(
        database.text("SELECT hstore::text FROM kept").await,
        "\"a\"=>\"1\""
    );
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    platform.delete().await;
}

#[tokio::test]
async fn a_cluster_is_made_and_restored_with_its_extensions() {
    let world = World::new().await;
    let platform = Platform::deploy(&world).await;
    let database = platform.database("aurora");
    let version = ("EngineVersion", "16.6");
    let made = [("Extensions", "pgcrypto"), version, ("HasReader", "true")];
    let stack = world.template_stack("aurora");
    let created = platform.create(&stack, AURORA, &database, &made).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(names(&database).await, ["pgcrypto"]);
    let cluster = created.outputs["DBClusterIdentifier"].clone();
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(!database.exists().await);

    let snapshot = Rds(&world).snapshot_of_cluster(&cluster).await;
    let from_snapshot = [("SnapshotIdentifier", snapshot.as_str()), made[0], version];
    let stack = world.template_stack("restored");
    let restored = platform
        .create(&stack, AURORA, &database, &from_snapshot)
        .await;
    assert_eq!(restored.status, "CREATE_COMPLETE", "{restored:?}");
    assert_eq!(names(&database).await, ["pgcrypto"]);
}

#[tokio::test]
async fn a_database_whose_extensions_cannot_be_had_is_not_left_behind() {
    let world = World::new().await;
    let platform = Platform::deploy(&world).await;
    let database = platform.database("app");
    let stack = world.template_stack("db");
    let wrong = [("Extensions", "no_such")];
    let created = platform.create(&stack, DATABASE, &database, &wrong).await;
    assert!(!created.status.ends_with("CREATE_COMPLETE"), "{created:?}");
    assert!(created.reason.contains("no_such"), "{created:?}");
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(!database.exists().await);
}

#[tokio::test]
async fn a_database_that_is_there_gets_its_extensions() {
    let world = World::new().await;
    let platform = Platform::deploy(&world).await;
    let stack = world.template_stack("existing");
    let parameters = [
        ("ServiceToken", platform.outputs["TopicArn"].as_str()),
        ("DBSecret", &world.secret),
    ];
    let created = stack.create(EXISTING, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(names(&world.database).await, ["pg_trgm", "pgcrypto"]);
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}

async fn names(database: &Database) -> Vec<String> {
    database.extensions().await.into_keys().collect()
}

/// The worker's stack in a network of its own, and a worker that runs by its outputs.
struct Platform<'a> {
    world: &'a World,
    stack: TemplateStack,
    network: [(&'static str, String); 2],
    outputs: std::collections::BTreeMap<String, String>,
    _worker: Worker,
}

impl<'a> Platform<'a> {
    async fn deploy(world: &'a World) -> Self {
        let subnet = |block: &str| {
            let vpc = json!({"Ref": "Vpc"});
            json!({"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": vpc, "CidrBlock": block}})
        };
        let network = json!({
            "Resources": {
                "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
                "A": subnet("10.0.0.0/24"), "B": subnet("10.0.1.0/24"),
            },
            "Outputs": {
                "VpcId": {"Value": {"Ref": "Vpc"}},
                "SubnetIds": {"Value": {"Fn::Join": [",", [{"Ref": "A"}, {"Ref": "B"}]]}},
            },
        });
        let network = world
            .template_stack("network")
            .create(&network.to_string(), &[])
            .await;
        let network = ["VpcId", "SubnetIds"].map(|name| (name, network.outputs[name].clone()));
        let stack = world.template_stack("platform");
        let parameters = [
            ("Image", "extension-worker"),
            ("VpcId", &network[0].1),
            ("SubnetIds", &network[1].1),
            ("DatabaseCidr", "10.0.0.0/16"),
        ];
        let Outcome {
            status, outputs, ..
        } = stack.create(WORKER, &parameters).await;
        assert_eq!(status, "CREATE_COMPLETE");
        let settings = [
            ("WORKER_QUEUE_URL", "QueueUrl"),
            ("WORKER_DEAD_LETTER_QUEUE_URL", "DeadLetterQueueUrl"),
            ("WORKER_TOPIC_ARNS", "TopicArn"),
            ("WORKER_RESYNC_TOPIC_ARNS", "ResyncTopicArn"),
            ("WORKER_RESULTS_TOPIC_ARN", "ResultsTopicArn"),
        ];
        let settings = settings.map(|(setting, output)| (setting, outputs[output].as_str()));
        let settings = [&settings[..], &[("WORKER_VERIFY_STACKS", "enforce")]].concat();
        Self {
            _worker: Worker::start(world, &settings),
            world,
            stack,
            network,
            outputs,
        }
    }

    /// A database that is not there yet.
    fn database(&self, name: &str) -> Database {
        Database {
            name: format!("{}_{name}", self.world.name),
        }
    }

    async fn create(
        &self,
        stack: &TemplateStack,
        template: &str,
        database: &Database,
        parameters: &[(&str, &str)],
    ) -> Outcome {
        let parameters = self.parameters(database, parameters);
        stack.create(template, &parameters).await
    }

    async fn update(
        &self,
        stack: &TemplateStack,
        template: &str,
        database: &Database,
        parameters: &[(&str, &str)],
    ) -> Outcome {
        let parameters = self.parameters(database, parameters);
        stack.update(template, &parameters).await
    }

    /// The server of these tests may be without PostGIS, and its stacks are deleted again.
    fn parameters<'b>(
        &'b self,
        database: &'b Database,
        parameters: &[(&'b str, &'b str)],
    ) -> Vec<(&'b str, &'b str)> {
        let always = [
            ("WorkerStackName", self.stack.name.as_str()),
            ("DBName", &database.name),
            ("PostGISVersion", "none"),
            ("DeletionProtection", "false"),
        ];
        let network = self
            .network
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        always
            .into_iter()
            .chain(network)
            .chain(parameters.iter().copied())
            .collect()
    }

    async fn delete(self) {
        assert_eq!(self.stack.delete().await, "DELETE_COMPLETE");
    }
}
