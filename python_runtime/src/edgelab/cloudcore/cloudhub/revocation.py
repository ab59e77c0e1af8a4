"""Certificates that are good no more: ConfigMap `edgelab-revoked` in CloudCore's namespace.

Its `data` has two kinds of keys (docs/how-to/certificates.md):
  `serial.<hex>`: one certificate, by its serial number; the value is for people.
  `node.<name>`: every certificate of the node that was made before the value, a time as RFC 3339 has it.
Receives: the ConfigMap from the informer. Gives: `why` for one certificate; all of `changed` are called after
each change. Without the API the last known list counts.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping

from edgelab.cloudcore.cloudhub.peer import Peer
from edgelab.daemon.clock import parse_rfc3339, rfc3339
from edgelab.identity.ca import BACKDATE
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import Obj

log = logging.getLogger("edgelab.cloudcore.revocation")

CONFIG_MAP = "edgelab-revoked"
SERIAL, NODE = "serial.", "node."
EVER = dt.datetime.max.replace(tzinfo=dt.UTC)


class Revocations:
    """The list as it stands."""

    def __init__(self, namespace: str) -> None:
        self.changed: list[Callable[[], None]] = []
        self._key = (namespace, CONFIG_MAP)
        self._serials: dict[int, str] = {}
        self._nodes: dict[str, dt.datetime] = {}

    def __len__(self) -> int:
        return len(self._serials) + len(self._nodes)

    def follow(self, informer: Informer) -> None:
        """Take the list from the informer of ConfigMaps, now and later."""
        informer.add_handler(self._event)

    def why(self, peer: Peer) -> str | None:
        """A text when this certificate is revoked."""
        note = self._serials.get(peer.serial)
        if note is not None:
            return f"the certificate with serial number {peer.serial:x} was revoked" + (note and f": {note}")
        before = self._nodes.get(peer.node)
        # A certificate of ours begins a little before it was made.
        if before is not None and peer.start + BACKDATE < before:
            until = "" if before == EVER else f" made before {rfc3339(before)}"
            return f"certificates of node {peer.node}{until} were revoked"
        return None

    def read(self, data: Mapping[str, str]) -> None:
        """Take over the list; entries that cannot be read are named."""
        self._serials, self._nodes = {}, {}
        for key, value in data.items():
            try:
                self._take(key, value)
            except ValueError as error:
                log.error("ConfigMap %s/%s, key %r: %s", *self._key, key, error)

    def _take(self, key: str, value: str) -> None:
        if key.startswith(SERIAL):
            self._serials[int(key.removeprefix(SERIAL), 16)] = value.strip()
        elif key.startswith(NODE):
            self._nodes[key.removeprefix(NODE)] = EVER  # for the case that the time cannot be read
            moment = parse_rfc3339(value.strip())
            if moment.tzinfo is None:
                raise ValueError(f"{value!r} has no zone; write 2026-01-31T12:00:00Z")
            self._nodes[key.removeprefix(NODE)] = moment
        else:
            raise ValueError(f"expected {SERIAL}<hex number> or {NODE}<name>")

    def _event(self, event: str, _old: Obj | None, obj: Obj) -> None:
        metadata = obj["metadata"]
        if (metadata.get("namespace"), metadata["name"]) != self._key:
            return
        self.read({} if event == DELETED else obj.get("data") or {})
        log.info("%d entries in the list of revoked certificates", len(self))
        for told in self.changed:
            told()
