# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Manifests of others as data: read them, and set what a site wants in them. No I/O.

What is set replaces what a manifest has and is added where it has nothing, so that it does not matter whether
a setting is there as a comment only.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

Obj = dict[str, Any]

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
REGISTRY = re.compile(r"^(?:[^/]*[.:][^/]*|localhost)/")
NOT_STORED = {"preserveUnknownFields": False, "readOnly": False}
"""Values that an API server leaves out of what it stores (Go's `omitempty`): nothing differs without them."""


class ManifestError(ValueError):
    """A manifest is not what it should be; the text says what is missing."""


def parse(text: str) -> list[Obj]:
    """The objects of a manifest, without what an API server does not store. Raises ManifestError."""
    try:
        documents = [one for one in yaml.load_all(text, Loader=LOADER) if one is not None]
    except yaml.YAMLError as error:
        raise ManifestError(f"it is no YAML: {error}") from None
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
            raise ManifestError(f"its document {number} is no Kubernetes object")
    return [_stored({key: value for key, value in one.items() if key != "status"}) for one in documents]


def _stored(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _stored(item)
            for key, item in value.items()
            if item is not None and not (key in NOT_STORED and item is NOT_STORED[key])
        }
    return [_stored(item) for item in value] if isinstance(value, list) else value


def find(objects: list[Obj], kind: str, name: str) -> Obj:
    """One object of a manifest. Raises ManifestError."""
    for obj in objects:
        if obj["kind"] == kind and obj["metadata"]["name"] == name:
            return obj
    raise ManifestError(f"it has no {kind} {name}")


def containers(obj: Obj) -> Iterator[Obj]:
    """All containers of a workload, those that run first included."""
    spec = obj["spec"]["template"]["spec"]
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def container(obj: Obj, name: str) -> Obj:
    """One container of a workload. Raises ManifestError."""
    for one in containers(obj):
        if one["name"] == name:
            return one
    raise ManifestError(f"its {obj['kind']} {obj['metadata']['name']} has no container {name}")


def set_environment(one: Obj, values: Mapping[str, str]) -> None:
    """Environment variables of a container, each in the place where it stands or at the end."""
    variables = one.setdefault("env", [])
    places = {entry["name"]: position for position, entry in enumerate(variables)}
    for name, value in values.items():
        entry = {"name": name, "value": value}
        if name in places:
            variables[places[name]] = entry
        else:
            variables.append(entry)


def set_argument(one: Obj, name: str, value: str | None) -> None:
    """A flag of a container: `--name=value`, `--name` with an empty value, none with None."""
    wanted = [] if value is None else [f"{name}={value}" if value else name]
    arguments = list(one.get("args") or [])
    place = next((i for i, text in enumerate(arguments) if text.split("=", 1)[0] == name), len(arguments))
    rest = [text for text in arguments if text.split("=", 1)[0] != name]
    one["args"] = rest[:place] + wanted + rest[place:]


def add_tolerations(obj: Obj, wanted: Iterable[Mapping[str, Any]]) -> None:
    """Tolerations of a workload's pods, beside those that it has."""
    spec = obj["spec"]["template"]["spec"]
    present = spec.get("tolerations") or []
    added = [dict(one) for one in wanted if dict(one) not in present]
    if added:
        spec["tolerations"] = [*present, *added]


def with_registry(objects: list[Obj], registry: str) -> list[Obj]:
    """A copy whose images come from another registry; an empty one leaves them."""
    copied = copy.deepcopy(objects)
    for obj in copied:
        if registry and obj["kind"] in ("DaemonSet", "Deployment"):
            for one in containers(obj):
                one["image"] = f"{registry.rstrip('/')}/{REGISTRY.sub('', one['image'])}"
    return copied
