"""Reading manifests, and finding out where a kind is served."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edgelab.keadm.report import Failure
from edgelab.kube.discovery import discover
from edgelab.kube.interface import Obj, Resource
from edgelab.settings.document import LOADER

if TYPE_CHECKING:
    from edgelab.kube.client import HttpClient

STDIN = "-"


def read(source: str) -> list[Obj]:
    """Objects of a YAML or JSON file, of every such file in a directory, or of stdin (`-`).

    `List` objects are taken apart. Raises Failure naming the document that is no manifest.
    """
    if source == STDIN:
        return parse(sys.stdin.read(), "stdin")
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in {".yaml", ".yml", ".json"})
        return [obj for file in files for obj in parse(file.read_text(encoding="utf-8"), str(file))]
    return parse(path.read_text(encoding="utf-8"), source)


def parse(text: str, source: str) -> list[Obj]:
    """Objects of a YAML stream."""
    try:
        documents = [d for d in yaml.load_all(text, Loader=LOADER) if d is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise Failure(f"{source}{where}: {getattr(error, 'problem', error)}") from error
    found = []
    for number, document in enumerate(documents, 1):
        found += _objects(document, f"{source}, document {number}")
    return found


def _objects(document: Any, where: str) -> list[Obj]:
    if isinstance(document, list):
        return [obj for item in document for obj in _objects(item, where)]
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise Failure(f"{where}: no manifest, apiVersion and kind are missing")
    if str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
        return [obj for item in document["items"] for obj in _objects(item, where)]
    if not (document.get("metadata") or {}).get("name"):
        raise Failure(f"{where}: {document['kind']} without metadata.name")
    return [document]


class Kinds:
    """Where kinds are served: by what the server says, and by the CRDs that are being applied with them.

    The latter lets `--check` judge a manifest that brings a CRD and its first object.
    """

    def __init__(self, api: HttpClient, objects: list[Obj]) -> None:
        self._api = api
        self._known: dict[tuple[str, str], Resource] = {}
        self._asked: set[str] = set()
        for obj in objects:
            if obj["kind"] == "CustomResourceDefinition":
                self._learn(from_crd(obj))

    def _learn(self, resources: list[Resource]) -> None:
        self._known.update({(r.api_version, r.kind): r for r in resources})

    async def served(self, obj: Obj) -> Resource | None:
        """Where objects like `obj` are served; None when they are not. Raises ApiError, Unreachable."""
        key = (obj["apiVersion"], obj["kind"])
        if key not in self._known and obj["apiVersion"] not in self._asked:
            self._asked.add(obj["apiVersion"])
            self._learn(await discover(self._api, obj["apiVersion"]))
        return self._known.get(key)

    async def resource(self, obj: Obj) -> Resource:
        """Where objects like `obj` are served. Raises Failure when they are not, ApiError, Unreachable."""
        found = await self.served(obj)
        if found is None:
            raise Failure(f"the API server serves no {obj['kind']} in {obj['apiVersion']}")
        return found


def from_crd(crd: Obj) -> list[Resource]:
    """The kinds that a CustomResourceDefinition will serve."""
    spec = crd["spec"]
    return [
        Resource(
            spec["group"],
            version["name"],
            spec["names"]["plural"],
            spec["names"]["kind"],
            spec.get("scope") == "Namespaced",
        )
        for version in spec["versions"]
        if version.get("served", True)
    ]
