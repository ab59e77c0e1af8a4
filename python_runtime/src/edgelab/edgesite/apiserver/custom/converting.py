"""Conversion by a webhook (`apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`)."""

from __future__ import annotations

import base64
import ipaddress
import ssl
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec

from edgelab.edgesite.apiserver.custom import pruning
from edgelab.edgesite.apiserver.refusals import NOT_FOUND
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

TIMEOUT_SECONDS = 30
KEPT = 2000
FAMILY = ("v1", "v1beta1")


class Address(NamedTuple):
    """Where a service answers."""

    host: str
    port: int


Resolve = Callable[[str, str, int], Address | None]
"""Namespace, name and port of a service to where it answers; None if there is no such service."""


class WebhookConverter:
    """Asks the webhook of one definition and remembers its latest answers."""

    def __init__(self, crd: Obj, schemas: dict[str, Node | None], resolve: Resolve) -> None:
        webhook = crd["spec"]["conversion"].get("webhook") or {}
        self._kind = crd["spec"]["names"]["kind"]
        self._config: Obj = webhook.get("clientConfig") or {}
        listed = webhook.get("conversionReviewVersions") or ()
        self._version = next((version for version in listed if version in FAMILY), "v1")
        self._schemas = schemas
        self._resolve = resolve
        self._known: OrderedDict[tuple[bytes, str], bytes] = OrderedDict()

    def knows(self, data: bytes, api_version: str) -> bool:
        """Whether `converted` has an answer."""
        return (data, api_version) in self._known

    def converted(self, data: bytes, api_version: str) -> Obj:
        """An object that `prepare` has converted before."""
        found: Obj = msgspec.json.decode(self._known[data, api_version])
        return found

    async def prepare(self, stored: list[bytes], api_version: str) -> None:
        """Have stored objects converted, so that `converted` knows them. Raises ApiError 500."""
        missing = [data for data in dict.fromkeys(stored) if not self.knows(data, api_version)]
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        if not missing:
            return
        objects = [msgspec.json.decode(data) for data in missing]
        for obj in objects:
            node = self._schemas.get(obj["apiVersion"])
            if node is not None:
                pruning.complete(obj, node)
        found = await self.convert(objects, api_version)
        for data, obj in zip(missing, found, strict=True):
            self._known[data, api_version] = msgspec.json.encode(obj)

    async def convert(self, objects: list[Obj], api_version: str) -> list[Obj]:
        """Objects in another version. Raises ApiError 500."""
        group, _, version = objects[0]["apiVersion"].partition("/")
        head = f"conversion webhook for {group}/{version}, Kind={self._kind}"
        try:
            found = await self._ask(objects, api_version)
        except _Refused as error:
            raise _failure(f"{head} failed: {error}") from error
        if len(found) != len(objects):
            raise _failure(f"{head} returned {len(found)} objects, expected {len(objects)}")
        for old, new in zip(objects, found, strict=True):
            try:
                _accept(old, new, api_version)
            except _Refused as error:
                raise _failure(f"{head} returned invalid {error}") from error
        return found

    async def _ask(self, objects: list[Obj], api_version: str) -> list[Any]:
        uid, api = str(uuid.uuid4()), f"apiextensions.k8s.io/{self._version}"
        review = {
            "kind": "ConversionReview",
            "apiVersion": api,
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
            "response": {"uid": "", "convertedObjects": None, "result": {"metadata": {}}},
        }
        answer = await self._post(review)
        if answer.get("apiVersion") != api or answer.get("kind") != "ConversionReview":
            got = f"{answer.get('apiVersion') or ''}, Kind={answer.get('kind') or ''}"
            raise _Refused(f"expected webhook response of {api}, Kind=ConversionReview, got {got}")
        response = answer.get("response")
        if not isinstance(response, dict):
            raise _Refused("no response provided")
        if response.get("uid") != uid:
            raise _Refused(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
        result = response.get("result") or {}
        if result.get("status") != "Success":
            text = result.get("message") or f"response.result.status was '{result.get('status') or ''}'"
            wanted = "" if result.get("message") else ", not 'Success'"
            raise _Refused(f"{text}{wanted}")
        return list(response.get("convertedObjects") or ())

    async def _post(self, review: Obj) -> Obj:
        url, host, name = self._target()
        shown = f'Post "{url}?timeout={TIMEOUT_SECONDS}s"'
        if host is None:
            raise _Refused(f'{shown}: service "{name}" not found')
        context = ssl.create_default_context(cadata=self._bundle())
        parts = urlsplit(url)
        target = f"https://{_bracketed(host.host)}:{host.port}{parts.path}?timeout={TIMEOUT_SECONDS}s"
        connector = aiohttp.TCPConnector(ssl=context)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Host": parts.netloc}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.post(
                    target,
                    data=msgspec.json.encode(review),
                    headers=headers,
                    server_hostname=parts.hostname if name else None,
                ) as response,
            ):
                body = await response.read()
                if response.status >= 400:
                    raise _Refused(_refusal(response.status))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Refused(f"{shown}: {_network(error, host)}") from error
        try:
            found = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise _Refused(str(error)) from error
        if not isinstance(found, dict):
            raise _Refused("no response provided")
        return found

    def _bundle(self) -> str | None:
        found = self._config.get("caBundle")
        return base64.b64decode(found).decode() if found else None

    def _target(self) -> tuple[str, Address | None, str]:
        """The URL, where to connect, and the service's name if it is one."""
        service = self._config.get("service")
        if service is None:
            url = self._config.get("url") or ""
            parts = urlsplit(url)
            return url, Address(parts.hostname or "", parts.port or 443), ""
        name, namespace, port = service["name"], service["namespace"], service.get("port", 443)
        path = "/" + (service.get("path") or "").lstrip("/")
        return f"https://{name}.{namespace}.svc:{port}{path}", self._resolve(namespace, name, port), name


class _Refused(Exception):
    """The webhook did not do what it should."""


def _failure(text: str) -> ApiError:
    return ApiError(500, text, reason="")


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host


def _network(error: BaseException, host: Address) -> str:
    """What went wrong, as Go's net package says it."""
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return f"dial tcp {_bracketed(host.host)}:{host.port}: connect: connection refused"
    return str(error)


def _refusal(status: int) -> str:
    words = {
        404: NOT_FOUND,
        500: 'an error on the server ("") has prevented the request from succeeding',
    }
    return words.get(
        status, f"the server responded with the status code {status} but did not return more information"
    )


def _accept(old: Obj, new: Any, api_version: str) -> None:
    """Check a converted object and put back its metadata. Raises _Refused."""
    if not isinstance(new, dict):
        raise _Refused("object: Object 'Kind' is missing")
    for field, wanted in (("apiVersion", api_version), ("kind", old["kind"])):
        if new.get(field) != wanted:
            name = {"apiVersion": "groupVersion"}.get(field, field)
            got = new.get(field) or ""
            raise _Refused(f"object at index 0: invalid {name} (expected {wanted}, received {got})")
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise _Refused("metadata: missing metadata in converted object")
    for field, name in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        mine, theirs = old["metadata"].get(field) or "", metadata.get(field) or ""
        if mine != theirs:
            raise _Refused(f"object: must have the same {name}: {mine} != {theirs}")
    kept = dict(old["metadata"])
    for field in ("labels", "annotations"):
        kept.pop(field, None)
        if metadata.get(field) is not None:
            kept[field] = metadata[field]
    new["metadata"] = kept
    order = {"apiVersion": new.pop("apiVersion"), "kind": new.pop("kind")}
    rest = dict(new)
    new.clear()
    new.update({**order, **rest})
