#!/usr/bin/env python3
"""Add the columns of tables to `src/edgelab/data/apis/kubernetes.zip`, as a kube-apiserver defines them.

Name, type, format, priority and description of each column of each built-in kind. They are asked of a
running kube-apiserver: its answers to `kubectl get` begin with them, also when there is no object.

Usage: build_columns.py KUBECONFIG   (after build_apis.py; KUBECONFIG of an administrator)
"""

from __future__ import annotations

import http.client
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apis_archive

from edgelab.kube import kubeconfig

MEMBER = "COLUMNS"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
FIELDS = ("name", "type", "format", "priority")


class Server:
    """A kube-apiserver."""

    def __init__(self, path: str) -> None:
        config = kubeconfig.load(Path(path))
        place = urlsplit(config.server)
        self._connection = http.client.HTTPSConnection(
            place.hostname or "", place.port, context=config.ssl_context()
        )

    def get(self, path: str, accept: str = "application/json") -> dict[str, Any]:
        """The answer to a GET."""
        self._connection.request("GET", path, headers={"Accept": accept})
        found: dict[str, Any] = json.load(self._connection.getresponse())
        return found


def main() -> None:
    """Write the member anew."""
    server = Server(sys.argv[1])
    groups = server.get("/apis")["groups"]
    places = ["/api/v1", *(f"/apis/{v['groupVersion']}" for g in groups for v in g["versions"])]
    texts: list[str] = []
    table: dict[str, list[list[Any]]] = {}
    for place in places:
        group = place.removeprefix("/apis/").rpartition("/")[0] if place != "/api/v1" else ""
        for resource in server.get(place)["resources"]:
            if "list" in resource["verbs"] and "/" not in resource["name"]:
                found = server.get(f"{place}/{resource['name']}?limit=1", TABLE)["columnDefinitions"]
                table[f"{group}/{resource['kind']}"] = [row(column, texts) for column in found]
    content = {"columns": table, "texts": texts}
    size = apis_archive.put(MEMBER, content)
    print(f"{apis_archive.ARCHIVE.name}: columns of {len(table)} kinds, {size} bytes")


def row(column: dict[str, Any], texts: list[str]) -> list[Any]:
    """A column, with the number of its description."""
    if column["description"] not in texts:
        texts.append(column["description"])
    return [*(column[field] for field in FIELDS), texts.index(column["description"])]


if __name__ == "__main__":
    main()
