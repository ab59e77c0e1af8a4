"""`keadm apply`: what is created, changed and left alone. Excludes how a real server validates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "nginx"}]}}},
}
PATH = "/apis/apps/v1/namespaces/default/deployments/web"


def test_a_missing_object_is_created_in_the_default_namespace(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    status, answer = keadm("apply", "--kube-config", kube_config, "-f", "-", stdin=yaml.safe_dump(DEPLOYMENT))
    assert (status, answer["changed"]) == (0, True)
    assert answer["objects"][0]["action"] == "created"
    assert server.objects[PATH]["metadata"]["namespace"] == "default"


def test_a_second_run_writes_nothing_although_the_server_set_defaults(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    call = ("apply", "--kube-config", kube_config, "-f", "-")
    keadm(*call, stdin=json.dumps(DEPLOYMENT))
    writes = len(server.writes)
    status, answer = keadm(*call, stdin=yaml.safe_dump(DEPLOYMENT, sort_keys=False))
    assert (status, answer["changed"], answer["objects"][0]["action"]) == (0, False, "unchanged")
    assert len(server.writes) == writes


def test_fields_that_left_the_manifest_leave_the_object_and_foreign_ones_stay(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    call = ("apply", "--kube-config", kube_config, "-f", "-")
    keadm(*call, stdin=json.dumps(DEPLOYMENT))
    server.objects[PATH]["metadata"]["labels"]["other"] = "theirs"
    bare = {**DEPLOYMENT, "metadata": {"name": "web"}, "spec": {**DEPLOYMENT["spec"], "replicas": 2}}  # type: ignore[dict-item]  # a literal
    _, answer = keadm(*call, stdin=json.dumps(bare))
    assert answer["objects"][0]["action"] == "changed"
    assert answer["objects"][0]["before"]["spec"] == {"replicas": 1}
    assert answer["objects"][0]["after"]["spec"] == {"replicas": 2}
    assert server.objects[PATH]["spec"]["replicas"] == 2
    assert server.objects[PATH]["metadata"]["labels"] == {"other": "theirs"}


def test_check_tells_the_same_and_writes_nothing(
    keadm: Keadm, server: ApiServer, kube_config: Path, tmp_path: Path
) -> None:
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(DEPLOYMENT))
    status, answer = keadm("apply", "--check", "--kube-config", kube_config, "-f", tmp_path / "web.yaml")
    assert (status, answer["changed"], server.writes) == (0, True, [])


def test_a_crd_and_its_first_object_can_come_in_one_file(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [{"name": "v1"}]}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.x.io"},
        "spec": spec,
    }
    thing = {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "n"}}
    status, answer = keadm(
        "apply", "--kube-config", kube_config, "-f", "-", stdin=yaml.safe_dump_all([thing, crd])
    )
    assert status == 0, answer
    assert "/apis/x.io/v1/namespaces/n/things/a" in server.objects


def test_secret_data_is_neither_shown_nor_copied_into_an_annotation(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"password": "aHVudGVyMg=="},
    }
    _, answer = keadm("apply", "--kube-config", kube_config, "-f", "-", stdin=json.dumps(secret))
    assert "aHVudGVyMg" not in json.dumps(answer)
    stored = server.objects["/api/v1/namespaces/default/secrets/s"]
    assert stored["data"] == {"password": "aHVudGVyMg=="}
    assert "annotations" not in stored["metadata"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Foo", "apiVersion and kind are missing"),
        ("apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}", "serves no Nonsense in v1"),
        ("apiVersion: nowhere.io/v1\nkind: N\nmetadata: {name: x}", "serves no N in nowhere.io/v1"),
        ("apiVersion: v1\nkind: ConfigMap", "without metadata.name"),
        ("a: [", "stdin line"),
    ],
)
def test_what_cannot_be_applied_is_named(keadm: Keadm, kube_config: Path, text: str, words: str) -> None:
    status, answer = keadm("apply", "--kube-config", kube_config, "-f", "-", stdin=text)
    assert status == 1
    assert words in answer["error"]


def test_an_api_server_that_is_away_is_one_clear_line(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    server.close()
    status, answer = keadm("apply", "--kube-config", kube_config, "-f", "-", stdin=json.dumps(DEPLOYMENT))
    assert status == 1
    assert "cannot be reached" in answer["error"]
    assert "\n" not in answer["error"]


def test_what_shall_be_absent_is_deleted_once(keadm: Keadm, server: ApiServer, kube_config: Path) -> None:
    call = ("apply", "--kube-config", kube_config, "-f", "-")
    keadm(*call, stdin=json.dumps(DEPLOYMENT))
    call = ("delete", *call[1:])
    _, answer = keadm(*call, "--check", stdin=json.dumps(DEPLOYMENT))
    assert (answer["changed"], PATH in server.objects) == (True, True)
    status, answer = keadm(*call, stdin=json.dumps(DEPLOYMENT))
    assert (status, answer["objects"][0]["action"], PATH in server.objects) == (0, "deleted", False)
    writes = len(server.writes)
    _, answer = keadm(*call, stdin=json.dumps(DEPLOYMENT))
    assert (answer["changed"], answer["objects"][0]["action"]) == (False, "unchanged")
    assert len(server.writes) == writes


def test_an_object_of_a_kind_that_nobody_serves_is_absent(
    keadm: Keadm, server: ApiServer, kube_config: Path
) -> None:
    thing = {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "a"}}
    status, answer = keadm("delete", "--kube-config", kube_config, "-f", "-", stdin=json.dumps(thing))
    assert (status, answer["changed"]) == (0, False), answer
