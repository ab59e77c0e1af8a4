"""`keadm kubeconfig` against an API server on a socket: whose token it writes, and when."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

from edgelab.kube.kubeconfig import load

SECRET = "/api/v1/namespaces/kube-system/secrets/reader"


def secret(token: str) -> dict[str, Any]:
    data = {"token": base64.b64encode(token.encode()).decode(), "ca.crt": "eA=="}
    return {"metadata": {"name": "reader", "namespace": "kube-system"}, "data": data}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "reader.kubeconfig"


def test_the_file_leads_to_the_same_server_as_another_user(
    keadm: Keadm, server: ApiServer, kube_config: Path, written: Path
) -> None:
    server.objects[SECRET] = secret("t0ken")
    words = ("kubeconfig", "--service-account", "kube-system/reader", "--file", written)
    status, answer = keadm(*words, "--kube-config", kube_config)
    assert (status, answer) == (0, {"changed": True, "file": str(written)})
    found = load(written)
    assert (found.server, found.token, found.key_pem) == (load(kube_config).server, "t0ken", None)
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_second_run_changes_nothing_and_another_token_is_taken(
    keadm: Keadm, server: ApiServer, kube_config: Path, written: Path
) -> None:
    words = ("kubeconfig", "--service-account", "kube-system/reader", "--file", written)
    server.objects[SECRET] = secret("one")
    changes = [keadm(*words, "--kube-config", kube_config)[1]["changed"] for _ in range(2)]
    server.objects[SECRET] = secret("two")
    told = keadm(*words, "--kube-config", kube_config, "--check")[1]["changed"]
    assert (changes, told, load(written).token) == ([True, False], True, "one")
    written.chmod(0o644)
    keadm(*words, "--kube-config", kube_config)
    assert load(written).token == "two"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_check_mode_before_there_is_an_account_tells_of_a_change(
    keadm: Keadm, kube_config: Path, written: Path
) -> None:
    words = ("kubeconfig", "--service-account", "kube-system/reader", "--file", written, "--check")
    status, answer = keadm(*words, "--kube-config", kube_config)
    assert (status, answer["changed"], written.exists()) == (0, True, False)


@pytest.mark.parametrize(
    ("account", "told"),
    [
        ("kube-system/reader", "secret kube-system/reader holds no token"),
        ("reader", "expected NAMESPACE/NAME"),
        ("a/b/c", "expected NAMESPACE/NAME"),
    ],
)
def test_an_account_that_is_not_there_is_named(
    keadm: Keadm, kube_config: Path, written: Path, account: str, told: str
) -> None:
    words = ("kubeconfig", "--service-account", account, "--file", written, "--timeout", "0.01")
    status, answer = keadm(*words, "--kube-config", kube_config)
    assert status == 1
    assert told in answer["error"]
    assert not written.exists()
