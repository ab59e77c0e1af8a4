"""CloudHub's certificate authority, server certificate and join token, kept as Secrets.

Facts: KubeEdge `cloud/pkg/cloudhub/servers/httpserver` (docs/reference/protocol.md): Secrets `casecret`
(`cadata`, `cakeydata`), `cloudcoresecret` (`cloudcoredata`, `cloudcorekeydata`), both DER, and
`tokensecret` (`tokendata`). Local files named in the settings win over Secrets; what is used is
written back to the Secrets.
Better than the original: the server certificate is made anew when the advertised addresses change,
and renewing the token survives errors of the API.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.identity import token
from edgelab.identity.ca import CertificateAuthority, KeyPair, encode_key, load_certificate, load_key
from edgelab.identity.inspect import alternative_names
from edgelab.identity.inspect import missing as missing_names
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import NAMESPACES, SECRETS
from edgelab.objects.status import ApiError
from edgelab.settings.cloudcore import CloudHub as Settings

log = logging.getLogger("edgelab.cloudcore.pki")

NAME = "KubeEdge"
USER_PREFIX = "system:node:"
NODES_GROUP = "system:nodes"
CA_SECRET, SERVER_SECRET, TOKEN_SECRET = "casecret", "cloudcoresecret", "tokensecret"
SERVER_DAYS = 100 * 364
RENEW_BEFORE = dt.timedelta(days=30)
"""A stored server certificate that ends sooner is made anew when CloudCore starts."""

CHECK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Pki:
    """The authority and the certificate that CloudHub shows."""

    ca: CertificateAuthority
    server: KeyPair


class SecretStore:
    """Secrets of one namespace, as bytes."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def read(self, name: str) -> dict[str, bytes] | None:
        """The Secret's data, or None."""
        try:
            secret = await self._api.get(SECRETS, name, self._namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}

    async def write(self, name: str, data: dict[str, bytes]) -> None:
        """Create the Secret or change its data, if it differs."""
        present = await self.read(name)
        if present is not None and all(present.get(key) == value for key, value in data.items()):
            return
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        if present is not None:
            await self._api.patch(SECRETS, name, {"data": encoded}, self._namespace)
            return
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": name, "namespace": self._namespace},
            "data": encoded,
        }
        await self._api.create(SECRETS, body, self._namespace)

    async def ensure_namespace(self) -> None:
        """Create the namespace when it is missing."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        try:
            await self._api.get(NAMESPACES, self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            try:
                await self._api.create(NAMESPACES, body)
            except ApiError as refused:
                if refused.code != 409:
                    raise


async def prepare(secrets: SecretStore, hub: Settings, clock: Clock = SYSTEM) -> Pki:
    """The authority and the server's certificate: from files, from Secrets, or new ones. Raises Fatal."""
    await secrets.ensure_namespace()
    ca = await _authority(secrets, hub, clock)
    start, end = ca.certificate.not_valid_before_utc, ca.certificate.not_valid_after_utc
    now = clock.now()
    if not start <= now <= end:
        raise Fatal(
            f"the certificate authority is valid from {_text(start)} to {_text(end)}, and this machine's"
            f" clock says {_text(now)}; set the clock, or replace the authority"
        )
    return Pki(ca, await _server(secrets, hub, ca, now))


class TokenKeeper:
    """A module: keeps a join token in `tokensecret` that is good for at least `hours` more."""

    name = "cloudhub/token"

    def __init__(
        self, secrets: SecretStore, ca: CertificateAuthority, hours: int, clock: Clock = SYSTEM
    ) -> None:
        self._secrets = secrets
        self._ca = ca
        self._hours = dt.timedelta(hours=hours)
        self._clock = clock

    async def run(self) -> None:
        """Renew until cancelled; an error of the API only delays."""
        delays = backoff.delays(1.0, CHECK_SECONDS)
        while True:
            try:
                await self.renew()
                delays = backoff.delays(1.0, CHECK_SECONDS)
                await self._clock.sleep(CHECK_SECONDS)
            except (ApiError, Unreachable) as error:
                log.warning("the join token could not be renewed: %s; trying again", error)
                await self._clock.sleep(next(delays))

    async def renew(self) -> None:
        """Put a new token there, unless the present one is good for long enough."""
        data = await self._secrets.read(TOKEN_SECRET) or {}
        present = data.get("tokendata", b"").decode("ascii", "replace")
        now = self._clock.now()
        if self._good_until(present, now) >= now + self._hours:
            return
        fresh = token.make(self._ca.cert_der, self._ca.key_der, now + 2 * self._hours)
        await self._secrets.write(TOKEN_SECRET, {"tokendata": fresh.encode()})
        log.info("a new join token was made; `keadm gettoken` shows it")

    def _good_until(self, text: str, now: dt.datetime) -> dt.datetime:
        try:
            parts = token.split(text)
            if parts.ca_hash != token.ca_hash(self._ca.cert_der):
                return now
            return token.verify(parts.jwt, self._ca.key_der, now).expires
        except token.TokenError:
            return now


