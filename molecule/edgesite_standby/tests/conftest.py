"""The site as its clients see it, on whichever box: requests of the administrator, and load."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
TIMEOUT = 2.0
WRITERS = 4


class Site:
    """Boxes that share a CA and an administrator: what a kubeconfig of any of them opens on all."""

    def __init__(self, kubeconfig: str, scratch: Path) -> None:
        user, cluster = (yaml.safe_load(kubeconfig)[part][0] for part in ("users", "clusters"))
        pem = scratch / "admin.pem"
        parts = (user["user"][f"client-{what}-data"] for what in ("certificate", "key"))
        pem.touch(mode=0o600)
        pem.write_bytes(b"".join(base64.b64decode(part) for part in parts))
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
        self._admin = ssl.create_default_context(cadata=authority)
        self._admin.load_cert_chain(pem)
        self._nobody = ssl.create_default_context(cadata=authority)

    def connection(self, address: str, *, admin: bool = True) -> http.client.HTTPSConnection:
        """A connection to a box."""
        context = self._admin if admin else self._nobody
        return http.client.HTTPSConnection(address, 6443, timeout=TIMEOUT, context=context)

    def get(self, address: str, path: str, token: str = "") -> tuple[int, bytes]:
        """Status and body; (0, b"") when nobody answers. As the administrator, or by a token."""
        connection = self.connection(address, admin=not token)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def load(self, address: str, name: str) -> Load:
        """Load on a box, by a name that what is written begins with."""
        return Load(self, address, name)

    def first_answer(self, address: str) -> FirstAnswer:
        """A look-out for the first answer of a box."""
        return FirstAnswer(self, address)

    def names(self, address: str) -> set[str]:
        """Names of the config maps of a box."""
        status, body = self.get(address, CONFIGMAPS)
        assert status == 200
        return {item["metadata"]["name"] for item in json.loads(body)["items"]}

    def metric(self, address: str, name: str) -> float | None:
        """The first sample of a metric."""
        lines = self.get(address, "/metrics")[1].decode().splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name)), None)


class Load:
    """Writes config maps to a box from several connections, until it is stopped or the box is gone."""

    def __init__(self, site: Site, address: str, name: str) -> None:
        self.acknowledged: dict[str, float] = {}
        self._site, self._address, self._name = site, address, name
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        connection, number = self._site.connection(self._address), 0
        while not self._stopping.is_set():
            name, number = f"{self._name}-{writer}-{number}", number + 1
            body = json.dumps({"metadata": {"name": name}, "data": {"text": "x" * 200}})
            try:
                connection.request("POST", CONFIGMAPS, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                break
            if answer.status == 201:
                self.acknowledged[name] = time.monotonic()
        connection.close()


class FirstAnswer:
    """When a box first answered a request of the API, seen from outside."""

    def __init__(self, site: Site, address: str) -> None:
        self.at: float | None = None
        self._site, self._address = site, address
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> FirstAnswer:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopping.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopping.wait(0.05):
            if self._site.get(self._address, CONFIGMAPS + "?limit=1")[0] == 200:
                self.at = time.monotonic()
                return


@pytest.fixture(scope="module")
def site(machine: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site, as the administrator's kubeconfig of the first box opens it."""
    kubeconfig = machine("cloud").file("/etc/edgelab/admin.kubeconfig").content_string
    return Site(kubeconfig, tmp_path_factory.mktemp("admin"))
