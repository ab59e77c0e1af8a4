"""A kubelet's page by the relay's connections."""

from __future__ import annotations

from edgelab.edgesite.apiserver.relay import nodes
from edgelab.edgesite.apiserver.relay.backend import Backend, Cut, why
from edgelab.edgesite.apiserver.relay.dialing import Trust, Unreached
from edgelab.edgesite.apiserver.relay.logs import AGENT
from edgelab.edgesite.apiserver.relay.places import Place
from edgelab.edgesite.apiserver.usage.collector import Unread
from edgelab.edgesite.store import Store
from edgelab.objects.status import ApiError

PAGE = "/metrics/resource"
LARGEST = 8 << 20
"""Bytes: a node with a thousand containers has a twentieth of it."""


async def page(store: Store, trust: Trust, preferred: tuple[str, ...], node: str) -> bytes:
    """What the kubelet of a node answers. Raises Unread."""
    try:
        host, port = nodes.kubelet(store, node, preferred)
    except ApiError as error:
        raise Unread(str(error)) from error
    place = Place("https", host, port, PAGE, trusted=True)
    try:
        backend = await Backend.ask(place, trust, "GET", [("Host", place.authority), ("User-Agent", AGENT)])
    except (Unreached, OSError) as error:
        raise Unread(why(error, place)) from error
    try:
        head = await backend.head()
        if head.status_code != 200:
            raise Unread(f"{place.url} is answered with {head.status_code}")
        return await _body(backend, place)
    except (Cut, OSError) as error:
        raise Unread(why(error, place)) from error
    finally:
        backend.close()


async def _body(backend: Backend, place: Place) -> bytes:
    found = bytearray()
    async for chunk in backend.body():
        found += chunk
        if len(found) > LARGEST:
            raise Unread(f"{place.url} is longer than {LARGEST >> 20} MiB")
    return bytes(found)
