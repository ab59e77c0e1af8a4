"""`keadm node`, `init`, `gettoken` against an API server on a socket."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

from edgelab.keadm.nodes import merge_taints, parse_labels
from edgelab.keadm.report import Failure


def put_node(server: ApiServer, status: str | None, **condition: str) -> dict[str, Any]:
    node: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge1"}, "spec": {}}
    if status:
        node["status"] = {"conditions": [{"type": "Ready", "status": status, **condition}]}
    return server.store("PUT", "/api/v1/nodes/edge1", node)


def test_wait_gives_back_a_ready_node_at_once(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    put_node(server, "True")
    status, answer = keadm("node", "wait", "--name", "edge1", "--kube-config", kube_config, "--timeout", "5")
    assert (status, answer["ready"], answer["changed"], answer["reason"]) == (0, True, False, "")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (None, "never reported its status"),
        (
            {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped"},
            "Kubelet stopped",
        ),
    ],
)
def test_wait_fails_with_the_reason(
    keadm: Keadm, server: ApiServer, kube_config: Path, condition: dict[str, str] | None, words: str
) -> None:
    put_node(server, None) if condition is None else put_node(server, **condition)
    status, answer = keadm("node", "wait", "--name", "edge1", "--kube-config", kube_config, "--timeout", "0")
    assert status == 1
    assert words in answer["error"]
    assert answer["ready"] is False


def test_wait_for_a_node_that_never_came_says_where_to_look(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    status, answer = keadm("node", "wait", "--name", "edge1", "--kube-config", kube_config, "--timeout", "0")
    assert status == 1
    assert "journalctl -u edgecore" in answer["error"]


def test_register_creates_the_node_once(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    call = ("node", "register", "--name", "edge1", "--kube-config", kube_config)
    more = ("--label", "zone=a", "--taint", "edge=true:NoSchedule")
    assert keadm(*call, *more)[1]["changed"] is True
    node = server.objects["/api/v1/nodes/edge1"]
    assert node["metadata"]["labels"]["node-role.kubernetes.io/edge"] == ""
    assert node["metadata"]["labels"]["zone"] == "a"
    assert node["spec"]["taints"] == [{"key": "edge", "value": "true", "effect": "NoSchedule"}]
    assert keadm(*call, *more)[1]["changed"] is False


def test_labels_and_taints_of_others_stay(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    node = put_node(server, "True")
    node["metadata"]["labels"] = {"theirs": "1", "old": "2"}
    node["spec"]["taints"] = [{"key": "theirs", "effect": "NoExecute"}]
    where = ("--name", "edge1", "--kube-config", kube_config)
    assert keadm("node", "label", *where, "--label", "new=3", "--label", "old-")[1]["changed"] is True
    assert keadm("node", "taint", *where, "--taint", "mine:NoSchedule")[1]["changed"] is True
    stored = server.objects["/api/v1/nodes/edge1"]
    assert stored["metadata"]["labels"] == {"theirs": "1", "new": "3"}
    assert [taint["key"] for taint in stored["spec"]["taints"]] == ["theirs", "mine"]
    assert keadm("node", "taint", *where, "--taint", "mine:NoSchedule-")[1]["changed"] is True
    assert keadm("node", "taint", *where, "--taint", "mine:NoSchedule-")[1]["changed"] is False


def test_check_changes_nothing(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    where = ("--name", "edge1", "--kube-config", kube_config, "--check")
    assert keadm("node", "register", *where)[1]["changed"] is True
    put_node(server, "True")
    server.writes.clear()
    assert keadm("node", "label", *where, "--label", "a=b")[1]["changed"] is True
    assert keadm("node", "delete", *where)[1]["changed"] is True
    assert server.writes == []


def test_delete_is_content_when_the_node_is_gone(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    put_node(server, "True")
    where = ("--name", "edge1", "--kube-config", kube_config)
    assert keadm("node", "delete", *where)[1]["changed"] is True
    assert keadm("node", "delete", *where)[1]["changed"] is False


@pytest.mark.parametrize("text", ["", "=x", "a b=c", "a=b c"])
def test_labels_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="expected key=value"):
        parse_labels([text])


@pytest.mark.parametrize("text", ["a", "a=b", "a:Sometimes", ":NoSchedule", "a:Nope-"])
def test_taints_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(Failure, match=r"expected key"):
        merge_taints([], [text])


def test_gettoken_prints_the_token_that_cloudcore_stored(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    status, answer = keadm("gettoken", "--kube-config", kube_config)
    assert status == 1
    assert "no join token yet" in answer["error"]
    data = {"tokendata": base64.b64encode(b"a.b.c.d").decode()}
    secret = {"kind": "Secret", "metadata": {"name": "tokensecret"}, "data": data}
    server.store("PUT", "/api/v1/namespaces/kubeedge/secrets/tokensecret", secret)
    assert keadm("gettoken", "--kube-config", kube_config) == (0, {"token": "a.b.c.d"})
