"""The operations of the served OpenAPI documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    action: str
    parameters: tuple[str, ...]
    schema: Obj | None = None
    answer: Obj | None = None


@dataclass(frozen=True)
class Resource:
    """A kind with the operations of its paths."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    collection: str
    schema: Obj
    operations: tuple[Operation, ...]
    schemas: Obj

    def can(self, method: str) -> bool:
        """Whether objects (or the collection) can be handled so."""
        return any(op.method == method for op in self.operations)


def resources(document: Obj) -> Iterator[Resource]:
    """The resources of a group's document."""
    paths: Obj = document["paths"]
    for path, item in paths.items():
        if "post" not in item or path.endswith("}") or "{name}" in path:
            continue
        post = item["post"]
        group, kind = post["x-kubernetes-group-version-kind"], post["x-kubernetes-group-version-kind"]["kind"]
        below = [one for one in paths if one == path or one.startswith(f"{path}/")]
        everywhere = path.replace("/namespaces/{namespace}", "")
        if everywhere != path and everywhere in paths:
            below.append(everywhere)
        yield Resource(
            api_version=f"{group['group']}/{group['version']}".lstrip("/"),
            kind=kind,
            plural=path.rpartition("/")[2],
            namespaced="{namespace}" in path,
            collection=path,
            schema=_body(post) or {},
            operations=tuple(_operations(paths, below)),
            schemas=document["components"]["schemas"],
        )


def _operations(paths: Obj, below: list[str]) -> Iterator[Operation]:
    for path in below:
        for method in METHODS:
            found = paths[path].get(method)
            if found is not None:
                names = tuple(one["name"] for one in found.get("parameters", ()))
                yield Operation(
                    method, path, found["x-kubernetes-action"], names, _body(found), _answer(found)
                )


def _body(operation: Obj) -> Obj | None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema: Obj = content["schema"]
        return schema
    return None


def _answer(operation: Obj) -> Obj | None:
    for code, response in operation["responses"].items():
        if code.startswith("2"):
            schema: Obj = response["content"]["application/json"]["schema"]
            return schema
    return None
