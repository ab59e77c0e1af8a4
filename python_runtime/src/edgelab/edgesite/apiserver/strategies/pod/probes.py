"""Probes and lifecycle handlers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]
Handler = Callable[[Obj, str], list[Cause]]

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
SECONDS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
SCHEMES = ["HTTP", "HTTPS"]
REAL_TIME = ["SIGRTMIN", *(f"SIGRTMIN+{i}" for i in range(1, 16)), "SIGRTMAX"]
REAL_TIME += [f"SIGRTMAX-{i}" for i in range(1, 15)]
NAMED = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS"
NAMED += " TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
SIGNALS = sorted([*(f"SIG{name}" for name in NAMED.split()), *REAL_TIME])


def _exec(action: Obj, path: str) -> list[Cause]:
    return [] if action.get("command") else [required(f"{path}.command")]


def _http(action: Obj, path: str) -> list[Cause]:
    causes = [] if action.get("path") else [required(f"{path}.path")]
    causes += checks.port_number_or_name(action.get("port"), f"{path}.port")
    if action.get("scheme") not in SCHEMES:
        causes.append(unsupported(f"{path}.scheme", action.get("scheme"), SCHEMES))
    for header in action.get("httpHeaders") or ():
        causes += checks.texts(names.http_header, header.get("name") or "", f"{path}.httpHeaders")
    return causes


def _port(action: Obj, path: str) -> list[Cause]:
    return checks.port_number_or_name(action.get("port"), f"{path}.port")


def _sleep(grace: int | None) -> Handler:
    def check(action: Obj, path: str) -> list[Cause]:
        seconds = action.get("seconds") or 0
        if grace is None or 0 <= seconds <= grace:
            return []
        text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        return [bad(path, seconds, text)]

    return check


OF_PROBES: dict[str, Handler] = {"exec": _exec, "httpGet": _http, "tcpSocket": _port, "grpc": _port}


def _handler(found: Obj, handlers: dict[str, Handler], path: str) -> list[Cause]:
    causes: list[Cause] = []
    number = 0
    for name, check in handlers.items():
        if name not in found:
            continue
        if number:
            causes.append(forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
        else:
            causes += check(found[name], f"{path}.{name}")
        number += 1
    return causes if number else [*causes, required(path, "must specify a handler type")]


def lifecycle(found: Obj, grace: int | None, path: str, system: Obj | None) -> list[Cause]:
    """What runs after the start and before the stop."""
    handlers = {"exec": _exec, "httpGet": _http, "tcpSocket": _port, "sleep": _sleep(grace)}
    causes: list[Cause] = []
    for name in ("postStart", "preStop"):
        if name in found:
            causes += _handler(found[name], handlers, f"{path}.{name}")
    signal, field = found.get("stopSignal"), f"{path}.stopSignal"
    if signal is not None and system is None:
        causes.append(forbidden(field, "may not be set for containers with empty `spec.os.name`"))
    elif signal is not None and system is not None:
        allowed = {"windows": ["SIGKILL", "SIGTERM"], "linux": SIGNALS}.get(system.get("name") or "")
        if allowed is not None and signal not in allowed:
            causes.append(unsupported(field, signal, allowed))
    return causes


def probes(container: Obj, path: str) -> list[Cause]:
    """Liveness, readiness and startup."""
    causes: list[Cause] = []
    for name in PROBES:
        if name in container:
            causes += _probe(container[name], name, f"{path}.{name}")
    return causes


def _probe(found: Obj, name: str, path: str) -> list[Cause]:
    causes = _handler(found, OF_PROBES, path)
    for field in SECONDS:
        causes += checks.nonnegative(found.get(field), f"{path}.{field}")
    grace, field = found.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        causes.append(bad(field, grace, "must be greater than 0"))
    if name == "readinessProbe":
        text = "must not be set for readinessProbes"
        return causes + ([bad(field, grace, text)] if grace is not None else [])
    successes = found.get("successThreshold")
    return causes + ([bad(f"{path}.successThreshold", successes, "must be 1")] if successes != 1 else [])
