#!/usr/bin/env python3
"""Add the words that fields may have to `src/edgelab/data/apis/kubernetes.zip`.

A kube-apiserver's own OpenAPI v3 documents name them, which `kubectl explain` shows; the published
document that build_apis.py reads does not.

Usage: build_enums.py KUBECONFIG   (after build_apis.py; KUBECONFIG of an administrator)
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apis_archive

from edgelab.kube import kubeconfig

MEMBER = "ENUMS"


def main() -> None:
    """Write the member anew."""
    members = apis_archive.members()
    table: dict[str, dict[str, list[str]]] = {}
    for name, schema in schemas(sys.argv[1]):
        if name in members:
            known = json.loads(members[name]).get("properties") or {}
            found = {field: words for field, words in enums(schema) if field in known}
            if found:
                table[name] = found
    size = apis_archive.put(MEMBER, table)
    print(f"{apis_archive.ARCHIVE.name}: words for {len(table)} types, {size} bytes")


def schemas(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All types of all documents."""
    config = kubeconfig.load(Path(path))
    place = urlsplit(config.server)
    connection = http.client.HTTPSConnection(place.hostname or "", place.port, context=config.ssl_context())

    def get(url: str) -> dict[str, Any]:
        connection.request("GET", url, headers={"Accept": "application/json"})
        found: dict[str, Any] = json.load(connection.getresponse())
        return found

    for document in get("/openapi/v3")["paths"].values():
        components = get(document["serverRelativeURL"]).get("components") or {}
        yield from (components.get("schemas") or {}).items()


def enums(schema: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The fields of a type, or the items of lists in it, that have a choice of words."""
    for field, inner in (schema.get("properties") or {}).items():
        words = inner.get("enum") or (inner.get("items") or {}).get("enum")
        if words:
            yield field, words


if __name__ == "__main__":
    main()
