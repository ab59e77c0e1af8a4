"""DeviceStatus in both layouts: the same fields, at other places.

KubeEdge's definition of v1alpha2 has `twins` beside `spec` (since 1.23, and nothing writes it).
"""

from __future__ import annotations

from edgelab.objects.deviceversions.fields import LayoutError, Obj, mapping


def to_beta(obj: Obj) -> Obj:
    """A v1alpha2 status as v1beta1: `twins` at the root move into `status`. Raises LayoutError."""
    status = mapping(obj, "status", "status")
    if obj.get("twins"):
        if status.get("twins"):
            raise LayoutError("twins: they are in status.twins already")
        status = {**status, "twins": obj["twins"]}
    return _whole(obj, "v1beta1", status)


def to_alpha(obj: Obj) -> Obj:
    """A v1beta1 status as v1alpha2. Raises LayoutError."""
    return _whole(obj, "v1alpha2", mapping(obj, "status", "status"))


def _whole(old: Obj, version: str, status: Obj) -> Obj:
    rest = {key: value for key, value in old.items() if key not in ("twins", "status")}
    group = old["apiVersion"].partition("/")[0]
    return {**rest, "apiVersion": f"{group}/{version}", **({"status": status} if status else {})}
