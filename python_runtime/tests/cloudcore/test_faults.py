"""Bad input at CloudHub, over real TLS: it stays up, says once what is wrong, writes an Event, recovers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import ssl
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from tests.cloudcore.cloud import PROJECT, Cloud, eventually, running
from tests.cloudcore.test_complaints import HandClock
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from edgelab.cloudcore import app
from edgelab.cloudcore.cloudhub.conversation import PATIENCE
from edgelab.cloudcore.cloudhub.peer import Door, Peer, Refusal
from edgelab.cloudcore.cloudhub.rivals import KNOWN, MANY, WITHIN_SECONDS, Rivals
from edgelab.cloudcore.cloudhub.websocket import MESSAGE_LIMIT
from edgelab.daemon.errors import Fatal
from edgelab.identity import enrol
from edgelab.identity.ca import CertificateAuthority, utc_now
from edgelab.kube.resources import CONFIG_MAPS, EVENTS, NODES, PODS
from edgelab.protocol import message as wire

NAMESPACE = "kubeedge"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        await found.node()
        yield found


def certify(cloud: Cloud, node: str = "edge1", *, ago: dt.timedelta = dt.timedelta(), days: int = 365) -> int:
    """Give the node a certificate made `ago`, good for `days`; its serial number."""
    request = cloud.request(node)
    pair = CertificateAuthority.load(
        cloud.pki.ca.cert_pem, cloud.pki.ca.key_pem, lambda: utc_now() - ago
    ).issue(common_name=f"system:node:{node}", organization="system:nodes", client=True, days=days)
    request.cert_file.parent.mkdir(parents=True, exist_ok=True)
    request.ca_file.write_bytes(cloud.pki.ca.cert_pem)
    request.cert_file.write_bytes(pair.cert_pem)
    request.key_file.write_bytes(pair.key_pem)
    return x509.load_pem_x509_certificate(pair.cert_pem).serial_number


def said(cloud: Cloud, reason: str, node: str = "edge1") -> dict[str, Any] | None:
    """The Event of this reason on a node."""
    events = [event for event in cloud.api.all(EVENTS) if event["reason"] == reason]
    return next((event for event in events if event["involvedObject"]["name"] == node), None)


def text(source: str, group: str, operation: str, resource: str, content: Any = None) -> str:
    message = wire.new(source=source, group=group, operation=operation, resource=resource, content=content)
    return wire.encode(message).decode()


FRAMES: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{not a message", "MalformedMessage"),
    "a list": ("[]", "MalformedMessage"),
    "no header": ("{}", "MalformedMessage"),
    "a number for an id": ('{"header":{"msg_id":7},"route":{},"content":null}', "MalformedMessage"),
    "a text for a time": ('{"header":{"msg_id":"a","timestamp":"now"},"content":null}', "MalformedMessage"),
    "no text": (b"\xff\xfe\x00", "MalformedMessage"),
    "nothing": ("", "MalformedMessage"),
    "two documents": (text("edged", "meta", "query", "a/pod/b") * 2, "MalformedMessage"),
    "deep nesting": ("[" * 100_000, "MalformedMessage"),
    "a module that is not there": (text("metaserver", "resource", "query", "default/pod"), "UnknownMessage"),
    "a job for nobody": (text("taskmanager", "task", "upgrade", "task/x"), "UnknownMessage"),
}
QUIET_FRAMES = {
    "an unknown group": text("edged", "nonsense", "query", "default/configmap/a"),
    "an unknown source": text("nonsense", "meta", "query", "default/nonsense/a"),
    "one of the cloud's own modules": text("edgecontroller", "resource", "insert", "default/pod/a", {}),
    "another node's address": text("edged", "meta", "patch", "node/edge2/default/podpatch/a", "{}"),
    "another node": text("edged", "meta", "patch", "null/nodepatch/edge2", '{"status":{"phase":"Bad"}}'),
    "an empty route": '{"header":{"msg_id":"a","timestamp":1},"route":{},"content":null}',
    "no content": text("edged", "meta", "insert", "null/node/edge1"),
    "the wrong content": text("edged", "meta", "insert", "null/node/edge1", [1, 2]),
    "an acknowledgement of nothing": text("edged", "meta", "response", "default/pod/a", "OK"),
    "a refusal of nothing": text("metamanager", "meta", "error", "default/pod/a", "no"),
    "a resource of many parts": text("edged", "meta", "query", "/".join("abcdefghijk")),
}


@pytest.mark.parametrize("case", FRAMES)
async def test_a_frame_that_is_no_message_costs_nobody_the_session(
    cloud: Cloud, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    frame, reason = FRAMES[case]
    edge = await cloud.join()
    assert edge.connection is not None
    for _ in range(3):
        await edge.connection.send(frame)
    assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
    lines = [r for r in caplog.records if r.levelno >= logging.WARNING and "edge1" in r.getMessage()]
    assert len(lines) == 1
    await eventually(lambda: said(cloud, reason) is not None)
    event = said(cloud, reason)
    assert event is not None
    assert (event["type"], event["source"]["component"], event["count"]) == ("Warning", "cloudcore", 1)
    await edge.close()


@pytest.mark.parametrize("case", QUIET_FRAMES)
async def test_a_message_that_asks_for_nonsense_changes_nothing(cloud: Cloud, case: str) -> None:
    await cloud.node("edge2")
    edge = await cloud.join()
    assert edge.connection is not None
    await eventually(lambda: "cloudcore" in (node_annotations(cloud) or {}))
    await edge.connection.send(QUIET_FRAMES[case])
    assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
    assert cloud.api.all(PODS) == []
    other = next(n for n in cloud.api.all(NODES) if n["metadata"]["name"] == "edge2")
    assert "status" not in other
    await edge.close()


def node_annotations(cloud: Cloud) -> Any:
    return cloud.api.one(NODES, "edge1")["metadata"].get("annotations")


async def test_a_node_that_sends_only_nonsense_is_disconnected_and_may_come_back(cloud: Cloud) -> None:
    bad, good = await cloud.join(), await cloud.join("edge2")
    assert bad.connection is not None
    for _ in range(PATIENCE):
        await bad.connection.send("{")
    await bad.closed()
    assert bad.connection.close_code == 1007
    assert (await good.ask("k8s/ca.crt", "query")).value() == "kube ca"
    again = await cloud.dial()
    assert (await again.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await again.close()
    await good.close()


async def test_a_message_beyond_the_limit_ends_the_session_and_is_reported(cloud: Cloud) -> None:
    edge = await cloud.join()
    assert edge.connection is not None
    await edge.connection.send(b" " * (MESSAGE_LIMIT + 1))
    await edge.closed()
    assert edge.connection.close_code == 1009
    await eventually(lambda: said(cloud, "MessageTooLarge") is not None)
    again = await cloud.dial()
    assert (await again.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await again.close()


async def test_bytes_that_are_no_frame_end_the_session_and_are_reported(cloud: Cloud) -> None:
    edge = await cloud.join()
    assert edge.connection is not None
    edge.connection.transport.write(b"\xff\xff\xff\xff" * 8)
    await edge.closed()
    await eventually(lambda: said(cloud, "MalformedFrame") is not None)
    again = await cloud.dial()
    assert (await again.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await again.close()


class Attempt(NamedTuple):
    """Headers of a connection, and what it is told."""

    headers: list[tuple[str, str]]
    status: int
    words: str


ATTEMPTS = {
    "no name": Attempt([("Project_id", PROJECT)], 400, "node_id must be there once; it is there 0 times"),
    "an empty name": Attempt([("node_id", "")], 400, "node_id must be there once"),
    "two names": Attempt([("node_id", "edge1"), ("Node_id", "edge2")], 400, "it is there 2 times"),
    "another node": Attempt([("node_id", "edge2")], 403, "'edge2', but the certificate is for"),
    "the name with its prefix": Attempt([("node_id", "system:node:edge1")], 403, "certificate is for"),
    "a path": Attempt([("node_id", "../edge1")], 403, "certificate is for"),
    "another case": Attempt([("node_id", "Edge1")], 403, "certificate is for"),
}


async def attempt(cloud: Cloud, headers: list[tuple[str, str]], path: str = "/") -> tuple[int, str]:
    """The status and text of a handshake with the certificate of edge1."""
    files = cloud.request()
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.load_cert_chain(files.cert_file, files.key_file)
    url = f"wss://127.0.0.1:{cloud.port}{path}"
    try:
        async with connect(url, ssl=context, additional_headers=headers, compression=None):
            return 101, ""
    except InvalidStatus as refused:
        return refused.response.status_code, refused.response.body.decode()


@pytest.mark.parametrize("case", ATTEMPTS)
async def test_a_claim_that_the_certificate_does_not_bear_out_is_refused(cloud: Cloud, case: str) -> None:
    certify(cloud)
    wanted = ATTEMPTS[case]
    status, words = await attempt(cloud, wanted.headers)
    assert status == wanted.status
    assert wanted.words in words
    reason = "NodeNameMissing" if status == 400 else "NodeNameMismatch"
    await eventually(lambda: said(cloud, reason) is not None)
    assert said(cloud, reason, "edge2") is None, "nobody can write Events on another node"


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ([("project_id", "another"), ("project_id", "twice")], "/"),
        ([("Project_id", "x" * 2000)], "/other/edge2/events"),
        ([("Connectionuse", "str"), ("edgelab-window", "1"), ("edgelab-window", "9" * 99)], "/a?b=c"),
        ([("edgelab-window", "-1")], "//"),
    ],
)
async def test_other_headers_and_the_path_decide_nothing(
    cloud: Cloud, headers: list[tuple[str, str]], path: str
) -> None:
    certify(cloud)
    assert await attempt(cloud, [("NODE_ID", "edge1"), *headers], path) == (101, "")


@pytest.mark.parametrize(
    ("ago", "days", "words"), [(dt.timedelta(days=9), 3, "ended at"), (-dt.timedelta(days=1), 3, "begins at")]
)
async def test_a_certificate_out_of_its_time_is_refused_by_name(
    cloud: Cloud, ago: dt.timedelta, days: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    certify(cloud, ago=ago, days=days)
    caplog.set_level(logging.INFO)
    for _ in range(3):
        status, body = await attempt(cloud, [("node_id", "edge1")])
        assert status == 403
        assert words in body
    await eventually(lambda: said(cloud, "CertificateExpired") is not None)
    certify(cloud)
    await (await cloud.dial()).close()
    lines = [record.getMessage() for record in caplog.records if "edge1" in record.getMessage()]
    assert len([line for line in lines if words in line]) == 1
    assert "node edge1: CertificateExpired is over" in lines


async def revoke(cloud: Cloud, **data: str) -> None:
    body = {"metadata": {"name": "edgelab-revoked"}, "data": data}
    await cloud.api.create(CONFIG_MAPS, body, NAMESPACE)


async def test_a_revoked_certificate_ends_its_session_and_only_its_own(cloud: Cloud) -> None:
    serial = certify(cloud)
    edge, other = await cloud.dial(), await cloud.join("edge2")
    await revoke(cloud, **{f"serial.{serial:X}": "the board was stolen", "oops": "", "node.edge3": "soon"})
    await edge.closed()
    assert edge.connection is not None
    assert edge.connection.close_code == 1008
    status, body = await attempt(cloud, [("node_id", "edge1")])
    assert status == 403
    assert "the board was stolen" in body
    await eventually(lambda: said(cloud, "CertificateRevoked") is not None)
    assert (await other.ask("k8s/ca.crt", "query")).value() == "kube ca"
    certify(cloud)
    await (await cloud.dial()).close()
    await other.close()


async def test_all_certificates_of_a_node_can_be_revoked_up_to_a_moment(cloud: Cloud) -> None:
    hour = dt.timedelta(hours=1)
    certify(cloud, ago=2 * hour)
    edge = await cloud.dial()
    await revoke(cloud, **{"node.edge1": (utc_now() - hour).isoformat()})
    await edge.closed()
    certify(cloud)
    await (await cloud.dial()).close()
    await cloud.api.patch(CONFIG_MAPS, "edgelab-revoked", {"data": {"node.edge1": "no time"}}, NAMESPACE)
    await until_told(cloud, 403, "certificates of node edge1 were revoked")
    await cloud.api.delete(CONFIG_MAPS, "edgelab-revoked", NAMESPACE)
    await until_told(cloud, 101)


async def until_told(cloud: Cloud, status: int, words: str = "") -> None:
    """Connect as edge1 until that is the answer."""
    async with asyncio.timeout(60):
        while True:
            found, body = await attempt(cloud, [("node_id", "edge1")])
            if found == status and words in body:
                return


async def strangers(cloud: Cloud) -> dict[str, ssl.SSLContext | None]:
    """Clients that TLS turns away; None speaks no TLS."""
    stranger = CertificateAuthority.create("KubeEdge")
    pair = stranger.issue(common_name="system:node:edge1", organization="system:nodes", client=True)
    files = [cloud.directory / name for name in ("stranger.crt", "stranger.key")]
    for path, data in zip(files, pair, strict=True):
        path.write_bytes(data)
    contexts = []
    for certified in (False, True):
        context = ssl.create_default_context(cadata=cloud.pki.ca.cert_der)
        if certified:
            context.load_cert_chain(*files)
        contexts.append(context)
    return {
        "peer did not return a certificate": contexts[0],
        "the client's certificate is not accepted": contexts[1],
        "http request": None,
    }


async def test_what_tls_turns_away_is_said_once_and_others_are_served(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    edge = await cloud.join()
    for words, context in (await strangers(cloud)).items():
        caplog.clear()
        await knock(cloud.port, context)
        await eventually(lambda words=words: any(words in r.getMessage() for r in caplog.records))
        assert not any(record.exc_info for record in caplog.records)
    assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await edge.close()


async def knock(port: int, context: ssl.SSLContext | None) -> None:
    """Connect, say something, wait until the other side hangs up."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
        finally:
            writer.close()


