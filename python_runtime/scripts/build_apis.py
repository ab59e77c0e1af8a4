#!/usr/bin/env python3
"""Compact the Kubernetes API's types into `src/edgelab/data/apis/kubernetes.zip`.

Source: the JSON schemas that PyPI's `kubernetes-validate` carries (built from Kubernetes' own
OpenAPI document). One archive member per type, in OpenAPI v3 form, so that a server decodes only the
types it is asked for. Output is the same for the same input, byte by byte.

Usage: build_apis.py [VERSION]   (default 1.36.0)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import apis_archive
import kubernetes_validate

PREFIX = "#/$defs/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
ROOT_PACKAGES = (
    "io.k8s.api.admissionregistration.v1.",
    "io.k8s.api.apps.v1.",
    "io.k8s.api.authentication.v1.",
    "io.k8s.api.authorization.v1.",
    "io.k8s.api.autoscaling.v1.",
    "io.k8s.api.autoscaling.v2.",
    "io.k8s.api.batch.v1.",
    "io.k8s.api.certificates.v1.",
    "io.k8s.api.coordination.v1.",
    "io.k8s.api.core.v1.",
    "io.k8s.api.discovery.v1.",
    "io.k8s.api.events.v1.",
    "io.k8s.api.flowcontrol.v1.",
    "io.k8s.api.networking.v1.",
    "io.k8s.api.node.v1.",
    "io.k8s.api.policy.v1.",
    "io.k8s.api.rbac.v1.",
    "io.k8s.api.resource.v1.",
    "io.k8s.api.scheduling.v1.",
    "io.k8s.api.storage.v1.",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.",
)
DROPPED_KEYS = {"$schema", "$id", "additionalItems"}


def main() -> None:
    """Write the archive and say how large it became."""
    version = sys.argv[1] if len(sys.argv) > 1 else "1.36.0"
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}-local"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    wanted = reachable(definitions)
    contents = {"VERSION": version.encode()}
    contents["KINDS"] = json.dumps(kinds(definitions, wanted), indent=0, sort_keys=True).encode()
    for name in wanted:
        text = json.dumps(compact(definitions[name]), separators=(",", ":"), sort_keys=True)
        contents[name] = text.encode()
    apis_archive.write(contents)
    size = apis_archive.ARCHIVE.stat().st_size
    print(f"{apis_archive.ARCHIVE.name}: {len(wanted)} types of Kubernetes {version}, {size} bytes")


def reachable(definitions: dict[str, Any]) -> list[str]:
    """The kinds of the wanted packages, and every type that they mention."""
    todo = [
        name
        for name, definition in definitions.items()
        if "x-kubernetes-group-version-kind" in definition
        and name.startswith((*ROOT_PACKAGES, META + "DeleteOptions", META + "Status"))
    ]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += references(definitions[name])
    return sorted(found)


def references(node: Any) -> list[str]:
    """All types that a schema mentions."""
    if isinstance(node, list):
        return [name for item in node for name in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].removeprefix(PREFIX)] if isinstance(node.get("$ref"), str) else []
    return own + [name for value in node.values() for name in references(value)]


def kinds(definitions: dict[str, Any], wanted: list[str]) -> dict[str, str]:
    """`group/version/Kind` -> type name (Status and DeleteOptions only for the core group)."""
    table = {}
    for name in wanted:
        for gvk in definitions[name].get("x-kubernetes-group-version-kind", []):
            if not name.startswith(META) or gvk["group"] == "":
                table[f"{gvk['group']}/{gvk['version']}/{gvk['kind']}"] = name
    return table


def compact(node: Any) -> Any:
    """The schema in OpenAPI v3 form: no null unions, references into #/components/schemas."""
    if isinstance(node, list):
        return [compact(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: compact(value) for key, value in node.items() if key not in DROPPED_KEYS}
    if isinstance(result.get("type"), list):
        remaining = [item for item in result["type"] if item != "null"]
        result["type"] = remaining[0] if len(remaining) == 1 else remaining
    if isinstance(result.get("$ref"), str):
        result["$ref"] = "#/components/schemas/" + result["$ref"].removeprefix(PREFIX)
        if len(result) > 1:
            result["allOf"] = [{"$ref": result.pop("$ref")}]
    if result.get("additionalProperties") is False:
        del result["additionalProperties"]
    if (
        isinstance(result.get("enum"), list)
        and len(result["enum"]) == 1
        and node.get("description", "")[:4]
        in (
            "APIV",
            "Kind",
        )
    ):
        del result["enum"]
    return result


if __name__ == "__main__":
    main()
