"""What the engine keeps of a resource: what Fn::GetAtt reads, and what the next request needs."""

from typing import Any

from sns_custom_resources.lifecycle import Live
from sns_custom_resources.request import as_strings

# Not a name that Fn::GetAtt can reach, so that the resource's own properties are no attributes, as on AWS.
_KEPT = "$custom-resource"

# Where the engine finds the value of Ref.
PHYSICAL_RESOURCE_ID_PATH = f"/properties/{_KEPT}/PhysicalResourceId"


class MissingAttribute(RuntimeError):
    """The answer has no such key in Data. A RuntimeError, for the engine takes those as "not known yet" in a preview."""


class Attributes(dict[str, Any]):
    """Data of the last answer. The engine's look-up honours `__missing__`; otherwise it would go on with a made-up value."""

    def __missing__(self, key: str) -> Any:
        kept = self.get(_KEPT)
        if kept is None:
            raise KeyError(key)
        raise MissingAttribute(
            f"CustomResource attribute error: Vendor response doesn't contain {key} key in object "
            f"{kept['ResponseKey']} in S3 bucket {kept['Bucket']}"
        )


class _EmptyText(str):
    """An empty value that counts as present: the engine tests attributes for truth, and replaces what is empty."""

    def __bool__(self) -> bool:
        return True


def attributes_of(live: Live, bucket: str) -> Attributes:
    """What the engine shall keep of this resource."""
    data = {key: _EmptyText() if value == "" else value for key, value in as_strings(live.data).items()}
    return Attributes(
        data
        | {
            _KEPT: {
                "PhysicalResourceId": live.physical_resource_id,
                "Properties": live.properties,
                "Data": live.data,
                "ResponseKey": live.response_key,
                "Bucket": bucket,
            }
        }
    )


def live_of(kept_by_engine: dict[str, Any] | None) -> Live | None:
    """The resource that the engine kept; None where it has none, as after a failed Create that was cleaned up."""
    kept = (kept_by_engine or {}).get(_KEPT)
    if kept is None:
        return None
    return Live(kept["PhysicalResourceId"], kept["Properties"], kept["Data"], kept["ResponseKey"])
