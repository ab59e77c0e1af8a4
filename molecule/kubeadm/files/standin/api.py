"""A client of the Kubernetes API, by a kubeconfig or a token: standard library and YAML only."""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

STRATEGIC = "application/strategic-merge-patch+json"


class Refused(Exception):
    """The API said no; `code` is 0 where it could not be reached."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Api:
    """Requests with one identity."""

    def __init__(
        self, server: str, ca: bytes, certificate: bytes = b"", key: bytes = b"", token: str = ""
    ) -> None:
        self._server = server
        self._token = token
        self._tls = ssl.create_default_context(cadata=ca.decode())
        if certificate:
            with tempfile.NamedTemporaryFile() as file:
                file.write(certificate + key)
                file.flush()
                self._tls.load_cert_chain(file.name)

    @classmethod
    def of(cls, path: str, server: str = "") -> Api:
        """With the identity of a kubeconfig, at its server or at another one."""
        document = yaml.safe_load(Path(path).read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        if "client-certificate" in user:
            certificate, key = Path(user["client-certificate"]).read_bytes(), b""
        else:
            certificate, key = (
                base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")
            )
        ca = base64.b64decode(cluster["certificate-authority-data"])
        return cls(server or cluster["server"], ca, certificate, key)

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """One request. Raises Refused."""
        headers = {"Content-Type": kind, "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._tls) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from error
        except OSError as error:
            raise Refused(0, str(error)) from error
        return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()

    def put(self, collection: str, document: dict[str, Any]) -> None:
        """Create an object, or replace what is there under its name."""
        try:
            self.ask("POST", collection, document)
        except Refused as error:
            if error.code != 409:
                raise
            self.ask("PUT", f"{collection}/{document['metadata']['name']}", document)


def kubeconfig(server: str, ca: bytes, user: str, identity: dict[str, str]) -> str:
    """A kubeconfig in the form that kubeadm writes."""
    authority = base64.b64encode(ca).decode()
    cluster = {"server": server, "certificate-authority-data": authority}
    name = f"{user}@kubernetes"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "users": [{"name": user, "user": identity}],
            "contexts": [{"name": name, "context": {"cluster": "kubernetes", "user": user}}],
            "current-context": name,
        }
    )


def write(path: str, text: str | bytes, mode: int = 0o600) -> None:
    """A file with its folder; private unless told otherwise."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    data = text.encode() if isinstance(text, str) else text
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)


def wait(what: str, condition: Any, seconds: int = 60) -> Any:
    """What the condition gives as soon as it is something. Raises SystemExit."""
    deadline = time.monotonic() + seconds
    last = ""
    while time.monotonic() < deadline:
        try:
            found = condition()
        except Refused as error:
            found, last = None, str(error)
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"error: timed out waiting for {what}: {last}")
