"""How the Deployment of one target differs from the manifest (KubeEdge `edgeapplication/overridemanager`).

Other than there: variables keep their order (a map's order would roll the Deployment again and again),
adding a variable that is there sets it, init containers are found by name too, and a value that is needed
must be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from edgelab.objects.edgeapps.images import change
from edgelab.objects.patch import json as json_patch
from edgelab.objects.patch.errors import PatchError

Obj: TypeAlias = dict[str, Any]


class OverrideError(ValueError):
    """An overrider that cannot be applied; the message begins with its field."""


def apply(workload: Obj, overriders: Obj) -> set[str]:
    """Change the Deployment as the overriders say; gives the names of containers that any of them meant.

    Raises OverrideError.
    """
    if overriders.get("replicas") is not None:
        workload.setdefault("spec", {})["replicas"] = overriders["replicas"]
    for number, one in enumerate(overriders.get("imageOverriders") or ()):
        _image(workload, one, f"imageOverriders[{number}]")
    meant: set[str] = set()
    for field, treat in _BY_CONTAINER.items():
        for number, one in enumerate(overriders.get(field) or ()):
            for container in _containers(workload):
                if container.get("name") == one["containerName"]:
                    meant.add(one["containerName"])
                    treat(container, one, f"{field}[{number}]")
    return meant


def named(overriders: Obj) -> set[str]:
    """The names of containers that the overriders are for."""
    return {one["containerName"] for field in _BY_CONTAINER for one in overriders.get(field) or ()}


def _containers(workload: Obj) -> Iterator[Obj]:
    pod = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    yield from pod.get("initContainers") or ()
    yield from pod.get("containers") or ()


def _image(workload: Obj, overrider: Obj, where: str) -> None:
    operator, value = overrider["operator"], overrider.get("value") or ""
    if operator != "remove" and not value:
        raise OverrideError(f"{where}.value: is needed to {operator}")

    def changed(image: Any) -> str:
        try:
            return change(str(image or ""), overrider["component"], operator, value)
        except ValueError as error:
            raise OverrideError(f"{where}: {error}") from None

    path = (overrider.get("predicate") or {}).get("path")
    if path is None:
        pod = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
        for container in pod.get("containers") or ():
            container["image"] = changed(container.get("image"))
        return
    try:
        image = _at(workload, path)
        workload.update(
            json_patch.apply(workload, [{"op": "replace", "path": path, "value": changed(image)}])
        )
    except (KeyError, IndexError, TypeError, PatchError):
        raise OverrideError(f"{where}.predicate.path: {path!r} leads to no image") from None


def _at(value: Any, path: str) -> str:
    """The text that a JSON pointer leads to. Raises KeyError, IndexError, TypeError, ValueError."""
    for part in path.strip("/").split("/"):
        value = value[int(part)] if isinstance(value, list) and part.isdecimal() else value[part]
    if not isinstance(value, str):
        raise TypeError(path)
    return value


def _env(container: Obj, overrider: Obj, where: str) -> None:
    operator, given = overrider["operator"], overrider.get("value") or []
    if not given:
        if operator == "remove":
            return
        raise OverrideError(f"{where}.value: is needed to {operator}")
    variables = {variable["name"]: variable for variable in container.get("env") or ()}
    for variable in given:
        if operator == "remove":
            variables.pop(variable["name"], None)
        else:
            variables[variable["name"]] = variable
    container["env"] = list(variables.values())


def _words(field: str) -> Callable[[Obj, Obj, str], None]:
    def treat(container: Obj, overrider: Obj, _where: str) -> None:
        present, given = list(container.get(field) or ()), list(overrider.get("value") or ())
        if overrider["operator"] == "add":
            container[field] = present + given
        else:
            container[field] = [word for word in present if word not in given]

    return treat


def _resources(container: Obj, overrider: Obj, _where: str) -> None:
    resources = dict(container.get("resources") or {})
    for kind in ("requests", "limits"):
        given = (overrider.get("value") or {}).get(kind)
        if given:
            resources[kind] = {**(resources.get(kind) or {}), **given}
    if (overrider.get("value") or {}).get("claims"):
        resources["claims"] = overrider["value"]["claims"]
    container["resources"] = resources


_BY_CONTAINER: dict[str, Callable[[Obj, Obj, str], None]] = {
    "envOverriders": _env,
    "commandOverriders": _words("command"),
    "argsOverriders": _words("args"),
    "resourcesOverriders": _resources,
}
