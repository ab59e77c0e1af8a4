"""Requests of the MetaServer: made and answered as the recordings have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgelab.protocol import message as wire
from edgelab.protocol.content import applications
from edgelab.protocol.content.applications import Application, Key, parse_key
from edgelab.protocol.message import Message

RECORDINGS = sorted((Path(__file__).parent / "vectors" / "wire").glob("34-*.jsonl"))


def plain(application: Application) -> Any:
    return msgspec.json.decode(msgspec.json.encode(application))


def recorded(direction: str) -> Iterator[tuple[Message, Application]]:
    for path in RECORDINGS:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if record["kind"] != "msg" or record["dir_"] != direction:
                continue
            message = wire.decode(json.dumps(record["msg"]))
            if "Verb" in record["msg"]["content"]:
                yield message, msgspec.json.decode(message.content, type=Application)


def test_requests_are_made_as_recorded() -> None:
    seen = set()
    for message, found in recorded("edge->cloud"):
        option = msgspec.json.decode(applications.content_of(found.option), type=msgspec.Raw)
        body = applications.content_of(found.req_body) if found.req_body is not None else None
        made = applications.application(
            "edge1", found.key, found.verb, option=option, body=body, subresource=found.subresource
        )
        if found.resp_body is None:  # "" when Go sends the same application once more
            assert plain(made) == plain(found)
        assert made.id == found.id
        again = applications.request(made)
        assert (again.route, again.parent_id) == (message.route, "")
        seen.add(found.verb)
    assert seen == {"get", "list", "watch", "create", "update", "patch", "delete"}


def test_answers_are_made_as_recorded() -> None:
    requests = {message.id: (message, found) for message, found in recorded("edge->cloud")}
    rejected = approved = 0
    for message, found in recorded("cloud->edge"):
        if message.parent_id not in requests or "cut" in (found.resp_body or ""):
            continue
        request, asked = requests[message.parent_id]
        if found.status == applications.REJECTED:
            made = asked.rejected(found.failure(), found.reason)
            rejected += 1
        else:
            body = None if found.resp_body is None else applications.content_of(found.resp_body)
            made = asked.approved(body)
            approved += 1
        made.timestamp = found.timestamp
        made.resp_body = made.resp_body or found.resp_body
        assert plain(made) == plain(found)
        assert applications.answer(request, made).route == message.route
    assert approved > 20
    assert rejected > 4


def test_keys_name_what_a_request_is_about() -> None:
    for text, key in (
        ("/core/v1/nodes/null/edge1", Key("", "v1", "nodes", "", "edge1")),
        ("/apps/v1/deployments/default/null", Key("apps", "v1", "deployments", "default")),
    ):
        assert parse_key(text) == key
        assert str(key) == text
    for wrong in ("/core/v1/pods", "core/v1/pods/a/b", "/core/v1/pods/a/b/c", "/api", "/core//pods/a/b"):
        with pytest.raises(ValueError, match="no key of an application"):
            parse_key(wrong)


def test_paths_that_pass_through() -> None:
    for path in ("/api", "/apis", "/version", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v3"):
        assert applications.PASS_THROUGH.fullmatch(path)
    for path in (
        "/metrics",
        "/api/v1/pods",
        "/apis/apps/v1/deployments",
        "/apis/../v1",
        "/api/..",
        "/api/%2e",
    ):
        assert not applications.PASS_THROUGH.fullmatch(path)
    for path in ("/openapi/v3/api/v1", "/openapi/v3/apis/apps", "/openapi/v3/apis/apps/v1"):
        assert applications.SCHEMAS.fullmatch(path)
    for path in ("/openapi/v3/api/../../../api/v1/secrets", "/openapi/v3/apis/../x", "/openapi/v3"):
        assert not applications.SCHEMAS.fullmatch(path)
