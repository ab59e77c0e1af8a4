"""Which Device and DeviceModel may be stored (KubeEdge `admit_device.go`, `admit_devicemodel.go`).

Names of properties are unique, and nothing else: more would refuse objects that are in use.
"""

from __future__ import annotations

from edgelab.cloudcore.webhooks.reviews import Refused, Request
from edgelab.objects.deviceversions.fields import mappings, text


async def unique_properties(request: Request) -> None:
    """Raises Refused naming the property that is there twice."""
    seen: set[str] = set()
    for prop, path in mappings(request.spec(), "properties", "spec"):
        name = text(prop, "name", path)
        if name in seen:
            raise Refused(f"spec.properties: names must be unique, and {name!r} is there twice")
        seen.add(name)
