"""What `keadm cert ensure`, `issue` and `rotate` do."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from edgelab.cloudcore.cloudhub.pki import (
    CA_SECRET,
    NAME,
    NODES_GROUP,
    SERVER_DAYS,
    SERVER_SECRET,
    TOKEN_SECRET,
    USER_PREFIX,
    SecretStore,
    prepare,
)
from edgelab.daemon.clock import rfc3339
from edgelab.identity import enrol, files, inspect, token
from edgelab.identity.ca import CertificateAuthority, KeyPair, encode_key, load_certificate, load_key
from edgelab.keadm import authority
from edgelab.keadm.checks import address as checked_address
from edgelab.keadm.cloud import NAMESPACE
from edgelab.keadm.report import Answer, Failure
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.settings.cloudcore import CloudHub

RESTART_CLOUDCORE = "restart CloudCore to use it"


@dataclass
class Pending:
    """An API that answers reads and keeps writes to itself, for --check."""

    api: KubeApi
    written: list[str] = field(default_factory=list)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        """As it is."""
        return await self.api.get(resource, name, namespace)

    async def create(self, _resource: Resource, obj: Obj, *_: Any, **__: Any) -> Obj:
        """Only noted."""
        self.written.append(obj["metadata"]["name"])
        return obj

    async def patch(self, _resource: Resource, name: str, patch: Any, *_: Any, **__: Any) -> Obj:
        """Only noted."""
        self.written.append(name)
        return dict(patch)


def server_request(
    addresses: list[str], names: list[str], ca_file: Path | None, ca_key_file: Path | None
) -> CloudHub:
    """The part of CloudCore's settings that its certificates follow from. Raises Failure."""
    if not addresses and not names:
        raise Failure("say which addresses edges dial: --address, --dns-name")
    if (ca_file is None) != (ca_key_file is None):
        raise Failure("--ca-file and --ca-key-file go together")
    for path in filter(None, (ca_file, ca_key_file)):
        if not path.is_file():
            raise Failure(f"there is no file {path}")
    return CloudHub(
        advertiseAddress=[checked_address(text, "--address") for text in addresses],
        dnsNames=names,
        tlsCAFile=str(ca_file or ""),
        tlsCAKeyFile=str(ca_key_file or ""),
        tlsCertFile="",
        tlsPrivateKeyFile="",
    )


async def ensure(api: KubeApi, wanted: CloudHub, *, check: bool) -> Answer:
    """Authority and server certificate as CloudCore itself would see to them."""
    store = SecretStore(api, NAMESPACE)
    before = [await _certificates(store, secret) for secret in (CA_SECRET, SERVER_SECRET)]
    pending = Pending(api)
    pki = await prepare(SecretStore(pending, NAMESPACE) if check else store, wanted)  # type: ignore[arg-type]
    certificate = load_certificate(pki.server.cert_pem)
    after = [pki.ca.cert_der, certificate.public_bytes(Encoding.DER)]
    changed = [name for name, old, new in zip(("ca", "cloudcore"), before, after, strict=True) if old != new]
    facts = inspect.facts(certificate)
    data = {
        "changed": bool(changed),
        "replaced": changed,
        "restart_needed": bool(changed),
        "addresses": facts.addresses,
        "dns_names": facts.dns_names,
        "not_after": rfc3339(facts.not_after),
        "days_left": facts.days_left(dt.datetime.now(dt.UTC)),
        "ca_hash": token.ca_hash(pki.ca.cert_der),
    }
    text = f"new: {', '.join(changed)}; {RESTART_CLOUDCORE}" if changed else "unchanged"
    return Answer(data, text)


async def _certificates(store: SecretStore, secret: str) -> bytes | None:
    data = await store.read(secret) or {}
    return data.get("cadata") or data.get("cloudcoredata")


