"""edge_token, edge_certificate, edge_join_info, and the states of edge_node that empty a node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import (
    edge_certificate,
    edge_join_info,
    edge_node,
    edge_token,
)

from tests.unit.module_harness import REAL_KEADM, FakeKeadm, run

TOKEN = "cafe.aGVhZGVy.cGF5bG9hZA.c2lnbg"
MADE = {"changed": True, "token": TOKEN, "id": "abc", "expires": "2027-01-01T00:00:00Z", "revoked": ["old"]}
ENTRY = {
    "name": "cloudcore",
    "source": "Secret kubeedge/cloudcoresecret",
    "not_after": "2027-01-01T00:00:00Z",
    "days_left": 20,
    "addresses": ["10.0.0.1"],
    "dns_names": ["cloud"],
    "fingerprint": "ab",
    "missing": [],
}
CA = {**ENTRY, "name": "ca", "fingerprint": "cafe"}
READY = {"changed": False, "exists": True, "ready": True, "reason": "", "node": {"metadata": {}, "spec": {}}}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("present", ["token", "create", "--ttl", "1h", "--missing"]),
        ("rotated", ["token", "create", "--ttl", "1h", "--rotate"]),
        ("absent", ["token", "delete"]),
    ],
)
def test_each_state_of_a_token_is_one_question(
    keadm: FakeKeadm, cluster: dict[str, str], state: str, words: list[str]
) -> None:
    keadm.answer(default=MADE)
    result = run(edge_token, node="edge1", state=state, ttl="1h", **cluster, _ansible_diff=True)
    assert (result["changed"], result["token"], result["id"], result["revoked"]) == (
        True,
        TOKEN,
        "abc",
        ["old"],
    )
    [(asked, stdin)] = keadm.calls
    assert asked[:6] == [*words[:2], "--node", "edge1", "--kube-config", cluster["kubeconfig"]]
    assert asked[6:-2] == words[2:]
    assert stdin == ""
    assert result["diff"] == {"before": "old\n", "after": "" if state == "absent" else "abc\n"}
    assert TOKEN not in json.dumps(result["diff"])


def test_a_token_that_is_there_already_is_no_change(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={**MADE, "changed": False, "token": ""})
    result = run(edge_token, node="edge1", **cluster)
    assert (result["changed"], result["token"], result["id"]) == (False, "", "abc")


def test_refusals_of_keadm_are_passed_on(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"error": "node name 'A' is no DNS label"})
    for module, options in (
        (edge_token, {"node": "A"}),
        (edge_join_info, {"nodes": [{"name": "A"}]}),
        (edge_certificate, {"component": "cloudcore"}),
    ):
        result = run(module, **options, **cluster)
        assert result["failed"]
        assert "no DNS label" in result["msg"]


@pytest.mark.parametrize(
    ("module", "options", "changed"),
    [
        (edge_token, {"node": "edge1"}, True),
        (edge_join_info, {}, False),
        (edge_join_info, {"nodes": [{"name": "edge1"}]}, True),
        (edge_certificate, {"component": "cloudcore", "state": "present"}, True),
        (edge_certificate, {"component": "edgecore", "state": "checked"}, False),
        (edge_certificate, {"component": "edgecore", "state": "issued", "node": "edge1"}, True),
    ],
)
def test_check_mode_works_before_anything_is_installed(
    tmp_path: Path, module: Any, options: dict[str, Any], changed: bool
) -> None:
    result = run(module, **options, keadm=str(tmp_path / "none"), _ansible_check_mode=True)
    assert (result["failed"], result["changed"]) == (False, changed)


def test_check_mode_reaches_keadm(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={**MADE, **ENTRY, "certificate": "", "key": "", "ca": "", "restart_needed": True})
    run(edge_token, node="edge1", **cluster, _ansible_check_mode=True)
    run(edge_certificate, component="cloudcore", state="present", **cluster, _ansible_check_mode=True)
    run(edge_certificate, component="edgecore", state="issued", node="e", **cluster, _ansible_check_mode=True)
    assert all("--check" in words for words, _ in keadm.calls)


def test_cloudcore_s_certificate_is_asked_for_with_every_name(
    keadm: FakeKeadm, cluster: dict[str, str]
) -> None:
    keadm.answer(
        default={"changed": True, "restart_needed": True, "addresses": ["10.0.0.1"], "dns_names": []}
    )
    options = {
        "addresses": ["10.0.0.1", "10.0.0.2"],
        "dns_names": ["vip"],
        "ca_file": "/c",
        "ca_key_file": "/k",
    }
    result = run(edge_certificate, component="cloudcore", state="present", **options, **cluster)
    assert (result["changed"], result["restart_needed"]) == (True, True)
    [(words, _)] = keadm.calls
    assert words[4:-2] == [
        *("--address", "10.0.0.1", "--address", "10.0.0.2", "--dns-name", "vip"),
        *("--ca-file", "/c", "--ca-key-file", "/k"),
    ]


def test_what_is_wrong_with_a_certificate_is_an_answer_and_no_failure(
    keadm: FakeKeadm, cluster: dict[str, str]
) -> None:
    short = {**ENTRY, "missing": ["10.0.0.9"]}
    keadm.answer(default={"error": "bad", "certificates": [short], "problems": ["ends in 20 days"]})
    result = run(edge_certificate, component="cloudcore", addresses=["10.0.0.9"], warn_days=30, **cluster)
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["problems"] == ["ends in 20 days"]
    assert result["certificates"][0]["missing"] == ["10.0.0.9"]
    assert keadm.calls[0][0][2:9] == [
        *("--only", "cluster", "--kube-config", cluster["kubeconfig"], "--days", "30", "--address"),
    ]


@pytest.mark.parametrize(("limit", "changed"), [(None, True), (10, False), (20, False), (21, True)])
def test_rotation_spares_what_is_good_for_long_enough(
    keadm: FakeKeadm, cluster: dict[str, str], limit: int | None, changed: bool
) -> None:
    keadm.answer(
        default={"changed": True},
        cert_check={"certificates": [{**CA, "days_left": 1}, ENTRY], "problems": []},
    )
    options = {"component": "cloudcore", "state": "rotated", "min_days_left": limit, **cluster}
    result = run(edge_certificate, **options, _ansible_diff=True)
    assert (result["changed"], result["restart_needed"]) == (changed, changed)
    rotations = [words[:3] for words, _ in keadm.calls if words[1] == "rotate"]
    assert rotations == ([["cert", "rotate", "server"]] if changed else [])
    assert ("diff" in result) == changed


def test_an_edge_needs_no_kubeconfig_for_its_own_certificate(keadm: FakeKeadm) -> None:
    keadm.answer(cert_check={"certificates": [{**ENTRY, "name": "edge"}], "problems": []})
    run(
        edge_certificate,
        component="edgecore",
        state="rotated",
        config="/x/edgecore.yaml",
        keadm=str(keadm.path),
    )
    asked = [words for words, _ in keadm.calls]
    assert asked[0][2:6] == ["--only", "host", "--config", "/x/edgecore.yaml"]
    assert ["cert", "rotate", "edge", "--config", "/x/edgecore.yaml"] in [words[:5] for words in asked]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"component": "edgecore", "state": "present"}, "state present is for cloudcore"),
        ({"component": "cloudcore", "state": "issued", "node": "e"}, "state issued is for edgecore"),
        ({"component": "edgecore", "state": "issued"}, "node"),
        ({"component": "cloudcore", "state": "present", "ca_file": "/c"}, "ca_key_file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    keadm: FakeKeadm, cluster: dict[str, str], options: dict[str, Any], words: str
) -> None:
    result = run(edge_certificate, **options, **cluster)
    assert result["failed"]
    assert words in result["msg"]
    assert keadm.calls == []


def test_edge_certificate_with_the_real_keadm(tmp_path: Path) -> None:
    """The certificate of a host's own file, as the module and the real keadm see it."""
    config, cert = tmp_path / "edgecore.yaml", tmp_path / "server.crt"
    code = (
        "import sys; from edgelab.identity.ca import CertificateAuthority as A\n"
        "pair = A.create('KubeEdge').issue(common_name='system:node:edge1', client=True, days=10)\n"
        "sys.stdout.write(pair.cert_pem.decode())"
    )
    python = str(REAL_KEADM.with_name("python"))
    cert.write_text(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)
    config.write_text(json.dumps({"modules": {"edgeHub": {"tlsCertFile": str(cert)}}}))
    options = {"component": "edgecore", "config": str(config), "keadm": str(REAL_KEADM)}
    result = run(edge_certificate, warn_days=30, **options)
    assert not result["failed"], result
    assert result["certificates"][0]["common_name"] == "system:node:edge1"
    assert "keadm cert rotate edge" in result["problems"][0]
    assert run(edge_certificate, warn_days=5, **options)["problems"] == []


