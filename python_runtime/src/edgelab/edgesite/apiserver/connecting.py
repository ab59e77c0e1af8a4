"""The way to kubelets; what goes it is loaded with the first request."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from edgelab.edgesite.apiserver.authorization import Authorizer
from edgelab.edgesite.apiserver.registry import Registry

if TYPE_CHECKING:
    from edgelab.daemon.clock import Clock
    from edgelab.edgesite.apiserver.relay.connections import Relay
    from edgelab.edgesite.apiserver.relay.trust import KubeletTrust
    from edgelab.edgesite.settings import Settings
    from edgelab.identity.ca import CertificateAuthority

MakeRelay = Callable[[], "Relay"]


class Kubelets:
    """Who passes requests on to them, and who reads their pages."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        authorizer: Authorizer,
        authority: CertificateAuthority,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._authorizer = authorizer
        self._authority = authority
        self._clock = clock

    def relay(self) -> Relay:
        """Make what passes requests on."""
        from edgelab.edgesite.apiserver.relay import connections  # noqa: PLC0415 - rare

        types = self._settings.kubelet.address_types
        return connections.Relay(self._registry, self._authorizer, self._trust, types)

    async def usage(self, node: str) -> bytes:
        """A node's page of what is used. Raises Unread."""
        from edgelab.edgesite.apiserver.usage import asking  # noqa: PLC0415 - rare

        types = self._settings.kubelet.address_types
        return await asking.page(self._registry.store, self._trust, types, node)

    @cached_property
    def _trust(self) -> KubeletTrust:
        from edgelab.edgesite.apiserver.relay import trust  # noqa: PLC0415 - rare

        directory, authority = self._settings.data_dir / "tls", self._settings.kubelet.authority
        return trust.KubeletTrust(directory, self._authority, authority, self._clock)
