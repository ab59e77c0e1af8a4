"""The message codec against recorded traffic and by hand.

Covers the JSON form; the meaning of contents belongs to the modules that read them.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from edgelab.protocol import message, resource

RECORDED = Path(__file__).parent / "vectors" / "messages.jsonl"


@pytest.mark.parametrize("line", RECORDED.read_text(encoding="utf-8").splitlines())
def test_recorded_messages_survive_a_round_trip(line: str) -> None:
    recorded = json.loads(line)
    again = message.encode(message.decode(json.dumps(recorded)))
    assert json.loads(again) == recorded
    assert again.endswith(b"\n")


def test_a_reply_names_its_request_and_keeps_the_route() -> None:
    request = message.new(source="edged", group="meta", operation="query", resource="default/secret/s")
    answer = message.reply(request, {"a": 1})
    assert answer.parent_id == request.id
    assert (answer.route.source, answer.route.group) == ("edged", "meta")
    assert (answer.route.operation, answer.route.resource) == ("response", "default/secret/s")
    assert answer.object() == {"a": 1}


def test_content_may_be_an_object_or_text_that_holds_one() -> None:
    as_text = message.new(source="s", group="g", operation="patch", resource="r", content='{"a": 1}')
    assert as_text.value() == '{"a": 1}'
    assert as_text.object() == {"a": 1}


def test_content_is_always_present_and_empty_fields_are_left_out() -> None:
    written = json.loads(message.encode(message.new(source="s", group="", operation="", resource="")))
    assert written["content"] is None
    assert set(written["header"]) == {"msg_id", "timestamp"}
    assert written["route"] == {"source": "s"}


def test_numbers_keep_their_exact_text() -> None:
    text = b'{"header":{"msg_id":"a","timestamp":1},"content":{"n":12345678901234567890,"f":1.10}}'
    assert b"12345678901234567890" in message.encode(message.decode(text))
    assert b"1.10" in message.encode(message.decode(text))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"header":1}', b'{"header":{}', b"\xff"])
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        message.decode(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("default/pod/web", ("default", "pod", "web")),
        ("default/pod", ("default", "pod", "")),
        ("membership", ("", "membership", "")),
        ("null/node/edge-01", ("null", "node", "edge-01")),
        ("device/default/s/twin/edge_updated", ("device", "default", "s/twin/edge_updated")),
    ],
)
def test_resources_are_split_by_position(text: str, parts: tuple[str, str, str]) -> None:
    assert resource.parse(text) == parts


def test_cluster_scope_is_written_as_null() -> None:
    assert resource.build(None, "node", "edge1") == "null/node/edge1"
