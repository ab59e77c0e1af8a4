"""CloudCore with QUIC in its settings: what it binds, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import socket

import pytest

from edgelab.cloudcore import environment
from edgelab.cloudcore.cloudhub.tls import bind
from edgelab.daemon.errors import Fatal
from edgelab.settings.cloudcore import CloudCore

ALONE = "127.77.0.1"
"""An address of this machine at which no other test has ports."""


@pytest.fixture
def settings() -> CloudCore:
    settings = CloudCore()
    hub = settings.modules.cloudHub
    for listener in (hub.websocket, hub.https, hub.quic):
        listener.address, listener.port = "127.0.0.1", 0
    settings.commonConfig.monitorServer.bindAddress = "127.0.0.1:0"
    settings.edgelab.webhooks.enable = False
    return settings


def bound(settings: CloudCore) -> list[bool]:
    """Whether there is a WebSocket and a QUIC socket."""
    sockets = environment.bind_all(settings)
    found = [sockets.nodes is not None, sockets.quic is not None]
    for sock in (sockets.nodes, sockets.bootstrap, sockets.monitor, sockets.quic):
        if sock is not None:
            sock.close()
    return found


@pytest.mark.parametrize(("websocket", "quic"), [(True, False), (False, True), (True, True)])
def test_what_is_enabled_is_bound(settings: CloudCore, websocket: bool, quic: bool) -> None:
    settings.modules.cloudHub.websocket.enable = websocket
    settings.modules.cloudHub.quic.enable = quic
    assert bound(settings) == [websocket, quic]


def test_without_its_package_it_says_what_to_install(
    settings: CloudCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert bound(settings) == [True, False]
    settings.modules.cloudHub.quic.enable = True
    with pytest.raises(Fatal, match=r"modules\.cloudHub\.quic\.enable needs .* pip install 'aioquic"):
        environment.bind_all(settings)


def test_a_udp_port_that_is_taken_is_named() -> None:
    with bind(ALONE, 0, "one", socket.SOCK_DGRAM) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=rf"port {port}/udp .* is taken: other cannot listen.*ss -lunp"):
            bind(ALONE, port, "other", socket.SOCK_DGRAM)
        with bind(ALONE, port, "tcp"):
            pass  # TCP has ports of its own
