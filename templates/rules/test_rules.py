"""Each rule is kept by a template of ours, and is broken by a template in which one thing is not as it should be."""

import copy
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import check

TEMPLATES = Path(__file__).parent.parent
Resources = dict[str, Any]


def _statement(action: Any, resource: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def _policy(resources: Resources) -> list[Any]:
    return resources["TaskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def _without_denials(policy: dict[str, Any]) -> None:
    document = policy["Properties"]["PolicyDocument"]
    document["Statement"] = [each for each in document["Statement"] if each.get("Effect") != "Deny"]


def _without_closing(policy: dict[str, Any]) -> None:
    document = policy["Properties"]["PolicyDocument"]
    document["Statement"] = [each for each in document["Statement"] if "ArnNotLike" not in each["Condition"]]


def _topic_policy(resources: Resources) -> list[Any]:
    return resources["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]


def _to_the_root(resources: Resources) -> None:
    del _topic_policy(resources)[0]["Condition"]
    _topic_policy(resources)[0]["Principal"] = {"AWS": "arn:aws:iam::123456789012:root"}


def _service_name(endpoint: str, service: str) -> Callable[[Resources], None]:
    return _properties(endpoint, ServiceName={"Fn::Sub": "com.amazonaws.${AWS::Region}." + service})


def _container(resources: Resources) -> dict[str, Any]:
    return resources["TaskDefinition"]["Properties"]["ContainerDefinitions"][0]


def _properties(name: str, **changed: Any) -> Callable[[Resources], None]:
    return lambda resources: resources[name]["Properties"].update(changed)


def _without(name: str, prop: str) -> Callable[[Resources], None]:
    return lambda resources: resources[name]["Properties"].pop(prop)


def _attribute(name: str, attribute: str, value: str) -> Callable[[Resources], None]:
    return lambda resources: resources[name].update({attribute: value})


def _default(name: str, value: str | int) -> Callable[[Resources], None]:
    return lambda resources: resources[PARAMETERS][name].update({"Default": value})


# Where a break finds the template's parameters, beside its resources.
PARAMETERS = "$parameters"

OPEN_TO_ALL = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "CidrIp": "0.0.0.0/0"}

# The template, what is done to it, and the rule that this breaks.
BREAKS: list[tuple[str, Callable[[Resources], Any], str]] = [
    ("worker", _without("Queue", "SqsManagedSseEnabled"), "queues_are_encrypted"),
    ("worker", _properties("Queue", SqsManagedSseEnabled=False), "queues_are_encrypted"),
    ("worker", _without("DeadLetterQueue", "KmsMasterKeyId"), "queues_are_encrypted"),
    ("worker", _without("ResultsTopic", "KmsMasterKeyId"), "topics_can_be_encrypted"),
    ("worker", lambda all: _without_denials(all["QueuePolicy"]), "queue_policies_refuse_plain_text"),
    ("worker", lambda all: _without_denials(all["TopicPolicy"]), "topic_policies_refuse_plain_text"),
    ("worker", lambda all: _without_closing(all["ResyncTopicPolicy"]), "resync_topics_are_closed_to_others"),
    ("worker", _default("VerifyStacks", "off"), "defaults_of_the_worker_are_safe"),
    ("worker", _default("AllowDropCascade", "true"), "defaults_of_the_worker_are_safe"),
    ("worker", _default("AuthMethods", "password"), "defaults_of_the_worker_are_safe"),
    ("worker", _default("SchemaCheck", "warn"), "defaults_of_the_worker_are_safe"),
    ("worker", _default("ReadRdsManagedSecrets", "true"), "defaults_of_the_worker_are_safe"),
    ("worker", _default("Hosts", "*"), "defaults_of_the_worker_are_safe"),
    ("worker", _default("DatabaseCidr", "0.0.0.0/0"), "defaults_of_the_worker_are_safe"),
    ("worker", lambda all: _policy(all).append(_statement("sqs:*", "arn")), "roles_allow_no_action_by_wildcard"),
    ("worker", lambda all: _policy(all).append(_statement(["a:B", "*"], "arn")), "roles_allow_no_action_by_wildcard"),
    ("worker", lambda all: _policy(all).append(_statement("kms:Decrypt", "*")), "roles_name_their_resources"),
    ("worker", lambda all: _policy(all).append(_statement("kms:Decrypt", ["arn", "*"])), "roles_name_their_resources"),
    ("worker", _without("LogGroup", "RetentionInDays"), "logs_are_kept_for_a_time"),
    ("worker", _attribute("LogGroup", "DeletionPolicy", "Delete"), "logs_are_kept_for_a_time"),
    ("worker", lambda all: _container(all).update(ReadonlyRootFilesystem=False), "tasks_have_no_rank"),
    ("worker", lambda all: _container(all).update(Privileged=True), "tasks_have_no_rank"),
    ("worker", lambda all: _container(all).update(User="0"), "tasks_have_no_rank"),
    ("worker", lambda all: _container(all).pop("User"), "tasks_have_no_rank"),
    ("worker", lambda all: _container(all).pop("LogConfiguration"), "tasks_have_no_rank"),
    ("worker", lambda all: _container(all).update(StopTimeout=30), "tasks_may_finish"),
    ("worker", _without("Service", "DeploymentConfiguration"), "services_roll_back"),
    ("endpoints", _properties("EndpointSecurityGroup", SecurityGroupIngress=[OPEN_TO_ALL]), "no_ingress_by_address"),
    ("database", _without("DBInstance", "StorageEncrypted"), "data_of_instances_are_encrypted"),
    ("database", _properties("DBInstance", StorageEncrypted=False), "data_of_instances_are_encrypted"),
    ("database", _without("DBInstance", "KmsKeyId"), "data_of_instances_are_encrypted"),
    ("database", _attribute("DBInstance", "DeletionPolicy", "Delete"), "instances_outlive_the_stack_as_snapshots"),
    ("database", _properties("DBInstance", PubliclyAccessible=True), "databases_are_not_public"),
    ("database", _properties("DBInstance", MasterUserPassword="x"), "no_password_of_an_instance_is_in_a_template"),
    ("database", _without("DBInstance", "ManageMasterUserPassword"), "no_password_of_an_instance_is_in_a_template"),
    ("database", _properties("Key", EnableKeyRotation=False), "keys_rotate_and_are_kept"),
    ("database", _attribute("Key", "DeletionPolicy", "Delete"), "keys_rotate_and_are_kept"),
    ("database", _properties("SecurityGroup", SecurityGroupIngress=[OPEN_TO_ALL]), "no_ingress_by_address"),
    ("database", _without("InstallPlugins", "ServiceTimeout"), "custom_resources_have_a_timeout"),
    ("database", _attribute("Key", "UpdateReplacePolicy", "Delete"), "keys_rotate_and_are_kept"),
    ("database", _attribute("Key", "DeletionPolicy", "Retain"), "keys_rotate_and_are_kept"),
    ("database", _default("ServiceTimeout", 900), "timeouts_outlast_a_wake"),
    ("database", _without("InstallPlugins", "Trigger"), "custom_resources_have_a_trigger"),
    ("database", lambda all: all["OptionGroup"].pop("Condition"), "option_groups_are_asked_for"),
    ("database", _attribute("OptionGroup", "DeletionPolicy", "Retain"), "option_groups_are_asked_for"),
    ("database", _default("OwnOptionGroup", "true"), "option_groups_are_asked_for"),
    ("worker", _attribute("LogGroup", "DeletionPolicy", "Retain"), "logs_are_kept_for_a_time"),
    ("worker", _to_the_root, "stacks_topics_grant_publish"),
    ("worker", lambda all: _topic_policy(all)[0].pop("Condition"), "stacks_topics_grant_publish"),
    ("worker", _without("Subscription", "RedrivePolicy"), "subscriptions_keep_what_they_cannot_deliver"),
    ("worker", _without("ResyncSubscription", "RedrivePolicy"), "subscriptions_keep_what_they_cannot_deliver"),
    ("endpoints", _service_name("SqsEndpoint", "sqs"), "endpoints_have_their_names_in_china"),
    ("endpoints", _service_name("EcrDockerEndpoint", "ecr.dkr"), "endpoints_have_their_names_in_china"),
    ("aurora", _without("DBCluster", "StorageEncrypted"), "data_of_clusters_are_encrypted"),
    ("aurora", _attribute("DBCluster", "UpdateReplacePolicy", "Delete"), "clusters_outlive_the_stack_as_snapshots"),
    ("aurora", _properties("DBCluster", MasterUserPassword="x"), "no_password_of_a_cluster_is_in_a_template"),
    ("aurora", _properties("Writer", PubliclyAccessible=True), "databases_are_not_public"),
]


class Rules(unittest.TestCase):
    def setUp(self) -> None:
        self.templates = {path.stem: check.load(path) for path in TEMPLATES.glob("*.yaml")}

    def test_each_break_is_found_and_nothing_else(self) -> None:
        broken = {}
        for number, (name, change, _) in enumerate(BREAKS):
            broken[str(number)] = copy.deepcopy(self.templates[name])
            template = broken[str(number)]
            change(template["Resources"] | {PARAMETERS: template.get("Parameters", {})})
        verdicts = check.judge(broken)
        for number, (name, _, rule) in enumerate(BREAKS):
            with self.subTest(number=number, template=name, rule=rule):
                self.assertEqual(verdicts[str(number)].broken, {rule})

    def test_each_rule_is_kept_somewhere_and_is_broken_here(self) -> None:
        kept = set().union(*(verdict.kept for verdict in check.judge(self.templates).values()))
        self.assertEqual(kept, {rule for _, _, rule in BREAKS})


if __name__ == "__main__":
    unittest.main()
