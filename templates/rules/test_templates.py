"""What holds of the templates as texts: their size, what a person reads of them, and what their Rules refuse."""

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import check

TEMPLATES = Path(__file__).parent.parent
DOCS = TEMPLATES.parent / "docs"
# `aws cloudformation deploy` takes 51,200 bytes without a bucket; what is below that is left for changes.
MAX_BYTES = 50_000
BOTH = "AWS::CloudFormation::Interface"


class Texts(unittest.TestCase):
    def setUp(self) -> None:
        self.templates = {path.stem: check.load(path) for path in TEMPLATES.glob("*.yaml")}

    def test_each_is_deployed_without_a_bucket(self) -> None:
        for path in TEMPLATES.glob("*.yaml"):
            with self.subTest(path.name):
                self.assertLess(path.stat().st_size, MAX_BYTES)

    def test_each_parameter_and_output_has_a_description(self) -> None:
        for name, template in self.templates.items():
            for section in ("Parameters", "Outputs"):
                for key, entry in template.get(section, {}).items():
                    with self.subTest(template=name, entry=key):
                        self.assertRegex(entry["Description"], r"^[A-Z].{8,}[^ ]$")

    def test_each_parameter_is_in_one_group_and_has_a_label(self) -> None:
        for name, template in self.templates.items():
            with self.subTest(name):
                interface = template["Metadata"][BOTH]
                grouped = [key for group in interface["ParameterGroups"] for key in group["Parameters"]]
                self.assertCountEqual(grouped, template["Parameters"])
                self.assertCountEqual(interface["ParameterLabels"], template["Parameters"])


class Documents(unittest.TestCase):
    """What docs/deploy.md and docs/runbook.md say of the templates."""

    def setUp(self) -> None:
        self.texts = {name: (DOCS / f"{name}.md").read_text() for name in ("deploy", "runbook")}
        self.templates = {path.stem: check.load(path) for path in TEMPLATES.glob("*.yaml")}

    def test_each_alarm_has_a_section_and_each_section_of_an_alarm_has_one(self) -> None:
        resources = self.templates["worker"]["Resources"].items()
        alarms = {name for name, resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"}
        sections = {title for title in re.findall(r"^## (\w+)$", self.texts["runbook"], re.M) if title.endswith("Alarm")}
        self.assertEqual(alarms, sections)

    def test_commands_name_parameters_that_the_template_has(self) -> None:
        for name, text in self.texts.items():
            commands = re.findall(r"--template-file (\S+)[^`]*?--parameter-overrides((?:[^`\n]*\\\n)*[^`\n]*)", text)
            self.assertGreater(len(commands), 2, name)
            for file, overrides in commands:
                template = self.templates["database" if file == "moved.yaml" else Path(file).stem]
                given = re.findall(r"(?:^|\s)([A-Z][A-Za-z]+)=", overrides)
                with self.subTest(document=name, template=file):
                    self.assertTrue(given)
                    self.assertLessEqual(set(given), set(template["Parameters"]))

    def test_policies_are_json_that_iam_takes(self) -> None:
        blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", self.texts["deploy"], re.S)]
        policies = [block for block in blocks if "Version" in block]
        self.assertGreater(len(policies), 3)
        for policy in policies:
            for statement in policy["Statement"]:
                self.assertLessEqual({"Sid", "Effect", "Action", "Resource"}, set(statement))


class Rules(unittest.TestCase):
    """The Rules of the templates, which CloudFormation evaluates before it makes anything."""

    def setUp(self) -> None:
        self.template = check.load(TEMPLATES / "worker.yaml")

    def refused(self, **given: str) -> set[str]:
        """The rules that refuse these parameters."""
        parameters = {key: str(entry.get("Default", "")) for key, entry in self.template["Parameters"].items()} | given
        return {
            name
            for name, rule in self.template["Rules"].items()
            if _value(rule.get("RuleCondition", True), parameters)
            and not all(_value(each["Assert"], parameters) for each in rule["Assertions"])
        }

    def test_the_defaults_are_accepted(self) -> None:
        self.assertEqual(self.refused(), set())

    def test_a_database_does_not_move_to_the_worker_that_it_has(self) -> None:
        for name in ("database", "aurora"):
            self.template = check.load(TEMPLATES / f"{name}.yaml")
            self.assertEqual(self.refused(), set())
            self.assertEqual(self.refused(PreviousWorkerStackName="old"), set())
            self.assertEqual(self.refused(PreviousWorkerStackName="extension-worker"), {"AnotherWorkerBefore"})

    def test_more_tasks_at_least_than_at_most_are_refused(self) -> None:
        allowed = {key: self.template["Parameters"][key]["AllowedValues"] for key in ("MinTasks", "MaxTasks")}
        for least in allowed["MinTasks"]:
            for most in allowed["MaxTasks"]:
                with self.subTest(least=least, most=most):
                    expected = {"MinTasksUpToMaxTasks"} if least > most else set()
                    self.assertEqual(self.refused(MinTasks=str(least), MaxTasks=str(most)), expected)

    def test_an_organization_needs_accounts_and_verification(self) -> None:
        organization = {"OrganizationId": "o-a1b2c3d4e5"}
        self.assertEqual(self.refused(**organization), {"OrganizationNeedsAccounts"})
        accounts = organization | {"Accounts": "123456789012"}
        self.assertEqual(self.refused(**accounts), set())
        self.assertEqual(self.refused(**accounts, VerifyStacks="off"), {"OtherAccountsAreVerified"})


class Ranges(unittest.TestCase):
    """Where tasks may connect to: LocalStack makes no rules for what goes out."""

    def ranges(self, cidr: str) -> list[str]:
        template = check.load(TEMPLATES / "worker.yaml")
        parameters = {"DatabaseCidr": cidr}
        rules = template["Resources"]["SecurityGroup"]["Properties"]["SecurityGroupEgress"]
        found = []
        for rule in rules:
            if "Fn::If" in rule:
                condition, rule, _ = rule["Fn::If"]
                if not _value(template["Conditions"][condition], parameters):
                    continue
            found.append(_value(rule["CidrIp"], parameters))
        return found

    def test_up_to_three_ranges_are_admitted_and_no_more(self) -> None:
        ranges = ["10.0.0.0/16", "10.1.0.0/16", "192.168.0.0/16"]
        pattern = check.load(TEMPLATES / "worker.yaml")["Parameters"]["DatabaseCidr"]["AllowedPattern"]
        for number in (1, 2, 3):
            given = ",".join(ranges[:number])
            self.assertRegex(given, f"^{pattern}$")
            self.assertEqual(self.ranges(given), ["0.0.0.0/0", *ranges[:number]])
        for wrong in ("", "0.0.0.0/0", "10.0.0.0/16,", "10.0.0.0/16,0.0.0.0/0", ",".join([*ranges, "10.3.0.0/16"])):
            self.assertNotRegex(wrong, f"^{pattern}$")


def _value(node: Any, parameters: dict[str, str]) -> Any:
    """What the functions of Rules and Conditions give."""
    if isinstance(node, list):
        return [_value(each, parameters) for each in node]
    if not isinstance(node, dict):
        return node
    ((function, argument),) = node.items()
    if function == "Ref":
        return parameters[argument]
    values = _value(argument, parameters)
    match function:
        case "Fn::Equals":
            return values[0] == values[1]
        case "Fn::Not":
            return not values[0]
        case "Fn::Or":
            return any(values)
        case "Fn::And":
            return all(values)
        case "Fn::Contains":
            return values[1] in values[0]
        case "Fn::Split":
            return values[1].split(values[0])
        case "Fn::Select":
            return values[1][int(values[0])]
        case "Fn::Sub":
            return re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], values)
    raise AssertionError(f"{function} is not known here")


