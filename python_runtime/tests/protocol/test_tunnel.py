"""The tunnel's frames: those of the original as they were recorded, and what nobody should send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgelab.protocol import tunnel
from edgelab.protocol.tunnel import Kind, Malformed

RECORDED = [
    json.loads(line) for line in (Path(__file__).parent / "vectors" / "tunnel.jsonl").read_text().splitlines()
]


def test_every_recorded_frame_is_read_and_written_back_byte_by_byte() -> None:
    kinds = set()
    for recorded in RECORDED:
        raw = bytes.fromhex(recorded["hex"])
        frame = tunnel.decode(raw)
        assert (frame.connection, frame.kind) == (recorded["connection"], recorded["kind"])
        assert tunnel.encode(*frame) == raw
        kinds.add(frame.kind)
    assert kinds == {Kind.LOGS, Kind.EXEC, Kind.METRICS, Kind.ATTACH, Kind.DATA, Kind.REMOVE}


def plain(data: bytes) -> Any:
    return json.loads(data)


def test_every_recorded_opening_is_written_as_the_original_writes_it() -> None:
    openings = [r for r in RECORDED if r["kind"] in tunnel.CONNECTS]
    assert len(openings) == 22
    for recorded in openings:
        data = tunnel.decode(bytes.fromhex(recorded["hex"])).data
        found = tunnel.read_connect(data)
        assert plain(msgspec.json.encode(found)) == plain(data)
        method = found.method or ""
        ours = tunnel.connect(found.MessID, found.url.Path, found.url.RawQuery, found.header or {}, method)
        assert plain(ours) == plain(data)


def test_bytes_that_are_no_text_pass() -> None:
    assert tunnel.encode(300, Kind.DATA, b"hi") == bytes.fromhex("ac02036869")
    data = bytes(range(256))
    assert tunnel.decode(tunnel.encode((1 << 64) - 1, Kind.DATA, data)) == ((1 << 64) - 1, 3, data)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "ends within a number"),
        (b"\x80", "ends within a number"),
        (b"\x01", "ends within a number"),
        (b"\xff" * 11, "more than 64 bits"),
        (b"\xff" * 9 + b"\x02\x03", "more than 64 bits"),
        (b"\x01\x03" + bytes(tunnel.DATA_LIMIT + 1), "bytes of data"),
    ],
)
def test_what_is_no_frame_is_refused(message: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        tunnel.decode(message)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"MessID":1}', b'{"MessID":"x","url":{}}', b"\xff{"])
def test_what_opens_nothing_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        tunnel.read_connect(data)


def test_a_credit_is_one_number() -> None:
    assert tunnel.credit(tunnel.uvarint(65536)) == 65536
    for data in (b"", b"\x80", b"\x01\x01", tunnel.uvarint((1 << 64) - 1)):
        with pytest.raises(Malformed):
            tunnel.credit(data)


def test_the_head_of_an_answer_has_a_status() -> None:
    head = tunnel.read_head(msgspec.json.encode(tunnel.Head(404)))
    assert (head.status, head.contentType) == (404, "text/plain")
    for data in (b"", b"{}", b'{"status":99}', b'{"status":200,"contentType":"a\\r\\nb: c"}'):
        with pytest.raises(Malformed):
            tunnel.read_head(data)


def test_what_does_not_fit_is_not_written() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        tunnel.uvarint(-1)
    with pytest.raises(ValueError, match="64 bits"):
        tunnel.uvarint(1 << 64)
    with pytest.raises(ValueError, match="bytes of data"):
        tunnel.encode(1, Kind.DATA, bytes(tunnel.DATA_LIMIT + 1))