async def test_a_connection_that_is_no_websocket_is_no_traceback(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    certify(cloud)
    files = cloud.request()
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.load_cert_chain(files.cert_file, files.key_file)
    for _ in range(2):
        await knock(cloud.port, context)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert lines[0].exc_info is None
    await (await cloud.dial()).close()


async def test_a_defect_that_a_message_meets_is_told_with_one_traceback(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    edge = await cloud.join()
    cloud.api.refuse = ("create", "certificatesigningrequests", ZeroDivisionError("a defect"))
    for _ in range(3):
        await edge.send(
            wire.new(
                source="edged",
                group="meta",
                operation="insert",
                resource="null/certificatesigningrequest/a",
                content={"metadata": {"name": "a"}},
            )
        )
    await eventually(lambda: said(cloud, "MessageNotTreated") is not None)
    assert (await edge.ask("k8s/ca.crt", "query")).value() == "kube ca"
    assert len([record for record in caplog.records if record.exc_info]) == 1
    await edge.close()


async def test_a_revoked_certificate_is_not_renewed_but_its_node_may_join_again(cloud: Cloud) -> None:
    serial = certify(cloud)
    await asyncio.to_thread(enrol.renew, cloud.request())
    renewed = x509.load_pem_x509_certificate(cloud.request().cert_file.read_bytes()).serial_number
    assert renewed != serial
    await revoke(cloud, **{f"serial.{renewed:x}": ""})
    await until_told(cloud, 403, f"{renewed:x} was revoked")
    with pytest.raises(Fatal, match="was revoked"):
        await asyncio.to_thread(enrol.renew, cloud.request())
    cloud.request().cert_file.unlink()
    await (await cloud.join()).close()


async def test_two_machines_with_one_certificate_are_told_of(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    edges = [await cloud.join()]
    for _ in range(MANY + 1):
        edges.append(await cloud.dial())
        await edges[-2].closed()
    await eventually(lambda: said(cloud, "ConnectionsReplaced") is not None)
    assert len([record for record in caplog.records if "two machines" in record.getMessage()]) == 1
    await edges[-1].close()


def test_a_node_that_moves_now_and_then_is_no_two_machines() -> None:
    clock = HandClock()
    rivals = Rivals(clock)
    for _ in range(3 * MANY):
        assert not rivals.replaced("edge1")
        clock.seconds += WITHIN_SECONDS / (MANY - 1) + 1
    for number in range(2 * KNOWN):
        assert not rivals.replaced(f"edge{number}")


class TurningDoor(Door):
    """Lets a connection's handshake pass, and has something against it a moment later."""

    looked = 0

    def refusal(self, claimed: list[str], peer: Peer) -> Refusal | None:
        self.looked += 1
        turned = self.looked == 2
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "NodeLimitReached", "full by now") if turned else None


async def test_what_changes_during_a_handshake_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "Door", TurningDoor)
    async with running(tmp_path) as cloud:
        await cloud.node()
        edge = await cloud.join()
        await edge.closed()
        assert edge.connection is not None
        assert (edge.connection.close_code, edge.connection.close_reason) == (1013, "full by now")
        await eventually(lambda: said(cloud, "NodeLimitReached") is not None)
        assert not edge.received
        await (await cloud.dial()).close()


async def test_a_defect_in_a_handshake_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenDoor(Door):
        def refusal(self, claimed: list[str], peer: Peer) -> Refusal | None:
            raise ZeroDivisionError("a defect")

    monkeypatch.setattr(app, "Door", BrokenDoor)
    async with running(tmp_path) as cloud:
        certify(cloud)
        assert (await attempt(cloud, [("node_id", "edge1")]))[0] == 500
    assert any(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in caplog.records)