class Editors(unittest.TestCase):
    """cfn-lint, as an editor runs it, with templates/cfn-lint: it knows the properties of Custom::PostgresExtensions."""

    def findings(self, properties: dict[str, Any]) -> list[str]:
        token = "arn:aws:sns:eu-west-1:123456789012:extension-worker"
        resource = {"Type": "Custom::PostgresExtensions", "Properties": {"ServiceToken": token} | properties}
        template = json.dumps(
            {
                "Parameters": {"P": {"Type": "String"}},
                "Conditions": {"C": {"Fn::Equals": [{"Ref": "P"}, "x"]}},
                "Outputs": {"C": {"Condition": "C", "Value": "x"}},
                "Resources": {"Extensions": resource},
            }
        )
        command = [Path(sys.executable).with_name("cfn-lint"), "--format", "json", "--region", "eu-west-1"]
        command += ["--append-rules", TEMPLATES / "cfn-lint"]
        done = subprocess.run(command, input=template, capture_output=True, text=True, check=False)
        return [finding["Message"] for finding in json.loads(done.stdout or "[]")]

    def test_right_properties_are_without_findings(self) -> None:
        extensions = ["hstore", {"Name": "postgis", "Version": "3.4.*"}]
        self.assertEqual(self.findings({"DBSecret": "s", "Extensions": extensions, "ServiceTimeout": 60}), [])

    def test_a_wrong_property_is_found(self) -> None:
        for wrong, expected in [
            ({"Extensionz": ["hstore"]}, "Extensionz"),
            ({"Extensions": [{"Name": "hstore", "Verion": "1"}]}, "'Verion' was unexpected"),
            ({"DeletionBehavior": "Keep"}, "'Keep' is not one of"),
            ({"DBPort": {"Fn::If": ["C", 70000, 5432]}}, "70000"),
        ]:
            with self.subTest(expected):
                findings = " ".join(self.findings({"DBSecret": "s"} | wrong))
                self.assertRegex(findings, expected)

    def test_a_missing_secret_is_found(self) -> None:
        self.assertRegex(" ".join(self.findings({"Extensions": ["hstore"]})), "DBSecret")


if __name__ == "__main__":
    unittest.main()