def issue(ca: CertificateAuthority, node: str, directory: Path | None, days: int, *, check: bool) -> Answer:
    """A node's certificate and key, in files or in the answer. An existing file is not overwritten."""
    data: dict[str, Any] = {"changed": True, "node": node, "certificate": "", "key": "", "ca": ""}
    targets = {name: directory / name for name in ("ca.crt", "server.crt", "server.key")} if directory else {}
    if there := [str(path) for path in targets.values() if path.exists()]:
        raise Failure(f"{', '.join(there)}: there already; remove it or name another directory")
    if check:
        return Answer(data, f"a certificate for node {node} would be made")
    pair = ca.issue(common_name=USER_PREFIX + node, organization=NODES_GROUP, client=True, days=days)
    if directory is None:
        data |= {
            "certificate": pair.cert_pem.decode(),
            "key": pair.key_pem.decode(),
            "ca": ca.cert_pem.decode(),
        }
        return Answer(data, "")
    directory.mkdir(parents=True, exist_ok=True)
    os.chmod(directory, 0o700)
    files.write(targets["ca.crt"], ca.cert_pem)
    files.write_pair(targets["server.crt"], pair.cert_pem, targets["server.key"], pair.key_pem)
    data |= {"files": {name: str(path) for name, path in targets.items()}}
    return Answer(data, f"{directory}: ca.crt, server.crt and server.key for node {node}")


async def rotate_server(api: KubeApi, *, check: bool) -> Answer:
    """A new key and certificate for CloudCore, for the names of the present one."""
    ca = await authority.load(api)
    addresses, names = await authority.server_names(api)
    data: dict[str, Any] = {
        "changed": True,
        "restart_needed": True,
        "addresses": addresses,
        "dns_names": names,
    }
    if not check:
        pair = ca.issue(
            common_name=NAME,
            organization=NAME,
            dns_names=names,
            ip_addresses=addresses,
            server=True,
            days=SERVER_DAYS,
        )
        await SecretStore(api, NAMESPACE).write(SERVER_SECRET, _server_data(pair))
    return Answer(data, f"CloudCore has a new certificate; {RESTART_CLOUDCORE}")


def _server_data(pair: KeyPair) -> dict[str, bytes]:
    return {
        "cloudcoredata": load_certificate(pair.cert_pem).public_bytes(Encoding.DER),
        "cloudcorekeydata": encode_key(load_key(pair.key_pem), Encoding.DER),
    }


async def rotate_token(api: KubeApi, hours: int, *, check: bool) -> Answer:
    """A new shared token in `tokensecret`; it is not part of the answer."""
    ca = await authority.load(api)
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    if not check:
        fresh = token.make(ca.cert_der, ca.key_der, expires)
        await SecretStore(api, NAMESPACE).write(TOKEN_SECRET, {"tokendata": fresh.encode()})
    data = {"changed": True, "expires": rfc3339(expires)}
    return Answer(data, f"there is a new shared token, good until {rfc3339(expires)}; `keadm gettoken`")


def rotate_edge(config: Path, *, check: bool) -> Answer:
    """A new key and certificate for this host's node, proving who it is with the present one."""
    from edgelab.keadm.joining import load_settings

    if not config.exists():
        raise Failure(f"there is no {config} here: this command runs on the edge host")
    settings = load_settings(config)
    hub, node = settings.modules.edgeHub, settings.modules.edged.hostnameOverride
    request = enrol.Request(
        hub.httpServer, node, Path(hub.tlsCaFile), Path(hub.tlsCertFile), Path(hub.tlsPrivateKeyFile)
    )
    if not enrol.has_identity(request):
        raise Failure(f"{request.cert_file} holds no certificate for node {node}: it has to join first")
    if not check:
        enrol.renew(request)
    facts = inspect.facts(load_certificate(request.cert_file.read_bytes()))
    data = {
        "changed": True,
        "restart_needed": True,
        "node": node,
        "not_after": rfc3339(facts.not_after),
        "days_left": facts.days_left(dt.datetime.now(dt.UTC)),
    }
    return Answer(data, f"node {node} has a new certificate; restart EdgeCore to use it")
