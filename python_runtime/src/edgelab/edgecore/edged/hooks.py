"""Lifecycle hooks: postStart and preStop (kubelet `pkg/kubelet/lifecycle/handlers.go`)."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any

from edgelab.cri.errors import RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import actions, httpget, names
from edgelab.edgecore.edged.actions import CannotTell, Target
from edgelab.edgecore.edged.events import Recorder

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hand:
    """What reaches into containers. `ip` is the pod's address, for hooks that speak HTTP."""

    runtime: Runtime
    clock: Clock
    events: Recorder
    ip: str = ""


LONGEST = 3600.0
"""Seconds that a postStart hook may take; the kubelet knows no limit."""


async def run(hand: Hand, pod: Obj, target: Target, action: Obj, limit: float) -> str:
    """Run a hook for `limit` seconds at most; gives why it failed, or nothing."""
    kind, problem = "", ""
    try:
        async with asyncio.timeout(limit):
            if "sleep" in action:
                await hand.clock.sleep(float((action["sleep"] or {}).get("seconds") or 0))
            elif "exec" in action:
                words = [str(word) for word in action["exec"].get("command") or []]
                kind, problem = (
                    f"Exec lifecycle hook ({words})",
                    await _command(hand.runtime, target, words, limit),
                )
            elif "httpGet" in action:
                kind = f"HTTP lifecycle hook ({action['httpGet'].get('path') or '/'})"
                problem = await _http(target, action["httpGet"])
    except TimeoutError:
        kind, problem = kind or "Lifecycle hook", f"it took longer than {limit:g} s"
    where = f'for Container "{target.spec["name"]}" in Pod "{names.described(pod)}"'
    return f"{kind} {where} failed - error: {problem}" if problem else ""


async def _command(runtime: Runtime, target: Target, words: list[str], limit: float) -> str:
    try:
        outcome = await actions.command(runtime, target, words, limit)
    except (CannotTell, RuntimeUnreachable) as error:
        return str(error)
    return "" if outcome.good else f"command exited with an error, message: {outcome.text!r}"


async def _http(target: Target, wanted: Obj) -> str:
    """Any answer is a good one; a server that speaks plain HTTP where HTTPS is asked for gets that."""
    try:
        request = httpget.request(wanted, target.ip, actions.port_number(wanted["port"], target.spec))
        try:
            await httpget.get(request)
        except ssl.SSLError:
            await httpget.get(httpget.request({**wanted, "scheme": "HTTP"}, target.ip, _port(request)))
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return str(error) or type(error).__name__
    return ""


def _port(request: httpget.Request) -> int:
    return int(request.where.rpartition(":")[2])
