"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had (pkg/controller/history)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import CONTROLLER_REVISIONS
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import owner_reference
from edgelab.objects.status import ApiError

HASH_LABEL = "controller.kubernetes.io/hash"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters that form no words (apimachinery `util/rand`)."""
Naming = Callable[[int], str]
"""The name of a revision after so many collisions."""
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def safe_encode(text: str) -> str:
    """The same number in characters that form no words (`rand.SafeEncodeString`)."""
    return "".join(ALPHABET[ord(char) % len(ALPHABET)] for char in text)


def fnv32(data: bytes) -> int:
    """The FNV-1 hash (Go's `hash/fnv.New32`)."""
    value = 0x811C9DC5
    for byte in data:
        value = (value * 0x01000193 & 0xFFFFFFFF) ^ byte
    return value


def encoded(data: Obj) -> bytes:
    """JSON as Go writes a map: sorted, and safe inside HTML."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPES).encode()


def hash_of(data: Obj, collisions: int) -> str:
    """The hash by which a revision is named (`HashControllerRevision`)."""
    return safe_encode(str(fnv32(encoded(data) + str(collisions).encode())))


def patch_of(owner: Obj) -> Obj:
    """What a revision keeps: a strategic patch that puts the owner's template back."""
    return {"spec": {"template": {**copy.deepcopy(owner["spec"]["template"]), "$patch": "replace"}}}


def template_of(revision: Obj) -> Obj:
    """The pod template that a revision keeps."""
    template = revision["data"]["spec"]["template"]
    return {key: value for key, value in template.items() if key != "$patch"}


def number_of(revision: Obj) -> int:
    """Its place in the history."""
    return int(revision.get("revision", 0))


class History:
    """The revisions of owners of one kind."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.view = cluster.view(CONTROLLER_REVISIONS)

    async def of(self, owner: Obj) -> list[Obj]:
        """The owner's revisions, oldest first; orphans that fit are adopted."""
        found = await claim(self._cluster, CONTROLLER_REVISIONS, owner, self.view.claimable(owner))
        return sorted(found, key=_place)

    async def put(self, revision: Obj) -> Obj:
        """Write a new revision; one that is there with the same data is as good. Raises AlreadyExists."""
        metadata = revision["metadata"]
        try:
            return await self._cluster.create(CONTROLLER_REVISIONS, revision, metadata["namespace"])
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            present = await self._cluster.api.get(
                CONTROLLER_REVISIONS, metadata["name"], metadata["namespace"]
            )
            if present["data"] != revision["data"]:
                raise
            return present

    async def create(self, revision: Obj, collisions: int, named: Naming) -> tuple[Obj, int]:
        """Write a new revision; a name that is taken by other data is counted as a collision."""
        while True:
            made = {**revision, "metadata": {**revision["metadata"], "name": named(collisions)}}
            try:
                return await self.put(made), collisions
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
            collisions += 1

    async def renumber(self, revision: Obj, number: int) -> Obj:
        """Make a revision the newest again."""
        if number_of(revision) == number:
            return revision
        return await self._cluster.update(CONTROLLER_REVISIONS, {**revision, "revision": number})

    async def delete(self, revision: Obj) -> None:
        """Forget a revision."""
        await self._cluster.delete(CONTROLLER_REVISIONS, revision)

    async def truncate(self, owner: Obj, revisions: list[Obj], live: set[str]) -> None:
        """Forget the oldest beyond the owner's limit; those that pods have (`live`, names) stay."""
        idle = [revision for revision in revisions if revision["metadata"]["name"] not in live]
        surplus = len(idle) - int(owner["spec"].get("revisionHistoryLimit", 10))
        for revision in idle[: max(0, surplus)]:
            await self.delete(revision)


def revision_object(owner: Obj, data: Obj, number: int, labels: dict[str, str]) -> Obj:
    """A revision without a name."""
    annotations = owner["metadata"].get("annotations")
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            **({"annotations": dict(annotations)} if annotations else {}),
            "ownerReferences": [owner_reference(owner)],
        },
        "data": data,
        "revision": number,
    }


def _place(revision: Obj) -> tuple[int, str, str]:
    metadata = revision["metadata"]
    return number_of(revision), metadata.get("creationTimestamp", ""), metadata["name"]
