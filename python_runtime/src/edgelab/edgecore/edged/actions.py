"""What a probe or a lifecycle hook does once: a command, an HTTP request, a connection, a gRPC health call.

Texts are the kubelet's (`pkg/probe/*`), because they end up in events that users search for.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.edgecore.edged import httpget
from edgelab.edgecore.edged.state import Container

Obj = dict[str, Any]

OUTPUT_LIMIT = 10 * 1024
"""Bytes of a command's output that are told."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went, and what there is to say; `warning` is a success with a remark (a refused redirect)."""

    good: bool
    text: str = ""
    warning: bool = False


class CannotTell(Exception):
    """The action could not be done at all, so it says nothing about the container."""


@dataclass(frozen=True, slots=True)
class Target:
    """A container as actions reach it: its description, the running one, and the pod's address."""

    spec: Obj
    container: Container
    ip: str


async def probe(runtime: Runtime, target: Target, action: Obj, limit: float) -> Outcome:
    """One probe, in `limit` seconds. Raises CannotTell, RuntimeUnreachable."""
    if "exec" in action:
        return await command(runtime, target, action["exec"].get("command") or [], limit)
    if "httpGet" in action:
        return await _http(target, action["httpGet"], limit)
    if "tcpSocket" in action:
        return await _tcp(target, action["tcpSocket"], limit)
    if "grpc" in action:
        return await _grpc(target, action["grpc"], limit)
    raise CannotTell("missing probe handler")


async def command(runtime: Runtime, target: Target, words: list[str], limit: float) -> Outcome:
    """A command in the container. Raises CannotTell when the runtime cannot run it at all."""
    seconds = max(1, round(limit))
    try:
        result = await runtime.exec_sync(target.container.id, words, seconds)
    except CriError as error:
        if error.code == "DEADLINE_EXCEEDED":
            return Outcome(False, f'command "{" ".join(words)}" timed out after {seconds}s')
        raise CannotTell(error.message) from None
    output = (result.stdout + result.stderr)[:OUTPUT_LIMIT].decode(errors="replace")
    return Outcome(result.exit_code == 0, output)


async def _http(target: Target, wanted: Obj, limit: float) -> Outcome:
    try:
        request = httpget.request(wanted, target.ip, port_number(wanted["port"], target.spec))
    except ValueError as error:
        raise CannotTell(str(error)) from None
    try:
        async with asyncio.timeout(limit):
            answer = await httpget.get(request)
    except TimeoutError:
        text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{request.url}": {text}')
    except OSError as error:
        return Outcome(False, f'Get "{request.url}": dial tcp {request.where}: {dial(error)}')
    except (ValueError, asyncio.IncompleteReadError) as error:
        return Outcome(False, f'Get "{request.url}": {error}')
    if answer.elsewhere:
        return Outcome(True, f"Probe terminated redirects, Response body: {answer.body}", warning=True)
    good = 200 <= answer.status < 400
    return Outcome(good, answer.body if good else f"HTTP probe failed with statuscode: {answer.status}")


async def _tcp(target: Target, wanted: Obj, limit: float) -> Outcome:
    host = wanted.get("host") or target.ip
    try:
        port = port_number(wanted["port"], target.spec)
    except ValueError as error:
        raise CannotTell(str(error)) from None
    where = httpget.join(host, port)
    try:
        async with asyncio.timeout(limit):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {where}: i/o timeout")
    except OSError as error:
        return Outcome(False, f"dial tcp {where}: {dial(error)}")
    writer.close()
    return Outcome(True)


async def _grpc(target: Target, wanted: Obj, limit: float) -> Outcome:
    from edgelab.edgecore.edged import grpchealth  # noqa: PLC0415 - only when a pod has such a probe

    serving, text = await grpchealth.check(
        target.ip, int(wanted["port"]), str(wanted.get("service") or ""), limit
    )
    return Outcome(serving, text)


def port_number(port: int | str, spec: Obj) -> int:
    """A port by number or by its name in the container. Raises ValueError."""
    named = [entry["containerPort"] for entry in spec.get("ports") or [] if entry.get("name") == port]
    try:
        number = int(named[0] if named else port)
    except ValueError:
        raise ValueError(f"port {port!r} is none of container {spec['name']}") from None
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number


def dial(error: OSError) -> str:
    """Why a connection failed, as Go says it: `connect: connection refused`."""
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"connect: {reason[:1].lower()}{reason[1:]}"
