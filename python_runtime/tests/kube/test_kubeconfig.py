from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgelab.daemon.errors import Fatal
from edgelab.kube import kubeconfig


def write(directory: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "work"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }
    path = directory / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def test_inline_material_and_token_are_read(tmp_path: Path) -> None:
    inline = base64.b64encode(b"PEM").decode()
    path = write(
        tmp_path,
        {"token": "t0p-secret", "client-certificate-data": inline, "client-key-data": inline},
        {"certificate-authority-data": inline, "tls-server-name": "kubernetes"},
    )
    config = kubeconfig.load(path)
    assert (config.server, config.namespace, config.tls_server_name) == (
        "https://127.0.0.1:6443",
        "work",
        "kubernetes",
    )
    assert config.ca_pem == config.certificate_pem == config.key_pem == b"PEM"
    assert config.token == "t0p-secret"
    assert "t0p-secret" not in repr(config)


def test_file_names_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    config = kubeconfig.load(write(tmp_path, {"tokenFile": "token"}, {"certificate-authority": "ca.crt"}))
    assert config.ca_pem == b"CA"
    assert config.token_file == tmp_path / "token"


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ({"exec": {"command": "aws"}}, "'exec', which is not supported"),
        ({"client-key": "nowhere.key"}, "nowhere.key: No such file"),
        ({"client-key-data": "%%%"}, "client-key-data is not base64"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, user: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Fatal, match=complaint):
        kubeconfig.load(write(tmp_path, user))


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "current-context: x", "{}"])
def test_a_file_that_is_no_kubeconfig_ends_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Fatal) as caught:
        kubeconfig.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"absent: No such file"):
        kubeconfig.load(tmp_path / "absent")


def test_a_ca_that_is_no_certificate_is_fatal(tmp_path: Path) -> None:
    config = kubeconfig.Kubeconfig(server="https://x", ca_pem=b"not a certificate")
    with pytest.raises(Fatal, match="cannot be read"):
        config.ssl_context()


def test_a_pod_finds_its_server_in_the_environment(tmp_path: Path) -> None:
    for name, text in {"ca.crt": "CA", "token": "T", "namespace": "kubeedge\n"}.items():
        (tmp_path / name).write_text(text)
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    config = kubeconfig.in_cluster(environment, tmp_path)
    assert (config.server, config.namespace, config.ca_pem) == ("https://[fd00::1]:443", "kubeedge", b"CA")
    with pytest.raises(Fatal, match="not in a cluster"):
        kubeconfig.in_cluster({}, tmp_path)
