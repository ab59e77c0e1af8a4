"""Watch devices and their statuses, write what they report."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from edgelab.daemon.notify import ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.kube.client import HttpClient
from edgelab.kube.informer import Informer
from edgelab.kube.kubeconfig import load
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.twinexporter.monitor import Monitor
from edgelab.twinexporter.samples import Twins
from edgelab.twinexporter.writer import Writer

log = logging.getLogger("edgelab.twinexporter")


@dataclass(frozen=True, slots=True)
class Options:
    """Where to read and where to write; an empty `listen` serves nothing, an empty `namespace` means all."""

    kube_config: Path
    url: str
    listen: str = ""
    namespace: str = ""
    queue: int = 100_000


async def serve(options: Options) -> None:
    """Run until cancelled. Raises Fatal for a kubeconfig that cannot be used."""
    writer = Writer(options.url, limit=options.queue)
    twins = Twins(writer.put)
    async with HttpClient(load(options.kube_config), user_agent="edgelab-twinexporter") as api:
        namespace = options.namespace or None
        devices, statuses = Informer(api, DEVICES, namespace), Informer(api, DEVICE_STATUSES, namespace)
        devices.add_handler(twins.on_device)
        statuses.add_handler(twins.on_status)
        modules: list[Module] = [writer, devices, statuses]
        if options.listen:
            modules.append(Monitor(options.listen, twins, writer, [devices, statuses]))
        log.info("writing to %s", options.url)
        ready(f"writing to {options.url}")
        await run_modules(modules)
