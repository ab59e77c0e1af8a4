"""Pods from files on the node (kubelet `config/file.go`): `staticPodPath`, a directory or one file.

Each file holds one Pod in YAML or JSON. Names starting with a dot are passed over; directories are not
entered. The pod's name gets the node's name appended, its uid is a hash of its content, so a changed file is
a new pod. A file that cannot be read leaves what it gave before and is told once. Manifests over HTTP are
not supported.

Sends: pods to edged. Stores nothing: the files are the store, so static pods need neither cloud nor database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgecore.edged import names

log = logging.getLogger(__name__)
Obj = dict[str, Any]

LOOK = 2.0
"""Seconds between two looks at names and times of the files: a few system calls in place of inotify."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Stamp = tuple[str, int, int, int]


class StaticPods:
    """Follows the files; without a `path` there are none. They are read again every `period` s."""

    def __init__(
        self,
        path: Path | None,
        node: str,
        clock: Clock,
        *,
        period: float,
        changed: Callable[[Obj], None],
        removed: Callable[[Obj], None],
    ) -> None:
        self._path = path
        self._node = node
        self._clock = clock
        self._period = period
        self._changed = changed
        self._removed = removed
        self._files: dict[str, Obj] = {}
        self._problems: dict[str, str] = {}
        self._stamps: list[Stamp] | None = None
        self._read_at = 0.0

    @property
    def pods(self) -> list[Obj]:
        """The static pods now."""
        return list(self._files.values())

    async def run(self) -> NoReturn:
        """Follow the files for ever."""
        while True:
            self.look()
            await self._clock.sleep(min(LOOK, max(0.1, self._period)))

    def look(self) -> None:
        """Read the files if any changed, and tell of the pods that came and went."""
        stamps, now = self._stat(), self._clock.monotonic()
        if stamps == self._stamps and now - self._read_at < self._period:
            return
        self._stamps, self._read_at = stamps, now
        found: dict[str, Obj] = {}
        for name, *_ in stamps:
            if (pod := self._read(name)) is not None:
                found[name] = pod
        before, self._files = self._files, _unique(found)
        self._problems = {
            name: text for name, text in self._problems.items() if (name,) in {s[:1] for s in stamps}
        }
        uids = {names.uid(pod) for pod in self._files.values()}
        for pod in before.values():
            if names.uid(pod) not in uids:
                log.info("static pod %s is gone from %s", names.key(pod), self._path)
                self._removed(pod)
        known = {names.uid(pod) for pod in before.values()}
        for pod in self._files.values():
            if names.uid(pod) not in known:
                log.info("static pod %s out of %s", names.key(pod), self._path)
                self._changed(pod)

    def _stat(self) -> list[Stamp]:
        if self._path is None:
            return []
        if self._path.is_file():
            paths = [self._path]
        elif self._path.is_dir():
            paths = [path for path in self._path.iterdir() if not path.name.startswith(".")]
        else:
            return []
        stamps = []
        for path in sorted(paths):
            try:
                facts = path.stat()
            except OSError:  # it went away meanwhile
                continue
            if path.is_file():
                stamps.append((str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino))
        return stamps

    def _read(self, name: str) -> Obj | None:
        try:
            pod = parse(Path(name).read_bytes(), name, self._node)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if self._problems.get(name) != str(error):
                log.error("%s gives no static pod: %s", name, error)
            self._problems[name] = str(error)
            return self._files.get(name)
        self._problems.pop(name, None)
        before = self._files.get(name)
        if before is not None and names.uid(before) == names.uid(pod):
            return before
        pod["metadata"]["annotations"][names.CONFIG_SEEN] = rfc3339(self._clock.now())
        return pod


def parse(content: bytes, source: str, node: str) -> Obj:
    """A file's Pod with what makes it this node's. Raises ValueError that says what is wrong with it."""
    try:
        pod = yaml.load(content, Loader=_LOADER)  # noqa: S506 - one of the two safe loaders
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"neither YAML nor JSON: {' '.join(str(error).split())}") from error
    if not isinstance(pod, dict) or (pod.get("apiVersion"), pod.get("kind")) != ("v1", "Pod"):
        raise ValueError("expected one object of apiVersion v1 and kind Pod")
    metadata = pod.get("metadata")
    if not isinstance(metadata, dict) or not _NAME.fullmatch(str(metadata.get("name") or "")):
        raise ValueError("metadata.name: a name of a-z, 0-9, '-' and '.' is needed")
    spec = _checked(pod.get("spec"))
    digest = hashlib.md5(f"host:{node}file:{source}".encode(), usedforsecurity=False)
    digest.update(json.dumps(pod, sort_keys=True, default=str).encode())
    metadata["uid"] = metadata.get("uid") or digest.hexdigest()
    metadata["name"] = f"{metadata['name']}-{node.lower()}"
    metadata["namespace"] = metadata.get("namespace") or "default"
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        names.CONFIG_HASH: metadata["uid"],
        names.CONFIG_SOURCE: "file",
    }
    spec["nodeName"] = node
    tolerations = [
        t for t in spec.get("tolerations") or [] if t != {"operator": "Exists", "effect": "NoExecute"}
    ]
    spec["tolerations"] = [*tolerations, {"operator": "Exists", "effect": "NoExecute"}]
    return {**pod, "status": {}}


def is_static(pod: Obj) -> bool:
    """Whether a pod came from a file."""
    return (pod["metadata"].get("annotations") or {}).get(names.CONFIG_SOURCE) == "file"


def _checked(spec: Any) -> Obj:
    if not isinstance(spec, dict):
        raise ValueError("spec: an object is needed")
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        raise ValueError("spec.containers: at least one container is needed")
    for field in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(field) or []):
            for key in ("name", "image"):
                if not isinstance(container, dict) or not container.get(key):
                    raise ValueError(f"spec.{field}[{number}].{key}: a value is needed")
    return spec


def _unique(found: dict[str, Obj]) -> dict[str, Obj]:
    """Of several files that name the same pod, the first one counts."""
    taken: dict[str, str] = {}
    for name in list(found):
        key = names.key(found[name])
        if key in taken:
            log.error("%s and %s name the same pod %s; the first one counts", taken[key], name, key)
            del found[name]
        else:
            taken[key] = name
    return found
