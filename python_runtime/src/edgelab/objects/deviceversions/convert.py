"""One object to the version that is asked for."""

from __future__ import annotations

from edgelab.objects.deviceversions import devices, models, statuses
from edgelab.objects.deviceversions.fields import LayoutError, Obj, mapping

GROUP = "devices.kubeedge.io"
ALPHA, BETA = "v1alpha2", "v1beta1"

_CONVERTERS = {
    ("Device", ALPHA): devices.to_alpha,
    ("Device", BETA): devices.to_beta,
    ("DeviceModel", ALPHA): models.to_alpha,
    ("DeviceModel", BETA): models.to_beta,
    ("DeviceStatus", ALPHA): statuses.to_alpha,
    ("DeviceStatus", BETA): statuses.to_beta,
}


def convert(obj: Obj, version: str) -> Obj:
    """`obj` as `devices.kubeedge.io/<version>`; the same object when it is that already.

    Raises LayoutError naming the object and the field.
    """
    wanted = f"{GROUP}/{version}"
    if obj.get("apiVersion") == wanted:
        return obj
    kind = str(obj.get("kind"))
    change = _CONVERTERS.get((kind, version))
    if change is None or obj.get("apiVersion") not in (f"{GROUP}/{ALPHA}", f"{GROUP}/{BETA}"):
        raise LayoutError(f"there is no conversion of {kind} from {obj.get('apiVersion')} to {wanted}")
    metadata = mapping(obj, "metadata", kind)
    try:
        return change({**obj, "metadata": metadata})
    except LayoutError as error:
        where = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
        raise LayoutError(f"{kind} {where}: {error}") from None
