"""EdgeSite: store, API server, controllers and scheduler in one process."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal
from edgelab.daemon.notify import notify, ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.edgesite import controllers, keys, scheduler
from edgelab.edgesite.apiserver import builtin, connecting
from edgelab.edgesite.apiserver.admission import DefaultAdmission
from edgelab.edgesite.apiserver.apiservices import ApiServices
from edgelab.edgesite.apiserver.authentication import Authenticator
from edgelab.edgesite.apiserver.authorization import Authorizer
from edgelab.edgesite.apiserver.bootstrap import bootstrap
from edgelab.edgesite.apiserver.components import ComponentStatuses
from edgelab.edgesite.apiserver.computed import Computed
from edgelab.edgesite.apiserver.crds import CustomResources
from edgelab.edgesite.apiserver.documents import Documents
from edgelab.edgesite.apiserver.flowcontrol import FlowControl
from edgelab.edgesite.apiserver.handlers import ResourceHandler
from edgelab.edgesite.apiserver.kinds import Kinds
from edgelab.edgesite.apiserver.local import LocalApi
from edgelab.edgesite.apiserver.openapi import OpenApi
from edgelab.edgesite.apiserver.policystatus import PolicyStatus
from edgelab.edgesite.apiserver.presenting import Presenter
from edgelab.edgesite.apiserver.reads import Reader
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.apiserver.reviews import Reviews
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.edgesite.apiserver.server import ApiServer
from edgelab.edgesite.apiserver.service import ApiService
from edgelab.edgesite.apiserver.serviceaddresses import ServiceAddresses
from edgelab.edgesite.apiserver.tokens import Tokens
from edgelab.edgesite.apiserver.usage.answers import UsageAnswers
from edgelab.edgesite.apiserver.usage.collector import Collector
from edgelab.edgesite.collection import GarbageCollection
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.encryption.guard import Unencrypted
from edgelab.edgesite.operation import copies, datadir
from edgelab.edgesite.operation.fence import Fence
from edgelab.edgesite.operation.pages import Operation
from edgelab.edgesite.operation.publisher import Publisher
from edgelab.edgesite.settings import Settings
from edgelab.edgesite.store import Store
from edgelab.edgesite.store.rows import Transform
from edgelab.edgesite.trust import trust
from edgelab.identity.ca import CertificateAuthority

if TYPE_CHECKING:
    from edgelab.edgesite.audit.auditor import Auditor

log = logging.getLogger("edgesite")


class Site:
    """The parts, wired. `start` listens, `modules` are what has to run, `stop` closes the store."""

    def __init__(self, settings: Settings, clock: Clock = SYSTEM) -> None:
        self._settings = settings
        self._lock = _own(settings.data_dir)
        tls = settings.data_dir / "tls"
        local = [*settings.addresses, "127.0.0.1", str(settings.service_network[1])]
        addresses = list(dict.fromkeys(local))
        self.keys = keys.load_or_create(tls, addresses, clock)
        self._tls = keys.server_context(tls)
        self._renewal = keys.Renewal(tls, addresses, self._tls, clock)
        self.store = Store(settings.data_dir, clock, _transform(settings), settings.history)
        catalogue = Catalogue()
        kinds = Kinds(catalogue, builtin.kinds(catalogue))
        authorizer = Authorizer(self.store)
        admission = DefaultAdmission(self.store, kinds, settings.service_network, authorizer, clock)
        self.registry = Registry(self.store, kinds, admission, clock)
        self._addresses = ServiceAddresses(self.registry)
        self.registry.companions["services"] = self._addresses.follow
        tokens = Tokens(self.keys.token_key, clock)
        service = ApiService(self.registry, Reader(self.store), tokens, clock)
        authority = CertificateAuthority.load(self.keys.ca_pem, self.keys.ca_key, clock.now)
        authenticator = Authenticator(self.store, tokens, clock, authority)
        self._trust = trust(self.keys, tokens, authorizer, clock)
        reviews = Reviews(authenticator, authorizer, clock)
        kubelets = connecting.Kubelets(settings, self.registry, authorizer, authority, clock)
        presenter = Presenter(clock)
        self._usage = Collector(self.store, kubelets.usage, clock)
        usage = UsageAnswers(self.store, self._usage, presenter, clock)
        computed: dict[tuple[str, str], Computed] = {
            ("", "ComponentStatus"): ComponentStatuses(self.store, presenter),
            ("metrics.k8s.io", "NodeMetrics"): usage,
            ("metrics.k8s.io", "PodMetrics"): usage,
        }
        handler = ResourceHandler(service, reviews, presenter, kubelets.relay, computed)
        address = f"{settings.addresses[0]}:{settings.port}"
        documents = Documents(kinds, OpenApi(kinds), tokens, address, catalogue.version)
        self.api = LocalApi(service)
        publisher = Publisher(
            settings.data_dir,
            self.store,
            clock,
            wait=settings.wait_for_follower,
            busy=lambda: self._operation.requests.writing,
        )
        self._fence = Fence(settings.data_dir, self.store, clock, settings.peers)
        self._auditor = _auditor(settings, clock)
        metrics = [publisher.write, *([self._auditor.log.write] if self._auditor is not None else [])]
        self._operation = Operation(
            self.store,
            clock,
            delay=settings.shutdown_delay,
            last=publisher.hand_on,
            pages=[publisher, self._fence],
            metrics=metrics,
        )
        self._server = ApiServer(
            handler,
            documents,
            kinds,
            authenticator=authenticator,
            authorizer=authorizer,
            operation=self._operation,
            auditor=self._auditor,
        )
        self._custom = CustomResources(self.registry, clock)
        self._policies = PolicyStatus(service)
        self._clock = clock
        self.port = settings.port

    def modules(self) -> list[Module]:
        """Everything that runs once the server listens."""
        cluster = Cluster(self.api, self._clock)
        placing = scheduler.sharing(cluster)  # first: it asks for views that nobody else needs
        modules: list[Module] = [
            self._server,
            self._renewal,
            self._fence,
            self._custom,
            ApiServices(self.registry),
            self._addresses,
            FlowControl(self.registry, self._clock),
            self._policies,
            self._usage,
            GarbageCollection(self._clock),
            *controllers.build(
                self.api, self._clock, self.keys.ca_pem.decode(), cluster=cluster, trust=self._trust
            ),
            placing,
        ]
        if self._auditor is not None:
            modules.insert(0, self._auditor.log)
        self._operation.modules = lambda: modules
        return modules

    async def start(self) -> None:
        """Fill an empty store, listen, write the kubeconfig. The store must be running. Raises Fatal."""
        settings = self._settings
        await self._fence.begin()
        self.port = await self._server.start(settings.host, settings.port, self._tls)
        ca_pem = self.keys.ca_pem.decode()
        await bootstrap(self.registry, settings.service_network, settings.addresses, self.port, ca_pem)
        self._operation.started = True
        if settings.kubeconfig is not None:
            self._write_kubeconfig()

    def _write_kubeconfig(self) -> None:
        path = self._settings.kubeconfig
        assert path is not None
        text = kubeconfig(f"https://{self._settings.addresses[0]}:{self.port}", self.keys)
        try:
            if not path.exists() or path.read_text() != text or path.stat().st_mode & 0o077:
                keys.write_private(path, text.encode())
        except OSError as error:
            raise Fatal(f"cannot write the kubeconfig {path}: {error.strerror}") from error

    def stop(self) -> None:
        """Close the store and release the data directory."""
        self.store.close()
        os.close(self._lock)


def _transform(settings: Settings) -> Transform:
    """Between objects and the disk. Raises Fatal for a configuration that is wrong."""
    if settings.encryption is None:
        return Unencrypted()
    from edgelab.edgesite.encryption import configuration, transform  # noqa: PLC0415 - optional

    return transform.AtRest(configuration.load(settings.encryption))


def _auditor(settings: Settings, clock: Clock) -> Auditor | None:
    """The audit log, if one is wanted. Raises Fatal for a policy that is wrong."""
    wanted = settings.audit
    if wanted is None:
        return None
    from edgelab.edgesite.audit import auditor, log, policy  # noqa: PLC0415 - optional

    rules = policy.EVERYTHING if wanted.policy is None else policy.load(wanted.policy)
    return auditor.Auditor(log.AuditLog(wanted.log, clock, wanted.max_bytes, wanted.backups), rules, clock)


def _own(data_dir: Path) -> int:
    """The lock of a data directory that a site may run from. Raises Fatal."""
    descriptor = datadir.lock(data_dir)
    datadir.finish(data_dir)
    if copies.is_copy(data_dir / datadir.DATABASE):
        os.close(descriptor)
        raise Fatal(
            f"{data_dir} holds the copy of a site that is followed; when that site is gone for good,"
            f" `edgesite promote --data-dir {data_dir}` makes the copy a site"
        )
    return descriptor


def kubeconfig(server: str, material: keys.Keys) -> str:
    """The administrator's kubeconfig."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    cluster = {"server": server, "certificate-authority-data": encoded(material.ca_pem)}
    user = {
        "client-certificate-data": encoded(material.admin.cert_pem),
        "client-key-data": encoded(material.admin.key_pem),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "edgesite", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "edgesite", "context": {"cluster": "edgesite", "user": "admin"}}],
        "current-context": "edgesite",
    }
    return yaml.safe_dump(document, sort_keys=False)


@asynccontextmanager
async def running_store(store: Store) -> AsyncIterator[None]:
    """Run the store while the body runs; its failure ends the body, and it is the last to stop."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.run(), name="store")
        try:
            yield
        finally:
            task.cancel()


async def run(settings: Settings, clock: Clock = SYSTEM) -> None:
    """Run EdgeSite until cancelled. Raises Fatal."""
    site = Site(settings, clock)
    try:
        async with running_store(site.store):
            notify(STATUS="starting")
            await site.start()
            modules = site.modules()
            log.info("serving on %s:%d with %d modules", settings.host, site.port, len(modules))
            async with asyncio.TaskGroup() as group:
                group.create_task(run_modules(modules), name="modules")
                await asyncio.sleep(0)  # the modules have begun when this task goes on
                ready(f"serving on {settings.host}:{site.port}")
    finally:
        site.stop()
