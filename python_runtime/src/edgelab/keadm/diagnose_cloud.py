"""`keadm diagnose cloud`: configuration, certificates and join token of this cloud host, then the cluster."""

from __future__ import annotations

import base64
import datetime as dt
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.keadm.cluster import call
from edgelab.keadm.diagnose_cluster import CODES as CLUSTER_CODES
from edgelab.keadm.diagnose_cluster import Cluster, judge, read
from edgelab.keadm.diagnose_findings import Finding, configuration, expiry, failed, ok, unknown
from edgelab.keadm.diagnose_node import Now, signed_by, utc_now

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from edgelab.kube.interface import KubeApi

API, SAN, EXPIRY, CA, TOKEN = (
    "CLOUD-API",
    "CLOUD-CERT-SAN",
    "CLOUD-CERT-EXPIRY",
    "CLOUD-CERT-CA",
    "CLOUD-TOKEN",
)
NAMESPACE, CA_SECRET, TOKEN_SECRET = "kubeedge", "casecret", "tokensecret"
CONNECT_SECONDS = 3
RENEW = "kubectl -n kubeedge delete secret cloudcoresecret; systemctl restart cloudcore: it makes a new one"


@dataclass(frozen=True, slots=True)
class Request:
    """What to look at: `addresses` are those that edge nodes use, `nodes` those that there have to be."""

    config: Path
    kube_config: Path
    port: int
    addresses: list[str]
    nodes: list[str]
    cluster: bool


def diagnose(request: Request, now: Now = utc_now) -> tuple[list[Finding], dict[str, Any]]:
    """All findings; settings are not needed outside."""
    from edgelab.settings.cloudcore import PROGRAM

    findings, settings = configuration("CLOUD", PROGRAM, request.config)
    shown = shown_certificate(request.port)
    api, secrets, cluster = ask_api(request)
    findings.append(api)
    findings += names(shown, request.addresses)
    authority = secrets.get(CA_SECRET, {}).get("cadata", b"")
    findings += validity(shown, authority, now())
    if secrets:
        findings.append(token(secrets.get(TOKEN_SECRET, {}).get("tokendata", b""), authority, now()))
    else:
        findings += unknown((TOKEN,), "the secrets cannot be read")
    if cluster is not None:
        findings += judge(cluster, request.nodes, now())
    elif request.cluster:
        findings += unknown(CLUSTER_CODES, "the API server does not answer")
    return findings, {"configured": settings is not None}


Secrets = dict[str, dict[str, bytes]]


def ask_api(request: Request) -> tuple[Finding, Secrets, Cluster | None]:
    """Whether the API server answers, CloudCore's secrets, and the cluster."""
    from edgelab.daemon.errors import Fatal, Unreachable
    from edgelab.objects.status import ApiError

    if not request.kube_config.exists():
        text = f"{request.kube_config} is not there: there is no control plane yet"
        return unknown((API,), text)[0], {}, None

    async def work(api: KubeApi) -> tuple[Secrets, Cluster | None]:
        secrets = {name: await secret(api, name) for name in (CA_SECRET, TOKEN_SECRET)}
        return secrets, await read(api) if request.cluster else None

    try:
        secrets, cluster = call(request.kube_config, work)
    except (ApiError, Fatal, Unreachable) as error:
        fix = (
            "systemctl status edgesite (or kubelet, with kubeadm) on the control plane; when it runs, the "
            f"kubeconfig {request.kube_config} is not of this cluster: fetch it anew"
        )
        return failed(API, str(error), fix), {}, None
    return ok(API, "the API server answers"), secrets, cluster


async def secret(api: KubeApi, name: str) -> dict[str, bytes]:
    """A Secret's data; empty when it is not there."""
    from edgelab.kube.resources import SECRETS
    from edgelab.objects.status import ApiError

    try:
        found = await api.get(SECRETS, name, NAMESPACE)
    except ApiError as error:
        if error.code == 404:
            return {}
        raise
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


def shown_certificate(port: int) -> Certificate | None:
    """The certificate that CloudCore shows on this host; None when it does not answer."""
    import socket

    from edgelab.identity.ca import load_certificate

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is what is being examined
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS)
        with plain, context.wrap_socket(plain) as channel:
            shown = channel.getpeercert(binary_form=True)
    except (OSError, ssl.SSLError):
        return None
    return load_certificate(shown) if shown else None


def names(shown: Certificate | None, wanted: list[str]) -> list[Finding]:
    """Whether the certificate names every address in use."""
    from cryptography import x509

    if shown is None:
        return unknown((SAN,), "CloudCore does not answer on this host")
    try:
        extension = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        listed = []
    else:
        listed = [str(name.value).lower() for name in extension]
    lacking = [name for name in wanted if name.lower() not in listed]
    if not lacking:
        return [ok(SAN, f"names {', '.join(listed)}")]
    fix = "add {} to cloudcore_advertise_addresses or cloudcore_dns_names and run site.yml --tags cloudcore"
    text = f"the certificate is for {', '.join(listed) or 'no address'}"
    return [failed(SAN, text, fix.format(name), name) for name in lacking]


def validity(shown: Certificate | None, authority_der: bytes, now: dt.datetime) -> list[Finding]:
    """How long certificate and CA are good, and whether they belong together."""
    from edgelab.identity.ca import load_certificate

    findings = []
    if shown is not None:
        findings.append(expiry(EXPIRY, "CloudCore's certificate", shown.not_valid_after_utc, now, RENEW))
    if authority_der:
        authority = load_certificate(authority_der)
        fix = (
            "make a new CA (delete Secret kubeedge/casecret, restart CloudCore) and let every node join again"
        )
        findings.append(expiry(EXPIRY, "the CA", authority.not_valid_after_utc, now, fix))
        if shown is not None:
            good = signed_by(shown, authority)
            text = "CloudCore's certificate is signed by the CA in Secret casecret"
            wrong = failed(CA, "CloudCore shows a certificate of another CA than Secret casecret's", RENEW)
            return [*findings, ok(CA, text) if good else wrong]
    codes = (CA,) if findings else (EXPIRY, CA)
    return [*findings, *unknown(codes, "CloudCore does not answer, or its CA cannot be read")]


def token(data: bytes, authority_der: bytes, now: dt.datetime) -> Finding:
    """The token with which nodes join."""
    from edgelab.identity.token import TokenError, ca_hash, split
    from edgelab.identity.token import expiry as ends

    fix = "kubectl -n kubeedge delete secret tokensecret; systemctl restart cloudcore: it makes a new one"
    if not data:
        return failed(TOKEN, "there is no join token", "systemctl restart cloudcore, which makes one")
    text = data.decode("ascii", "replace")
    end = ends(text)
    try:
        of_this_ca = not authority_der or split(text).ca_hash == ca_hash(authority_der)
    except TokenError:
        of_this_ca = False
    if end is None or not of_this_ca:
        return failed(TOKEN, "the join token is malformed or of another CA", fix)
    if end <= now:
        return failed(TOKEN, f"the join token expired on {end:%Y-%m-%d %H:%M} UTC", fix)
    return ok(TOKEN, f"the join token is good for {(end - now) / dt.timedelta(hours=1):.0f} hours")
