"""Which addresses Services get out of a range."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, cast

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.ranges import ADDRESSES, CIDRS, Ranges
from edgelab.edgesite.store import Entry, Key, Store


class Shelf:
    """What `Ranges` asks of a store."""

    def __init__(self) -> None:
        self.objects: dict[Key, Entry] = {}

    def add(self, bucket: str, name: str, **fields: Any) -> None:
        metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{len(self.objects):02}Z"}
        key = Key(bucket, "", name)
        self.objects[key] = Entry(key, 1, codec.encode({"metadata": metadata, **fields}))

    def head(self, key: Key) -> Entry | None:
        return self.objects.get(key)

    def heads(self, bucket: str) -> Iterator[Entry]:
        return (entry for key, entry in self.objects.items() if key.bucket == bucket)


def ranges(shelf: Shelf, network: str = "10.9.0.0/28") -> Ranges:
    return Ranges(cast(Store, shelf), ipaddress.IPv4Network(network))


def drain(shelf: Shelf, found: Ranges) -> list[str]:
    given = []
    while address := found.free():
        shelf.add(ADDRESSES, address)
        given.append(address)
    return given


def test_every_address_is_given_once_and_then_none() -> None:
    shelf = Shelf()
    given = drain(shelf, ranges(shelf))
    assert sorted(given) == sorted(str(host) for host in ipaddress.ip_network("10.9.0.0/28").hosts())


def test_the_beginning_of_a_range_is_used_last() -> None:
    shelf = Shelf()
    given = drain(shelf, ranges(shelf, "10.9.0.0/26"))
    first = {str(ipaddress.ip_address("10.9.0.0") + number) for number in range(1, 17)}
    assert set(given[-16:]) == first


def test_what_a_second_range_has_is_given_when_the_first_is_full() -> None:
    shelf = Shelf()
    shelf.add(CIDRS, "kubernetes", spec={"cidrs": ["10.9.0.0/30"]})
    shelf.add(CIDRS, "more", spec={"cidrs": ["10.8.0.0/30", "2001:db8::/112"]})
    assert set(drain(shelf, ranges(shelf))) == {"10.9.0.1", "10.9.0.2", "10.8.0.1", "10.8.0.2"}


def test_a_range_that_is_not_ready_gives_nothing() -> None:
    shelf = Shelf()
    blocked = [{"type": "Ready", "status": "False"}]
    shelf.add(CIDRS, "kubernetes", spec={"cidrs": ["10.9.0.0/30"]}, status={"conditions": blocked})
    assert ranges(shelf).free() == ""
    assert ranges(shelf).problem("10.9.0.1") == "the provided network does not match the current range"
