#!/usr/bin/env python3
"""Holds templates against security.guard. Arguments: the templates. Exit code 1, and the rules that are broken, if any."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

RULES = Path(__file__).with_name("security.guard")
# `make check` builds it.
GUARD = Path(__file__).parents[2] / ".local" / "tools" / "bin" / "cfn-guard"
NO_VALUE = {"Ref": "AWS::NoValue"}

Template = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """The rules that a template breaks, and those that it keeps; others have nothing to say of it."""

    broken: frozenset[str]
    kept: frozenset[str]


def load(template: Path) -> Template:
    """A template in the long form, in which the short tags are spelled out."""
    return cfn_yaml.load(str(template))


def judge(templates: Mapping[str, Template]) -> dict[str, Verdict]:
    """Each template's verdict, by its name."""
    with tempfile.TemporaryDirectory() as place:
        for name, template in templates.items():
            (Path(place) / f"{name}.json").write_text(json.dumps(_with_both_branches(template)))
        command = [GUARD, "validate", "--rules", RULES, "--data", place, "--structured", "--output-format", "json"]
        done = subprocess.run([*command, "--show-summary", "none"], capture_output=True, text=True, check=False)
    try:
        reports = json.loads(done.stdout)
    except ValueError as error:
        raise SystemExit(f"{GUARD.name} gave no report: {done.stdout}{done.stderr}") from error
    verdicts = {
        Path(report["name"]).stem: Verdict(
            frozenset(each["Rule"]["name"] for each in report["not_compliant"]), frozenset(report["compliant"])
        )
        for report in reports
    }
    if verdicts.keys() != templates.keys():
        raise SystemExit(f"{GUARD.name} said nothing of {', '.join(sorted(templates.keys() - verdicts.keys()))}")
    return verdicts


def _with_both_branches(node: Any) -> Any:
    """In a list, what is there under a condition is there: the statements of a policy, above all."""
    if isinstance(node, dict):
        return {str(key): _with_both_branches(value) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    entries: list[Any] = []
    for entry in node:
        branches = entry["Fn::If"][1:] if isinstance(entry, dict) and set(entry) == {"Fn::If"} else [entry]
        entries += [_with_both_branches(branch) for branch in branches if branch != NO_VALUE]
    return entries


def main(paths: list[str]) -> int:
    """Prints what is broken."""
    verdicts = judge({Path(path).stem: load(Path(path)) for path in paths})
    broken = [(name, rule) for name, verdict in sorted(verdicts.items()) for rule in sorted(verdict.broken)]
    for name, rule in broken:
        print(f"{name}: {rule} is broken; see {RULES}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
