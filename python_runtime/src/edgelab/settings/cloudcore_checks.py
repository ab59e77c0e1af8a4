"""Whether the values of cloudcore.yaml make sense (KubeEdge `cloudcore/v1alpha1/validation`, and more).

As in the original, ports and addresses of listeners are looked at whether they are on or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from edgelab.settings import checks, cloudcore_stream
from edgelab.settings.document import Problem

if TYPE_CHECKING:
    from edgelab.settings.cloudcore import CloudCore, CloudHub

LISTENERS = ("quic", "websocket", "https")


def problems(settings: CloudCore) -> Iterator[Problem]:
    """Every value that is out of range or malformed."""
    yield from _api(settings)
    yield from _hub(settings.modules.cloudHub)
    modules = settings.modules
    controller = modules.edgeController
    where = "modules.edgeController"
    if controller.enable:
        yield from checks.every(where, controller, ("nodeUpdateFrequency",), checks.at_least(1), "1 or more")
    for name in ("edgeController", "deviceController", "taskManager"):
        module = getattr(modules, name)
        yield from _counts(f"modules.{name}.buffer", module.buffer, 0)
        yield from _counts(f"modules.{name}.load", module.load, 1)
    yield from checks.one_of(
        "modules.iptablesManager", modules.iptablesManager, {"mode": ("internal", "external")}
    )
    yield from checks.every("modules.router", modules.router, ("address",), checks.is_ip, "an IP address")
    yield from checks.every(
        "modules.router", modules.router, ("restTimeout",), checks.at_least(1), "1 or more"
    )
    if modules.cloudStream.enable:
        yield from cloudcore_stream.problems(settings.edgelab.stream)
        names = [name for name in msgspec.structs.asdict(modules.cloudStream) if name.startswith("tlsTunnel")]
        yield from checks.every("modules.cloudStream", modules.cloudStream, names, bool, "a file name")


def _api(settings: CloudCore) -> Iterator[Problem]:
    api, common = settings.kubeAPIConfig, settings.commonConfig
    if api.kubeConfig:
        yield from checks.every("kubeAPIConfig", api, ("kubeConfig",), checks.is_absolute, "a path from /")
    if api.master:
        urls = checks.is_url("http", "https")
        yield from checks.every("kubeAPIConfig", api, ("master",), urls, "http(s)://HOST:PORT")
    yield from checks.every("kubeAPIConfig", api, ("qps", "burst"), checks.at_least(0), "0 or more")
    yield from checks.every("commonConfig", common, ("tunnelPort",), checks.within(0, 65535), "a port")


def _hub(hub: CloudHub) -> Iterator[Problem]:
    where = "modules.cloudHub"
    for name in LISTENERS:
        listener = getattr(hub, name)
        yield from checks.every(f"{where}.{name}", listener, ("address",), checks.is_ip, "an IP address")
        if hub.enable and name != "quic":
            continue  # looked at with the ports of all that listens
        yield from checks.every(f"{where}.{name}", listener, ("port",), checks.within(0, 65535), "a port")
    if hub.unixsocket.enable and not hub.unixsocket.address.startswith("unix:///"):
        yield Problem(f"{where}.unixsocket.address", f"{hub.unixsocket.address!r}: expected unix:///path")
    yield from checks.every(where, hub, ("writeTimeout",), checks.at_least(1), "1 or more")


def _counts(where: str, struct: msgspec.Struct, least: int) -> Iterator[Problem]:
    names = struct.__struct_fields__
    yield from checks.every(where, struct, names, checks.at_least(least), f"{least} or more")
