"""One HTTPS request to an admission webhook: by URL, or to the endpoints of a Service."""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.store import Key, Store

Obj = dict[str, Any]

SLICES = "discovery.k8s.io/endpointslices"
LARGEST = 8 << 20
SERVICE_NAME = "kubernetes.io/service-name"


class CallError(Exception):
    """The webhook could not be asked, or gave no proper answer."""


async def post(store: Store, hook: Obj, body: bytes) -> Any:
    """The decoded answer. Raises CallError."""
    client, seconds = hook.get("clientConfig") or {}, int(hook.get("timeoutSeconds") or 10)
    target = _target(store, client)
    separator = "&" if urlsplit(target.url).query else "?"
    shown = f"{target.url}{separator}timeout={seconds}s"
    try:
        context = _trust(client)
        connect = shown.replace(urlsplit(shown).netloc, target.address, 1) if target.address else shown
        timeout = aiohttp.ClientTimeout(total=seconds)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if target.address:
            headers["Host"] = urlsplit(shown).netloc
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                connect,
                data=body,
                ssl=context,
                headers=headers,
                server_hostname=target.name or None,
                allow_redirects=False,
            ) as response,
        ):
            answer = await response.content.read(LARGEST)
            if response.status != 200:
                text = answer.decode(errors="replace").strip()[:1000]
                raise CallError(f"failed to call webhook: the server answered {response.status}: {text}")
            return msgspec.json.decode(answer)
    except TimeoutError as error:
        text = f'failed to call webhook: Post "{shown}": context deadline exceeded'
        raise CallError(text) from error
    except (aiohttp.ClientError, OSError, ssl.SSLError, asyncio.IncompleteReadError) as error:
        raise CallError(f'failed to call webhook: Post "{shown}": {error}') from error
    except msgspec.DecodeError as error:
        raise CallError(f"failed to call webhook: {error}") from error


def _trust(client: Obj) -> ssl.SSLContext:
    bundle = base64.b64decode(client.get("caBundle") or "")
    return ssl.create_default_context(cadata=bundle.decode() if bundle else None)


class Target(NamedTuple):
    """The URL; of a Service also where to connect (`host:port`) and the name that its certificate has."""

    url: str
    address: str = ""
    name: str = ""


def _target(store: Store, client: Obj) -> Target:
    """Where a webhook is. A Service is one of its ready endpoints: the server is in no cluster network."""
    service = client.get("service")
    if service is None:
        return Target(str(client.get("url") or ""))
    name, namespace, port = service["name"], service["namespace"], int(service.get("port") or 443)
    host = f"{name}.{namespace}.svc"
    url = f"https://{host}:{port}{service.get('path') or ''}"
    failed = f'failed to call webhook: Post "{url}": '
    entry = store.head(Key("services", namespace, name))
    if entry is None:
        raise CallError(f'{failed}service "{name}" not found')
    spec = codec.decode(entry.data).get("spec") or {}
    if spec.get("type") == "ExternalName":
        return Target(url, f"{spec['externalName']}:{port}", host)
    found = next((item for item in spec.get("ports") or () if item.get("port") == port), None)
    if found is None:
        raise CallError(f'{failed}no service port {port} found for service "{name}"')
    addresses = _endpoints(store, namespace, name, found.get("name") or "")
    if not addresses:
        raise CallError(f'{failed}no endpoints available for service "{name}"')
    address, number = random.choice(addresses)  # noqa: S311 - one of several equal servers
    return Target(url, f"[{address}]:{number}" if ":" in address else f"{address}:{number}", host)


def _endpoints(store: Store, namespace: str, name: str, port: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for entry in store.heads(SLICES):
        if entry.key.namespace != namespace or entry.labels.get(SERVICE_NAME) != name:
            continue
        obj = codec.decode(entry.data)
        numbers = [int(p["port"]) for p in obj.get("ports") or () if (p.get("name") or "") == port]
        for endpoint in obj.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False and numbers:
                found += [(address, numbers[0]) for address in endpoint.get("addresses") or ()]
    return found
