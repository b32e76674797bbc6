#!/usr/bin/env python3
"""Prints regions for cfn-lint: of each partition's regions, one for each set of schemas that the templates' types have there.

Arguments: the templates, or --all for every region. cfn-lint has the schema of a type once for all regions where it is the same: in the regions of one
set it finds the same, and all regions of aws, aws-us-gov and aws-cn are covered in a fraction of the time. Fails where a type
is missing in a region.
"""

import sys
from pathlib import Path

import check
from cfnlint.helpers import REGIONS
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

# Partitions that the worker does not serve.
OTHERS = ("us-iso", "eu-iso", "eusc-")


def served() -> list[str]:
    """The regions of aws, aws-us-gov and aws-cn that cfn-lint knows."""
    return [region for region in REGIONS if not region.startswith(OTHERS)]


def types(paths: list[str]) -> set[str]:
    """The resource types of templates."""
    templates = [check.load(Path(path)) for path in paths]
    found = {str(resource["Type"]) for template in templates for resource in template["Resources"].values()}
    return {"AWS::CloudFormation::CustomResource" if each.startswith("Custom::") else each for each in found}


def groups(wanted: set[str]) -> dict[tuple[str, ...], list[str]]:
    """Regions by the schemas that these types have there."""
    found: dict[tuple[str, ...], list[str]] = {}
    for region in served():
        known = PROVIDER_SCHEMA_MANAGER._load_provider_module(region)
        if missing := sorted(wanted - known.keys()):
            raise SystemExit(f"{region} has no {', '.join(missing)}")
        partition = "-".join(region.split("-")[:2]) if region.startswith(("us-gov", "cn-")) else ""
        key = (partition[:6], *(known[each] for each in sorted(wanted)))
        found.setdefault(key, []).append(region)
    return found


def main(paths: list[str]) -> int:
    """Prints the first region of each group; with --all every region."""
    if paths == ["--all"]:
        print(*served(), sep="\n")
    else:
        print(*(regions[0] for regions in groups(types(paths)).values()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