async def _authority(secrets: SecretStore, hub: Settings, clock: Clock) -> CertificateAuthority:
    pair = _local_pair(Path(hub.tlsCAFile), Path(hub.tlsCAKeyFile), "modules.cloudHub.tlsCAFile")
    if pair is not None:
        ca = _load_authority(*pair, f"{hub.tlsCAFile} and {hub.tlsCAKeyFile}", clock)
    else:
        stored = await _stored_authority(secrets, clock)
        if stored is not None:
            return stored
        ca = CertificateAuthority.create(NAME, clock.now)
        log.info("made a new certificate authority")
    data = {"cadata": ca.cert_der, "cakeydata": ca.key_der}
    try:
        await secrets.write(CA_SECRET, data)
    except ApiError as error:
        other = await _stored_authority(secrets, clock) if error.code == 409 else None
        if other is None:
            raise
        return other
    return ca


async def _stored_authority(secrets: SecretStore, clock: Clock) -> CertificateAuthority | None:
    data = await secrets.read(CA_SECRET)
    if data is None:
        return None
    source = f"Secret {CA_SECRET}"
    if "cadata" not in data or "cakeydata" not in data:
        raise Fatal(f"{source} has no cadata or no cakeydata; delete it to have a new authority made")
    return _load_authority(data["cadata"], data["cakeydata"], source, clock)


def _load_authority(cert: bytes, key: bytes, source: str, clock: Clock) -> CertificateAuthority:
    try:
        return CertificateAuthority.load(cert, key, clock.now)
    except ValueError as error:
        raise Fatal(f"the certificate authority in {source} cannot be used: {error}") from None


async def _server(secrets: SecretStore, hub: Settings, ca: CertificateAuthority, now: dt.datetime) -> KeyPair:
    names = [name for name in hub.dnsNames if name]
    addresses = list(hub.advertiseAddress)
    where = "modules.cloudHub.tlsCertFile"
    local = _local_pair(Path(hub.tlsCertFile), Path(hub.tlsPrivateKeyFile), where)
    if local is not None:
        pair = _pem_pair(*local, source=hub.tlsCertFile)
        missing = missing_names(load_certificate(pair.cert_pem), hub.advertiseAddress, names)
        if missing:
            log.warning(
                "%s does not name %s; edges that dial it will refuse us", hub.tlsCertFile, ", ".join(missing)
            )
    else:
        pair = await _stored_server(secrets, ca, addresses, names, now) or ca.issue(
            common_name=NAME,
            organization=NAME,
            dns_names=names,
            ip_addresses=addresses,
            server=True,
            days=SERVER_DAYS,
        )
    certificate, key = load_certificate(pair.cert_pem), load_key(pair.key_pem)
    await secrets.write(
        SERVER_SECRET,
        {
            "cloudcoredata": certificate.public_bytes(serialization.Encoding.DER),
            "cloudcorekeydata": encode_key(key, serialization.Encoding.DER),
        },
    )
    return pair


async def _stored_server(
    secrets: SecretStore,
    ca: CertificateAuthority,
    addresses: list[str],
    names: list[str],
    now: dt.datetime,
) -> KeyPair | None:
    """The stored pair, if it can be used: ours, valid, and naming every address that edges dial.

    A name that only the stored one has goes into the next one too (`addresses` and `names` grow): several
    CloudCores share it, each knowing its own addresses, and must not take turns in replacing it.
    """
    data = await secrets.read(SERVER_SECRET)
    if data is None:
        return None
    try:
        pair = _pem_pair(data["cloudcoredata"], data["cloudcorekeydata"], source=SERVER_SECRET)
        certificate = load_certificate(pair.cert_pem)
        certificate.verify_directly_issued_by(ca.certificate)
    except Exception as error:  # whatever is wrong with it, the answer is a new one
        log.warning("the stored server certificate cannot be used (%s); making a new one", error)
        return None
    missing = missing_names(certificate, addresses, names)
    if missing:
        for wanted, known in zip((addresses, names), alternative_names(certificate), strict=True):
            wanted += [name for name in known if name not in wanted]
        log.info("the server certificate does not name %s; making a new one", ", ".join(missing))
        return None
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - RENEW_BEFORE:
        log.info("the server certificate ends %s; making a new one", _text(certificate.not_valid_after_utc))
        return None
    return pair


def _local_pair(cert: Path, key: Path, where: str) -> tuple[bytes, bytes] | None:
    found = [path for path in (cert, key) if str(path) != "." and path.is_file()]
    if not found:
        return None
    if len(found) == 1:
        other = key if found[0] == cert else cert
        raise Fatal(f"{found[0]} is there, but {other} is not ({where}); provide both files or neither")
    try:
        return cert.read_bytes(), key.read_bytes()
    except OSError as error:
        raise Fatal(f"{error.filename}: {error.strerror} ({where})") from None


def _pem_pair(cert: bytes, key: bytes, *, source: str) -> KeyPair:
    try:
        certificate, private = load_certificate(cert), load_key(key)
        if certificate.public_key() != private.public_key():
            raise ValueError("the key does not belong to the certificate")
    except ValueError as error:
        raise Fatal(f"the server certificate in {source} cannot be used: {error}") from None
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), encode_key(private))


def _text(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
