"""Files of one volume that are in each other's way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Obj = dict[str, Any]


class File(NamedTuple):
    """Where a file is to be, and where it comes from."""

    path: str
    source: str = ""

    def shown(self) -> str:
        """As it is named in a warning."""
        return f'"{self.path}" ({self.source})' if self.source else f'"{self.path}"'


def warnings(volumes: Iterable[Obj]) -> Iterator[str]:
    """Of all volumes of a pod."""
    for volume in volumes:
        name = volume.get("name") or ""
        for field, title, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            if field in volume:
                source = volume[field]
                what = f'{title} "{source.get(key) or ""}"'
                yield from _told(name, what, _files(source))
        if "downwardAPI" in volume:
            yield from _told(name, "DownwardAPI", _files(volume["downwardAPI"]))
        if "projected" in volume:
            yield from _projected(name, volume["projected"].get("sources") or ())


def _projected(name: str, sources: Iterable[Obj]) -> Iterator[str]:
    files: list[File] = []
    for source in sources:
        if not source:
            yield f'volume "{name}" (Projected) has no sources provided'
        files += _projected_files(source)
    yield from _told(name, "Projected", files)


def _projected_files(source: Obj) -> list[File]:
    for field, title in (("configMap", "ConfigMap"), ("secret", "Secret")):
        found = source.get(field) or {}
        if found.get("items"):
            return _files(found, f'{title} "{found.get("name") or ""}"')
    if (source.get("downwardAPI") or {}).get("items"):
        return _files(source["downwardAPI"], "DownwardAPI")
    if "serviceAccountToken" in source:
        return [File(source["serviceAccountToken"].get("path") or "", "ServiceAccountToken")]
    if "clusterTrustBundle" in source:
        bundle = source["clusterTrustBundle"]
        name = bundle.get("name", bundle.get("signerName")) or ""
        return [File(bundle.get("path") or "", f'ClusterTrustBundle "{name}"')]
    return []


def _files(source: Obj, title: str = "") -> list[File]:
    return [File(item.get("path") or "", title) for item in source.get("items") or ()]


def _told(volume: str, what: str, files: Iterable[File]) -> Iterator[str]:
    before: list[File] = []
    for file in (File(found.path.rstrip("/"), found.source) for found in files):
        for other in before:
            if file.path and other.path and _collide(file.path, other.path):
                yield f'volume "{volume}" ({what}): overlapping paths: {file.shown()} with {other.shown()}'
        before.append(file)


def _collide(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
