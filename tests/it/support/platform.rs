//! A platform team's stacks: a network, and the worker's stack in it with a worker that runs by its outputs.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Database, Outcome, TemplateStack, Worker, World};

/// The template of the worker.
pub(crate) const WORKER: &str = include_str!("../../../templates/worker.yaml");
/// The template of an instance.
pub(crate) const DATABASE: &str = include_str!("../../../templates/database.yaml");

/// The parameters that say where.
pub(crate) struct Network([(&'static str, String); 2]);

impl Network {
    /// A VPC with two subnets.
    pub(crate) async fn deploy(world: &World) -> Self {
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
        Self(["VpcId", "SubnetIds"].map(|name| (name, network.outputs[name].clone())))
    }

    /// As a template takes them.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// The worker's stack, and a worker that runs by its outputs.
pub(crate) struct Platform<'a> {
    world: &'a World,
    pub(crate) stack: TemplateStack,
    pub(crate) outputs: BTreeMap<String, String>,
    pub(crate) worker: Worker,
}

impl<'a> Platform<'a> {
    /// In this network; `name` distinguishes several.
    pub(crate) async fn deploy(world: &'a World, network: &Network, name: &str) -> Self {
        let stack = world.template_stack(name);
        let parameters = [
            ("Image", "extension-worker"),
            ("DatabaseCidr", "10.0.0.0/16"),
        ];
        let parameters: Vec<_> = parameters.into_iter().chain(network.parameters()).collect();
        let Outcome {
            status,
            outputs,
            reason,
        } = stack.create(WORKER, &parameters).await;
        assert_eq!(status, "CREATE_COMPLETE", "{reason}");
        let worker = Self::start_worker(world, &outputs, &[]);
        Self {
            world,
            stack,
            outputs,
            worker,
        }
    }

    /// A worker by the outputs of a stack.
    pub(crate) fn start_worker(
        world: &World,
        outputs: &BTreeMap<String, String>,
        settings: &[(&str, &str)],
    ) -> Worker {
        let by_outputs = [
            ("WORKER_QUEUE_URL", "QueueUrl"),
            ("WORKER_DEAD_LETTER_QUEUE_URL", "DeadLetterQueueUrl"),
            ("WORKER_TOPIC_ARNS", "TopicArn"),
            ("WORKER_RESYNC_TOPIC_ARNS", "ResyncTopicArn"),
            ("WORKER_RESULTS_TOPIC_ARN", "ResultsTopicArn"),
        ];
        let by_outputs = by_outputs.map(|(setting, output)| (setting, outputs[output].as_str()));
        let enforce = [("WORKER_VERIFY_STACKS", "enforce")];
        Worker::start(world, &[&by_outputs[..], &enforce, settings].concat())
    }

    /// A database that is not there yet.
    pub(crate) fn database(&self, name: &str) -> Database {
        Database {
            name: format!("{}_{name}", self.world.name),
        }
    }

    /// Parameters of the templates of databases. The server of these tests may be without PostGIS, and its stacks are
    /// deleted again.
    pub(crate) fn parameters<'b>(
        &'b self,
        network: &'b Network,
        database: &'b Database,
        parameters: &[(&'b str, &'b str)],
    ) -> Vec<(&'b str, &'b str)> {
        let always = [
            ("WorkerStackName", self.stack.name.as_str()),
            ("DBName", &database.name),
            ("PostGISVersion", "none"),
            ("DeletionProtection", "false"),
        ];
        let always = always
            .into_iter()
            .filter(|(name, _)| !parameters.iter().any(|(other, _)| other == name));
        always
            .chain(network.parameters())
            .chain(parameters.iter().copied())
            .collect()
    }
}
