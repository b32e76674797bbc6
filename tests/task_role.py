#!/usr/bin/env python3
"""Compares what templates/worker.yaml lets the worker do with what workers did in a run of the integration tests.

Needs REQUEST_LOG, which the services set, and their Python. Exit code 1 where a call is not allowed, or what is allowed was
never called; each is named.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

TEMPLATE = Path(__file__).parent.parent / "templates" / "worker.yaml"
ROLE = "TaskRole"
# The worker's, as worker/src/aws/mod.rs has it; a command's is another, as a person's role is.
APP = "extension-worker"
# What leaves no call in LocalStack, and where it is tested instead.
NO_CALLS = {
    "ecs:UpdateTaskProtection": "goes to the ECS agent beside the task, which asks in the role's name: faults::protection",
    "rds-db:connect": "is a signature, and no call: iam",
    "kms:Decrypt": "is called by SQS and Secrets Manager in the role's name",
    "kms:GenerateDataKey": "is called by SQS and SNS in the role's name",
}
# What everybody may call.
FREE = {"sts:GetCallerIdentity"}
# Several of one kind in a call need the permission of that kind.
BATCHES = {
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sns:PublishBatch": "sns:Publish",
}


class Difference(Exception):
    """What is wrong, in words for a person."""


def allowed(template: dict[str, Any]) -> set[str]:
    """The actions of the role's policies, under a condition or not."""
    role = template["Resources"][ROLE]["Properties"]
    if "ManagedPolicyArns" in role:
        raise Difference("what a managed policy allows cannot be compared")
    actions = set()
    for policy in role["Policies"]:
        for statement in _statements(policy["PolicyDocument"]["Statement"]):
            if statement["Effect"] != "Allow":
                raise Difference(f"{policy['PolicyName']}: only what is allowed can be compared")
            named = statement["Action"]
            actions |= {str(named)} if isinstance(named, str) else {str(action) for action in named}
    if wild := sorted(action for action in actions if "*" in action):
        raise Difference(f"allowed by a wildcard: {', '.join(wild)}")
    return actions


def _statements(entries: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        branches = entry.get("Fn::If")
        if branches:
            yield from (branch for branch in branches[1:] if "Effect" in branch)
        else:
            yield entry


def called(lines: Iterable[str]) -> Counter[str]:
    """The actions that workers needed, and how often; calls that failed count too."""
    calls: Counter[str] = Counter()
    for line in lines:
        call = json.loads(line)
        if call["app"] == APP:
            action = f"{call['service']}:{call['operation']}"
            calls[BATCHES.get(action, action)] += 1
    if not calls:
        raise Difference(f"no call of {APP} is in the log")
    return calls


def compare(may: set[str], did: Iterable[str]) -> None:
    """Raises `Difference` unless they are the same, but for what leaves no calls."""
    did = set(did) - FREE
    faults = [f"called, and not allowed: {action}" for action in sorted(did - may)]
    faults += [f"allowed, and never called: {action}" for action in sorted(may - did - NO_CALLS.keys())]
    faults += [f"needed, and not allowed: {action}, which {NO_CALLS[action]}" for action in sorted(NO_CALLS.keys() - may)]
    if faults:
        raise Difference("\n".join(faults))


def main() -> int:
    """Prints what there is to say."""
    try:
        with open(os.environ["REQUEST_LOG"]) as log:
            calls = called(log)
        compare(allowed(cfn_yaml.load(str(TEMPLATE))), calls)
    except Difference as difference:
        print(f"{TEMPLATE.name}, {ROLE}:\n{difference}")
        return 1
    print(f"{TEMPLATE.name}: {ROLE} allows what the worker called, and no more:")
    for action, number in sorted(calls.items()):
        print(f"  {action:<40} {number:>7} calls")
    for action, reason in sorted(NO_CALLS.items()):
        print(f"  {action:<40} {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
