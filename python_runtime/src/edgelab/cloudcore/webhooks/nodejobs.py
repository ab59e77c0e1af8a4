"""Which NodeUpgradeJob may be stored, and its defaults (KubeEdge `admit_nodeupgradejob.go`)."""

from __future__ import annotations

import re

from edgelab.cloudcore.webhooks.reviews import Refused, Request
from edgelab.kube.interface import Obj
from edgelab.objects.deviceversions.fields import mapping
from edgelab.objects.labelselectors import SelectorError, from_object

VERSION = re.compile(
    r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE = re.compile(
    r"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:\d+)?/)?"
    rf"{_COMPONENT}(/{_COMPONENT})*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?"
)
"""github.com/distribution/reference: host, path, tag, digest."""
DEFAULTS = {"concurrency": 1, "timeoutSeconds": 300}


async def upgrade(request: Request) -> None:
    """Raises Refused naming the field."""
    if not request.is_stored_anew():
        return
    if request.operation == "UPDATE":
        raise Refused("spec: a job cannot be changed once it is there; make another one")
    spec = request.spec()
    version, image = str(spec.get("version") or ""), str(spec.get("image") or "")
    if not VERSION.fullmatch(version):
        raise Refused(f"spec.version: expected a version such as v1.22.0, found {version!r}")
    if image and not IMAGE.fullmatch(image):
        raise Refused(f"spec.image: {image!r} is no name of an image")
    _one_way_to_choose(spec)


def defaults(request: Request) -> list[Obj]:
    """Fill in what a new job leaves open."""
    if request.object is None or request.operation != "CREATE":
        return []
    spec = request.object.get("spec")
    if not isinstance(spec, dict):
        return []
    return [
        {"op": "add", "path": f"/spec/{key}", "value": value}
        for key, value in DEFAULTS.items()
        if not spec.get(key)
    ]


def _one_way_to_choose(spec: Obj) -> None:
    names, selector = spec.get("nodeNames"), spec.get("labelSelector")
    if bool(names) == bool(selector):
        raise Refused("spec: exactly one of nodeNames and labelSelector says which nodes are upgraded")
    if selector:
        try:
            from_object(mapping(spec, "labelSelector", "spec"))
        except SelectorError as error:
            raise Refused(f"spec.labelSelector: {error}") from None
