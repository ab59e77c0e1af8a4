"""Endpoints of Services that CloudCore itself may dial: those on nodes in the cloud.

Receives: EndpointSlices from an informer. What is no endpoint is never dialled, so that no node gets
CloudCore to connect to whatever it likes; nor is an edge node's, whose addresses mean something else here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from edgelab.kube.informer import DELETED, Key
from edgelab.objects.endpoints import may_be_dialled
from edgelab.objects.metadata import key_of

Obj: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, str, int, str]
"""Node, address, port, protocol."""


class Endpoints:
    """`is_edge` tells whether a node is an edge node."""

    def __init__(self, is_edge: Callable[[str], bool]) -> None:
        self._is_edge = is_edge
        self._slices: dict[Key, frozenset[Place]] = {}

    def slice_changed(self, event: str, _: Obj | None, new: Obj) -> None:
        """An informer's handler."""
        self._slices.pop(key_of(new), None)
        if event != DELETED and (places := frozenset(_places(new))):
            self._slices[key_of(new)] = places

    def may_dial(self, node: str, ip: str, port: int, protocol: str) -> bool:
        """Whether this is an endpoint in the cloud."""
        place = (node, ip, port, protocol)
        return (
            not self._is_edge(node)
            and may_be_dialled(ip)
            and any(place in places for places in self._slices.values())
        )


def _places(part: Obj) -> Iterator[Place]:
    for member in part.get("endpoints") or []:
        for ip in member.get("addresses") or []:
            for port in part.get("ports") or []:
                if port.get("port"):
                    yield member.get("nodeName") or "", ip, port["port"], port.get("protocol") or "TCP"
