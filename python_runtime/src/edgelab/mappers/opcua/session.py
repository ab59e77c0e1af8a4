"""One session with a server, which devices of the same endpoint share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from edgelab.mappers.opcua.config import Endpoint
from edgelab.mappers.sdk.driver import BadValue

T = TypeVar("T")


class Session:
    """Connects when it is needed, and anew after the connection was lost. Raises OSError and LookupError."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: Any = None
        self._turn = asyncio.Lock()

    async def connect(self) -> None:
        """Be connected."""
        async with self._turn:
            await self._connected()

    async def find(self, node_id: str, path: str) -> Any:
        """A node by its id, or by a path of browse names such as `2:Boiler/2:Level`."""

        async def work(client: Any) -> Any:
            from asyncua import ua  # noqa: PLC0415 - the library is an extra

            if not node_id:
                return await client.nodes.objects.get_child(path.strip("/").split("/"))
            try:
                return client.get_node(node_id)
            except (ua.UaError, ValueError, TypeError):
                raise ValueError(f"configData.nodeID: {node_id!r}: expected one like ns=2;s=Level") from None

        return (await self._do(work)).nodeid

    async def kind(self, node: Any) -> Any:
        """The variant type of a node's data type."""
        return await self._do(lambda client: client.get_node(node).read_data_type_as_variant_type())

    async def read(self, nodes: Sequence[Any]) -> list[Any]:
        """Values of several nodes by one request; a LookupError in the place of each that has none."""

        async def work(client: Any) -> list[Any]:
            from asyncua import ua  # noqa: PLC0415 - the library is an extra

            found = await client.uaclient.read_attributes(list(nodes), ua.AttributeIds.Value)
            return [_value(item) for item in found]

        return await self._do(work)

    async def write(self, node: Any, value: Any, kind: Any) -> None:
        """Write a value of the node's own type. Raises BadValue when the server does not take it."""

        async def work(client: Any) -> None:
            from asyncua import ua  # noqa: PLC0415 - the library is an extra

            try:
                await client.get_node(node).write_value(ua.DataValue(ua.Variant(value, kind)))
            except (
                ua.uaerrors.BadOutOfRange,
                ua.uaerrors.BadTypeMismatch,
                ua.uaerrors.BadNotWritable,
            ) as bad:
                raise BadValue(f"the server refuses it: {_text(bad)}") from None
            except ua.uaerrors.BadUserAccessDenied as bad:
                raise BadValue(f"the server refuses it: {_text(bad)}") from None

        await self._do(work)

    async def close(self) -> None:
        """Log off, if the server is still there."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self._endpoint.timeout):
                    await client.disconnect()

    async def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        from asyncua import ua  # noqa: PLC0415 - the library is an extra

        async with self._turn:
            client = await self._connected()
            try:
                async with asyncio.timeout(self._endpoint.timeout + 0.5):
                    return await work(client)
            except (
                ua.uaerrors.BadNodeIdUnknown,
                ua.uaerrors.BadNoMatch,
                ua.uaerrors.BadNodeIdInvalid,
            ) as bad:
                raise LookupError(_text(bad)) from None
            except ua.UaError as bad:
                await self.close()
                raise OSError(_text(bad)) from None
            except (OSError, asyncio.CancelledError):
                await self.close()
                raise

    async def _connected(self) -> Any:
        from asyncua import ua  # noqa: PLC0415 - the library is an extra

        if self._client is not None:
            return self._client
        try:
            async with asyncio.timeout(self._endpoint.timeout * 2):
                client = await _prepared(self._endpoint)
                await _opened(client)
        except ua.UaError as bad:
            raise OSError(f"{self._endpoint.url}: {_text(bad)}") from None
        except TimeoutError:
            raise OSError(f"{self._endpoint.url}: no answer") from None
        self._client = client
        return client


async def _prepared(endpoint: Endpoint) -> Any:
    from asyncua import Client, ua  # noqa: PLC0415 - the library is an extra
    from asyncua.crypto import security_policies  # noqa: PLC0415

    client = Client(endpoint.url, timeout=endpoint.timeout)
    client.name = client.description = "edgelab-opcua-mapper"
    if endpoint.policy != "None":
        client.application_uri = _application_uri(endpoint.certificate) or client.application_uri
        await client.set_security(
            getattr(security_policies, f"SecurityPolicy{endpoint.policy}"),
            endpoint.certificate,
            endpoint.key,
            server_certificate=endpoint.server_certificate or None,
            mode=getattr(ua.MessageSecurityMode, endpoint.mode),
        )
    if endpoint.user:
        client.set_user(endpoint.user)
        client.set_password(endpoint.password)
    return client


async def _opened(client: Any) -> None:
    """Connect and log on; asyncua leaves the connection open when that is cancelled."""
    try:
        await client.connect()
    except BaseException:
        client.disconnect_socket()
        raise


def _application_uri(path: str) -> str:
    """The application's URI in a certificate, which a server compares (OPC 10000-6, 6.2.2)."""
    from cryptography import x509  # noqa: PLC0415 - only secured sessions

    with open(path, "rb") as file:
        data = file.read()
    load = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
    try:
        names = load(data).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), "")


def _value(item: Any) -> Any:
    status = item.StatusCode
    if status is not None and not status.is_good():
        return LookupError(f"the server says {status.name}")
    return item.Value.Value if item.Value is not None else None


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
