"""The random ids of objects and messages."""

from __future__ import annotations

import uuid

import pytest

from edgelab import uids


def test_an_id_is_a_uuid_of_version_4_in_its_usual_form() -> None:
    for _ in range(1000):
        uid = uids.new_uid()
        parsed = uuid.UUID(uid)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, uid)


def test_no_two_ids_are_the_same() -> None:
    assert len({uids.new_uid() for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("octet", range(256))
def test_the_random_bits_are_kept_as_uuid4_keeps_them(octet: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = bytes([octet, *range(7), octet, *range(7)])
    monkeypatch.setattr("os.urandom", lambda size: drawn[:size])
    assert uids.new_uid() == str(uuid.UUID(bytes=drawn, version=4))
