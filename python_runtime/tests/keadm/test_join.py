"""`keadm join` up to the point where systemd would start EdgeCore; CloudCore's HTTPS port is played."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from tests.keadm.conftest import Keadm
from tests.kube.server import self_signed

from edgelab.identity import token
from edgelab.identity.ca import CertificateAuthority

TOKEN = "0123abcd.aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl"


CA = CertificateAuthority.create("KubeEdge")


def made(node: str = "", hours: float = 1) -> str:
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    return token.make(CA.cert_der, CA.key_der, expires, token_id="a" if node else "", node=node)


@pytest.fixture
def cloudcore(tmp_path: Path) -> Iterator[int]:
    """CloudCore's answer to `GET /node/<name>`: only `taken` exists."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/node/taken" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path)[1])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[str]:
    """A socket where a container runtime could be."""
    path = tmp_path / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        yield f"unix://{path}"


def words(tmp_path: Path, cloudcore: int, runtime: str, name: str = "edge7") -> list[str]:
    config = tmp_path / "edgecore.yaml"
    config.write_text(yaml.safe_dump({"edgelab": {"bootstrapFile": str(tmp_path / "token")}}))
    where = [
        "-e",
        "127.0.0.1:10000",
        "-s",
        str(cloudcore),
        "-i",
        name,
        "-p",
        runtime,
        "--config",
        str(config),
    ]
    return ["join", *where, "--node-ip", "127.0.0.1", "--label", "zone=a", "--no-start"]


def test_join_writes_settings_and_hands_the_token_over(
    keadm: Keadm, tmp_path: Path, cloudcore: int, runtime: str
) -> None:
    status, answer = keadm(*words(tmp_path, cloudcore, runtime), stdin=TOKEN + "\n")
    assert (status, answer["changed"]) == (0, True), answer
    modules = yaml.safe_load((tmp_path / "edgecore.yaml").read_text())["modules"]
    assert modules["edged"]["hostnameOverride"] == "edge7"
    assert modules["edged"]["nodeIP"] == "127.0.0.1"
    assert modules["edged"]["nodeLabels"] == {"zone": "a"}
    assert modules["edged"]["tailoredKubeletConfig"]["containerRuntimeEndpoint"] == runtime
    assert modules["edgeHub"]["websocket"]["server"] == "127.0.0.1:10000"
    assert modules["edgeHub"]["httpServer"] == f"https://127.0.0.1:{cloudcore}"
    assert (tmp_path / "token").read_text().strip() == TOKEN
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert TOKEN not in (tmp_path / "edgecore.yaml").read_text()
    assert TOKEN not in json.dumps(answer)


def test_a_name_that_is_taken_is_refused_before_anything_is_written(
    keadm: Keadm, tmp_path: Path, cloudcore: int, runtime: str
) -> None:
    status, answer = keadm(*words(tmp_path, cloudcore, runtime, "taken"), stdin=TOKEN)
    assert status == 1
    assert "a node 'taken' exists already" in answer["error"]
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize(
    "case",
    [
        ({"stdin": "not a token"}, "holds no join token"),
        ({"-p": "unix:///nowhere.sock"}, "no container runtime at /nowhere.sock"),
        ({"-s": "1"}, "CloudCore does not answer at https://127.0.0.1:1"),
        ({"-e": "cloud"}, "expected host:port"),
        ({"--label": "a b"}, "expected key=value"),
        ({"-i": "Edge_7"}, "'Edge_7' is no DNS label"),
        ({"stdin": made(node="edge8")}, "the token is for node 'edge8', and this node is to be 'edge7'"),
        ({"stdin": made(hours=-1)}, "the token expired at"),
        ({"--node-ip": "192.0.2.77"}, "--node-ip 192.0.2.77: this host has no such address"),
    ],
)
def test_what_stands_in_the_way_is_named(
    keadm: Keadm, tmp_path: Path, cloudcore: int, runtime: str, case: tuple[dict[str, str], str]
) -> None:
    change, told = case
    call = words(tmp_path, cloudcore, runtime)
    for option, value in change.items():
        if option in call:
            call[call.index(option) + 1] = value
    status, answer = keadm(*call, stdin=change.get("stdin", TOKEN))
    assert status == 1
    assert told in answer["error"]
    assert not (tmp_path / "token").exists()
