"""Watch devices and their statuses, write what they report.

informers -> Twins (new reports only) -> a Pipe a database (bounded queue, checkpoint) -> its Sink
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.daemon.notify import ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.kube.client import HttpClient
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi
from edgelab.kube.kubeconfig import load
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.twinexporter.checkpoint import Checkpoint
from edgelab.twinexporter.influx import InfluxSink
from edgelab.twinexporter.monitor import Monitor
from edgelab.twinexporter.pipe import Pipe
from edgelab.twinexporter.progress import Progress
from edgelab.twinexporter.samples import Device, Sample, Twins
from edgelab.twinexporter.sink import Sink

log = logging.getLogger("edgelab.twinexporter")


@dataclass(frozen=True, slots=True)
class Options:
    """Where to read and where to write; an empty `listen` serves nothing, an empty `namespace` means all."""

    kube_config: Path
    urls: Sequence[str]
    listen: str = ""
    namespace: str = ""
    queue: int = 100_000
    state_dir: Path | None = None
    device_metrics: bool = True
    postgresql_dsn_file: Path | None = None


class Exporter:
    """The modules of one exporter, which reads through `api`."""

    def __init__(self, options: Options, api: KubeApi) -> None:
        """Raises Fatal for a state directory or a database's address that cannot be used."""
        self.twins = Twins(self._emit, self._gone)
        sinks = databases(options)
        self.checkpoint = Checkpoint(options.state_dir, self.twins.live)
        self.pipes = [Pipe(sink, self.checkpoint.positions(sink.name), limit=options.queue) for sink in sinks]
        namespace = options.namespace or None
        since = self.checkpoint.watched(Progress(lambda: self.statuses.version, self.pipes))
        self.devices = Informer(api, DEVICES, namespace)
        self.statuses = Informer(api, DEVICE_STATUSES, namespace, since=since)
        self.devices.add_handler(self.twins.on_device)
        self.statuses.add_handler(self.twins.on_status)
        self.informers = [self.devices, self.statuses]
        self.monitor: Monitor | None = None
        if options.listen:
            self.monitor = Monitor(
                options.listen,
                self.twins,
                self.pipes,
                self.informers,
                self.checkpoint,
                devices=options.device_metrics,
            )

    async def run(self) -> None:
        """Run until cancelled; the checkpoint is saved when all others have ended."""
        settler = Settler(self.informers, self.checkpoint, self.pipes, self.twins)
        statuses = Later(self.statuses, self.devices)
        modules: list[Module] = [*self.pipes, self.devices, statuses, self.checkpoint, settler]
        try:
            await run_modules([*modules, *([self.monitor] if self.monitor else [])])
        finally:
            self.checkpoint.close()

    def _emit(self, sample: Sample) -> None:
        for pipe in self.pipes:
            pipe.put(sample, past=self.statuses.replaying)

    def _gone(self, device: Device) -> None:
        for pipe in self.pipes:
            pipe.gone(device)


class Later:
    """A module: an informer that begins when another one has listed all.

    Reports that came while the exporter was away are told one after the other, to who knows the device.
    """

    def __init__(self, informer: Informer, other: Informer) -> None:
        self.name = informer.name
        self._informer = informer
        self._other = other

    async def run(self) -> None:
        """Follow the collection until cancelled."""
        await self._other.wait_synced()
        await self._informer.run()


class Settler:
    """A module that, once all devices are known, lets the others forget those that were deleted before."""

    name = "settler"

    def __init__(
        self, informers: Sequence[Informer], checkpoint: Checkpoint, pipes: Sequence[Pipe], twins: Twins
    ) -> None:
        self._informers = informers
        self._checkpoint = checkpoint
        self._pipes = pipes
        self._twins = twins

    async def run(self) -> None:
        """Do so, then wait until cancelled."""
        for informer in self._informers:
            await informer.wait_synced()
        self._checkpoint.settle()
        for pipe in self._pipes:
            pipe.settle(lambda: self._twins.nodes)
        log.info("follows all devices")
        await asyncio.Event().wait()


def databases(options: Options) -> list[Sink]:
    """Where samples go. Raises Fatal for an address or DSN that is none, for no address and for one twice."""
    sinks: list[Sink] = [InfluxSink(url) for url in options.urls if url]
    if options.postgresql_dsn_file is not None:
        sinks.append(_postgresql(options.postgresql_dsn_file, options.namespace))
    if not sinks:
        raise Fatal("nowhere to write to: give --url or --postgresql-dsn-file")
    names = [sink.name for sink in sinks]
    if len(set(names)) < len(names):
        raise Fatal(f"--url names a database twice: {', '.join(names)}")
    return sinks


def _postgresql(dsn_file: Path, namespace: str) -> Sink:
    require("psycopg", "--postgresql-dsn-file")
    try:
        from edgelab.twinexporter.postgresql import PostgresSink  # noqa: PLC0415 - only where it is wanted
    except ImportError as error:
        why = str(error).splitlines()[0]
        raise Fatal(f"--postgresql-dsn-file needs the library libpq ({why}): apt install libpq5") from None
    return PostgresSink(dsn_file, namespace)


async def serve(options: Options) -> None:
    """Run until cancelled. Raises Fatal for a kubeconfig or another option that cannot be used."""
    async with HttpClient(load(options.kube_config), user_agent="edgelab-twinexporter") as api:
        exporter = Exporter(options, api)
        where = ", ".join(pipe.sink.name for pipe in exporter.pipes)
        log.info("writing to %s", where)
        ready(f"writing to {where}")
        await exporter.run()
