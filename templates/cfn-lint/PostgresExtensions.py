"""A rule of cfn-lint: the properties of Custom::PostgresExtensions, by their JSON Schema.

cfn-lint has one schema for all custom resources: override specs and registry schemas do not distinguish their types.
"""

import json
from pathlib import Path
from typing import Any

from cfnlint.jsonschema import ValidationError, ValidationResult, Validator
from cfnlint.rules.jsonschema.CfnLintJsonSchema import CfnLintJsonSchema

SCHEMA = Path(__file__).parent.parent / "properties.schema.json"
TYPES = ("Custom::PostgresExtensions", "Custom::ExecuteSQL")


class PostgresExtensions(CfnLintJsonSchema):
    """Finds unknown properties, values of the wrong form, and missing ones, also behind Fn::If."""

    id = "E9100"
    shortdesc = "Validate the properties of Custom::PostgresExtensions"
    description = "The properties must be as extension-worker takes them"
    source_url = "https://json-schema.org/draft/2020-12/schema"
    tags = ["resources", "extension-worker"]

    def __init__(self) -> None:
        super().__init__(keywords=[f"Resources/{each}/Properties" for each in TYPES], all_matches=True)
        self._use_schema_arg = False
        # References within the schema are resolved beforehand: cfn-lint resolves them in its own schemas.
        schema = json.loads(SCHEMA.read_text())
        definitions = schema.pop("$defs", {})
        self._schema = _resolved(schema, definitions)

    def message(self, instance: Any, err: ValidationError) -> str:
        """As the validator says it."""
        return str(err.message)

    def validate(
        self, validator: Validator, keywords: Any, instance: Any, schema: dict[str, Any]
    ) -> ValidationResult:
        """Each fault with the path where it is."""
        for error in super().validate(validator, keywords, instance, schema):
            error.rule = self
            yield error


def _resolved(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolved(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _resolved(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    if "oneOf" in node:
        # One finding instead of one for each value.
        return {"enum": [choice["const"] for choice in node["oneOf"]]}
    return {key: _resolved(value, definitions) for key, value in node.items()}