def test_join_lines_are_made_only_when_all_nodes_are_free(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    line = {"changed": True, "node": "edge7", "command": "printf ...", "id": "abc", "expires": "x"}
    keadm.answer(default=line, cert_list={"certificates": [CA, ENTRY]})
    nodes = [{"name": "edge7", "ip": "10.0.0.7"}, {"name": "edge8", "replace": True}]
    result = run(edge_join_info, nodes=nodes, cloudcore="10.0.0.1", **cluster)
    assert (result["changed"], len(result["nodes"])) == (True, 2)
    assert result["endpoint"]["ca_hash"] == "cafe"
    asked = [words for words, _ in keadm.calls if words[0] == "join-command"]
    assert ["--check" in words for words in asked] == [True, True, False, False]
    assert asked[2][2] == "edge7"
    assert ["--replace" in words for words in asked] == [False, True, False, True]
    assert asked[2][-6:-2] == ["--node-ip", "10.0.0.7", "--cloudcore", "10.0.0.1"]
    assert run(edge_join_info, **cluster)["changed"] is False


@pytest.mark.parametrize("other", [{"name": "edge7"}, {"name": "edge8", "ip": "10.0.0.7"}])
def test_two_nodes_with_one_name_or_address_are_refused(
    keadm: FakeKeadm, cluster: dict[str, str], other: dict[str, str]
) -> None:
    keadm.answer(cert_list={"certificates": [CA, ENTRY]})
    result = run(edge_join_info, nodes=[{"name": "edge7", "ip": "10.0.0.7"}, other], **cluster)
    assert "asked for twice" in result["msg"]
    assert not [words for words, _ in keadm.calls if words[0] == "join-command"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"state": "cordoned"}, ["cordon"]),
        ({"state": "uncordoned"}, ["uncordon"]),
        (
            {"state": "drained", "wait_timeout": 7, "force": True, "delete_emptydir_data": True},
            ["drain", "--timeout", "7", "--force", "--delete-emptydir-data"],
        ),
    ],
)
def test_nodes_are_cordoned_and_drained(
    keadm: FakeKeadm, cluster: dict[str, str], options: dict[str, Any], words: list[str]
) -> None:
    answers = {f"node_{words[0]}": {**READY, "changed": True, "evicted": ["default/web"]}}
    keadm.answer(default=READY, **answers)
    result = run(edge_node, name="edge1", **options, **cluster)
    assert (result["changed"], result["evicted"]) == (True, ["default/web"])
    asked = next(asked for asked, _ in keadm.calls if asked[1] == words[0])
    assert asked[6:-2] == words[1:]


def test_pods_that_stay_are_named(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=READY, node_drain={"error": "there stay: a/b", "changed": True, "pods": ["a/b"]})
    result = run(edge_node, name="edge1", state="drained", **cluster)
    assert (result["failed"], result["changed"], result["pods"]) == (True, True, ["a/b"])


def test_ready_can_insist_on_a_fresh_lease(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=READY)
    run(edge_node, name="edge1", state="ready", max_lease_age=20, wait_timeout=5, **cluster)
    assert keadm.calls[0][0][6:10] == ["--max-lease-age", "20", "--timeout", "5"]


def test_an_older_keadm_is_asked_without_the_lease(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=READY, node_wait={"error": "No such option '--max-lease-age'."})
    result = run(edge_node, name="edge1", state="ready", max_lease_age=20, **cluster)
    asked = [words for words, _ in keadm.calls if "wait" in words]
    assert ["--max-lease-age" in words for words in asked] == [True, False]
    assert result["failed"]
