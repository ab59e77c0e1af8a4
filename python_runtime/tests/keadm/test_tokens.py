"""`keadm token` and `keadm join-command` against an API server on a socket."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

from edgelab.identity import token
from edgelab.identity.ca import CertificateAuthority, load_certificate

CA = CertificateAuthority.create("KubeEdge")
SECRETS = "/api/v1/namespaces/kubeedge/secrets"


def put_secret(server: ApiServer, name: str, **data: bytes) -> None:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    secret = {"kind": "Secret", "metadata": {"name": name}, "data": encoded}
    server.store("PUT", f"{SECRETS}/{name}", secret)


@pytest.fixture
def authority(server: ApiServer) -> CertificateAuthority:
    """What CloudCore leaves in the cluster."""
    pair = CA.issue(
        common_name="KubeEdge", dns_names=["cloud"], ip_addresses=["127.0.0.1", "10.0.0.1"], server=True
    )
    put_secret(server, "casecret", cadata=CA.cert_der, cakeydata=CA.key_der)
    der = load_certificate(pair.cert_pem).public_bytes(Encoding.DER)
    put_secret(server, "cloudcoresecret", cloudcoredata=der, cloudcorekeydata=b"")
    return CA


def put_node(server: ApiServer, name: str, address: str) -> None:
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    server.store("PUT", f"/api/v1/nodes/{name}", {"metadata": {"name": name}, "status": status})


def put_lease(server: ApiServer, name: str, seconds_ago: float) -> None:
    renewed = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    lease = {"metadata": {"name": name}, "spec": {"renewTime": f"{renewed:%Y-%m-%dT%H:%M:%S.%fZ}"}}
    server.store("PUT", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}", lease)


def claims(text: str) -> token.Claims:
    return token.verify(token.split(text).jwt, CA.key_der, dt.datetime.now(dt.UTC))


@pytest.fixture
def ask(keadm: Keadm, kube_config: Path) -> Any:
    return lambda *words: keadm(*words, "--kube-config", kube_config)


def test_a_token_is_for_its_node_and_shown_once(ask: Any, authority: CertificateAuthority) -> None:
    status, made = ask("token", "create", "--node", "edge1", "--ttl", "2h")
    assert (status, made["changed"]) == (0, True), made
    found = claims(made["token"])
    assert (found.node, found.id) == ("edge1", made["id"])
    assert dt.timedelta(minutes=119) < found.expires - dt.datetime.now(dt.UTC) <= dt.timedelta(hours=2)
    listed = ask("token", "list")[1]
    assert made["token"] not in json.dumps(listed)
    assert [(entry["node"], entry["state"]) for entry in listed["tokens"]] == [("edge1", "outstanding")]


def test_check_makes_no_token(ask: Any, server: ApiServer, authority: CertificateAuthority) -> None:
    server.writes.clear()
    for words in (("token", "create", "--node", "e", "--check"), ("join-command", "--node", "e", "--check")):
        status, told = ask(*words)
        assert (status, told["changed"]) == (0, True)
        assert told.get("token", "") == ""
    assert server.writes == []


def test_missing_makes_a_second_token_only_when_the_first_is_gone(
    ask: Any, authority: CertificateAuthority
) -> None:
    make = ("token", "create", "--node", "edge1", "--missing")
    first = ask(*make)[1]
    again = ask(*make)[1]
    assert (again["changed"], again["token"], again["id"]) == (False, "", first["id"])
    assert ask("token", "delete", "--id", first["id"])[1]["revoked"] == [first["id"]]
    assert ask("token", "delete", "--id", first["id"])[1]["changed"] is False
    assert ask(*make)[1]["changed"] is True


def test_rotating_revokes_the_other_tokens_of_this_node_only(
    ask: Any, authority: CertificateAuthority
) -> None:
    first = ask("token", "create", "--node", "edge1")[1]["id"]
    other = ask("token", "create", "--node", "edge2")[1]["id"]
    assert ask("token", "create", "--node", "edge1", "--rotate", "--check")[1]["revoked"] == [first]
    fresh = ask("token", "create", "--node", "edge1", "--rotate")[1]
    assert fresh["revoked"] == [first]
    states = {entry["id"]: entry["state"] for entry in ask("token", "list")[1]["tokens"]}
    assert states == {first: "revoked", other: "outstanding", fresh["id"]: "outstanding"}
    assert [entry["id"] for entry in ask("token", "list", "--node", "edge2")[1]["tokens"]] == [other]


def put_cluster(server: ApiServer) -> None:
    """A node that never lived, one that is silent, and one that lives."""
    for number, name in enumerate(("taken", "silent", "alive"), 7):
        put_node(server, name, f"10.0.0.{number}")
    put_lease(server, "silent", 95)
    put_lease(server, "alive", 5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("token", "create", "--node", "Edge_1"), "node name 'Edge_1' is no DNS label"),
        (("token", "create", "--node", "a.b"), "is no DNS label"),
        (("token", "create", "--node", "e", "--ttl", "soon"), "expected a number and s, m, h or d"),
        (("token", "create", "--node", "e", "--ttl", "0h"), "expected a number"),
        (("token", "delete"), "say which"),
        (("token", "delete", "--id", "nope"), "no such token: nope"),
        (("join-command", "--node", "Edge1"), "is no DNS label"),
        (("join-command", "--node", "e", "--node-ip", "10.0.0"), "--node-ip '10.0.0' is no IP address"),
        (
            ("join-command", "--node", "taken"),
            "a node 'taken' is in the cluster already and has never renewed its lease: add --replace if a new"
            " machine takes its place, choose another name, or remove it first (keadm node delete",
        ),
        (("join-command", "--node", "silent"), "is in the cluster already and renewed its lease 9"),
        (
            ("join-command", "--node", "alive"),
            "'alive' is in the cluster and alive, it renewed its lease",
        ),
        (
            ("join-command", "--node", "alive", "--replace"),
            "take that host out first (keadm reset edge",
        ),
        (
            ("join-command", "--node", "e", "--node-ip", "10.0.0.7", "--replace"),
            "address 10.0.0.7 belongs to node 'taken' already: give the host another address, or remove that"
            " node first (keadm node delete --name taken)",
        ),
        (("join-command", "--node", "e", "--cloudcore", "10.9.9.9"), "does not name 10.9.9.9, only 10.0.0.1"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(
    ask: Any, server: ApiServer, authority: CertificateAuthority, words: tuple[str, ...], told: str
) -> None:
    put_cluster(server)
    server.writes.clear()
    status, answer = ask(*words)
    assert status == 1
    assert told in answer["error"]
    assert server.writes == []


def test_without_an_authority_the_fix_is_named(ask: Any) -> None:
    status, answer = ask("token", "create", "--node", "edge1")
    assert status == 1
    assert "keadm cert ensure" in answer["error"]


def test_the_join_line_can_be_pasted_and_hands_the_token_over_on_stdin(
    ask: Any, authority: CertificateAuthority
) -> None:
    status, told = ask("join-command", "--node", "edge2", "--node-ip", "10.0.0.8", "--certport", "30002")
    assert status == 0, told
    left, right = told["command"].split(" | ")
    program, form, text = shlex.split(left)
    assert (program, form) == ("printf", "%s\\n")
    assert claims(text).node == "edge2"
    assert shlex.split(right) == [
        *("keadm", "join", "--cloudcore-ipport", "10.0.0.1:10000", "--edgenode-name", "edge2"),
        *("--node-ip", "10.0.0.8", "--certport", "30002", "--token-file", "-"),
    ]


@pytest.mark.parametrize("name", ["taken", "silent"])
def test_a_new_machine_may_take_the_place_of_one_that_is_gone(
    ask: Any, server: ApiServer, authority: CertificateAuthority, name: str
) -> None:
    put_cluster(server)
    own = {"taken": "10.0.0.7", "silent": "10.0.0.8"}[name]
    status, told = ask("join-command", "--node", name, "--node-ip", own, "--replace")
    assert status == 0, told
    left, right = told["command"].split(" | ")
    assert claims(shlex.split(left)[2]).node == name
    assert "--replace" in shlex.split(right)
